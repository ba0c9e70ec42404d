"""The part of the panel that draws a plane: boundaries, the region, the tree, a picture at the cursor."""

from __future__ import annotations

import base64
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

from workbench.boundaries.explore import Exploration
from workbench.boundaries.sign_layer import AnyModel, dimensions, limits, sign_layer
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
#: Places a side that the cursor finds, places a side where the layer is read, and pictures of the background.
_PLACES, _READ, _TILES = 61, 121, 20
#: Side of the plot and of the picture at the cursor, in CSS pixels.
_SIDE, _PICTURE = 540, 112
#: Where lines cross more than this share of the grid's edges, they are denser than it can show.
_DENSE = 0.15
SPREAD, THROUGH = "the samples' largest spread", "query and two far samples"


@dataclass(frozen=True)
class Plane:
    """A plane of points.

    Attributes:
        origin: (*point).
        axes: (2, d) orthonormal.
    """

    origin: Tensor
    axes: Tensor

    def points(self, places: Float[Tensor, "n 2"]) -> Float[Tensor, "n *point"]:
        """The points at these places."""
        rows = self.origin.double().cpu().flatten() + places.double() @ self.axes.double().cpu()
        return rows.to(self.origin).reshape(-1, *self.origin.shape)

    def coordinates(self, points: Float[Tensor, "n *point"]) -> Float[Tensor, "n 2"]:
        """Where the points, projected to the plane, lie in it."""
        moves = points.double().cpu().flatten(1) - self.origin.double().cpu().flatten()
        return moves @ self.axes.double().cpu().T


