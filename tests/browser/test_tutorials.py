"""Every tutorial runs in a real JupyterLab: no cell fails, every panel draws, nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.harness import ROOT, NotebookPage

#: `make notebooks` runs all of them in a kernel; in JupyterLab they take minutes.
EACH_PUSH = ("bring-your-own-model",)
TUTORIALS = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in EACH_PUSH else pytest.mark.nightly)
    for path in sorted((ROOT / "notebooks" / "tutorials").glob("*.ipynb"))
]


#: The outputs of a cell itself, not of a widget in it.
OUTPUTS = ":scope > .jp-Cell-outputWrapper > .jp-OutputArea > .jp-OutputArea-child > .jp-OutputArea-output"
DRAWN = "canvas, .jupyter-widgets, .plot-container"


@pytest.mark.pictures
@pytest.mark.parametrize("notebook", TUTORIALS)
def test_a_tutorial_runs_and_draws(open_notebook: Callable[..., NotebookPage], notebook: Path) -> None:
    page = open_notebook(notebook, height=9000)
    page.settle(4000)
    panels = page.page.locator("[data-line] [role=slider]")
    assert panels.count() >= 1
    for i in range(panels.count()):
        panels.nth(i).scroll_into_view_if_needed()
        page.page.wait_for_function(
            "el => el.closest('[data-line]').dataset.line !== ''", arg=panels.nth(i).element_handle()
        )
    cells = page.page.locator(".jp-Notebook .jp-Cell")
    for i in range(cells.count()):
        drawn = cells.nth(i).locator(OUTPUTS).filter(has=page.page.locator(DRAWN))
        if drawn.count():
            page.picture(f"tutorial-{notebook.stem}-{i}", drawn.last)
    page.screenshot(f"tutorial-{notebook.stem}", page.page.locator(".jp-Notebook"))
