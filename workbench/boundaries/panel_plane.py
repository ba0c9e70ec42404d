"""The part of the panel that draws a plane: the layer's boundaries, the region, the tree, a picture at the cursor."""

from __future__ import annotations

import base64
from collections.abc import Callable
from collections.abc import Generator as Steps
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.boundaries.explore import Exploration
from workbench.boundaries.sign_layer import AnyModel, dimensions, limits
from workbench.boundaries.supporting_set import SupportingSet
from workbench.models.pictures import Pictures
from workbench.progress import Step
from workbench.ui import parts
from workbench.ui.jobs import Jobs
from workbench.ui.plot import Plot, Window
from workbench.ui.sprites import frames, pack, png
from workbench.ui.theme import NEUTRAL_AXIS, PALETTE, plotly_template

#: How far the plane of two latents goes in each direction, where nothing bounds them.
_REACH = 3.0
#: Places a side that the cursor finds, and pictures a side of the background.
_PLACES, _TILES = 61, 20
#: Side of the plot and of the picture at the cursor, in CSS pixels.
_SIDE, _PICTURE = 540, 112
SPREAD, THROUGH = "the samples' largest spread", "query and two far samples"


@dataclass(frozen=True)
class Plane:
    origin: Tensor
    axes: Tensor

    def points(self, places: Float[Tensor, "n 2"]) -> Tensor:
        rows = self.origin.double().cpu().flatten() + places.double() @ self.axes.double().cpu()
        return rows.to(self.origin).reshape(-1, *self.origin.shape)

    def coordinates(self, points: Tensor) -> Float[Tensor, "n 2"]:
        return (points.double().cpu().flatten(1) - self.origin.double().cpu().flatten()) @ self.axes.double().cpu().T


