"""Which files of data this process has read, so that what was made from them can say so."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_read: set[Path] = set()


def reading(path: Path) -> Path:
    """The path of a file that is about to be read as data; it is remembered."""
    _read.add(path.resolve())
    return path


def files_read() -> dict[str, str]:
    """SHA-256 of each file of data that this process has read, by the file's name."""
    there = sorted(path for path in _read if path.is_file())
    return {path.name: _hash(path, path.stat().st_mtime_ns) for path in there}


@cache
def _hash(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
