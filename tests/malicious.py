"""A pickle that does what it should not."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.write_text, (self.mark, "executed")
