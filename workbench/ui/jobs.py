"""Work behind a panel: one thread, progress, Cancel, and of a storm of requests the last one counts."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from workbench.progress import Step

#: Progress is shown at most this often: more would only fill the channel to the browser.
_SHOW_EVERY = 0.05


@dataclass
class _Request:
    label: str
    make_steps: Callable[[], Generator[Step, None, Any]]
    on_done: Callable[[Any], None]
    background: bool


class Jobs(widgets.HBox):
    """Runs a panel's computations in one worker thread, and shows how far they are.

    A request replaces the one that waits and stops the one that runs at its next step: the latest
    wins, and none is queued. A background request (work ahead of need) runs only when nothing else
    does, and shows no progress. Nothing here blocks the kernel, and callbacks only set traits.
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
        self._changed = threading.Condition()
        self._waiting: _Request | None = None
        self._ahead: _Request | None = None
        self._running: _Request | None = None
        self._stop = threading.Event()
        self._cancelled = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self.on_busy: Callable[[bool], None] = lambda busy: None
        self.error: str | None = None

    # -- asking --------------------------------------------------------------------------------

    def submit(
        self,
        make_steps: Callable[[], Generator[Step, None, Any]],
        on_done: Callable[[Any], None],
        *,
        label: str,
        background: bool = False,
    ) -> None:
        """Run the generator that `make_steps` gives and hand its value to `on_done`, in the worker."""
        request = _Request(label, make_steps, on_done, background)
        with self._changed:
            if self._closed:
                return
            if background:
                self._ahead = request
            else:
                self._waiting, self._ahead = request, None
                if self._running is not None:
                    self._stop.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="workbench-jobs", daemon=True)
                self._thread.start()

    def cancel(self) -> None:
        """Stop what runs at its next step, and forget what waits."""
        with self._changed:
            self._cancelled = self._running is not None or self._waiting is not None
            self._waiting = self._ahead = None
            self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing runs or waits (for scripts and tests); False when the time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    @property
    def busy(self) -> bool:
        """Whether a request that the user waits for runs or waits."""
        running = self._running
        return self._waiting is not None or (running is not None and not running.background)

    def close(self) -> None:
        """Stop the worker and close the widgets."""
        with self._changed:
            self._closed = True
            self._waiting = self._ahead = None
            self._stop.set()
        super().close()

    def say(self, text: str) -> None:
        """Show a line of text beside the bar."""
        self._label.value = text

    # -- working -------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                request = self._waiting or self._ahead
                if request is None or self._closed:
                    self._thread = self._running = None
                    self._changed.notify_all()
                    return
                self._waiting = self._waiting if request is not self._waiting else None
                self._ahead = self._ahead if request is not self._ahead else None
                self._running = request
                self._stop.clear()
                self._cancelled = False
            try:
                self._run(request)
            finally:
                with self._changed:
                    self._running = None

    def _run(self, request: _Request) -> None:
        shown = not request.background
        started = shown_at = time.monotonic()
        if shown:
            self.error = None
            self._begin(request.label)
        try:
            steps = request.make_steps()
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    if not self._stop.is_set():
                        request.on_done(end.value)
                        if shown and self._waiting is None:
                            self._finish(f"{request.label} · {time.monotonic() - started:.2f} s")
                    elif shown:
                        self._finish_stopped(request)
                    return
                if self._stop.is_set():
                    steps.close()
                    if shown:
                        self._finish_stopped(request)
                    return
                if shown and time.monotonic() - shown_at > _SHOW_EVERY:
                    shown_at = time.monotonic()
                    self._show(request.label, step, shown_at - started)
        except Exception as error:  # a worker's error must reach the person, not the void
            self.error = traceback.format_exc()
            if shown:
                self._finish(f"{request.label} failed: {error}", failed=True)

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
            self._finish(f"{request.label} cancelled")

    def _finish(self, text: str, *, failed: bool = False) -> None:
        self._bar.bar_style = "danger" if failed else ""
        self._bar.value = 0 if failed or "cancelled" in text else 1
        self._cancel.disabled = True
        self.say(text)
        self.on_busy(False)
