"""The page of a report holds each part once, nothing that a kernel would have to answer, and what it weighs."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import pytest
from ipywidgets.embed import dependency_state
from nbformat import from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from workbench.reports import page
from workbench.reports.page_pictures import smaller_png
from workbench.reports.page_widgets import PageWidgets
from workbench.ui import parts
from workbench.ui.canvas import Canvas
from workbench.ui.class_map import ClassMapView, bokeh_scripts
from workbench.ui.film_strip import FilmStrip
from workbench.ui.map_plot import MapPlot
from workbench.ui.sample_grid import SampleGrid

HOSTILE = "</script><script>alert(1)</script>"
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
RECORD = {
    "report": "page", "title": "page", "status": "finished", "error": "", "cells": [1, 1], "started": "2026-11-25",
    "seconds": 1.5, "device": "cpu", "versions": {"python": "3"}, "command": "workbench report page",
}  # fmt: skip


def strip(**options: Any) -> FilmStrip:
    made = FilmStrip(**options)
    made.show(np.random.default_rng(0).random((5, 1, 8, 8)), captions=[HOSTILE] * 5)
    return made


def notebook(*shown: widgets.DOMWidget, state: bool = True) -> Any:
    """A notebook as one is saved that has shown these widgets."""
    outputs = []
    for widget in shown:
        bundle = widget._repr_mimebundle_()
        outputs.append(new_output("display_data", data=bundle[0] if isinstance(bundle, tuple) else bundle))
    made = new_notebook(cells=[new_markdown_cell("# Report: page"), new_code_cell("", outputs=outputs)])
    if state:
        saved = {"state": dependency_state(shown, drop_defaults=False), "version_major": 2, "version_minor": 0}
        made.metadata["widgets"] = {STATE: json.loads(json.dumps(saved))}
    return made


def made(*shown: widgets.DOMWidget) -> tuple[str, PageWidgets]:
    """The view of the last widget, and what made it."""
    maker = PageWidgets(json.loads(json.dumps(dependency_state(shown, drop_defaults=False))))
    return maker.view(shown[-1].model_id), maker


def policy(text: str) -> str:
    return re.search(r"<meta [^>]*default-src 'none';[^>]*>", text)[0]


def test_each_module_and_each_widgets_pictures_are_there_once():
    one, two, grid = strip(), strip(), SampleGrid()
    grid.show(np.zeros((3, 1, 8, 8)))
    original = notebook(one, two, one, grid)
    before = json.dumps(original)
    text = page(original, RECORD)
    assert json.dumps(original) == before
    modules = json.loads(re.search(r'id="wb-modules"[^>]*>(.*?)</script>', text)[1])
    assert sorted(source.splitlines()[0][:20] for source in modules.values()) == [
        "// The film-strip sl",
        "// The sample grid: ",
    ]
    assert text.count('class="wb-model"') == 3
    assert text.count('class="wb-view"') == 4
    assert "<script>alert" not in text and "<img" not in text  # the picture is for where no widget lives
    assert "cdn" not in policy(text) and "unsafe-eval" not in policy(text)


def test_the_policy_lets_a_page_ask_nobody_and_compile_only_where_it_must():
    sources = {
        source
        for directive in re.search(r'content="([^"]*)"', policy(page(notebook(strip()), RECORD)))[1].split("; ")
        for source in directive.split()[1:]
    }
    assert sources == {"'none'", "'unsafe-inline'", "data:", "blob:"}
    own = new_output("display_data", data={"text/html": "<script>1</script>"})
    compiling = policy(page(new_notebook(cells=[new_code_cell("", outputs=[own])]), RECORD))
    assert "'unsafe-eval'" in compiling and not re.search("https?:", compiling)


def test_without_saved_state_the_picture_is_shown_with_fewer_bytes():
    shown = strip()
    given = shown._repr_mimebundle_()[0]["image/png"]
    loose = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(given))).save(loose, "PNG", compress_level=0)
    saved = notebook(shown, state=False)
    saved.cells[1].outputs[0].data["image/png"] = base64.b64encode(loose.getvalue()).decode()
    text = page(saved, RECORD)
    (address,) = re.findall(r'src="data:image/png;base64,([A-Za-z0-9+/=\s]+)', text)
    assert len(base64.b64decode(address)) < len(loose.getvalue()) / 2
    assert "window.workbench_page" not in text


def test_pictures_keep_their_pixels_and_anything_else_is_left_alone():
    pixels = np.random.default_rng(0).integers(0, 9, (40, 40), np.uint8)
    loose = io.BytesIO()
    Image.fromarray(pixels).save(loose, "PNG", compress_level=0)
    small = smaller_png(loose.getvalue())
    assert len(small) < len(loose.getvalue())
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(small))), pixels)
    assert smaller_png(small) == small
    for other in (b"", b"\x89PNG\r\n\x1a\ndamaged", b"float32 pixels"):
        assert smaller_png(other) == other


def test_figure_widgets_become_figures_of_one_plotly_js():
    figures = [go.FigureWidget(go.Scatter(x=np.arange(3.0), y=np.arange(3.0) ** 2)) for _ in range(2)]
    text = page(notebook(*figures), RECORD)
    assert text.count("plotly.js v") == 1
    assert text.count('class="plotly-graph-div"') == 2
    assert 'id="wb-modules"' not in text  # each widget brings plotly.js of its own, five megabytes
    values = base64.b64encode(np.array([0.0, 1.0, 4.0]).tobytes()).decode()
    assert re.search(r'"dtype":\s*"f8",\s*"bdata":\s*"' + re.escape(values).replace("/", r"(/|\\u002f)"), text)
    assert "unsafe-eval" not in policy(text)
    assert "unsafe-eval" in policy(page(notebook(go.FigureWidget(go.Scattergl(y=[1]))), RECORD))


def test_bytes_of_values_that_are_gone_are_left_out():
    figure = go.FigureWidget(go.Scatter(x=np.arange(3.0), y=[1, 2, 3]))
    saved = notebook(figure)
    (state,) = (s for s in saved.metadata.widgets[STATE]["state"].values() if "_widget_data" in s["state"])
    stale = {"encoding": "base64", "data": "AAAA"}
    state["buffers"] += [{**stale, "path": ["_py2js_update", "x", 0, "buffer"]}, {**stale, "path": ["gone", 3]}]
    assert page(saved, RECORD).count('class="plotly-graph-div"') == 1


def test_a_widget_with_a_state_like_no_other_does_not_cost_the_page():
    saved = notebook(strip())
    for odd in ({}, {"state": None}, {"state": {"children": 3}, "model_name": "VBoxModel"}):
        shown = json.loads(json.dumps(saved))
        (model_id,) = {o["data"][VIEW]["model_id"] for o in shown["cells"][1]["outputs"]}
        shown["metadata"]["widgets"][STATE]["state"][model_id] = odd
        assert "<img" in page(from_dict(shown), RECORD)


def test_boxes_tabs_and_values_are_laid_out_and_buttons_left_out():
    dropdown = widgets.Dropdown(options={HOSTILE: 1, "two": 2}, value=1, description="layer")
    row = widgets.HBox([widgets.Button(description="Start"), dropdown], layout={"grid_gap": "6px"})
    slider = widgets.FloatRangeSlider(value=(0.25, 0.75), min=0, max=1, description="band")
    tabs = widgets.Tab([row, slider, widgets.HTML("")], titles=["first", HOSTILE, "empty"], selected_index=1)
    html, _ = made(widgets.VBox([tabs]))
    assert "Start" not in html and "<script>alert" not in html
    assert '<div class="wb-box " style="grid-gap:6px">' in html
    assert "<span>layer</span>&lt;/script&gt;" in html and "<span>band</span>0.25 – 0.75" in html
    assert html.count('role="tab"') == 2  # the empty one has nothing to show
    assert re.search(r'aria-selected="true"[^>]*>&lt;/script&gt;', html)
    assert len(re.findall(r'role="tabpanel" id="wb-panel-\d" hidden', html)) == 1


@pytest.mark.parametrize(
    "widget",
    [
        widgets.Button(description="Start"),
        widgets.Checkbox(description="all"),
        widgets.FloatProgress(value=1, max=1),
        FilmStrip(),
        SampleGrid(),
        parts.live_only(widgets.Label("press above")),
        widgets.HTML("hidden", layout={"display": "none"}),
    ],
    ids=lambda widget: type(widget).__name__,
)
def test_what_says_nothing_without_a_kernel_is_left_out_with_the_box_around_it(widget):
    html, maker = made(widgets.VBox([widgets.HBox([widget])]))
    assert html == ""
    assert "widget modules" not in maker.head


def test_a_layout_cannot_leave_its_attribute():
    html, _ = made(
        widgets.VBox([widgets.Label("a")], layout={"width": '"><b>', "height": "1px;color:red", "flex": "1"})
    )
    assert 'style="flex:1"' in html


def test_texts_are_escaped_and_html_is_html():
    html, _ = made(widgets.VBox([widgets.Label("<b>"), widgets.HTML("<i>x</i>")]))
    assert "&lt;b&gt;" in html and "<i>x</i>" in html


def test_a_map_brings_bokehjs_once_and_leads_its_grid():
    def mapped() -> tuple[ClassMapView, SampleGrid]:
        view = ClassMapView(MapPlot(np.eye(3)[:, :2], ["a", "b", HOSTILE], thumbnails=np.zeros((3, 1, 8, 8))))
        grid = SampleGrid()
        grid.show(np.zeros((6, 1, 8, 8)))
        view.leads(grid, each=2)
        return view, grid

    (one, first), (two, second) = mapped(), mapped()
    text = page(notebook(one, first, two, second), RECORD)
    assert text.count('class="wb-map"') == 2
    links = [json.loads(found) for found in re.findall(r'class="wb-follow"[^>]*>(.*?)</script>', text)]
    assert [(link["grid"], link["each"]) for link in links] == [(first.model_id, 2), (second.model_id, 2)]
    assert "unsafe-eval" in policy(text)
    assert "<script>alert" not in text
    assert text.count(bokeh_scripts()[:200]) == 1
    assert bokeh_scripts()[:200] not in page(notebook(strip()), RECORD)


def test_a_canvas_keeps_what_is_drawn_on_it():
    canvas = Canvas()
    canvas.show(np.eye(28))
    html, _ = made(canvas)
    entry = json.loads(re.search(r'class="wb-model">(.*?)</script>', html)[1])
    pixels = dict((path[0], data) for path, data in entry["buffers"])["pixels"]
    assert np.array_equal(np.frombuffer(base64.b64decode(pixels), "<f4").reshape(28, 28), np.eye(28))


def test_the_contents_say_what_each_section_adds():
    output = new_output("stream", text="x" * 2_000_000)
    cells = [
        new_markdown_cell("# Report: *weights*"),
        new_markdown_cell("## `Large` <b>"),
        new_code_cell("", outputs=[output]),
        new_markdown_cell("### not a section of its own"),
        new_markdown_cell("## Small"),
    ]
    text = page(new_notebook(cells=cells), RECORD)
    (contents,) = re.findall(r'<nav class="wb-contents".*?</nav>', text, re.S)
    rows = re.findall(r'<a href="#(.*?)">(.*?)</a><span>(.*?)</span>', contents)
    assert [(name, weight) for _, name, weight in rows][1] == ("Large &lt;b&gt;", "2.0 MB")
    assert [name for _, name, _ in rows] == ["weights", "Large &lt;b&gt;", "Small"]
    assert all(f'id="{anchor}"' in text for anchor, _, _ in rows)
    assert "The page has 2." in contents
