"""A class map in JupyterLab: the Bokeh plot through jupyter_bokeh, with callbacks for taps and lassos."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import ipywidgets as widgets
import traitlets as t
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from bokeh.embed.util import standalone_docs_json_and_render_items
from bokeh.resources import Resources
from jupyter_bokeh import BokehModel
from PIL import Image

from workbench.ui import parts
from workbench.ui.assets import asset_text
from workbench.ui.map_picture import map_picture
from workbench.ui.map_plot import MapPlot
from workbench.ui.pictured import Pictured, small_png
from workbench.ui.sample_grid import SampleGrid
from workbench.ui.shared_module import SharedModule


class ClassMapView(Pictured, widgets.VBox):
    """Shows a `MapPlot` and tells what is tapped and selected in it.

    What the plot can change (`view.plot.place(…)`, `show_thumbnails`, `show_samples`, `highlight`, `select`) shows
    at once, also from a thread.

    >>> view = ClassMapView(MapPlot(positions, names, thumbnails=images))
    >>> view.on_tap(lambda index: print(names[index]))
    >>> view.on_select(lambda indices: grid.filter(indices))
    >>> view.leads(grid)                                            # the same, in the page of a report too
    """

    def __init__(self, plot: MapPlot, **traits: Any) -> None:
        self.plot = plot
        self._loader = _BokehLoader(points=plot.points.id)
        self._shown: BokehModel | None = None
        super().__init__([self._loader], **traits)
        # a Bokeh model that is drawn before BokehJS is there shows an error instead
        self._loader.observe(self._show, names="ready")
        plot.on_change = self._keep
        self._keep()

    def on_select(self, callback: Callable[[list[int]], object]) -> None:
        """Call `callback` with the indices of what is selected by lasso, tap or Shift-tap; none when undone."""
        _listen(self.plot.points.selected, "indices", list, callback)

    def on_tap(self, callback: Callable[[int], object]) -> None:
        """Call `callback` with the index of a class that is tapped, also when it is so again."""
        _listen(self.plot.tapped, "data", _tap, lambda tap: callback(tap[0]))

    def leads(self, grid: SampleGrid, *, each: int = 1) -> None:
        """Have a grid show only the samples of the classes that are selected, and all where none is.

        Args:
            grid: holds `each` samples of every class, class by class in the order of the map.

        Raises:
            ValueError: a grid with another number of samples.
        """
        expected = each * len(self.plot.names)
        if grid.count != expected:
            raise ValueError(
                f"the grid holds {grid.count} samples; expected {expected}, "
                f"{each} of each of the {len(self.plot.names)} classes"
            )
        with self._loader.hold_sync():
            self._loader.follower, self._loader.each = grid, each
        self.on_select(lambda chosen: grid.filter([i * each + k for i in chosen for k in range(each)] or None))

    def still(self) -> Image.Image:
        """The whole map."""
        return map_picture(self.plot)

    def close(self) -> None:
        """Close the view and what it is made of."""
        if self._shown is not None:
            self._shown.close()
        parts.close_all(self)
        super().close()

    def _show(self, change: Any) -> None:
        old = self._shown
        self._shown = BokehModel(self.plot.layout)
        with self._loader.hold_sync():
            self._loader.bokeh_document, self._loader.still = "", b""
        self.children = [self._loader, self._shown]
        if old is not None:
            old.close()

    def _keep(self) -> None:
        """Until a browser shows the map, what it shows is kept where a notebook that nobody looks at stores it."""
        if self._shown is None:
            with self._loader.hold_sync():
                self._loader.bokeh_document = _document(self.plot)
                self._loader.still = small_png(self.still())


def _document(plot: MapPlot) -> str:
    """What jupyter_bokeh would store of a plot."""
    if plot.layout.document is None:
        Document().add_root(plot.layout)
    documents, items = standalone_docs_json_and_render_items([plot.layout], suppress_callback_warning=True)
    return str(serialize_json({"docs_json": documents, "render_items": [item.to_json() for item in items]}))


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


class _BokehLoader(SharedModule):
    """Brings BokehJS to the page: `output_notebook` would leave its scripts, twice, in the notebook.

    Shows a still picture of the map until then, and where no kernel can send the scripts.
    """

    _source = asset_text("widgets/class-map/bokeh-loader.js")

    ready = t.Unicode(help="changes on every page that has BokehJS").tag(sync=True)
    still = t.Bytes(b"", help="PNG; empty once the map is shown").tag(sync=True)
    # For the page of a report: the map as in `BokehModel.render_bundle`, its points, and the grid that follows it.
    bokeh_document = t.Unicode(help="empty once the map is shown: jupyter_bokeh stores it then").tag(sync=True)
    points = t.Unicode().tag(sync=True)
    follower = t.Instance(widgets.Widget, allow_none=True).tag(sync=True, **widgets.widget_serialization)
    each = t.Int(1).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._answer)

    def _answer(self, widget: Any, content: Any, buffers: Any) -> None:
        if content == {"wanted": "bokeh"}:
            self.send({"script": bokeh_scripts()})


@cache
def bokeh_scripts() -> str:
    """BokehJS with its widgets."""
    return "\n".join(Resources(mode="inline", components=["bokeh", "bokeh-widgets"], minified=True).js_raw)
