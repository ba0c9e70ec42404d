"""How a long computation tells what it does, and how it is stopped."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

from tqdm import tqdm

R = TypeVar("R")


@dataclass(frozen=True)
class Step:
    """One finished step: `done` of `total` (None where it is not known), and what it was."""

    done: int
    total: int | None = None
    text: str = ""


#: Called after each step; returning False asks the method to stop and return what it has.
Progress = Callable[[Step], bool | None]


def terminal_progress() -> Progress | None:
    """A tqdm bar where standard error is a terminal, else None."""
    if not sys.stderr.isatty():
        return None
    bar: tqdm | None = None

    def report(step: Step) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=step.total, leave=False)
        bar.set_description_str(step.text)
        bar.update(step.done - bar.n)
        if step.total is not None and step.done >= step.total:
            bar.close()

    return report


class Cancelled(Exception):
    """A computation was stopped before it had anything to return."""


def run(steps: Generator[Step, None, R], progress: Progress | None = None) -> R:
    """Drive a method's generator to its end and return its value.

    `progress` is told each step and stops the method by returning False. Without one, a terminal
    gets a tqdm bar.

    A stopped method is told so by a `Cancelled` raised at its `yield`; one that catches it returns what
    it has.

    Raises:
        Cancelled: stopped by `progress` before the end, with nothing to return.
    """
    progress = progress or terminal_progress()
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        if progress is not None and progress(step) is False:
            return stop(steps, step)


def stop(steps: Generator[Step, None, R], step: Step) -> R:
    """Cancel a method after `step`, and return what it makes of that.

    Raises:
        Cancelled: it has nothing to return.
    """
    try:
        steps.throw(Cancelled(f"stopped after step {step.done} of {step.total}: {step.text}"))
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
