"""A plot keeps one widget through all its figures, and tells which rows a lasso or box holds."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import plotly.graph_objects as go
import pytest

from workbench.ui.plot import Plot
from workbench.ui.shared_module import ModuleSource

LASSO = {"type": "path", "path": "M0.5,0.5L4,0.5L4,4L0.5,4Z"}
BOX = {"type": "rect", "x0": 4, "x1": -1, "y0": -1, "y1": 0.5}


def figure(*columns: tuple[list[float], list[float], list[int]]) -> go.Figure:
    made = go.Figure()
    for x, y, rows in columns:
        made.add_scatter(x=x, y=y, mode="markers", customdata=[[row, "text"] for row in rows])
    return made


@pytest.fixture
def plot() -> Plot:
    made = Plot()
    made.draw(figure(([0, 1], [0, 1], [5, 7]), ([], [], []), ([2], [3], [9])))
    return made


def browser_selects(plot: Plot, *outlines: dict[str, Any], **others: Any) -> None:
    """What the browser sends; values that JavaScript leaves undefined arrive as plain objects."""
    told = [{**outline, "opacity": object()} for outline in outlines]
    plot.children[0]._js2py_relayout = {"relayout_data": {"selections": told, **others}, "source_view_id": "a"}


def test_a_lasso_holds_the_rows_of_the_points_inside_it_over_all_traces(plot):
    got = []
    plot.on_select(got.append)
    browser_selects(plot, LASSO)
    browser_selects(plot, LASSO, BOX)
    browser_selects(plot)
    assert got == [[7, 9], [5, 7, 9], []]


def test_zooming_selects_nothing(plot):
    got = []
    plot.on_select(got.append)
    plot.children[0]._js2py_relayout = {"relayout_data": {"xaxis.range": [0, 1]}, "source_view_id": "a"}
    assert got == []


def test_drawing_again_keeps_the_widget_and_forgets_the_selection(plot):
    widget, got = plot.children[0], []
    plot.on_select(got.append)
    browser_selects(plot, LASSO)
    plot.draw(figure(([0, 2], [0, 2], [1, 2]), ([3], [3], [3]), ([], [], [])))
    assert plot.children == (widget,)
    assert [list(trace.x) for trace in widget.data] == [[0, 2], [3], []]
    # a page that loads now finds the new figure in the state, which must be JSON
    assert [trace["customdata"][0][0] for trace in widget._widget_data if trace["customdata"]] == [1, 3]
    assert not widget._widget_layout.get("selections")
    json.dumps(widget._widget_layout)
    browser_selects(plot, LASSO)
    assert got[-1] == [2, 3]


def drawn(plot: Plot) -> None:
    """What the browser says when it has drawn what the state holds now."""
    widget = plot.children[0]
    widget._js2py_traceDeltas = {"trace_deltas": [], "trace_edit_id": widget._last_trace_edit_id}


@pytest.fixture
def sent(plot, monkeypatch) -> list[set[str]]:
    """The names in each message to the browser."""
    messages: list[set[str]] = []
    widget = plot.children[0]

    def send_state(key: str | set[str] | None = None) -> None:
        messages.append({key} if isinstance(key, str) else set(key or ()))

    monkeypatch.setattr(widget, "send_state", send_state)
    return messages


NEXT = figure(([9, 9], [9, 9], [1, 2]), ([], [], []), ([], [], []))


def test_a_browser_that_has_not_drawn_finds_the_next_figure_whole_in_the_state(plot, sent):
    plot.draw(NEXT)
    told = {"_widget_data", "_last_trace_edit_id"}
    assert [message for message in sent if message & told] == [sent[-1]]
    assert told <= sent[-1]


def test_a_browser_that_has_drawn_is_told_what_changes(plot, sent):
    def edits() -> int:
        return sum("_py2js_update" in message for message in sent)

    plot.draw(NEXT)
    assert plot.children[0]._last_trace_edit_id == 1
    drawn(plot)
    assert edits() == 0
    plot.draw(figure(([1, 1], [1, 1], [1, 2]), ([], [], []), ([], [], [])))
    assert edits() == 2  # the edit, and None after it
    plot.children[0]._view_count = 1
    plot.children[0]._view_count = 0  # closed; another view has to draw first
    plot.draw(NEXT)
    assert edits() == 2


def test_a_page_that_is_loaded_again_has_no_view_and_has_to_draw_first(plot):
    widget = plot.children[0]
    widget._view_count = 1
    drawn(plot)
    assert widget.drawn
    assert widget.get_state()["_view_count"] == 0 and not widget.drawn
    drawn(plot)
    assert widget.get_state("_view_count") == {"_view_count": 1} and widget.drawn


@pytest.mark.parametrize("late", [True, False])
def test_a_browser_that_missed_a_figure_while_it_drew_the_first_one_is_sent_it_whole(plot, late):
    widget, shown, edits = plot.children[0], [], []
    plot.observe(shown.append, names="children")
    widget.observe(lambda change: edits.append(change["new"]), names="_py2js_update")
    if late:
        plot.draw(NEXT)
        edits.clear()  # of no view
        widget._js2py_traceDeltas = {"trace_deltas": [], "trace_edit_id": 0}
    drawn(plot)
    drawn(plot)
    assert widget.drawn and not shown
    if late:
        (edit, nothing) = edits
        assert nothing is None
        assert list(map(list, edit["style_data"]["x"])) == [list(trace.x) for trace in NEXT.data]
        assert edit["style_data"]["mode"] == [trace.mode for trace in NEXT.data]
    else:
        assert not edits


def test_a_click_tells_the_row(plot):
    got = []
    plot.on_click(got.append)
    point = {"xs": [1], "ys": [1], "point_indexes": [1], "trace_indexes": [0]}
    plot.children[0]._js2py_pointsCallback = {"event_type": "plotly_click", "points": point}
    assert got == [7]


def test_a_figure_with_another_number_of_traces_is_refused(plot):
    with pytest.raises(ValueError, match=r"has 3 traces.*got 1"):
        plot.draw(figure(([0], [0], [0])))


def test_hovering_tells_the_row(plot):
    got = []
    plot.on_hover(got.append)
    point = {"xs": [2], "ys": [2], "point_indexes": [0], "trace_indexes": [2]}
    plot.children[0]._js2py_pointsCallback = {"event_type": "plotly_hover", "points": point}
    assert got == [9]


def test_zooming_tells_what_the_axes_show_and_a_reset_nothing(plot):
    got = []
    plot.on_zoom(got.append)
    part = {"xaxis.range[0]": 0, "xaxis.range[1]": 1, "yaxis.range[0]": -2, "yaxis.range[1]": 3}
    nothing = part | {"yaxis.range[1]": -2}
    half = {"xaxis.range[0]": 0, "xaxis.range[1]": 1}
    for told in (part, nothing, {"xaxis.autorange": True}, {"selections": []}, half):
        plot.children[0]._js2py_relayout = {"relayout_data": told, "source_view_id": "a"}
    assert got == [(0, 1, -2, 3), None]


def test_traces_that_cannot_be_selected_are_drawn_again_too():
    plot = Plot()
    for height in (1, 2):
        plot.draw(go.Figure(go.Contour(z=[[0, height], [0, 0]])))
    assert plot.children[0].data[0].z[0][1] == 2


def test_a_box_tells_the_span_that_it_covers(plot):
    got = []
    plot.on_span(lambda left, right: got.append((left, right)))
    browser_selects(plot, LASSO)
    browser_selects(plot, LASSO, BOX)
    browser_selects(plot)
    assert got == [(-1, 4)]


def test_a_lasso_around_bars_of_named_things_holds_none_and_a_point_that_has_gone_is_not_clicked():
    plot = Plot()
    plot.draw(go.Figure(go.Bar(x=["cat", "dog"], y=[1, 2], customdata=[[0], [1]])))
    held, clicked = [], []
    plot.on_select(held.append)
    plot.on_click(clicked.append)
    browser_selects(plot, LASSO)
    point = {"xs": [1], "ys": [1], "point_indexes": [2], "trace_indexes": [0]}
    plot.children[0]._js2py_pointsCallback = {"event_type": "plotly_click", "points": point}
    assert held == [[]] and clicked == []


def test_plotlys_code_is_on_its_way_before_a_thread_draws(monkeypatch):
    monkeypatch.setattr(ModuleSource, "_made", {})
    made = Plot()
    (source,) = ModuleSource._made.values()
    made.draw(NEXT)
    assert made.children[0]._module is source and list(ModuleSource._made.values()) == [source]


def test_threads_that_draw_first_share_one_source(monkeypatch):
    monkeypatch.setattr(ModuleSource, "_made", {})
    monkeypatch.setattr("workbench.ui.shared_module.key_of", lambda *texts: time.sleep(0.05) or "key")
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(ModuleSource.of, ["export default {}"] * 2)
    assert one is other