class PlaneView(widgets.VBox):
    """The plane of a model's points: all of it where there are two latents, else one through the samples.

    Args:
        model: a generator or a classifier.
        ask: called with a point of the plane that was clicked, where there are two latents.

    Attributes:
        plane: what is drawn, or None while there is none.
        window: left, right, bottom and top of it.
    """

    def __init__(self, model: AnyModel, *, ask: Callable[[Any, str], object]) -> None:
        self.model, self._ask = model, ask
        self._pictures = Pictures(model)
        self.whole = torch.Size(dimensions(model)).numel() == 2
        self.plane: Plane | None = None
        self.window: Window = (-_REACH, _REACH, -_REACH, _REACH)
        self._set: SupportingSet | None = None
        self._tree: Exploration | None = None
        self._sheet: tuple[Window, str] | None = None
        self._build()
        if self.whole:
            low, high = limits(model)
            low, high = max(low, -_REACH), min(high, _REACH)
            self._home: Window = (low, high, low, high)
            self._use(Plane(torch.zeros(dimensions(model), device=model.device, dtype=model.dtype), torch.eye(2)))

    # -- what it looks like --------------------------------------------------------------------

    def _build(self) -> None:
        self.jobs, self._peek = Jobs(), Jobs()
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
        self.picture = widgets.Image(format="png", layout=widgets.Layout(width=f"{_PICTURE}px", display="none"))
        click = " Click to make it the query." if self.whole else ""
        self._hint = widgets.HTML(f"Move over the plane to see the picture there.{click} Drag to zoom in.")
        super().__init__(
            [
                widgets.HBox([self.through, self.backdrop], layout=parts.row()),
                self.plot,
                widgets.HBox([self.picture, self._hint], layout=parts.row()),
                self.jobs,
            ],
            layout=widgets.Layout(grid_gap="4px", flex=f"0 1 {_SIDE}px", min_width="320px"),
        )

    # -- what the user does --------------------------------------------------------------------

    def _zoomed(self, window: Window | None) -> None:
        self.window = self._home if window is None else window
        self._draw()
        self._request()

    def _place(self, row: int) -> Tensor:
        return self._places()[row]

    def _hovered(self, row: int) -> None:
        plane, place = self.plane, self._place(row)
        if plane is None:
            return

        def steps() -> Steps[Step, None, bytes]:
            yield Step(0, 1, "picture")
            return png(self._pictures(plane.points(place[None]))[0], self._pictures.value_range)

        self._peek.submit(steps, self._show_picture, label="Picture")

    def _clicked(self, row: int) -> None:
        if self.whole and self.plane is not None:
            # two or three digits say which pixel was meant, and can be copied as code
            spread = self.window[1] - self.window[0]
            digits = 2 if spread > 1 else 4
            x, y = (round(v, digits) for v in self._place(row).tolist())
            self._ask(torch.tensor([x, y]).reshape(dimensions(self.model)), f"torch.tensor([{x}, {y}])")

    # -- what follows from it ------------------------------------------------------------------

    def show(self, found: SupportingSet) -> None:
        """Draw the boundaries of another supporting set."""
        self._set, self._tree = found, None
        self._draw()
        self._request()

    def show_tree(self, tree: Exploration, *, done: bool) -> None:
        """Draw the tree; in more than two dimensions its plane is known when it has grown."""
        self._tree = tree
        if not self.whole and done:
            self._choose_plane()
        elif self.plane is not None:
            self._draw()

    def _choose_plane(self) -> None:
        tree = self._tree
        if tree is None or len(tree.samples) < 2:
            return
        moves = (tree.samples - tree.query).double().cpu().flatten(1)
        if self.through.value == SPREAD:
            axes = torch.linalg.svd(moves, full_matrices=False).Vh[:2]
        else:
            first = moves[moves.norm(dim=1).argmax()]
            rest = moves - (moves @ first / (first @ first))[:, None] * first
            axes = torch.linalg.qr(torch.stack([first, rest[rest.norm(dim=1).argmax()]]).T).Q.T
        plane = Plane(tree.query, axes)
        reach = 1.25 * float(plane.coordinates(tree.samples).abs().max())
        self._home = (-reach, reach, -reach, reach)
        self._use(plane)

    def _use(self, plane: Plane) -> None:
        self.plane, self.window, self._sheet = plane, self._home, None
        self._draw()
        self._request()

    def _request(self) -> None:
        plane, window = self.plane, self.window
        if plane is None or len(self._pictures.shape) != 3:
            return

        def steps() -> Steps[Step, None, tuple[Window, str]]:
            yield Step(0, 1, "pictures")
            x0, x1, y0, y1 = window
            half = (x1 - x0) / _TILES / 2, (y1 - y0) / _TILES / 2
            places = _grid((x0 + half[0], x1 - half[0], y0 + half[1], y1 - half[1]), _TILES)
            shown = self._pictures(plane.points(places))
            sheet = pack(frames(shown, self._pictures.value_range, max_side=32), max_columns=_TILES, format="png")
            return window, f"data:{sheet.mime};base64,{base64.b64encode(sheet.data).decode()}"

        def done(sheet: tuple[Window, str]) -> None:
            self._sheet = sheet
            self._draw()

        self.jobs.submit(steps, done, label="Plane")

    def _places(self) -> Float[Tensor, "n 2"]:
        return _grid(self.window, _PLACES)

    def _show_picture(self, data: bytes) -> None:
        self.picture.value, self.picture.layout.display = data, None

    def _draw(self) -> None:
        plane, tree = self.plane, self._tree
        if plane is None:
            return
        figure = go.Figure()
        places = self._places()
        lines = markers = rejected = torch.zeros(0, 2)
        query = torch.zeros(0, 2)
        if self._set is not None:
            query = plane.coordinates(self._set.query[None])
        if tree is not None:
            markers = plane.coordinates(tree.points)
            rejected = plane.coordinates(tree.rejected)
            ends = markers[1:], markers[tree.parents[1:]], torch.full((len(markers) - 1, 2), torch.nan)
            lines = torch.stack(ends, 1).flatten(0, 1)
        figure.add_scatter(x=rejected[:, 0], y=rejected[:, 1], mode="markers", name="rejected", hoverinfo="skip", marker={"size": 3, "color": PALETTE[1], "opacity": .5})
        figure.add_scatter(x=lines[:, 0], y=lines[:, 1], mode="lines", name="tree", hoverinfo="skip", line={"width": 1, "color": PALETTE[0]})
        figure.add_scatter(x=markers[:, 0], y=markers[:, 1], mode="markers", name="accepted", hoverinfo="skip", marker={"size": 4, "color": PALETTE[0]})
        figure.add_scatter(x=query[:, 0], y=query[:, 1], mode="markers", name="query", hoverinfo="skip", marker={"size": 12, "symbol": "star", "color": PALETTE[4]})
        figure.add_scatter(
            x=places[:, 0],
            y=places[:, 1],
            mode="markers",
            marker={"opacity": 0, "size": 9},
            customdata=[[i] for i in range(len(places))],
            hoverinfo="none",
            showlegend=False,
        )
        x0, x1, y0, y1 = self.window
        figure.update_layout(
            template=plotly_template(),
            width=_SIDE,
            height=_SIDE,
            font={"color": NEUTRAL_AXIS},
            xaxis={"range": [x0, x1]},
            yaxis={"range": [y0, y1]},
            hovermode="closest",
        )
        if self.backdrop.value and self._sheet is not None:
            (x0, x1, y0, y1), source = self._sheet
            figure.add_layout_image(source=source, xref="x", yref="y", x=x0, y=y1, sizex=x1 - x0, sizey=y1 - y0, sizing="stretch", layer="below", opacity=0.35)
        self.plot.draw(figure)

    def close(self) -> None:
        """Stop the workers and close every widget of the view."""
        if hasattr(self, "plot"):
            self.jobs.close()
            self._peek.close()
            parts.close_all(self)
        super().close()


def _grid(window: Window, side: int) -> Float[Tensor, "n 2"]:
    """Places evenly over a window, row by row from the top left."""
    x0, x1, y0, y1 = window
    x, y = torch.linspace(x0, x1, side), torch.linspace(y1, y0, side)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)
