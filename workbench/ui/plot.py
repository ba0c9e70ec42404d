"""A Plotly figure in a panel: drawn again and again, and what is selected in it comes back as rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from workbench.ui.shared_module import ModuleSource, SharedModule

#: Left, right, bottom and top of what the axes show.
Window = tuple[float, float, float, float]


class _Figure(SharedModule, go.FigureWidget):
    """A FigureWidget that sends no edits before the browser has drawn: Plotly's view fails on those."""

    _source = str(go.FigureWidget._esm)

    drawn = False

    def send_all(self) -> None:
        """Send all that the state holds as one edit, to a view that has drawn what it held before."""
        traces = [_flat(trace) for trace in self._data]
        names = {name: None for trace in traces for name in trace if name not in ("type", "uid")}
        self._send_update_msg(
            {name: [trace.get(name) for trace in traces] for name in names}, _flat(self._layout_obj._props)
        )

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """As ipywidgets', but a page that asks for all of it, such as one loaded again, has no view yet."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if key is None and state.get("_view_count"):
            self.drawn = False
            state["_view_count"] = 0
        return state

    def close(self) -> None:
        """As ipywidgets', but for the count of views: one that goes would send it to a figure that is closed."""
        self._view_count = None
        super().close()

    def notify_change(self, change: Any) -> None:
        """As ipywidgets', but for Plotly's messages to a view that is not there yet."""
        if self.drawn or not change["name"].startswith("_py2js_"):
            super().notify_change(change)


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """The values of nested dictionaries by dotted names, as Plotly's edits have them."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, dict) and "bdata" not in value
        flat.update(_flat(value, f"{before}{name}.") if inner else {before + name: value})
    return flat


class Plot(widgets.Box):
    """Holds one `FigureWidget` from the first figure on: a new one each time would send plotly.js each time.

    Figures that are drawn later have as many traces as the first, of the same types. Points that carry a row
    as the first of their custom data can be selected with lasso and box, clicked, and hovered over.

    Without `tools` the figure's buttons for zooming, selecting and saving are left out.

    >>> plot = Plot()
    >>> plot.on_select(lambda rows: print(rows))
    >>> plot.draw(figure)
    """

    def __init__(self, *, tools: bool = True, **traits: Any) -> None:
        super().__init__(**traits)
        # Figures are drawn by threads, too, and a notebook that is run stores nothing sent between its cells.
        ModuleSource.of(_Figure._source)
        self._config = {} if tools else {"displayModeBar": False}
        self._widget: _Figure | None = None
        self._outlines: list[dict[str, Any]] = []
        self._select: Callable[[list[int]], object] = lambda rows: None
        self._click: Callable[[int], object] = lambda row: None
        self._hover: Callable[[int], object] = lambda row: None
        self._zoom: Callable[[Window | None], object] = lambda window: None
        self._span: Callable[[float, float], object] = lambda left, right: None

    def draw(self, figure: go.Figure) -> None:
        """Show `figure`; what was selected is no longer.

        Raises:
            ValueError: another number of traces than before.
        """
        if self._widget is None:
            self._widget = _Figure(figure)
            self._widget._config = {**self._widget._config, **self._config}
            self._listen(self._widget)
            self.children = [self._widget]
        else:
            self._redraw(self._widget, figure)

    def on_select(self, callback: Callable[[list[int]], object]) -> None:
        """Call `callback` with the rows inside a lasso or box, none of them when the selection is undone."""
        self._select = callback

    def on_click(self, callback: Callable[[int], object]) -> None:
        """Call `callback` with the row of a point that was clicked."""
        self._click = callback

    def on_hover(self, callback: Callable[[int], object]) -> None:
        """Call `callback` with the row of the point under the cursor."""
        self._hover = callback

    def on_zoom(self, callback: Callable[[Window | None], object]) -> None:
        """Call `callback` with the axes' new ranges when the user zooms or pans; None for a reset."""
        self._zoom = callback

    def on_span(self, callback: Callable[[float, float], object]) -> None:
        """Call `callback` with the left and the right end of a box that was drawn."""
        self._span = callback

    def unselect(self) -> None:
        """Take the outlines of a selection away."""
        if self._widget is not None and self._outlines:  # the browser's own hold values that are no JSON
            self._outlines = []
            self._widget.plotly_relayout({"selections": []})

    def _redraw(self, widget: _Figure, figure: go.Figure) -> None:
        if len(figure.data) != len(widget.data):
            raise ValueError(
                f"this plot has {len(widget.data)} traces; every figure drawn in it needs as many, "
                f"got {len(figure.data)}"
            )
        self.unselect()
        # A browser that draws meanwhile is to find the whole of the figure, or the whole of the one before.
        with nullcontext() if widget.drawn else widget.hold_sync():
            with widget.batch_update():
                for old, new in zip(widget.data, figure.data, strict=True):
                    unselected = {"selectedpoints": None} if "selectedpoints" in old else {}
                    old.update({**unselected, **new.to_plotly_json()}, overwrite=True)
                widget.layout.update(figure.layout.to_plotly_json(), overwrite=True)
            # Plotly tells of this by an edit only: views that come later, and saved notebooks, have the state.
            widget._widget_data = deepcopy(widget._data)
            widget._widget_layout = deepcopy(widget._layout_obj._props)

    def _answered(self, change: Any) -> None:
        """The browser has drawn; if that was not the last figure, it is sent that.

        It gets no new view, as that would start from nothing.
        """
        if not change["new"] or self._widget is None or self._widget.drawn:
            return
        self._widget.drawn = True
        if change["new"]["trace_edit_id"] != self._widget._last_trace_edit_id:
            self._widget.send_all()

    def _viewed(self, change: Any) -> None:
        """No view is left: what shows this next has to draw first."""
        if self._widget is not None and not change["new"]:
            self._widget.drawn = False

    def _listen(self, widget: _Figure) -> None:
        widget.observe(self._answered, names="_js2py_traceDeltas")
        widget.observe(self._viewed, names="_view_count")
        # Selected points come by the trait that hovering uses, too, so that the next hover takes their place; the
        # outline of the selection comes by another one.
        widget.observe(self._laid_out, names="_js2py_relayout")
        for trace in widget.data:
            trace.on_click(lambda trace, points, _: _tell(self._click, trace, points))
            trace.on_hover(lambda trace, points, _: _tell(self._hover, trace, points))

    def _laid_out(self, change: Any) -> None:
        told = (change["new"] or {}).get("relayout_data", {})
        window = tuple(told.get(f"{axis}axis.range[{end}]") for axis in "xy" for end in (0, 1))
        if None not in window:
            if window[0] < window[1] and window[2] < window[3]:  # else it is a drag that spans nothing
                self._zoom(window)
        elif any(f"{axis}axis.autorange" in told for axis in "xy"):
            self._zoom(None)
        if "selections" not in told or self._widget is None:
            return
        self._outlines = list(told["selections"] or ())
        if self._outlines and self._outlines[-1]["type"] == "rect":
            self._span(*sorted(float(self._outlines[-1][name]) for name in ("x0", "x1")))
        rows: list[int] = []
        for trace in self._widget.data:
            # the bars of named things have no places that could lie inside
            if self._outlines and trace.customdata is not None and trace.type.startswith("scatter"):
                points = np.stack([np.asarray(trace.x, float), np.asarray(trace.y, float)], 1)
                held = np.any([_inside(points, _corners(o)) for o in self._outlines], 0)
                rows.extend(int(trace.customdata[k][0]) for k in np.flatnonzero(held))
        self._select(rows)


def _tell(callback: Callable[[int], object], trace: Any, points: Any) -> None:
    """Call with the row of the first of the points that the browser names, if they have rows."""
    rows = trace.customdata
    if points.point_inds and rows is not None and 0 <= points.point_inds[0] < len(rows):  # else it has gone
        callback(int(rows[points.point_inds[0]][0]))


def _corners(outline: dict[str, Any]) -> np.ndarray:
    """Corners (k, 2) of a box or lasso."""
    if outline["type"] == "rect":
        x0, x1, y0, y1 = (float(outline[name]) for name in ("x0", "x1", "y0", "y1"))
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    return np.array(
        [[float(v) for v in pair.split(",")] for pair in re.findall(r"[ML]([^MLZ]+)", outline["path"])]
    )


def _inside(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Which points (n, 2) lie in a polygon, by the even-odd rule."""
    x, y = points.T
    inside = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        spans = (y0 > y) != (y1 > y)
        inside ^= spans & (x < x0 + (y - y0) * (x1 - x0) / np.where(y1 == y0, 1.0, y1 - y0))
    return inside
