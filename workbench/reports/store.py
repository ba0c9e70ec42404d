"""Where a report keeps what it computes: by content, so that nothing is made twice and nothing stale is served."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from workbench.datasets import files_read
from workbench.errors import WorkbenchError
from workbench.files import replace_text
from workbench.models import Model
from workbench.reports.contents import Contents, made_by, named
from workbench.results import Result, ResultError, load_result
from workbench.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R", bound=Result)

FORMAT = 1
#: Beside what an entry holds: what it was made from.
INPUTS = "inputs.json"
#: What the present run asked for, in the store's folder.
ASKED = ".asked.json"
#: Entries that the present run does not use, in the store's folder.
SHELF = ".shelf"
#: Entries while they are written.
_PART = ".part-"
#: Arguments that change nothing of what a function returns.
_TELLS = frozenset({"progress", "report"})
_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")
#: Characters of a key in the name of a folder on the shelf.
_SHORT = 20
#: What this process asked for, by the store's folder.
_asked: dict[Path, dict[str, Any]] = {}


class StoreError(WorkbenchError, ValueError):
    """A name that no entry can have, or a function that gives no result."""


class Store:
    """Results by name in a folder, each with what it was made from.

    `results/NAME` holds what the present run uses. An entry counts only for the same content: its key is a SHA-256
    over the function, all its arguments (see `Contents.digest`), the workbench's own source and the versions of
    what it computes with. Where the key is another one, the old entry goes on a shelf in the same folder
    (`.shelf`), from which it comes back with its parameters; so a changed parameter computes anew only what
    depends on it, and nothing that was computed is thrown away. The shelf may be deleted at any time.

    Entries are written beside their place and renamed, so that an interrupted write leaves none that counts.

        store = wb.reports.Store(folder)
        flips = store.result("flip-points", wb.flip_points.closest, C, x, effort="fast")

    Args:
        folder: made when something is first kept; "" for one of this process alone.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder or tempfile.mkdtemp(prefix="workbench-")).resolve()
        self._asked = _asked.setdefault(self.path, {})

    def result(self, name: str, function: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """What `function(*args, **kwargs)` returns, computed or as it was kept; its tensors are on the CPU.

        A partial result is kept, and computed anew when it is next asked for. Of arguments that are named
        `progress` and `report` the result does not depend.

        Args:
            name: of the entry, a folder; parts are set apart by "/".
            function: returns a `workbench.results.Result`.

        Raises:
            ContentError: an argument whose content cannot be told.
            StoreError: a name that no folder can have, or another return value.
        """
        entry = _Entry(self.path, name, _Inputs(_arguments(function, args, kwargs)), function)
        kept = entry.result()
        if kept is not None:
            self._ask(entry, "reused")
            return kept
        began = time.perf_counter()
        made = function(*args, **kwargs)
        if not isinstance(made, Result):
            raise StoreError(
                f"{named(function)} returned a {type(made).__name__}, which the store cannot keep; it keeps what "
                "methods return (workbench.results.Result). For rows use store.folder(name, …)"
            )
        entry.keep(made.save, partial=made.provenance.partial, seconds=round(time.perf_counter() - began, 3))
        self._ask(entry, "computed")
        return load_result(entry.place)

    def folder(self, name: str, /, **inputs: Any) -> Path:
        """The folder of what is made from `inputs`, with all that was written into it before; else an empty one.

        For computations that write rows as they go (`workbench.results.Tables`) and go on from their rows: give
        all that the rows depend on.

        Raises:
            ContentError: an input whose content cannot be told.
            StoreError: a name that no folder can have.
        """
        entry = _Entry(self.path, name, _Inputs(inputs))
        there = entry.fetch()
        if not there:
            entry.keep(lambda folder: None)
        self._ask(entry, "reused" if there else "computed")
        return entry.place

    def table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Keep a table that was derived from others, as `NAME/NAME.csv`, for those who read the folder."""
        folder = self.folder(name, table=table)
        Tables(folder).write(folder.name, table)
        return table

    def _ask(self, entry: _Entry, how: str) -> None:
        """Write down that the present run uses an entry."""
        self._asked[entry.name] = {"key": entry.key, "how": how}
        text = json.dumps({"format": FORMAT, "entries": self._asked, "data": files_read()}, indent=1)
        replace_text(self.path / ASKED, text)


class _Inputs:
    """What an entry is made from.

    Attributes:
        digests: hashes of the content.
        told: the same for people.
        models: that were met.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        contents = Contents()
        self.digests = {name: contents.digest(value, name) for name, value in values.items()}
        self.told = {name: _told(value, self.digests[name]) for name, value in values.items()}
        self.models = [_model(model) for model in contents.models.values()]


class _Entry:
    """One folder of a store and what it is made from."""

    def __init__(
        self, store: Path, name: str, inputs: _Inputs, function: Callable[..., Any] | None = None
    ) -> None:
        if not _NAME.fullmatch(name):
            raise StoreError(
                f"{name!r} is no name of an entry; expected letters, digits and -_., with / between folders, such "
                "as 'layer-3/query-0'"
            )
        self.store, self.name, self.place = store, name, store / name
        called = None if function is None else Contents().digest(function, named(function))
        text = json.dumps([FORMAT, called, inputs.digests, dict(made_by())], sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()
        self._made = {
            "format": FORMAT,
            "key": self.key,
            "function": "" if function is None else named(function),
            "inputs": inputs.told,
            "models": inputs.models,
            "data": files_read(),
            "made_by": dict(made_by()),
        }

    @property
    def note(self) -> dict[str, Any]:
        """What `inputs.json` says; empty where there is none."""
        return read_inputs(self.place)

    def fetch(self) -> bool:
        """Whether the entry of this key is in its place, from the shelf if need be."""
        if self.note.get("key") == self.key:
            return True
        shelved = self.store / SHELF / _shelved(self.name, self.key)
        if read_inputs(shelved).get("key") != self.key:
            return False
        self._clear()
        _move(shelved, self.place)
        return True

    def result(self) -> Any:
        """The whole result that is kept; None where there is none."""
        if not self.fetch() or self.note.get("partial"):
            return None
        try:
            return load_result(self.place)
        except (FileNotFoundError, ResultError):  # it was damaged: it is made again
            return None

    def keep(self, write: Callable[[Path], object], **note: Any) -> None:
        """Have the entry written beside its place, then put it there."""
        self.store.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=self.store, prefix=_PART))
        try:
            write(part)
            text = json.dumps(
                {**self._made, "made": datetime.now(UTC).isoformat(timespec="seconds"), **note}, indent=1
            )
            (part / INPUTS).write_text(text, encoding="utf-8")
            part.chmod(0o755)
            self._clear()
            _move(part, self.place)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _clear(self) -> None:
        """Make room in the entry's place: what lies there goes on the shelf, or away if this replaces it."""
        inside = [place for place, _ in entries(self.place) if place != self.place]
        around = [self.store / name for name in Path(self.name).parents if (self.store / name / INPUTS).exists()]
        for other in [*inside, *around]:
            told = other.relative_to(self.store).as_posix()
            raise StoreError(f"{self.name!r} cannot be an entry: {told!r} is one; give another name")
        if self.note.get("key") == self.key:
            shutil.rmtree(self.place)
        elif self.place.exists():
            shelve(self.store, self.place)


