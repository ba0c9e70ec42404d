"""What all tests share: where the full data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"

if "WORKBENCH_DATA" not in os.environ and _DATA.is_dir():
    os.environ["WORKBENCH_DATA"] = str(_DATA)
