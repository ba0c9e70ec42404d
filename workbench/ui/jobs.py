"""Work behind a panel: one thread, progress, Cancel, and of a storm of requests the last one counts."""

from __future__ import annotations

import atexit
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import ipywidgets as widgets

from workbench.progress import Cancelled, Step, stop
from workbench.ui import memory, parts
from workbench.ui.closed_widgets import ClosedWidgets

T = TypeVar("T")

#: Progress is shown at most this often: more would only fill the channel to the browser.
_SHOW_EVERY = 0.05
#: What there is so far is drawn less often: a picture costs more than a number.
_DRAW_EVERY = 0.3
#: The end of the process waits so many seconds for the steps that still run.
_LAST_STEP = 10


@dataclass
class _Request:
    label: str
    make_steps: Callable[[], Generator[Step, None, Any]]
    on_done: Callable[[Any], object]
    background: bool
    on_step: Callable[[Any], None] | None


class Jobs(widgets.HBox):
    """Runs a panel's computations in one worker thread, and shows how far they are.

    A request replaces the one that waits and stops the one that runs at its next step: the latest
    wins, and none is queued. A background request (work ahead of need) runs only when nothing else
    does, and shows no progress. Nothing here blocks the kernel, and callbacks only set traits.

    The Cancel button keeps what there is: where a method returns a partial result when it is cancelled
    (see `workbench.progress.run`), the request's callback gets it. A request that gave way to a later
    one is dropped with all that it has.
    """

    def __init__(self) -> None:
        self._bar = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="160px", height="10px"))
        self._label = widgets.Label(layout=widgets.Layout(flex="1 1 auto", min_width="0"))
        self._cancel = widgets.Button(
            description="Cancel",
            tooltip="Stop after the present step and keep what there is",
            layout=widgets.Layout(width="76px"),
            disabled=True,
        )
        self._cancel.on_click(lambda _: self.cancel())
        super().__init__(
            [self._bar, self._cancel, self._label],
            layout=widgets.Layout(align_items="center", grid_gap="8px", min_height="34px"),
        )
        parts.live_only(self)
        ClosedWidgets.prepare()  # every panel has its jobs, and is shown before it is closed
        self._changed = threading.Condition()
        self._waiting: _Request | None = None
        self._ahead: _Request | None = None
        self._running: _Request | None = None
        self._stop = threading.Event()
        self._cancelled = self._keep = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self.on_busy: Callable[[bool], None] = lambda busy: None
        self.error: str | None = None

    # -- asking --------------------------------------------------------------------------------

    def submit(
        self,
        make_steps: Callable[[], Generator[Step, None, Any]],
        on_done: Callable[[Any], object],
        *,
        label: str,
        background: bool = False,
        on_step: Callable[[Any], None] | None = None,
        follows: bool = False,
    ) -> None:
        """Run the generator that `make_steps` gives and hand its value to `on_done`, in the worker.

        Args:
            background: work ahead of need.
            on_step: is handed a step a few times a second, to show what there is so far.
            follows: it follows from the result that `on_done` was just given, so that it gives way to what was
                asked for meanwhile.
        """
        request = _Request(label, make_steps, on_done, background, on_step)
        with self._changed:
            if self._closed or (follows and self._waiting is not None):
                return
            if background:
                self._ahead = request
            else:
                self._waiting, self._ahead = request, None
                self._keep = False
                if self._running is not None:
                    self._stop.set()
            if self._thread is None:
                _begun.add(self)
                self._thread = threading.Thread(target=self._work, name="workbench-jobs", daemon=True)
                self._thread.start()

    def cancel(self, *, keep: bool = True) -> None:
        """Stop what runs at its next step, and forget what waits.

        Args:
            keep: hand the partial result of what runs to its callback, where its method returns one.
        """
        with self._changed:
            running = self._running
            self._cancelled = running is not None or self._waiting is not None
            # what was stopped before to make way for another request stays dropped
            given_way = self._stop.is_set() and not self._keep
            self._keep = keep and running is not None and not running.background and not given_way
            self._waiting = self._ahead = None
            self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing runs or waits (for scripts and tests); False when the time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    def halt(self) -> None:
        """Stop what runs at its next step, drop it with all that waits and follows, and block until that is so."""
        while not self.wait(0):
            self.cancel(keep=False)
            self.wait(0.05)

    @property
    def busy(self) -> bool:
        """Whether a request that the user waits for runs or waits."""
        running = self._running
        return self._waiting is not None or (running is not None and not running.background)

    def close(self) -> None:
        """Stop the worker and close the widgets."""
        self._dismiss()
        parts.close_all(self)
        super().close()

    @property
    def text(self) -> str:
        """The line of text beside the bar."""
        return self._label.value

    def say(self, text: str) -> None:
        """Show a line of text beside the bar."""
        self._label.value = text

    def _dismiss(self) -> threading.Thread | None:
        """Take no more work and stop at the next step; returns the worker, where there is one."""
        with self._changed:
            self._closed = True
            self._keep = False
            self._waiting = self._ahead = None
            self._stop.set()
            return self._thread

    # -- working -------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                request = self._waiting or self._ahead
                if request is None or self._closed:
                    self._thread = self._running = None
                    self._changed.notify_all()
                    break
                self._waiting = self._waiting if request is not self._waiting else None
                self._ahead = self._ahead if request is not self._ahead else None
                self._running = request
                self._stop.clear()
                self._cancelled = self._keep = False
            try:
                self._run(request)
            finally:
                with self._changed:
                    self._running = None
        memory.give_back()

    def _run(self, request: _Request) -> None:
        shown = not request.background
        started = shown_at = drawn_at = time.monotonic()
        try:
            if shown:
                self.error = None
                self._begin(request.label)
            steps = request.make_steps()
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    # what was shown as it grew is kept, too, where Cancel came after the last step
                    kept = self._keep and request.on_step is not None
                    if kept or not self._stop.is_set():
                        request.on_done(end.value)
                        if shown and self._waiting is None:
                            self._finish(f"{request.label} · {time.monotonic() - started:.2f} s")
                    elif shown:
                        self._finish_stopped(request)
                    return
                if self._stop.is_set():
                    self._end(request, steps, step)
                    return
                if shown and time.monotonic() - shown_at > _SHOW_EVERY:
                    shown_at = time.monotonic()
                    self._show(request.label, step, shown_at - started)
                if request.on_step is not None and time.monotonic() - drawn_at > _DRAW_EVERY:
                    request.on_step(step)
                    drawn_at = time.monotonic()  # after it: where drawing is slow, the work goes on between
        except BaseException as error:  # a worker's error must reach the person, not the void, nor end the worker
            self.error = traceback.format_exc()
            failed = f"{request.label} failed: {str(error) or type(error).__name__}"
            if shown:
                self._finish(failed, share=0, failed=True)
            else:
                self.say(failed)

    def _end(self, request: _Request, steps: Generator[Step, None, Any], step: Step) -> None:
        """Stop a method after `step`; its partial result, if wanted and if it has one, is handed over."""
        if self._keep:
            try:
                partial = stop(steps, step)
            except Cancelled:
                pass
            else:
                if self._keep:  # no later request came meanwhile
                    request.on_done(partial)
                    if self._waiting is None:
                        self._finish(f"{request.label} stopped: kept what there is", share=self._bar.value)
                    return
        steps.close()
        if not request.background:
            self._finish_stopped(request)

    def _begin(self, label: str) -> None:
        self._bar.bar_style = ""
        self._bar.value = 0
        self._cancel.disabled = False
        self.say(f"{label} …")
        self.on_busy(True)

    def _show(self, label: str, step: Step, elapsed: float) -> None:
        if step.total:
            self._bar.value = step.done / step.total
            left = elapsed * (step.total - step.done) / max(step.done, 1)
            remaining = f" · {left:.0f} s left" if left >= 1 else ""
            self.say(f"{label}: {step.text} {step.done} of {step.total}{remaining}")
        else:
            self.say(f"{label}: {step.text} {step.done}")

    def _finish_stopped(self, request: _Request) -> None:
        if self._cancelled:
            self._finish(f"{request.label} cancelled", share=0)

    def _finish(self, text: str, *, share: float = 1, failed: bool = False) -> None:
        self._bar.bar_style = "danger" if failed else ""
        self._bar.value = share
        self._cancel.disabled = True
        self.say(text)
        self.on_busy(False)


_begun: weakref.WeakSet[Jobs] = weakref.WeakSet()


@atexit.register
def _dismiss_all() -> None:
    """Stop all workers before the interpreter ends: one that is within torch then would abort the process."""
    workers = [jobs._dismiss() for jobs in list(_begun)]
    end = time.monotonic() + _LAST_STEP
    for worker in workers:
        if worker is not None:
            worker.join(max(0, end - time.monotonic()))


class Drawing(Jobs):
    """Pictures that follow what one chooses or points at: drawn behind the panel, and of a storm the last ones.

    Nothing of it is shown beside the panel's own progress.

    Args:
        tell: called with a line of text where drawing failed.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__()
        self._tell = tell

    def draw(self, work: Callable[[], T], show: Callable[[T], object], *, label: str = "Pictures") -> None:
        """Call `work` in the worker, and `show` with what it gave unless other work came meanwhile."""

        def steps() -> Generator[Step, None, T]:
            yield Step(0, 1, "pictures")
            return work()

        self.submit(steps, show, label=label)

    def _finish(self, text: str, *, share: float = 1, failed: bool = False) -> None:
        super()._finish(text, share=share, failed=failed)
        if failed:
            self._tell(text)
