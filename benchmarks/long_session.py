"""Hours of use in a real JupyterLab: does memory grow, do actions slow down, does a closed panel leave anything?

`python -m benchmarks.long_session --actions 2000` opens `wb.open` in Chromium and goes on scrubbing, accepting,
switching tabs and layers, selecting, cancelling, closing and opening again, and writes
`benchmarks/results/long-session.json`: of every round the memory of kernel and page, and the seconds of each
action. Round by round the same actions are done, so that the last quarter is measured beside the second one.

All panels are in one cell: a page of JupyterLab 4.6 grows by 0.1 MiB and 258 nodes each time that another cell
becomes the active one, whatever the cells hold; `--plain` measures that in a notebook of two lines of text.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from benchmarks.timing import write
from tests.browser.harness import Lab, NotebookPage, launched

CELLS = [
    "import ctypes, gc, os, psutil, torch, workbench as wb\n"
    "from ipywidgets.widgets.widget import _instances\n"
    "torch.set_num_threads(1)\n"
    "from workbench.datasets import mnist\nfrom workbench.ui.jobs import Jobs\n"
    'G, C = wb.load("mnist-dcgan-2d", device="cpu"), wb.load("mnist-cnn", device="cpu")\n'
    'erf, digits = wb.load("mnist-erf-1", device="cpu"), mnist.sample()\n'
    "x, truth = digits.tensor()[::17], digits.labels[::17]\n"
    "alive = lambda: len(_instances)\n"
    "rss = lambda: (gc.collect(), psutil.Process(os.getpid()).memory_info().rss)[1]\n"
    "class Mallinfo(ctypes.Structure):\n    _fields_ = [(n, ctypes.c_size_t) for n in\n"
    "        'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'.split()]\n"
    "mallinfo = ctypes.CDLL(None).mallinfo2; mallinfo.restype = Mallinfo\n"
    "allocated = lambda: (gc.collect(), m := mallinfo(), m.uordblks + m.hblkhd)[2]\n"
    "idle = lambda: not any(w.busy for w in list(_instances.values()) if isinstance(w, Jobs))",
    # by display: what a cell ends with is kept by IPython for good, in Out
    'tabs, rows = wb.open(G, C), wb.flip_points.Panel(erf, x, truth, effort="fast")\ndisplay(tabs, rows)',
]
PLAIN = ["print('one')", "print('two')"]
SET = "Flip points of all 59"
TAB = {"subspaces": "Subspace search", "boundaries": "Boundaries", "flip_points": "Flip points"}


class Use:
    """Somebody at work: actions by name, each timed from the first key to the kernel's rest."""

    def __init__(self, notebook: NotebookPage, seed: int) -> None:
        self.notebook, self.page, self.choose = notebook, notebook.page, random.Random(seed)
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @property
    def count(self) -> int:
        return sum(map(len, self.seconds.values()))

    def act(self, name: str, action: Callable[[], object]) -> None:
        began = time.perf_counter()
        action()
        self.notebook.until("idle()", True, timeout=120)
        self.seconds[name].append(time.perf_counter() - began)

    def round(self) -> None:
        """Some forty actions, the same in every round but for what is chosen."""
        self.tab("subspaces")
        for _ in range(4):
            self.act("scrub and accept", self.scrub)
        self.act("step back", lambda: self.press("Step back"))
        self.act("another direction", lambda: self.press("Another direction"))
        self.act("new start", lambda: self.press("New start"))
        self.act("cancel", self.cancel)
        self.tab("boundaries")
        self.act("another layer", self.layer)
        self.act("another query", self.query)
        self.act("send to flip points", self.send)
        for _ in range(3):
            self.act("lasso", self.lasso)
            self.act("show all", lambda: self.press("Show all"))
        self.tab("boundaries")
        self.tab("subspaces")
        for _ in range(20):
            self.act("scrub and accept", self.scrub)

    def tab(self, method: str) -> None:
        def switch() -> None:
            self.page.get_by_role("tab", name=TAB[method], exact=True).click()
            self.notebook.until("tabs.current", method)

        self.act("switch tabs", switch)

    def press(self, name: str) -> None:
        self._button(name).click()

    def _button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True, disabled=False).locator("visible=true").first

    def send(self) -> None:
        self.press("Flip points")
        self.notebook.until("tabs.current", "flip_points")

    def scrub(self) -> None:
        slider = self.page.locator("[data-line] [role=slider]:visible").first
        slider.focus()
        for _ in range(self.choose.randrange(2, 9)):
            self.page.keyboard.press(self.choose.choice(("ArrowLeft", "ArrowRight", "PageUp", "PageDown")))
        self.page.keyboard.press("Enter")

    def cancel(self) -> None:
        self.press("New start")
        try:
            self._button("Cancel").click(timeout=300)
        except PlaywrightTimeout:  # it was faster
            return

    def lasso(self) -> None:
        area = self.page.locator(".js-plotly-plot .nsewdrag").locator("visible=true").last
        area.scroll_into_view_if_needed()
        left, top = self.choose.uniform(0.1, 0.4), self.choose.uniform(0.1, 0.4)
        corners = ((left, top), (0.9, top), (0.9, 0.9), (left, 0.9), (left, top + 0.03))
        self.notebook.stroke(area, *corners, steps=5)
        self.notebook.until("len(rows.many.selected) > 0", True)

    def query(self) -> None:
        self.page.get_by_role("listbox", name="queries").locator("visible=true").first.focus()
        for _ in range(self.choose.randrange(1, 5)):
            self.page.keyboard.press(self.choose.choice(("ArrowRight", "ArrowDown")))
        self.page.keyboard.press("Space")

    def layer(self) -> None:
        choice = self.page.locator(".jp-OutputArea select:visible").first
        names = choice.locator("option").all_inner_texts()
        choice.select_option(label=self.choose.choice(names))

    def reopen(self) -> None:
        """Close all panels and run the cells again."""
        self.notebook.kernel.run("tabs.close(); rows.close()")
        self.notebook.run_all()
        self.press(SET)
        self.notebook.until("rows.many.found is not None", True, timeout=120)


