"""Hands on a panel, without a browser: what a browser may send to the widgets in sight, right or wrong."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
from hypothesis import strategies as st
from itables.widget import ITable

from tests.fuzz import values
from workbench.ui.canvas import Canvas
from workbench.ui.class_map import ClassMapView
from workbench.ui.film_strip import FilmStrip
from workbench.ui.jobs import Jobs
from workbench.ui.sample_grid import SampleGrid

_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 9), st.floats(), values.words),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["line", "index", "t", "serial", "by", "x", "points"]), inner, max_size=3),
    ),
    max_leaves=4,
)
#: How often a panel sends the same again is told apart by this.
_serial = itertools.count(1)


@dataclass(frozen=True)
class Action:
    """Something that is done with one of the widgets in sight.

    Attributes:
        widget, option: which, modulo how many there are.
        number, word: what is typed, where that is asked for.
        wrong: a list with what is sent in place of all that, or none.
        patient: whether to wait for what follows.
    """

    widget: int
    option: int
    number: float
    word: str
    wrong: tuple[Any, ...]
    patient: bool


_WORDS = st.one_of(
    values.words, st.just("long " * 2000), st.sampled_from(["0.3", "zero", "a/b", "~", ".", "${HOME}"])
)
#: As a browser draws them: mostly right, and now and then at once upon one another.
actions = st.builds(
    Action,
    widget=st.integers(0, 59),
    option=st.integers(-1, 30),
    number=values.mostly(st.integers(0, 6).map(float), values.numbers, of=3),
    word=_WORDS,
    wrong=values.mostly(st.just(()), st.tuples(_json), of=9),
    patient=st.booleans(),
)


def in_sight(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """The widget and all inside it that the page shows."""
    layout = getattr(widget, "layout", None)
    if isinstance(layout, widgets.Layout) and layout.display == "none":
        return
    yield widget
    for child in getattr(widget, "children", ()):
        yield from in_sight(child)


def do(panel: widgets.Widget, action: Action) -> str:
    """Do it as the browser would, by a message to the kernel; returns what was done, in words."""
    there = [w for w in in_sight(panel) if isinstance(w, tuple(_HANDS)) and not getattr(w, "disabled", False)]
    widget = there[action.widget % len(there)]
    hand = next(hand for kind, hand in _HANDS.items() if isinstance(widget, kind))
    message = hand(widget, action)
    name = getattr(widget, "description", "") or getattr(widget, "name", "") or type(widget).__name__
    if message is None:
        return f"{name}: nothing to do"
    # what Plotly sends itself is Plotly's to check
    if action.wrong and "state" in message and not isinstance(widget, go.FigureWidget):
        message = {"method": "update", "state": dict.fromkeys(message["state"], action.wrong[0])}
    widget._handle_msg({"content": {"data": message}, "buffers": []})
    return f"{name}: {str(message.get('state', message))[:200]}"


def _update(**state: Any) -> dict[str, Any]:
    return {"method": "update", "state": state}


def _press(button: widgets.Button, action: Action) -> dict[str, Any]:
    return {"method": "custom", "content": {"event": "click"}}


def _choose(among: Any, action: Action) -> dict[str, Any] | None:
    count = len(among.options)
    return _update(index=action.option % count) if count else None


def _open(pages: Any, action: Action) -> dict[str, Any]:
    place = action.option % (len(pages.children) + 1)
    return _update(selected_index=None if place == len(pages.children) else place)


def _type(field: Any, action: Action) -> dict[str, Any]:
    # all paths have to stay below the folder of the test
    return _update(value=action.word.lstrip("/"))


def _name(field: widgets.Combobox, action: Action) -> dict[str, Any]:
    options = [*field.options, action.word]
    return _update(value=options[action.option % len(options)])


def _count(field: Any, action: Action) -> dict[str, Any]:
    return _update(value=action.number)


def _check(box: Any, action: Action) -> dict[str, Any]:
    return _update(value=not box.value)


def _scrub(strip: FilmStrip, action: Action) -> dict[str, Any] | None:
    if not strip.line:
        return None
    index = action.option % strip.line["count"]
    accepted = {"line": strip.line["id"], "index": index, "t": strip.line["t"][index], "serial": next(_serial)}
    if action.number < 0:  # of a line that has gone, and one past its end
        accepted |= {"line": action.word} if action.option % 2 else {"index": action.option + strip.line["count"]}
    return _update(accepted=accepted)


def _pick(grid: SampleGrid, action: Action) -> dict[str, Any]:
    # a click may come when the samples have gone already
    late = action.number < 0
    index = action.option if late or not grid.count else action.option % grid.count
    if action.option % 3 == 0:
        return _update(activated={"index": index, "serial": next(_serial)})
    if action.option % 3 == 1:
        return _update(sort={"by": next(iter(grid.values), ""), "descending": action.patient})
    chosen = [] if action.option < 3 else [index] if not grid.multiple else list(range(index + 1))
    return _update(selected=chosen)


def _draw(canvas: Canvas, action: Action) -> dict[str, Any]:
    if canvas.mode == "mask":
        size = len(canvas.painted)
        painted = bytes([0, size, size // 2][action.option % 3])
        return _update(painted=painted.replace(b"\0", b"\1").ljust(size, b"\0"), edits=next(_serial))
    size = len(canvas.pixels) // 4
    pixels = [*struct.unpack(f"<{size}f", canvas.pixels)]
    value = action.number if action.number != action.number or abs(action.number) < 3e38 else float("inf")
    pixels[action.option % size] = value
    return _update(pixels=struct.pack(f"<{size}f", *pixels), edits=next(_serial))


def _point(figure: go.FigureWidget, action: Action) -> dict[str, Any]:
    kinds = [_click, _lasso, _zoom]
    return kinds[action.option % 3](figure, action)


def _click(figure: go.FigureWidget, action: Action) -> dict[str, Any]:
    trace = action.widget % max(1, len(figure.data))
    events = ["plotly_click", "plotly_hover"]
    return _update(
        _js2py_pointsCallback={
            "event_type": events[action.patient],
            "points": {
                "trace_indexes": [trace],
                "point_indexes": [max(0, action.option)],
                "xs": [0.0],
                "ys": [0.0],
            },
        }
    )


def _lasso(figure: go.FigureWidget, action: Action) -> dict[str, Any]:
    box = {
        "type": "rect",
        "xref": "x",
        "yref": "y",
        "x0": -action.number,
        "x1": action.number,
        "y0": -9,
        "y1": 9.0,
    }
    path = {"type": "path", "xref": "x", "yref": "y", "path": "M-9,-9L9,-9L9,9L-9,9Z"}
    shapes: list[Any] = [[], [box], [path], [box, path]]
    return _update(
        _js2py_relayout={"relayout_data": {"selections": shapes[action.widget % 4]}, "source_view_id": "v"}
    )


def _zoom(figure: go.FigureWidget, action: Action) -> dict[str, Any]:
    low, high = sorted((-1.0, action.number))
    window = {f"{axis}axis.range[{end}]": (low, high)[end] for axis in "xy" for end in (0, 1)}
    reset = {"xaxis.autorange": True, "yaxis.autorange": True}
    told = reset if action.widget % 3 == 0 else window
    return _update(_js2py_relayout={"relayout_data": told, "source_view_id": "v"})


def _mark(table: ITable, action: Action) -> dict[str, Any]:
    return _update(selected_rows=[] if action.option < 0 else [action.option])


def _on_map(view: ClassMapView, action: Action) -> None:
    """Bokeh has messages of its own; what they set is set here."""
    count = len(view.plot.names)
    if action.patient:
        view.plot.tapped.data = {"index": [action.option % count], "serial": [next(_serial)]}
    else:
        view.plot.points.selected.indices = sorted({action.option % count, action.widget % count})


_HANDS: dict[type, Callable[[Any, Action], dict[str, Any] | None]] = {
    widgets.Button: _press,
    widgets.Combobox: _name,
    widgets.Text: _type,
    widgets.Textarea: _type,
    widgets.ToggleButtons: _choose,
    widgets.Dropdown: _choose,
    widgets.Accordion: _open,
    widgets.Tab: _open,
    widgets.BoundedIntText: _count,
    widgets.BoundedFloatText: _count,
    widgets.FloatText: _count,
    widgets.Checkbox: _check,
    widgets.ToggleButton: _check,
    FilmStrip: _scrub,
    SampleGrid: _pick,
    Canvas: _draw,
    go.FigureWidget: _point,
    ITable: _mark,
    ClassMapView: _on_map,
}


def all_jobs() -> list[Jobs]:
    """Every runner of jobs that is not closed, those that nobody sees among them."""
    return [w for w in list(widgets.widget._instances.values()) if isinstance(w, Jobs)]
