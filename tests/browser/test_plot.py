"""Plotly figures in a real JupyterLab: one copy of Plotly's code, and views that come and go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.harness import NotebookPage

pytestmark = pytest.mark.browser

SOURCES = [
    "import plotly.graph_objects as go\nfrom IPython.display import clear_output, display\n"
    "import ipywidgets as widgets\nfrom workbench.ui.plot import Plot\n"
    "def bars(*heights):\n    return go.Figure(go.Bar(x=list(range(len(heights))), y=heights))\n"
    "first, second = Plot(), Plot()\nfirst.draw(bars(1, 2)), second.draw(bars(1, 2, 3))\n"
    "box = widgets.VBox([first, second])\ndisplay(box)",
]


def test_figures_share_plotly_and_a_view_that_went_keeps_no_edit_from_the_next(
    open_notebook: Callable[..., NotebookPage],
) -> None:
    notebook = open_notebook(SOURCES)

    def drawn() -> list[int]:
        plots = notebook.page.locator(".js-plotly-plot")
        return [plot.locator(".barlayer .point").count() for plot in plots.all()]

    notebook.page.locator(".js-plotly-plot .barlayer .point").nth(4).wait_for()
    assert drawn() == [2, 3]
    assert notebook.page.evaluate("globalThis[Symbol.for('workbench.modules')].size") == 1
    notebook.kernel.run("box.children = [second]")
    notebook.until("first.children[0]._view_count", 0)
    notebook.kernel.run("box.children = [first, second]")
    notebook.until("first.children[0].drawn", True)
    notebook.kernel.run("first.draw(bars(1, 2, 3, 4))")
    notebook.page.locator(".js-plotly-plot").first.locator(".barlayer .point").nth(3).wait_for()
    assert drawn() == [4, 3]


def test_a_page_that_is_loaded_again_draws_first_and_is_then_told_what_changes(
    open_notebook: Callable[..., NotebookPage],
) -> None:
    notebook = open_notebook(SOURCES)
    points = notebook.page.locator(".js-plotly-plot .barlayer .point")
    points.nth(4).wait_for()
    notebook.until("first.children[0].drawn", True)
    notebook.save()
    notebook.page.reload()
    points.nth(4).wait_for(timeout=30_000)
    notebook.until("(first.children[0].drawn, first.children[0]._view_count)", (True, 1))
    notebook.kernel.run("first.draw(bars(1, 2, 3, 4))")
    points.nth(6).wait_for()
    notebook.kernel.run("box.children = [second]")
    notebook.until("(first.children[0].drawn, first.children[0]._view_count)", (False, 0))
    notebook.kernel.run("first.draw(bars(1)); box.children = [first, second]")
    notebook.until("first.children[0].drawn", True)
    first, second = notebook.page.locator(".js-plotly-plot").all()
    assert [first.locator(".barlayer .point").count(), second.locator(".barlayer .point").count()] == [1, 3]
