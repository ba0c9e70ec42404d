"""What a page keeps of panels that were closed: nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.harness import NotebookPage

pytestmark = pytest.mark.browser

SOURCES = [
    """
import anywidget, torch, workbench as wb
from IPython.display import display
from ipywidgets.widgets.widget import _instances
from workbench.ui.closed_widgets import ClosedWidgets
from workbench.ui.jobs import Jobs
from workbench.ui.shared_module import ModuleSource
torch.set_num_threads(1)
G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")

class Models(anywidget.AnyWidget):  # the page's models of widgets, held weakly
    _esm = '''globalThis.models = new Map();
export default { initialize({ model }) {
    model.on("msg:custom", async (names) => {
        for (const name of names) models.set(name, new WeakRef(await model.widget_manager.get_model(name)));
    });
} };'''

models = Models()
ClosedWidgets.prepare()
before = set(_instances)
shared = lambda: {name for m in ModuleSource._made.values() for name in (m.model_id, m.layout.model_id)}
idle = lambda: not any(w.busy for w in list(_instances.values()) if isinstance(w, Jobs))
alive = lambda: sorted(set(_instances) - before - shared())
""",
    # by display: what a cell ends with is kept by IPython for good, in Out
    "tabs = wb.open(G, C)\ndisplay(models, tabs)",
]


def test_a_page_forgets_the_widgets_of_a_closed_panel(open_notebook: Callable[..., NotebookPage]) -> None:
    notebook = open_notebook(SOURCES, width=1400, height=1300)
    page = notebook.page
    page.locator("[data-line] [role=slider]:visible").first.wait_for(timeout=60_000)
    for name in notebook.kernel.value("tabs._names"):
        notebook.kernel.run(f"tabs.show({name!r})")
    notebook.until("idle()", True, timeout=60)
    count = notebook.kernel.value("len(alive())")
    notebook.kernel.run("models.send(alive())")
    page.wait_for_function("count => globalThis.models?.size === count", arg=count)
    notebook.kernel.run("tabs.close()")
    assert count > 300 and notebook.kernel.value("alive()") == []
    devtools = page.context.new_cdp_session(page)
    kinds = "() => [...models.values()].map(m => m.deref()?.get('_model_name')).filter(kind => kind)"
    left = [""]
    for _ in range(60):  # the messages that close the widgets are still on their way
        devtools.send("HeapProfiler.collectGarbage")
        if not (left := page.evaluate(kinds)):
            break
        notebook.settle()
    assert left == []
