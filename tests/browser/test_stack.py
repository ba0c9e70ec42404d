"""The parts that panels are made of work together in JupyterLab, offline: one smoke test for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.harness import Lab, NotebookPage

SOURCES = [
    """
import ipywidgets as W
slider, out = W.IntSlider(value=3), W.Output()
def moved(change):
    with out:
        out.clear_output(); print("slider at", change["new"])
slider.observe(moved, "value")
W.VBox([slider, out])
""",
    """
import anywidget, traitlets
class Counter(anywidget.AnyWidget):
    _esm = '''
    export default { render({ model, el }) {
      const button = document.createElement("button");
      button.className = "smoke-counter";
      const show = () => { button.textContent = "count " + model.get("value"); };
      button.onclick = () => { model.set("value", model.get("value") + 1); model.save_changes(); };
      model.on("change:value", show); show(); el.append(button);
    } }'''
    value = traitlets.Int(0).tag(sync=True)
counter = Counter()
counter
""",
    """
import plotly.graph_objects as go
clicked = []
figure = go.FigureWidget([go.Scatter(x=[0, 1, 2], y=[1, 3, 2], mode="markers", marker={"size": 24})],
                         {"width": 400, "height": 260})
figure.data[0].on_click(lambda trace, points, state: clicked.append(list(points.point_inds)))
figure
""",
    """
from bokeh.io import output_notebook
from bokeh.resources import INLINE
output_notebook(INLINE, hide_banner=True)
""",
    """
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure as bokeh_figure
from jupyter_bokeh import BokehModel
source = ColumnDataSource({"x": [1.0], "y": [1.0]})
plot = bokeh_figure(width=400, height=260, tools="tap", x_range=(0, 2), y_range=(0, 2))
plot.scatter("x", "y", size=60, source=source)
BokehModel(plot)
""",
]


@pytest.fixture(scope="module")
def notebook(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    with lab.opened(browser, SOURCES, height=2600) as page:
        yield page
        page.assert_clean()


def test_a_slider_prints_into_an_output(notebook):
    notebook.page.locator(".noUi-handle").first.focus()
    notebook.page.keyboard.press("ArrowRight")
    expect(notebook.page.get_by_text("slider at 4", exact=True)).to_be_visible()


def test_an_anywidget_speaks_with_python_both_ways(notebook):
    button = notebook.page.locator(".smoke-counter")
    button.click()
    notebook.until("counter.value", 1)
    notebook.kernel.run("counter.value = 41")
    expect(button).to_have_text("count 41")


def test_a_plotly_point_that_is_clicked_reaches_python(notebook):
    box = notebook.page.locator(".js-plotly-plot .points path.point").nth(1).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    notebook.page.mouse.move(x - 30, y - 10)
    notebook.page.mouse.move(x, y, steps=8)
    notebook.settle(500)  # plotly takes a click only where it has seen the hover
    notebook.page.mouse.down()
    notebook.page.mouse.up()
    notebook.until("clicked", [[1]])


def test_a_bokeh_point_that_is_tapped_reaches_python(notebook):
    plot = notebook.page.locator(".bk-Canvas").first
    plot.scroll_into_view_if_needed()
    frame = plot.bounding_box()
    assert frame is not None
    notebook.page.mouse.click(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2 - 10)
    notebook.until("source.selected.indices", [0])


def test_the_whole_page_looks_right(notebook):
    assert notebook.screenshot("stack").stat().st_size > 10_000
