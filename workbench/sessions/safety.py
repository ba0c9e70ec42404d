"""What keeps the file of a session safe: nothing foreign is opened, one process writes, errors say what to do."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from workbench.files import exists
from workbench.sessions.state import SessionError

FORMAT = 1
#: SQLite's `application_id` of a session, "LWBS".
APPLICATION = 0x4C57_4253
LEFT = "It was left as it is: take a copy of it from a backup, or give another name"


def check_header(path: Path) -> bool:
    """Whether there is a session at `path`; False where there is nothing, or an empty file.

    Read from the first bytes of the file, whose places SQLite's format defines, so that nothing foreign is opened.

    Raises:
        SessionError: it is something else, or of a newer version.
    """
    if exists(path) and path.is_dir():
        raise SessionError(f"{path} is a folder; give the path of a file, such as {path.name}/my.workbench")
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SessionError(f"{path.name} cannot be read: {error}") from error
    if not header:
        return False
    application, version = (int.from_bytes(header[place : place + 4], "big") for place in (68, 60))
    if not header.startswith(b"SQLite format 3\0") or application != APPLICATION:
        raise SessionError(f"{path.name} is no session of the workbench. It was left as it is: give another name")
    if version > FORMAT:
        raise SessionError(
            f"{path.name} has format {version}, this version reads {FORMAT}; update with "
            "pip install -U latent-workbench"
        )
    return True


def lock(path: Path) -> sqlite3.Connection:
    """Become the process that writes to `path`, until the connection is closed or the process dies.

    It is an exclusive transaction on an empty SQLite file beside it: SQLite knows how to lock on each system, and
    such a lock is not inherited by a child of the process.

    Raises:
        SessionError: another process has it, or nothing can be written there.
    """
    beside = path.with_name(f".{path.name}.lock")
    held: sqlite3.Connection | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = sqlite3.connect(beside, timeout=0, isolation_level=None, check_same_thread=False)
        held.execute("BEGIN EXCLUSIVE")
    except (sqlite3.Error, OSError) as error:
        if held is not None:
            held.close()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise SessionError(
                f"{path.name} is open in another process{_owner(path)}, and only one writes. Close it there, or "
                "read it beside that one: wb.Session(path, write=False)"
            ) from error
        raise SessionError(
            f"{path.name} cannot be written: {beside} cannot be locked ({error}). Give a folder that you can "
            "write to, or only read it: wb.Session(path, write=False)"
        ) from error
    return held


def _owner(path: Path) -> str:
    """Which process wrote that it has the session open, in words."""
    with (
        suppress(sqlite3.Error, TypeError, KeyError, ValueError),
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as reader,
    ):
        row = reader.execute("SELECT value FROM about WHERE name = 'opened'").fetchone()
        there = json.loads(row[0])
        return f" (number {there['pid']} on {there['host']}, since {there['at'][:16].replace('T', ' ')} UTC)"
    return ""


def explained(path: Path, error: sqlite3.Error) -> SessionError:
    """An error of SQLite in words that say what is to be done."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    reasons = {
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_READONLY: "it is read-only",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; look at the folder and at whose it is",
        sqlite3.SQLITE_BUSY: "another program holds it",
        sqlite3.SQLITE_CORRUPT: f"it is damaged. {LEFT}",
        sqlite3.SQLITE_NOTADB: f"it is damaged. {LEFT}",
    }
    return SessionError(f"{path.name}: {reasons.get(code, str(error))}")
