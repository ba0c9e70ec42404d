"""The part of the panel that draws a plane: boundaries, the region, the tree, a picture at the cursor."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from collections.abc import Generator as Steps
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.boundaries import figures
from workbench.boundaries.arrangement import Arrangement, Region, arrangement_steps, region_steps
from workbench.boundaries.explore import Exploration
from workbench.boundaries.plane import Plane
from workbench.boundaries.sign_layer import AnyModel, dimensions
from workbench.boundaries.supporting_set import SupportingSet
from workbench.models.pictures import Pictures
from workbench.progress import Step
from workbench.ui import parts
from workbench.ui.jobs import Drawing, Jobs
from workbench.ui.plot import Plot, Window
from workbench.ui.sprites import data_url, frames, pack, png
from workbench.ui.theme import plotly_template

#: Places a side that the cursor finds, and pictures a side of the background.
_PLACES, _TILES = 61, 20
#: The arrangement is exact up to so many cells, else on a grid: what keeps the plane quick.
MOST_CELLS, RESOLUTION = 60_000, 160
#: Layers of more units are drawn by their kept boundaries alone, and no more pieces than a browser draws at once.
_MOST_UNITS, _MOST_SEGMENTS = 512, 30_000
#: Side of the plot and of the picture at the cursor, in CSS pixels.
_SIDE, _PICTURE = 540, 112
SPREAD, THROUGH = "the samples' largest spread", "query and two far samples"


@dataclass(frozen=True)
class Reading:
    """A layer in the plane.

    Attributes:
        plane: with what was looked at.
        every, kept: boundaries of all units and of the kept ones; `every` is None for a layer of many units.
        region: in which all kept units have the query's signs.
        sheet: the pictures of the background as a data URL, or "" for signals.
    """

    plane: Plane
    every: Arrangement | None
    kept: Arrangement
    region: Region
    sheet: str

    @property
    def missing(self) -> str:
        """What is not drawn, and why; "" where all is."""
        if drawable(self.kept) is None:
            return "Boundaries are too dense to be drawn here: zoom in."
        if self.every is None:
            return "Of so many units only the kept boundaries are drawn."
        return (
            "" if drawable(self.every) is not None else "Only the kept boundaries are drawn: zoom in to see all."
        )


class PlaneView(widgets.VBox):
    """The plane of a model's points: all of it where there are two latents, else one through the samples.

    Args:
        model: a generator or a classifier.
        ask: called with a point of the plane that was clicked, where there are two latents.

    Attributes:
        plane: with the part of it that is looked at, or None while there is none.
        reading: the layer in it as it is drawn, or None while it is read.
    """

    def __init__(self, model: AnyModel, *, ask: Callable[[Any, str], object]) -> None:
        self.model, self._ask = model, ask
        self._pictures = Pictures(model)
        self.whole = torch.Size(dimensions(model)).numel() == 2
        self.plane: Plane | None = None
        self._set: SupportingSet | None = None
        self._tree: Exploration | None = None
        self.reading: Reading | None = None
        self._drawing = threading.Lock()  # trees, readings and pictures come from three threads
        self._another = False  # the plane that was chosen has yet to be laid through the samples
        self._build()
        if self.whole:
            self.plane = Plane.of(model)
            self._home = self.plane.extent
            self._draw()

    # -- what it looks like --------------------------------------------------------------------

    def _build(self) -> None:
        self.jobs = Jobs()
        self.peek = Drawing(self.jobs.say)
        self.plot = Plot()
        self.plot.on_zoom(self._zoomed)
        self.plot.on_hover(self._hovered)
        self.plot.on_click(self._clicked)
        self.through = parts.choice("plane", [SPREAD, THROUGH], width=280)
        self.through.observe(lambda _: self._choose_plane(), names="value")
        self.through.layout.display = "none" if self.whole else None
        self.backdrop = widgets.Checkbox(
            value=self.whole, description="pictures", indent=False, layout=widgets.Layout(width="100px")
        )
        self.backdrop.observe(lambda _: self._draw(), names="value")
        self.picture = widgets.HTML(layout=widgets.Layout(flex="none"))
        more = "Click to make it the query." if self.whole else "The tree is projected to the plane."
        self._told = f"Move over the plane to see the picture there. {more} Drag to zoom in."
        self._hint = parts.live_only(
            widgets.HTML(self._told, layout=widgets.Layout(flex="1 1 200px", min_width="0"))
        )
        super().__init__(
            [
                widgets.HBox([self.through, self.backdrop], layout=parts.row()),
                self.plot,
                widgets.HBox([self.picture, self._hint], layout=widgets.Layout(grid_gap="10px")),
                self.jobs,
            ],
            layout=widgets.Layout(grid_gap="4px", flex=f"0 1 {_SIDE}px", min_width="320px"),
        )

    # -- what the user does --------------------------------------------------------------------

    def _zoomed(self, window: Window | None) -> None:
        if self.plane is None:
            return
        self.plane = self.plane.zoomed(self._home if window is None else window)
        self._request()

    def _hovered(self, row: int) -> None:
        plane = self.plane
        if plane is None:
            return
        place = _grid(plane.extent, _PLACES)[row]
        self.peek.draw(
            lambda: png(self._pictures(plane.points(place[None]))[0], self._pictures.value_range),
            self._show_picture,
        )

    def _clicked(self, row: int) -> None:
        if self.whole and self.plane is not None:
            # a hundredth of what is looked at, or less, says which pixel was meant, and can be copied as code
            spread = self.plane.extent[1] - self.plane.extent[0]
            digits = max(2, 2 - math.floor(math.log10(spread)))
            place = [round(v, digits) for v in _grid(self.plane.extent, _PLACES)[row].tolist()]
            nested = np.reshape(place, dimensions(self.model)).tolist()
            self._ask(torch.tensor(nested), f"torch.tensor({nested})")

    # -- what follows from it ------------------------------------------------------------------

    def show(self, found: SupportingSet) -> None:
        """Draw the boundaries of another supporting set."""
        self._set, self._tree, self.reading = found, None, None
        self.peek.draw(
            lambda: png(self._pictures(found.query[None])[0], self._pictures.value_range), self._show_picture
        )
        self._request()

    def show_tree(self, tree: Exploration, *, done: bool) -> None:
        """Draw the tree; in more than two dimensions its plane is known when it has grown."""
        self._tree = tree
        if not self.whole and done:
            self._choose_plane()
        elif self.plane is not None:
            self._draw()

    def _choose_plane(self) -> None:
        self._another = True
        self._request()

    def _through(self, tree: Exploration) -> Plane:
        """The plane that was chosen, as far as the samples reach."""
        moves = (tree.samples - tree.query).double().cpu().flatten(1)
        if self.through.value == SPREAD:
            pair = torch.linalg.svd(moves, full_matrices=False).Vh[:2]
        else:
            first = moves[moves.norm(dim=1).argmax()]
            rest = moves - (moves @ first / (first @ first))[:, None] * first
            pair = torch.stack([first, rest[rest.norm(dim=1).argmax()]])
        plane = Plane.spanned(tree.query, pair.reshape(2, *tree.query.shape), 1.0)
        reach = 1.25 * float(plane.coordinates(tree.samples).abs().max())
        return plane.zoomed((-reach, reach, -reach, reach))

    def _request(self) -> None:
        if self._set is not None and (self.plane is not None or self._another):
            self.jobs.submit(self._look, self._arrived, label="Plane")

    def _look(self) -> Steps[Step, None, Reading | None]:
        """Draw the plane as it is, then read the layer in it."""
        yield Step(0, 1, "plane")
        found, tree = self._set, self._tree
        if self._another and tree is not None and len(tree.samples) > 1:
            self._another = False
            self.plane, self.reading = self._through(tree), None
            self._home = self.plane.extent
        self._draw()
        if self.plane is None or found is None:
            return None
        return (yield from self._read(self.plane, found))

    def _read(self, plane: Plane, found: SupportingSet) -> Steps[Step, None, Reading]:
        options: dict[str, Any] = {"most_cells": MOST_CELLS, "resolution": RESOLUTION}
        every = None
        if len(found.theta) <= _MOST_UNITS:
            every = yield from arrangement_steps(self.model, found.layer, plane, **options)
            kept = every.of_units(found.units)
        else:
            kept = yield from arrangement_steps(self.model, found.layer, plane, units=found.units, **options)
        inside = yield from region_steps(self.model, found, plane, **options)
        return Reading(plane, every, kept, inside, (yield from self._sheet(plane)))

    def _sheet(self, plane: Plane) -> Steps[Step, None, str]:
        """The pictures of the background, a row of them a step."""
        if len(self._pictures.shape) != 3:
            return ""
        x0, x1, y0, y1 = plane.extent
        half = (x1 - x0) / _TILES / 2, (y1 - y0) / _TILES / 2
        places = _grid((x0 + half[0], x1 - half[0], y0 + half[1], y1 - half[1]), _TILES)
        rows: list[Tensor] = []
        for part in places.split(_TILES):
            yield Step(len(rows), _TILES, "pictures")
            rows.append(self._pictures(plane.points(part)))
        sheet = pack(
            frames(torch.cat(rows), self._pictures.value_range, max_side=32), max_columns=_TILES, format="png"
        )
        return data_url(sheet.data, sheet.mime)

    def _arrived(self, reading: Reading | None) -> None:
        if reading is None:
            return
        self.reading = reading
        self._hint.value = f"{self._told} {reading.missing}"
        self._draw()

    def _show_picture(self, data: bytes) -> None:
        address = data_url(data)
        self.picture.value = f'<img alt="the picture under the cursor" width="{_PICTURE}" src="{address}">'

    def _draw(self) -> None:
        with self._drawing:
            if self.plane is not None:
                self.plot.draw(self._figure(self.plane))

    def _figure(self, plane: Plane) -> go.Figure:
        return go.Figure(
            [*self._traces(plane), self._cursor(plane)],
            {
                "template": plotly_template(),
                "width": _SIDE,
                "height": _SIDE,
                "margin": {"l": 44, "r": 8, "t": 8, "b": 64},
                "font": {"size": 11},
                "xaxis": {"range": plane.extent[:2], "showgrid": False},
                "yaxis": {"range": plane.extent[2:], "showgrid": False},
                "legend": {"orientation": "h", "y": -0.07, "yanchor": "top", "x": 0},
                "hovermode": "closest",
                "images": self._background(),
            },
        )

    def _background(self) -> list[dict[str, Any]]:
        reading = self.reading
        if reading is None or not reading.sheet or not self.backdrop.value:
            return []
        x0, x1, y0, y1 = reading.plane.extent
        place = {"xref": "x", "yref": "y", "x": x0, "y": y1, "sizex": x1 - x0, "sizey": y1 - y0}
        return [{"source": reading.sheet, **place, "sizing": "stretch", "layer": "below", "opacity": 0.25}]

    def _traces(self, plane: Plane) -> list[go.Scatter]:
        reading, found = self.reading, self._set
        return figures.plane_traces(
            plane,
            every=None if reading is None else drawable(reading.every),
            kept=None if reading is None else drawable(reading.kept),
            region=None if reading is None else reading.region,
            exploration=self._tree,
            query=None if found is None else found.query,
        )

    def _cursor(self, plane: Plane) -> go.Scatter:
        """Invisible places all over the plane, which the cursor finds."""
        places = _grid(plane.extent, _PLACES).numpy()
        return go.Scatter(
            x=places[:, 0],
            y=places[:, 1],
            mode="markers",
            marker={"opacity": 0, "size": 9},
            customdata=np.arange(len(places))[:, None],
            hoverinfo="none",
            showlegend=False,
        )

    def close(self) -> None:
        """Stop the workers and close every widget of the view."""
        if hasattr(self, "plot"):
            self.jobs.close()
            self.peek.close()
            parts.close_all(self)
        super().close()


def drawable(found: Arrangement | None) -> Arrangement | None:
    """What has no more pieces than a browser draws at once."""
    return found if found is not None and len(found.segments) <= _MOST_SEGMENTS else None


def _grid(window: Window, side: int) -> Float[Tensor, "n 2"]:
    """Places evenly over a window, row by row from the top left."""
    x0, x1, y0, y1 = window
    x, y = torch.linspace(x0, x1, side), torch.linspace(y1, y0, side)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)
