"""The browser code of widgets: loaded once a page, and again where that failed or took long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.harness import NotebookPage

pytestmark = pytest.mark.browser

SOURCES = [
    """
import traitlets as t
from IPython.display import display
from workbench.ui.shared_module import SharedModule

class Text(SharedModule):
    _source = '''await new Promise((done) => setTimeout(done, 3000));
export default { render({ model, el }) {
    const show = () => (el.textContent = model.get("text"));
    el.className = "slow";
    model.on("change:text", show);
    show();
} };'''
    _style_sheet = ".slow { color: rgb(1, 2, 3) }"
    text = t.Unicode("first").tag(sync=True)

text, other = Text(), Text(text="other")
display(text, other)
""",
]


def test_a_module_that_loads_slowly_is_still_told_what_changes(open_notebook: Callable[..., NotebookPage]) -> None:
    notebook = open_notebook(SOURCES)
    shown = notebook.page.locator(".slow")
    shown.nth(1).wait_for()
    notebook.kernel.run("text.text = 'second'")
    notebook.page.get_by_text("second", exact=True).wait_for()
    assert shown.all_inner_texts() == ["second", "other"]
    assert shown.first.evaluate("element => getComputedStyle(element).color") == "rgb(1, 2, 3)"
    styles = "[...document.querySelectorAll('style')].filter((s) => s.textContent.startsWith('.slow')).length"
    assert notebook.page.evaluate(styles) == 1
