"""The file of a session: an SQLite database whose every change is one transaction.

Format 1. An ordinary SQLite 3 database, readable with any client, with `application_id` 0x4C57_4253 ("LWBS") and
the number of the format as `user_version`. Three tables:

- `about(name, value)`: `made` (the time and the versions that made the file) and `opened` (the process that opened
  it last for writing), each as JSON.
- `items(id, kind, name, saved, document)`: one row for each thing that is saved; `kind` and `name` together are
  unique. `saved` is the time in UTC as ISO 8601, `document` the plain values as JSON. The kinds: `model` (named by
  its role: what the networks were; weights are not copied), `panel` (named by its method: what a panel shows),
  `sample` and `result` (what was kept), `notes`.
- `parts(item, name, document, tensors, digest)`: the tensors of an item. A row with a name is a result: `document`
  has the JSON of its fields that are no tensors, its kind and its provenance. The row without a name has an item's
  bare tensors. `tensors` is a safetensors blob, `digest` the SHA-256 of document, a zero byte and blob, which is
  checked when the part is read.

Nothing is pickled, and reading runs no code from the file: one with triggers or views is refused. A rollback
journal (`NAME-journal`) lies beside the file while a transaction is written; SQLite takes a cut-off one back when
the file is next opened. `.NAME.lock`, an empty SQLite file, is locked while a process has the session open for
writing.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from workbench.machine import versions
from workbench.results import Result
from workbench.sessions.safety import APPLICATION, FORMAT, LEFT, check_header, explained, lock
from workbench.sessions.state import Part, SessionError, State

#: How long a reader of the same file is waited for, in seconds.
_PATIENCE = 10
_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE items (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, saved TEXT NOT NULL, document TEXT NOT NULL,
    UNIQUE (kind, name));
CREATE TABLE parts (
    item INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE, name TEXT NOT NULL, document TEXT NOT NULL,
    tensors BLOB NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (item, name));
"""
#: Of this process, those open for writing, by path: the newest takes over.
_open: WeakValueDictionary[Path, SessionFile] = WeakValueDictionary()


@dataclass(frozen=True)
class Item:
    """One thing that a session holds.

    Attributes:
        kind: `model`, `panel`, `sample`, `result` or `notes`.
        name: of it; together with the kind it is unique.
        saved: when.
        size: of it, in bytes.
    """

    kind: str
    name: str
    saved: datetime
    size: int


