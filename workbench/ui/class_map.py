"""A class map in JupyterLab: the Bokeh plot through jupyter_bokeh, with callbacks for taps and lassos."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets as t
from bokeh.resources import Resources
from jupyter_bokeh import BokehModel

from workbench.ui.assets import asset
from workbench.ui.map_plot import MapPlot


class ClassMapView(widgets.VBox):
    """Shows a `MapPlot` and tells what is tapped and selected in it.

    What the plot can change (`view.plot.place(…)`, `show_thumbnails`, `show_samples`, `highlight`, `select`) shows
    at once, also from a thread.

    >>> view = ClassMapView(MapPlot(positions, names, thumbnails=images))
    >>> view.on_tap(lambda index: print(names[index]))
    >>> view.on_select(lambda indices: grid.filter(indices))
    """

    def __init__(self, plot: MapPlot, **traits: Any) -> None:
        self.plot = plot
        self._loader = _BokehLoader()
        self._shown: BokehModel | None = None
        super().__init__([self._loader], **traits)
        # a Bokeh model that is drawn before BokehJS is there shows an error instead
        self._loader.observe(self._show, names="ready")

    def on_select(self, callback: Callable[[list[int]], object]) -> None:
        """Call `callback` with the indices of what is selected by lasso, tap or Shift-tap; none when undone."""
        _listen(self.plot.points.selected, "indices", list, callback)

    def on_tap(self, callback: Callable[[int], object]) -> None:
        """Call `callback` with the index of a class that is tapped, also when it is so again."""
        _listen(self.plot.tapped, "data", _tap, lambda tap: callback(tap[0]))

    def close(self) -> None:
        """Close the view and what it is made of."""
        if self._shown is not None:
            self._shown.close()
        self._loader.close()
        super().close()

    def _show(self, change: Any) -> None:
        old = self._shown
        self._shown = BokehModel(self.plot.layout)
        self.children = [self._loader, self._shown]
        if old is not None:
            old.close()


def _tap(data: Any) -> tuple[int, int]:
    return int(data["index"][0]), int(data["serial"][0])


def _listen(model: Any, name: str, plain: Callable[[Any], Any], callback: Callable[[Any], object]) -> None:
    """Call `callback` with each new value of a property: jupyter_bokeh tells of one from the browser twice."""
    last: list[Any] = [None]

    def changed(attribute: str, old: Any, new: Any) -> None:
        value = plain(new)
        if value != last[0]:
            last[0] = value
            callback(value)

    model.on_change(name, changed)


class _BokehLoader(anywidget.AnyWidget):
    """Brings BokehJS to the page, unseen: `output_notebook` would leave its scripts, twice, in the notebook."""

    _esm = asset("widgets/class-map/bokeh-loader.js")

    ready = t.Unicode(help="changes on every page that has BokehJS").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(layout=widgets.Layout(display="none"), **traits)
        self.on_msg(lambda widget, content, buffers: self.send({"script": _scripts()}))


@cache
def _scripts() -> str:
    return "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-widgets"], minified=True).js_raw)
