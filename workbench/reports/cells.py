"""How far a running report is: its cells, what the running one tells from within, and how long the rest may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import nbformat

from workbench.progress import Cancelled, Progress, Step
from workbench.reports.catalogue import Report, heading

#: Below this share of a cell, what is left of it is not yet judged by its own pace.
_EARLY = 0.02


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
        self._stopped = False
        self._lock = threading.Lock()

    def started(self, cell: Any, cell_index: int) -> None:
        """Before any cell."""
        if cell.cell_type == "markdown":
            self._section = heading(cell.source) or self._section
        elif cell.cell_type == "code" and cell.source.strip():
            self._began = time.perf_counter()
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
            share = 0.0 if within is None else within.share
            step = Step(self.done, self.total, self._section, within, self._left(share))
            if self._progress is not None and self._progress(step) is False:
                self._stopped = True

    def _left(self, share: float) -> float | None:
        """Estimated seconds to the end, where `share` of the running cell is done.

        A cell that tells goes on at its pace so far; the others take what they took in a former run, else what
        those before them took in the mean.
        """
        if self.done == self.total:
            return 0.0
        known = [seconds for _, seconds in self.durations]
        usual = sum(known) / len(known) if known else None
        places = range(len(known), self.total)
        expected = [self._former[place] if place < len(self._former) else usual for place in places]
        took = 0.0 if self._began is None else time.perf_counter() - self._began
        if share > _EARLY:
            expected[0] = took / share
        if any(seconds is None for seconds in expected):
            return None
        now, *later = [seconds for seconds in expected if seconds is not None]
        return max(0.0, now - took) + sum(later)
