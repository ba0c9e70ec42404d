"""Files that are written whole or not at all, and what they hold as a hash."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from workbench.errors import WorkbenchError


class FolderError(WorkbenchError, OSError):
    """A folder that cannot be made, or a name that no file can have."""


def reason(error: OSError | ValueError) -> str:
    """Why a file or folder cannot be had, without its name."""
    return getattr(error, "strerror", None) or str(error)


def make_folder(path: Path) -> Path:
    """Make `path` and what it lies in, where they are not there, and return it.

    Raises:
        FolderError: that cannot be; says why and what to do.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise FolderError(f"the folder {str(path)!r} cannot be made: {reason(error)}; give another one") from error
    return path


def exists(path: Path) -> bool:
    """Whether there is something at `path`; of a name that is too long for any file there is nothing."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def is_file(path: Path) -> bool:
    """Whether `path` is a file."""
    return exists(path) and path.is_file()


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, then rename over it, so that a crash leaves the old file or the new one.

    Raises:
        FolderError: a name that no file can have.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
            raise
        raise FolderError(
            f"the file {str(path)!r} cannot be written: {reason(error)}; give another name"
        ) from error
    os.close(handle)
    try:
        write(Path(name))
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """`replace_file` with a text, in UTF-8."""
    replace_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