class SessionFile:
    """The file, open for writing by one process at a time, or for reading beside it.

    Args:
        path: of the file; it is made where there is none.
        write: whether to write.

    Attributes:
        path: of the file, absolute.
        closing: called before it is closed.

    Raises:
        FileNotFoundError: no such file, and it is only to be read.
        SessionError: something else than a session, one of a newer version, damaged, or open in another process.
    """

    def __init__(self, path: str | Path, *, write: bool = True) -> None:
        self.path, self.write = Path(path).expanduser().resolve(), write
        self.closing: Callable[[], object] = lambda: None
        self._why_closed = ""
        self._access = threading.RLock()
        self._written: dict[tuple[str, str], Mapping[str, Result]] = {}
        self._lock: sqlite3.Connection | None = None
        before = _open.get(self.path)
        if write and before is not None:
            before.close("it was opened anew")
        # a file that is open here is known; to read it aside from SQLite would take SQLite's locks from it
        exists = self.path in _open or check_header(self.path)
        if not write and not exists:
            raise FileNotFoundError(f"there is no session at {self.path}")
        if write:
            self._lock = lock(self.path)
        else:
            self._recover()
        try:
            self._connection = self._connect()
            if not exists:
                self._make()
            self._check()
            if write:
                here = {"pid": os.getpid(), "host": platform.node(), "at": _now()}
                with self._transaction():
                    self._about("opened", here)
        except BaseException:
            self._release()
            raise
        self._identity = self._identify()
        if write:
            _open[self.path] = self

    # -- reading and writing -------------------------------------------------------------------

    def put(self, states: Mapping[tuple[str, str], State]) -> None:
        """Write states, each by its kind and name, in one transaction: all of them or none.

        Raises:
            SessionError: they could not be written; the file has what it had before.
        """
        packed = {key: self._pack(key, state) for key, state in states.items()}
        with self._transaction():
            for (kind, name), state in states.items():
                self._connection.execute(
                    "INSERT INTO items (kind, name, saved, document) VALUES (?, ?, ?, ?) ON CONFLICT (kind, name) "
                    "DO UPDATE SET saved = excluded.saved, document = excluded.document",
                    (kind, name, _now(), json.dumps(dict(state.settings))),
                )
                (item,) = self._one("SELECT id FROM items WHERE kind = ? AND name = ?", kind, name)
                self._put_parts(item, packed[kind, name])
        self._written |= {key: dict(state.results) for key, state in states.items()}

    def get(self, kind: str, name: str) -> State | None:
        """What was put under a kind and a name, or None.

        Raises:
            SessionError: its bytes are damaged.
        """
        with self._reading():
            row = self._one("SELECT id, document FROM items WHERE kind = ? AND name = ?", kind, name)
            if row is None:
                return None
            parts = self._connection.execute(
                "SELECT name, document, tensors, digest FROM parts WHERE item = ?", (row[0],)
            ).fetchall()
        source = f"{name} in {self.path.name}"
        read = {part: Part(*columns).read(source=source) for part, *columns in parts}
        tensors = read.pop("", {})
        return State(json.loads(row[1]), read, tensors)

    def delete(self, kind: str, name: str) -> None:
        """Take something out.

        Raises:
            LookupError: there is nothing of that kind and name.
        """
        with self._transaction():
            gone = self._connection.execute("DELETE FROM items WHERE kind = ? AND name = ?", (kind, name))
            if not gone.rowcount:
                raise LookupError(f"{self.path.name} has no {kind} {name!r}")
        self._written.pop((kind, name), None)

    def rename(self, kind: str, name: str, new: str) -> None:
        """Give something another name, which nothing of its kind may have yet."""
        with self._transaction():
            self._connection.execute("UPDATE items SET name = ? WHERE kind = ? AND name = ?", (new, kind, name))
        self._written.pop((kind, name), None)

    def items(self) -> list[Item]:
        """All that there is, the oldest first."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT kind, items.name, saved, length(CAST(items.document AS BLOB)) + "
                "coalesce(sum(length(tensors) + length(CAST(parts.document AS BLOB))), 0) "
                "FROM items LEFT JOIN parts ON item = items.id GROUP BY items.id ORDER BY items.id"
            ).fetchall()
        return [Item(kind, name, datetime.fromisoformat(saved), size) for kind, name, saved, size in rows]

    def close(self, why: str = "it was closed") -> None:
        """Write what is still to be written, and give the file back."""
        if not self._why_closed:
            self.closing()
            with self._access:
                self._why_closed = why
                self._release()
                if _open.get(self.path) is self:
                    del _open[self.path]

    # -- details -------------------------------------------------------------------------------

    def _pack(self, key: tuple[str, str], state: State) -> dict[str, Part | None]:
        """The parts of a state; None for a result that is the very object which was written last."""
        before = self._written.get(key, {})
        packed = {
            name: None if before.get(name) is result else Part.of(result) for name, result in state.results.items()
        }
        return packed | ({"": Part.of(state.tensors)} if state.tensors else {})

    def _put_parts(self, item: int, parts: Mapping[str, Part | None]) -> None:
        run = self._connection.execute
        known = dict(run("SELECT name, digest FROM parts WHERE item = ?", (item,)).fetchall())
        for name in known.keys() - parts.keys():
            run("DELETE FROM parts WHERE item = ? AND name = ?", (item, name))
        for name, part in parts.items():
            if part is not None and known.get(name) != part.digest:
                row = (item, name, part.document, part.tensors, part.digest)
                run("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)", row)

    def _recover(self) -> None:
        """Have the transaction taken back that a killed process has left, where none writes now."""
        left = self.path.with_name(f"{self.path.name}-journal").exists()
        if left and self.path not in _open:
            with suppress(SessionError):
                SessionFile(self.path).close()

    def _connect(self) -> sqlite3.Connection:
        where = self.path.as_uri() + ("" if self.write else "?mode=ro")
        try:
            connection = sqlite3.connect(
                where, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA trusted_schema = OFF")  # a file's own SQL may call nothing that acts
            if self.write:
                # EXTRA also syncs the folder: what was committed outlives a power cut
                connection.execute("PRAGMA journal_mode = DELETE")
                connection.execute("PRAGMA synchronous = EXTRA")
        except sqlite3.Error as error:
            raise explained(self.path, error) from error
        return connection

    def _make(self) -> None:
        with self._transaction():
            for statement in _SCHEMA.split(";"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")
            self._about("made", {"at": _now(), "versions": versions()})

    def _check(self) -> None:
        """Refuse a file with SQL of its own, and have SQLite look at every page."""
        with self._reading():
            schema = self._connection.execute("SELECT type, name FROM sqlite_schema").fetchall()
            foreign = [f"{kind} {name}" for kind, name in schema if kind not in ("table", "index")]
            if foreign:
                raise SessionError(
                    f"{self.path.name} holds SQL of its own ({', '.join(foreign)}), which would run when it is "
                    "read; no session of the workbench does. It was left as it is: give another name"
                )
            said = self._one("PRAGMA integrity_check(1)")[0]
            names = {name for _, name in schema}
        missing = {"about", "items", "parts"} - names
        if said != "ok" or missing:
            reason = " ".join(said.split()) if said != "ok" else f"it has no table {', '.join(sorted(missing))}"
            raise SessionError(f"{self.path.name} is damaged ({reason}). {LEFT}")

    def _about(self, name: str, value: Mapping[str, Any]) -> None:
        self._connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, json.dumps(value)))

    def _one(self, query: str, *values: Any) -> Any:
        return self._connection.execute(query, values).fetchone()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._access:
            if self._why_closed:
                raise SessionError(f"{self.path.name} is no longer open here: {self._why_closed}")
            try:
                yield
            except sqlite3.Error as error:
                raise explained(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._reading():
            if not self.write:
                raise SessionError(f"{self.path.name} was opened to be read only; open it with write=True")
            if hasattr(self, "_identity") and self._identify() != self._identity:
                raise SessionError(f"{self.path} was moved, replaced or deleted; put it back")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # some errors have rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _release(self) -> None:
        for connection in (getattr(self, "_connection", None), self._lock):
            if connection is not None:
                connection.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