def entries(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The entries in a store's folder that are in their place, with what their `inputs.json` says."""
    for path in files(folder, INPUTS):
        yield path.parent, read_inputs(path.parent)


def files(folder: Path, name: str = "*") -> list[Path]:
    """The files below a folder, or those of a name, in order; without what begins with a dot, as a shelf does."""
    found = sorted(path for path in folder.rglob(name) if path.is_file())
    return [p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts)]


def read_inputs(place: Path) -> dict[str, Any]:
    """What an entry says that it was made from; empty where there is none, or it cannot be read.

    Its key becomes the name of a folder, so one that is no SHA-256 counts as unreadable.
    """
    try:
        found = json.loads((place / INPUTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(found, dict) and found.get("format") == FORMAT
    return found if known and _KEY.fullmatch(str(found.get("key"))) else {}


def asked(folder: Path) -> dict[str, Any]:
    """What the last run asked for.

    Returns:
        `entries` by name, each with its `key` and `how` it came, and the `data` that was read.
    """
    try:
        found = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        return {"entries": dict(found["entries"]), "data": dict(found["data"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"entries": {}, "data": {}}


def begin(folder: Path) -> None:
    """Before a run: forget what the last one asked for, and what an interrupted write left."""
    (folder / ASKED).unlink(missing_ok=True)
    for left in folder.glob(f"{_PART}*"):
        shutil.rmtree(left, ignore_errors=True)


def tidy(folder: Path) -> None:
    """After a run: put on the shelf what it did not ask for."""
    used = asked(folder)["entries"]
    for place, _ in list(entries(folder)):
        if place.relative_to(folder).as_posix() not in used:
            shelve(folder, place)


def loose(folder: Path) -> list[str]:
    """Files in a folder that belong to no entry: nothing says what they were made from."""
    kept = {place for place, _ in entries(folder)}
    return [path.relative_to(folder).as_posix() for path in files(folder) if not kept & {*path.parents}]


def shelve(store: Path, place: Path) -> None:
    """Put an entry on the shelf, and away with the folders that it leaves empty."""
    name = place.relative_to(store).as_posix()
    shelved = store / SHELF / _shelved(name, str(read_inputs(place).get("key", "")))
    if shelved.exists():
        shutil.rmtree(shelved)
    _move(place, shelved)
    for parent in place.parents:
        if parent == store or any(parent.iterdir()):
            break
        parent.rmdir()


def _shelved(name: str, key: str) -> str:
    return f"{name.replace('/', '+')}-{key[:_SHORT]}"


def _move(place: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    place.replace(to)


def _model(model: Model) -> dict[str, str]:
    """Which network it is, and where it runs."""
    return {
        "name": model.name,
        "kind": type(model).__name__,
        "fingerprint": model.fingerprint,
        "device": str(model.device),
        "dtype": str(model.dtype),
    }


def _arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call by name, defaults included, but for those that change nothing of its result."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise StoreError(f"{named(function)} cannot be called so: {error}") from error
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name)
    return {name: value for name, value in arguments.items() if name not in _TELLS}


def _told(value: Any, digest: str) -> Any:
    """An input for people: plain values as they are, of others what they are and the hash of their content."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Tensor():
            what = f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
        case Model():
            what = value.name
        case Result():
            what = value.kind()
        case _:
            what = named(value) if callable(value) else type(value).__qualname__
    return {"what": what, "sha256": digest}
