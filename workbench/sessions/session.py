"""A session: one file that holds what was found in the panels, what was kept of it, and notes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.results import Result
from workbench.sessions import models
from workbench.sessions.file import Item, SessionFile
from workbench.sessions.models import Network
from workbench.sessions.state import SessionError, State

PANEL, SAMPLE, RESULT, MODEL, NOTES = "panel", "sample", "result", "model", "notes"


@dataclass(frozen=True, eq=False)
class KeptSample:
    """A sample that is worth finding again.

    Attributes:
        picture: (*picture) what it looks like.
        value_range: smallest and largest value of a picture.
        code: (*latent) that makes it, or None where none is known.
        origin: where it comes from, such as `Subspace search`.
        name: in its session; given when it is kept.
        condition: the class that was fixed, its index () or its embedding (width,), or None.
        of_class: what the generator with that class was called.
    """

    picture: Float[Tensor, " *picture"]
    value_range: tuple[float, float]
    code: Float[Tensor, " *latent"] | None = None
    origin: str = ""
    name: str = ""
    condition: Tensor | None = None
    of_class: str = ""

    def state(self) -> State:
        """What a session writes of it."""
        given = {"picture": self.picture, "code": self.code, "condition": self.condition}
        settings = {"value_range": list(self.value_range), "origin": self.origin, "of_class": self.of_class}
        return State(settings, tensors={name: value for name, value in given.items() if value is not None})

    @classmethod
    def of(cls, state: State, name: str) -> KeptSample:
        """The sample that `state()` came from."""
        low, high = state.settings["value_range"]
        tensors, settings = state.tensors, state.settings
        return cls(
            tensors["picture"],
            (low, high),
            tensors.get("code"),
            settings["origin"],
            name,
            tensors.get("condition"),
            settings["of_class"],
        )


class Session:
    """One file with all that you did: opened by `wb.open(G, C, session=path)`, or by itself in a plain script.

    Each change is one transaction: after a crash or a killed kernel the file has it, or has what was there before.
    Weights are not copied: `models` says which networks it belongs to. Results come back as they were; nothing is
    pickled (`workbench.sessions.file` documents the format).

    >>> with wb.Session("digits.workbench") as session:
    ...     session.note("Sevens flip to nines.")
    ...     session.keep(flips, "flip points of the test set")
    ...     session.items()                                   # all that there is, with time and size
    ...     session.samples[0].code                           # a latent that was kept in a panel
    ...     session.load("subspaces").results["path"]         # what a panel shows

    Args:
        path: of the file; it is made where there is none.
        write: False reads it beside the process that writes; only one writes at a time.

    Attributes:
        path: of the file, absolute.

    Raises:
        FileNotFoundError: there is no such file, and it is only to be read.
        SessionError: the file is something else, damaged, of a newer version, or open in another process.
    """

    def __init__(self, path: str | Path, *, write: bool = True) -> None:
        self._file = SessionFile(path, write=write)
        self.path = self._file.path
        self._listeners: list[Callable[[str], object]] = []
        self._naming = threading.Lock()
        stored = self._file.get(NOTES, NOTES)
        self._notes = "" if stored is None else str(stored.settings["text"])

    def __repr__(self) -> str:
        return f"Session({str(self.path)!r}, {len(self.items())} items)"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what is kept --------------------------------------------------------------------------

    def keep(self, value: KeptSample | Result, name: str = "") -> Item:
        """Write a sample or a result of any method; `load` gives it back.

        Args:
            name: of it; by default what it is, numbered. One that is taken already gets a number, too.

        Raises:
            SessionError: neither of the two, or it could not be written.
        """
        if isinstance(value, Result):
            kind, usual, state = RESULT, type(value).__name__, State(results={"result": value})
        elif isinstance(value, KeptSample):
            kind, usual, state = SAMPLE, "sample", value.state()
        else:
            raise SessionError(
                f"a {type(value).__name__} was to be kept; expected a result of a method, or a sample: "
                "wb.sessions.KeptSample(picture, value_range, code)"
            )
        with self._naming:
            free = self.free_name(kind, name, usual=usual)
            self._file.put({(kind, free): state})
        self._tell(kind)
        return next(item for item in self.items() if (item.kind, item.name) == (kind, free))

    def free_name(self, kind: str, name: str = "", *, usual: str, taken: Collection[str] = ()) -> str:
        """`name`, if it is free in the session and not among `taken`; else it, or what is usual, with a number."""
        known = {*taken, *(item.name for item in self.items() if item.kind == kind)}
        return name if name and name not in known else _numbered(name or usual, known)

    def remove(self, item: Item | str) -> None:
        """Take out something that was kept.

        Raises:
            LookupError: there is no such thing, or the name says several.
        """
        found = self._find(item)
        self._file.delete(found.kind, found.name)
        self._tell(found.kind)

    def items(self) -> list[Item]:
        """All that the session holds, the oldest first."""
        return self._file.items()

    def load(self, item: Item | str) -> Any:
        """What was saved: a result, a `KeptSample`, the text of the notes, or the `State` of anything else: a
        panel, the tabs, what was set aside.

        Args:
            item: of `items()`, or its name.

        Raises:
            LookupError: there is no such thing, or the name says several.
            SessionError: its bytes are damaged.
        """
        found = self._find(item)
        state = self._file.get(found.kind, found.name)
        if state is None:
            raise LookupError(f"{self.path.name} no longer has the {found.kind} {found.name!r}")
        try:
            if found.kind == RESULT:
                return state.results["result"]
            if found.kind == SAMPLE:
                return KeptSample.of(state, found.name)
            if found.kind == NOTES:
                return state.settings["text"]
        except (KeyError, TypeError, ValueError) as error:
            raise SessionError(
                f"{found.kind} {found.name} in {self.path.name} is damaged ({type(error).__name__}: {error})"
            ) from error
        return state

    @property
    def samples(self) -> list[KeptSample]:
        """The samples that were kept, the oldest first."""
        return [self.load(item) for item in self.items() if item.kind == SAMPLE]

    def _find(self, item: Item | str) -> Item:
        matching = [one for one in self.items() if item in (one.name, one)] if isinstance(item, str) else [item]
        if len(matching) != 1:
            names = ", ".join(f"{one.kind} {one.name!r}" for one in matching or self.items())
            said = f"several things are called {item!r}" if matching else f"nothing is called {item!r}"
            raise LookupError(f"in {self.path.name} {said}; give one of session.items(): {names}")
        return matching[0]

    # -- notes ---------------------------------------------------------------------------------

    @property
    def notes(self) -> str:
        """The text of the notes; it may be set, and is then written."""
        return self._notes

    @notes.setter
    def notes(self, text: str) -> None:
        self.draft(text)
        self._file.put({(NOTES, NOTES): self.draft_state()})
        self._tell(NOTES)

    def note(self, text: str) -> None:
        """Add a paragraph to the notes."""
        self.notes = f"{self._notes.rstrip()}\n\n{text}" if self._notes.strip() else text

    def draft(self, text: str) -> None:
        """Take notes that whoever calls this writes soon, with `draft_state()` under `("notes", "notes")`."""
        self._notes = str(text)

    def draft_state(self) -> State:
        """The notes as they are now, for `put`."""
        return State({"text": self._notes})

    # -- what panels and tabs save -------------------------------------------------------------

    def put(self, states: Mapping[tuple[str, str], State]) -> None:
        """Write states by their kind and name, in one transaction.

        Raises:
            SessionError: they could not be written; the file has what it had before.
        """
        self._file.put(states)

    def panel(self, name: str) -> State | None:
        """What a panel showed last, or None.

        Raises:
            SessionError: its bytes are damaged.
        """
        return self._file.get(PANEL, name)

    def set_aside(self, name: str) -> str:
        """Keep what a panel showed under another name, so that it is not written over; returns that name."""
        new = self.free_name(PANEL, usual=f"{name}, set aside")
        self._file.rename(PANEL, name, new)
        return new

    # -- models --------------------------------------------------------------------------------

    @property
    def models(self) -> dict[str, Mapping[str, Any]]:
        """By role, such as `generator`, which network it is: see `workbench.sessions.models.record`."""
        states = {item.name: self._file.get(MODEL, item.name) for item in self.items() if item.kind == MODEL}
        return {role: state.settings for role, state in states.items() if state is not None}

    def belongs_to(
        self, given: Mapping[str, Network | None], *, device: str | torch.device = "auto"
    ) -> dict[str, Network | None]:
        """The networks by role: those that were given, and of the others those of the session from the zoo.

        What the session does not know yet is noted in it; nothing is, where one does not belong to it.

        Raises:
            SessionError: one is another than the session was made with, or is missing and none of the zoo.
        """
        known, found = self.models, dict(given)
        for role, record in known.items():
            model = given.get(role)
            if model is None:
                found[role] = models.load(record, role=role, session=self.path.name, device=device)
            else:
                models.check(record, model, role=role, session=self.path.name)
        fresh = {role: model for role, model in found.items() if model is not None and role not in known}
        self._file.put({(MODEL, role): State(models.record(model)) for role, model in fresh.items()})
        return found

    # -- the file ------------------------------------------------------------------------------

    def on_change(self, callback: Callable[[str], object]) -> None:
        """Call `callback` with `sample`, `result` or `notes` when that was written or removed."""
        self._listeners.append(callback)

    def before_closing(self, callback: Callable[[], object]) -> None:
        """Call `callback` before the file is closed, to write what is still to be written."""
        self._file.closing = callback

    def _tell(self, kind: str) -> None:
        for listener in self._listeners:
            listener(kind)

    def close(self) -> None:
        """Write what is still to be written, and give the file back."""
        self._file.close()


def _numbered(name: str, taken: Collection[str]) -> str:
    return next(one for one in (f"{name} {number}" for number in count(1)) if one not in taken)
