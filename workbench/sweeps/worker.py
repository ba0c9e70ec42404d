"""What a worker of a local cluster loads first."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to the workers, too, to the process that started them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
