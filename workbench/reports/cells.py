"""How far a running report is: its cells, what the running one tells, and how long the rest may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import nbformat

from workbench.progress import Cancelled, Progress, Step
from workbench.reports.catalogue import Report, heading


class Cells:
    """Follows papermill through the code cells, and tells of each before and after it runs, and of what it tells.

    Args:
        report: that is run.
        injected: whether papermill adds a cell with the parameters.
        progress: told of each step, and never twice at once.
        former: seconds that each code cell took in a former run, if there was one.

    Attributes:
        done, total: code cells that ran to their end, and all.
        ran: places in the notebook of the cells that were run.
        durations: the heading above each code cell that was run, and its seconds.
    """

    def __init__(
        self, report: Report, injected: bool, progress: Progress | None, former: Sequence[float] = ()
    ) -> None:
        notebook = nbformat.read(report.path, as_version=4)
        self.total = sum(c.cell_type == "code" and bool(c.source.strip()) for c in notebook.cells) + injected
        self.done = 0
        self.ran: set[int] = set()
        self.durations: list[tuple[str, float]] = []
        self._section = report.title
        self._progress = progress
        self._former = former
        self._began: float | None = None
        self._first: tuple[float, float] | None = (
            None  # when the running cell first told its share, and that share
        )
        self._stopped = False
        self._lock = threading.Lock()

    def started(self, cell: Any, cell_index: int) -> None:
        """Before any cell."""
        if cell.cell_type == "markdown":
            self._section = heading(cell.source) or self._section
        elif cell.cell_type == "code" and cell.source.strip():
            self._began, self._first = time.perf_counter(), None
            self._tell()
            if self._stopped and self.done < self.total:
                raise Cancelled(f"stopped after {self.done} of {self.total} cells")

    def executed(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        """After a code cell, be it that it failed."""
        seconds = 0.0 if self._began is None else time.perf_counter() - self._began
        with self._lock:
            self._began = None
            self.ran.add(cell_index)
            self.durations.append((self._section, round(seconds, 3)))
            self.done += execute_reply["content"]["status"] == "ok"
        if self.done == self.total:
            self._tell()

    def within(self, message: dict[str, Any]) -> None:
        """What the kernel tells while a cell runs; called in another thread."""
        try:
            step = Step.from_dict(message)
        except ValueError:
            return
        if self._began is not None:
            self._tell(step)

    def _tell(self, within: Step | None = None) -> None:
        with self._lock:
            step = Step(self.done, self.total, self._section, within, self._left(within))
            if self._progress is not None and self._progress(step) is False:
                self._stopped = True

    def _left(self, within: Step | None) -> float | None:
        """Estimated seconds to the end, where there is anything to go by.

        The running cell goes on at the pace that it told; it and the others take what they took in a former run.
        Where there was none, they take the mean of those before them.
        """
        if self.done == self.total:
            return 0.0
        now = time.perf_counter()
        took = 0.0 if self._began is None else now - self._began
        known = [seconds for _, seconds in self.durations]
        here, *later = range(len(known), self.total)
        rest = self._at_its_pace(within, now)
        if rest is None and here < len(self._former):
            rest = max(0.0, self._former[here] - took)
        if rest is None:
            return None
        usual = sum([*known, took + rest]) / (len(known) + 1)
        return rest + sum(self._former[place] if place < len(self._former) else usual for place in later)

    def _at_its_pace(self, within: Step | None, now: float) -> float | None:
        """Seconds that are left of the running cell, by what it told since it first did."""
        if within is None:
            return None
        if self._first is None:
            self._first = (now, within.share)
        since, share = self._first
        gained = within.share - share
        return (now - since) * (1 - within.share) / gained if gained > 0 else None