def memory_of_page(page: Page) -> dict[str, float]:
    """After collecting garbage: MiB of the page's JavaScript, and the nodes of its documents."""
    client = page.context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    client.send("Performance.enable")
    metrics = {m["name"]: m["value"] for m in client.send("Performance.getMetrics")["metrics"]}
    client.detach()
    return {"page": metrics["JSHeapUsedSize"] / 2**20, "nodes": metrics["Nodes"]}


def memory(notebook: NotebookPage) -> dict[str, float]:
    """Of the page; after collecting garbage, MiB of the kernel and allocated in it; live widgets."""
    return {
        "kernel": notebook.kernel.value("rss()") / 2**20,
        "kernel, allocated": notebook.kernel.value("allocated()") / 2**20,
        **memory_of_page(notebook.page),
        "widgets": notebook.kernel.value("alive()"),
    }


@contextmanager
def opened(cells: Sequence[str]) -> Iterator[NotebookPage]:
    """A notebook of these cells in a JupyterLab of its own."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = launched(playwright)
        lab = Lab(Path(folder))
        try:
            with lab.opened(chromium, cells, width=1400, height=1800) as notebook:
                yield notebook
        finally:
            lab.close()
            chromium.close()


def plain(changes: int = 40) -> Iterator[dict[str, float]]:
    """What a page holds before so many changes of the active cell, after them, and so on."""
    with opened(PLAIN) as notebook:
        outputs = notebook.page.locator(".jp-OutputArea-output")
        for _ in range(5):
            notebook.settle(1000)
            yield memory_of_page(notebook.page)
            for i in range(changes):
                outputs.nth(i % 2).click()
                notebook.settle(50)


def quarters(values: list[float]) -> tuple[float, float]:
    """Medians of the second and of the last quarter."""
    size = max(1, len(values) // 4)
    return statistics.median(values[size : 2 * size] or values), statistics.median(values[-size:])


def session(actions: int, every: int, seed: int) -> Iterator[dict[str, Any]]:
    """Use the panels until so many actions are done, opening them anew each `every` rounds.

    Yields what was found so far after each round.
    """
    rounds: list[dict[str, float]] = []
    left: list[int] = []
    with opened(CELLS) as notebook:
        use = Use(notebook, seed)
        notebook.kernel.run("tabs.close(); rows.close()")
        before = notebook.kernel.value("alive()")
        use.reopen()
        while use.count < actions:
            use.round()
            rounds.append({"actions": use.count, **memory(notebook)})
            print(rounds[-1], flush=True)
            if len(rounds) % every == 0:
                use.act("close and open again", use.reopen)
                left.append(notebook.kernel.value("alive()"))
            errors = notebook.watch.console_errors
            yield _findings(use, rounds, left, before, list(errors), (actions, every, seed))


def _findings(
    use: Use,
    rounds: Sequence[Mapping[str, float]],
    left: Sequence[int],
    before: int,
    errors: Sequence[str],
    settings: tuple[int, int, int],
) -> dict[str, Any]:
    medians = {name: quarters(values) for name, values in use.seconds.items() if len(values) >= 8}
    return {
        "settings": dict(zip(("actions", "every", "seed"), settings, strict=True)),
        "actions": {name: len(values) for name, values in use.seconds.items()},
        "seconds, second and last quarter": medians,
        "last over second quarter": {name: last / first for name, (first, last) in medians.items()},
        "MiB, second and last quarter": {
            name: quarters([r[name] for r in rounds])
            for name in ("kernel", "kernel, allocated", "page", "nodes", "widgets")
        },
        "live widgets": {"before any panel": before, "each time that they were opened anew": left},
        "console errors": errors,
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=2000)
    parser.add_argument("--every", type=int, default=10, help="rounds after which panels are closed and opened")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="measure JupyterLab alone, without a panel")
    options = parser.parse_args()
    if options.plain:
        for found in plain():
            print(found, flush=True)
        return
    began = time.perf_counter()
    for found in session(options.actions, options.every, options.seed):
        found["minutes"] = (time.perf_counter() - began) / 60
        write("long-session", found)


if __name__ == "__main__":
    main()