@dataclass(frozen=True)
class Reading:
    """A layer on a grid of the plane; the zero lines of its three functions are what is drawn.

    Attributes:
        window: of the grid.
        region: (side, side) the least of the kept pre-activations, each times its sign at the query: positive in
            the region.
        kept, every: (side, side) the least size of a pre-activation, of the kept units and of all, with a sign
            that changes across each of their boundaries.
        sheet: the pictures of the background as a data URL, or "" for signals.
    """

    window: Window
    region: Tensor
    kept: Tensor
    every: Tensor
    sheet: str


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
        self._reading: Reading | None = None
        self._drawing = threading.Lock()  # trees, readings and zooms come from three threads
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
        self.picture = widgets.Image(format="png", layout=widgets.Layout(width=f"{_PICTURE}px", flex="none"))
        more = "Click to make it the query." if self.whole else "The tree is projected to the plane."
        self._told = f"Move over the plane to see the picture there. {more} Drag to zoom in."
        self._hint = widgets.HTML(self._told, layout=widgets.Layout(flex="1 1 200px", min_width="0"))
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
        self._set, self._tree, self._reading = found, None, None
        self._show_picture(png(self._pictures(found.query[None])[0], self._pictures.value_range))
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
        self.plane, self.window, self._reading = plane, self._home, None
        self._draw()
        self._request()

    def _request(self) -> None:
        plane, window, found = self.plane, self.window, self._set
        if plane is not None and found is not None:
            self.jobs.submit(lambda: self._read(plane, window, found), self._arrived, label="Plane")

    def _read(self, plane: Plane, window: Window, found: SupportingSet) -> Steps[Step, None, Reading]:
        at = sign_layer(self.model, found.layer)
        units, signs = found.units.to(self.model.device), found.signs.to(self.model.device)

        def functions(points: Tensor) -> Tensor:
            with torch.no_grad():
                every = at.pre_activations(points)
                kept = every[:, units]
                return torch.stack([(kept * signs).min(1).values, _zero_lines(kept), _zero_lines(every)], 1)

        rows = []
        places = _grid(window, _READ).split(_READ * 8)
        for done, part in enumerate(places):
            rows.append(self.model.batches.map(functions, plane.points(part)).cpu())
            yield Step(done + 1, len(places) + 1, "rows")
        region, kept, every = torch.cat(rows).T.reshape(3, _READ, _READ)
        return Reading(window, region, kept, every, self._sheet(plane, window))

    def _sheet(self, plane: Plane, window: Window) -> str:
        if len(self._pictures.shape) != 3:
            return ""
        x0, x1, y0, y1 = window
        half = (x1 - x0) / _TILES / 2, (y1 - y0) / _TILES / 2
        places = _grid((x0 + half[0], x1 - half[0], y0 + half[1], y1 - half[1]), _TILES)
        shown = self._pictures(plane.points(places))
        sheet = pack(frames(shown, self._pictures.value_range, max_side=32), max_columns=_TILES, format="png")
        return f"data:{sheet.mime};base64,{base64.b64encode(sheet.data).decode()}"

    def _arrived(self, reading: Reading) -> None:
        self._reading = reading
        lines = {"boundaries": reading.every, "kept boundaries": reading.kept}
        dense = " and ".join(name for name, values in lines.items() if _dense(values))
        self._hint.value = self._told + (f"<br>Too dense to be drawn here, zoom in: {dense}." if dense else "")
        self._draw()

    def _places(self) -> Float[Tensor, "n 2"]:
        return _grid(self.window, _PLACES)

    def _show_picture(self, data: bytes) -> None:
        self.picture.value = data

    def _draw(self) -> None:
        with self._drawing:
            if self.plane is not None:
                self.plot.draw(self._figure(self.plane))

    def _figure(self, plane: Plane) -> go.Figure:
        return go.Figure(
            [*self._contours(), *self._marks(plane, self._tree), self._cursor()],
            {
                "template": plotly_template(),
                "width": _SIDE,
                "height": _SIDE,
                "margin": {"l": 44, "r": 8, "t": 8, "b": 64},
                "font": {"color": NEUTRAL_AXIS, "size": 11},
                "xaxis": {"range": self.window[:2], "showgrid": False},
                "yaxis": {"range": self.window[2:], "showgrid": False},
                "legend": {"orientation": "h", "y": -0.07, "yanchor": "top", "x": 0},
                "hovermode": "closest",
                "images": self._background(),
            },
        )

    def _background(self) -> list[dict[str, Any]]:
        reading = self._reading
        if reading is None or not reading.sheet or not self.backdrop.value:
            return []
        x0, x1, y0, y1 = reading.window
        place = {"xref": "x", "yref": "y", "x": x0, "y": y1, "sizex": x1 - x0, "sizey": y1 - y0}
        return [{"source": reading.sheet, **place, "sizing": "stretch", "layer": "below", "opacity": 0.25}]

    def _contours(self) -> list[go.Contour]:
        """The region, all boundaries, and those that are kept; empty until the layer was read."""
        reading = self._reading
        read = (None, None, None) if reading is None else (reading.region, reading.every, reading.kept)
        x0, x1, y0, y1 = self.window if reading is None else reading.window
        where = {"x": np.linspace(x0, x1, _READ), "y": np.linspace(y1, y0, _READ)}
        zero = {"type": "constraint", "operation": "=", "value": 0}
        looks: dict[str, dict[str, Any]] = {
            "region": {
                "contours": {**zero, "operation": "<"},  # Plotly fills what breaks the constraint
                "fillcolor": "rgba(0,158,115,0.28)",
                "line": {"width": 0},
            },
            "boundaries": {"contours": zero, "line": {"width": 1, "color": "rgba(110,110,110,0.8)"}},
            "kept": {"contours": zero, "line": {"width": 1.6, "color": PALETTE[2]}},
        }
        drawn = []
        for (name, look), values in zip(looks.items(), read, strict=True):
            if values is None or (name != "region" and _dense(values)):
                shown: dict[str, Any] = {"z": [[None, None], [None, None]]}
            else:
                shown = {"z": values.numpy(), **where}
            drawn.append(
                go.Contour(name=name, showscale=False, hoverinfo="skip", showlegend=True, **shown, **look)
            )
        return drawn

    def _marks(self, plane: Plane, tree: Exploration | None) -> list[go.Scatter]:
        """The tree with what was accepted and rejected, and the query, projected to the plane."""
        nodes, rejected, lines = (np.zeros((0, 2)) for _ in range(3))
        if tree is not None:
            nodes, rejected = plane.coordinates(tree.points).numpy(), plane.coordinates(tree.rejected).numpy()
            gaps = np.full((len(nodes) - 1, 2), np.nan)
            lines = np.stack([nodes[1:], nodes[tree.parents[1:].numpy()], gaps], 1).reshape(-1, 2)
        query = np.zeros((0, 2)) if self._set is None else plane.coordinates(self._set.query[None]).numpy()
        star = {"size": 13, "symbol": "star", "color": PALETTE[4], "line": {"width": 1, "color": "#1f2328"}}
        return [
            go.Scatter(x=where[:, 0], y=where[:, 1], name=name, hoverinfo="skip", **style)
            for name, where, style in (
                ("rejected", rejected, {"mode": "markers", "marker": {"size": 3, "color": PALETTE[1]}}),
                ("tree", lines, {"mode": "lines", "line": {"width": 1, "color": PALETTE[0]}}),
                ("accepted", nodes[1:], {"mode": "markers", "marker": {"size": 4, "color": PALETTE[0]}}),
                ("query", query, {"mode": "markers", "marker": star}),
            )
        ]

    def _cursor(self) -> go.Scatter:
        """Invisible places all over the plane, which the cursor finds."""
        places = self._places().numpy()
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
            parts.close_all(self._peek)
            self._peek.close()
            parts.close_all(self)
        super().close()


def _zero_lines(pre: Float[Tensor, "batch units"]) -> Float[Tensor, " batch"]:
    """A continuous function that is zero on every unit's boundary and nowhere else, and changes its sign there."""
    sign = 1 - 2 * ((pre < 0).sum(1) % 2)
    return sign * pre.abs().min(1).values


def _dense(values: Float[Tensor, "side side"]) -> bool:
    """Whether zero lines cross more of the edges along a grid's rows than it can show."""
    return float((values[:, 1:] * values[:, :-1] < 0).double().mean()) > _DENSE


def _grid(window: Window, side: int) -> Float[Tensor, "n 2"]:
    """Places evenly over a window, row by row from the top left."""
    x0, x1, y0, y1 = window
    x, y = torch.linspace(x0, x1, side), torch.linspace(y1, y0, side)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)
