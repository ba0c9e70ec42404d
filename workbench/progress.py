"""How a long computation tells what it does, and how it is stopped."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, Self, TypeVar

from tqdm import tqdm

from workbench import channel

R = TypeVar("R")
T = TypeVar("T")

#: A running report is told at most this often, in seconds.
_EVERY = 0.1
#: Characters of a text that a running report is told.
_LONGEST = 200


@dataclass(frozen=True)
class Step:
    """One finished step: `done` of `total` (None where it is not known), and what it was.

    Attributes:
        done, total: steps.
        text: what the last one was, or the next is.
        within: how far the next step is itself, where it tells.
        left: estimated seconds to the end, where there is an estimate.
    """

    done: int
    total: int | None = None
    text: str = ""
    within: Step | None = None
    left: float | None = None

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1, that within the next step included; 0 where the total is not known."""
        if not self.total:
            return 0.0
        inner = self.within.share if self.within is not None and self.done < self.total else 0.0
        return min(1.0, (self.done + inner) / self.total)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for the channel."""
        inner = {} if self.within is None else {"within": self.within.as_dict()}
        return {"done": self.done, "total": self.total, "text": self.text[:_LONGEST], **inner}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """What `as_dict` gave.

        Raises:
            ValueError: something else.
        """
        match values:
            case {"done": int(done), "total": int() | None as total, "text": str(text)}:
                inner = values.get("within")
                return cls(done, total, text, cls.from_dict(inner) if isinstance(inner, dict) else None)
        raise ValueError(f"{values!r} is no step")


@dataclass(frozen=True)
class Snapshot(Step, Generic[R]):
    """A step that shows the result as it stands.

    Attributes:
        so_far: gives it, marked as partial; None where there is nothing yet.
    """

    so_far: Callable[[], R] | None = field(default=None, compare=False)


#: Called after each step; returning False asks the method to stop and return what it has.
Progress = Callable[[Step], bool | None]

#: The loops of `track` that run now, the outermost first.
_loops: ContextVar[tuple[Step, ...]] = ContextVar("loops", default=())


def terminal_progress() -> Progress | None:
    """What a method tells its steps where no progress is given.

    In the kernel of a running report that report, at most ten times a second; else a tqdm bar where standard error
    is a terminal; else None.
    """
    if channel.listened():
        return _Report()
    return _Bar() if sys.stderr.isatty() else None


@contextmanager
def telling(progress: Progress | None) -> Iterator[Progress | None]:
    """`progress`, or where none is given `terminal_progress`, whose bar is gone after the block, come what may."""
    if progress is not None:
        yield progress
        return
    own = terminal_progress()
    try:
        yield own
    finally:
        if isinstance(own, _Bar):
            own.close()


class _Bar:
    """A tqdm bar, from the first step on."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def __call__(self, step: Step) -> None:
        if self._bar is None:
            self._bar = tqdm(total=step.total, leave=False)
        self._bar.set_description_str(step.text)
        self._bar.update(step.done - self._bar.n)
        if step.total is not None and step.done >= step.total:
            self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.close()


class _Report:
    """Tells the report that runs in this kernel."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            _tell(step)


def _tell(step: Step) -> None:
    for loop in reversed(_loops.get()):
        step = Step(loop.done, loop.total, loop.text, step)
    channel.send(step.as_dict())


def track(items: Sequence[T], text: Callable[[T], str] = str) -> Iterator[T]:
    """The items, one after another; a running report is told which one is at work.

    What methods tell meanwhile is told as being within that step. Loops may lie within one another.

    Args:
        items: that the loop is over.
        text: what an item is called.
    """
    outer = _loops.get()
    for done, item in enumerate(items):
        step = Step(done, len(items), text(item))
        if channel.listened():
            _tell(step)
        _loops.set((*outer, step))
        try:
            yield item
        finally:
            _loops.set(outer)


class Cancelled(Exception):
    """A computation was stopped before it had anything to return."""


def run(steps: Generator[Step, None, R], progress: Progress | None = None) -> R:
    """Drive a method's generator to its end and return its value.

    `progress` is told each step and stops the method by returning False. Without one, the running report or a
    terminal is told (see `terminal_progress`).

    A stopped method is told so by a `Cancelled` raised at its `yield`; one that catches it returns what
    it has.

    Raises:
        Cancelled: stopped by `progress` before the end, with nothing to return.
    """
    with telling(progress) as told:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            if told is not None and told(step) is False:
                return stop(steps, step)


def stop(steps: Generator[Step, None, R], step: Step) -> R:
    """Cancel a method after `step`, and return what it makes of that.

    Raises:
        Cancelled: it has nothing to return.
    """
    of = "" if step.total is None else f" of {step.total}"
    try:
        steps.throw(Cancelled(f"stopped after step {step.done}{of}: {step.text}"))
    except StopIteration as end:
        return end.value
    finally:
        steps.close()
    raise Cancelled("the method went on after it was cancelled")


def as_steps(call: Callable[[Progress], R]) -> Generator[Step, None, R]:
    """A function that takes `progress` as a method's generator: it works in a thread of its own.

    Cancelled, it is stopped as by a `progress` that returns False, and its value is what it then returns. Closed,
    it is stopped, too, and not waited for.
    """
    told: SimpleQueue[Step | None] = SimpleQueue()
    value: Future[R] = Future()
    stopped = threading.Event()

    def progress(step: Step) -> bool:
        told.put(step)
        return not stopped.is_set()

    def work() -> None:
        try:
            value.set_result(call(progress))
        except BaseException as error:
            value.set_exception(error)
        told.put(None)

    threading.Thread(target=work, name="workbench-steps", daemon=True).start()
    try:
        while (step := told.get()) is not None:
            yield step
    except Cancelled:
        pass
    finally:
        stopped.set()
    return value.result()
