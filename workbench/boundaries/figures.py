"""Figures of generative boundaries: arrangements in a plane, galleries of samples, comparisons over queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from workbench.boundaries.arrangement import Arrangement, Region
from workbench.boundaries.claims import CONTROLS, OURS, PAPER
from workbench.boundaries.explore import Exploration
from workbench.boundaries.supporting_set import SupportingSet
from workbench.ui.theme import PALETTE, plotly_template

if TYPE_CHECKING:
    import pandas as pd

#: A colour and a symbol for each method, the same in every figure.
_LOOKS = {
    name: (PALETTE[i], symbol)
    for i, (name, symbol) in enumerate(
        zip((OURS, *PAPER, *CONTROLS), ("circle", "square", "diamond", "triangle-up", "x"), strict=True)
    )
}


def arrangement(
    drawn: Arrangement,
    *,
    kept: SupportingSet | None = None,
    region: Region | None = None,
    exploration: Exploration | None = None,
    height: int = 560,
) -> go.Figure:
    """The boundaries in a plane, those that are kept highlighted, the region shaded, the tree on top.

    Figures 2 to 5 of the paper. Points are projected into the plane at right angles.

    Args:
        drawn: all boundaries, or some.
        kept: the supporting set whose boundaries are highlighted, and its query.
        region: of it, in the same plane.
        exploration: the tree with its accepted and rejected points.
    """
    plane, figure = drawn.plane, go.Figure()
    own = (
        torch.isin(drawn.unit, kept.units.cpu())
        if kept is not None
        else torch.zeros(len(drawn.unit), dtype=torch.bool)
    )
    if region is not None:
        _line(
            figure, "region", [torch.from_numpy(o) for o in region.outlines], width=0, fill="rgba(0,158,115,0.22)"
        )
    _line(figure, "boundaries", drawn.segments[~own], colour="rgba(128,128,128,0.45)", width=0.7)
    _line(figure, "kept boundaries", drawn.segments[own], colour=PALETTE[2], width=1.8)
    if exploration is not None:
        nodes, rejected = plane.coordinates(exploration.points), plane.coordinates(exploration.rejected)
        branches = torch.stack([nodes[1:], nodes[exploration.parents[1:]]], 1)
        _dots(figure, "rejected", rejected, PALETTE[1], 4, "x-thin-open")
        _line(figure, "tree", branches, colour=PALETTE[0], width=0.9)
        _dots(figure, "accepted", nodes[1:], PALETTE[0], 4, "circle")
    if kept is not None:
        _dots(figure, "query", plane.coordinates(kept.query[None]), PALETTE[4], 13, "star")
    x0, x1, y0, y1 = drawn.extent
    figure.update_layout(
        template=plotly_template(),
        height=height,
        width=round(height * min(2.0, (x1 - x0) / (y1 - y0))) + 40,
        margin={"l": 44, "r": 12, "t": 34, "b": 36},
        xaxis={"range": (x0, x1), "showgrid": False, "constrain": "domain"},
        yaxis={"range": (y0, y1), "showgrid": False, "scaleanchor": "x", "constrain": "domain"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
    )
    return figure


def _line(
    figure: go.Figure,
    name: str,
    pieces: Iterable[Float[Tensor, "n 2"]],
    *,
    colour: str = "rgba(0,0,0,0)",
    width: float,
    fill: str | None = None,
) -> None:
    """Lines as one trace, with gaps between them; nothing where there are none."""
    gap = torch.full((1, 2), torch.nan, dtype=torch.float64)
    parts = [part for piece in pieces for part in (piece.double().cpu(), gap)]
    if not parts:
        return
    xy = torch.cat(parts)
    # WebGL draws hundreds of thousands of pieces, but does not fill
    kind = go.Scatter if fill or len(xy) < 3000 else go.Scattergl
    look = {"fill": "toself", "fillcolor": fill} if fill else {}
    line = {"color": colour, "width": width}
    figure.add_trace(kind(x=xy[:, 0], y=xy[:, 1], mode="lines", name=name, line=line, hoverinfo="skip", **look))


def _dots(figure: go.Figure, name: str, xy: Float[Tensor, "n 2"], colour: str, size: int, symbol: str) -> None:
    marker = {"color": colour, "size": size, "symbol": symbol}
    if symbol == "star":
        marker |= {"line": {"width": 1, "color": "#1f2328"}}
    figure.add_scatter(
        x=xy[:, 0], y=xy[:, 1], mode="markers", name=name, marker=marker, hovertemplate="%{x:.3f}, %{y:.3f}"
    )


def comparison(table: pd.DataFrame, *, by: str = "layer", title: str = "", height: int = 340) -> go.Figure:
    """Means over the queries with their spreads, a column a layer and a mark a method.

    Args:
        table: rows with `by`, `method`, `mean` and `spread`, of one network, as `table_1` and `table_2` of
            `workbench.boundaries.claims` give them.
        by: the column that names the layer.
    """
    figure = go.Figure()
    layers = list(dict.fromkeys(table[by].astype(str)))
    for place, (method, (colour, symbol)) in enumerate(_LOOKS.items()):
        rows = table[table["method"] == method]
        if not len(rows):
            continue
        offset = 0.14 * (place - (len(_LOOKS) - 1) / 2)
        figure.add_scatter(
            x=[layers.index(layer) + offset for layer in rows[by].astype(str)],
            y=rows["mean"],
            error_y={"array": rows["spread"].fillna(0), "thickness": 1, "width": 3},
            mode="markers",
            name=method,
            marker={"color": colour, "symbol": symbol, "size": 9},
            customdata=rows[[by]].astype(str),
            hovertemplate=method + ", layer %{customdata[0]}<br>%{y:.4f} ± %{error_y.array:.4f}<extra></extra>",
        )
    figure.update_layout(
        template=plotly_template(),
        height=height,
        title={"text": title},
        xaxis={"title": by.replace("_", " "), "tickvals": list(range(len(layers))), "ticktext": layers},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )
    return figure


def gallery(
    rows: Mapping[str, Float[Tensor, "n *picture"]],
    value_range: tuple[float, float],
    *,
    columns: int = 12,
    tile: int = 56,
) -> go.Figure:
    """Rows of pictures, each under its name: the first `columns` of each.

    Args:
        rows: by name, images (n, 1 or 3, height, width) or (n, height, width).
        value_range: of the pictures.

    Raises:
        ValueError: no rows, or pictures of other shapes.
    """
    if not rows or any(pictures.ndim not in (3, 4) for pictures in rows.values()):
        raise ValueError("expected named rows of images (n, channels, height, width) or (n, height, width)")
    figure = make_subplots(len(rows), 1, subplot_titles=list(rows), vertical_spacing=0.3 / (3 * len(rows)))
    for place, pictures in enumerate(rows.values(), start=1):
        figure.add_trace(go.Image(z=_tiled(pictures[:columns], value_range, columns)), row=place, col=1)
    figure.update_layout(
        template=plotly_template(),
        height=len(rows) * (tile + 24) + 24,
        width=columns * tile + 24,
        margin={"l": 12, "r": 12, "t": 24, "b": 4},
    )
    figure.update_annotations(font={"size": 12}, x=0, xanchor="left")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def pictures(
    named: Mapping[str, Float[Tensor, "*picture"]], value_range: tuple[float, float], *, tile: int = 150
) -> go.Figure:
    """Single pictures beside each other, each under its name.

    Args:
        named: by name, an image (1 or 3, height, width) or (height, width), or a batch of one.
        value_range: of the pictures.
    """
    figure = make_subplots(1, len(named), subplot_titles=list(named), horizontal_spacing=0.1 / len(named))
    for place, picture in enumerate(named.values(), start=1):
        image = picture.reshape(-1, *picture.shape[-2:])
        figure.add_trace(go.Image(z=_tiled(image[None], value_range, 1)), row=1, col=place)
    figure.update_layout(
        template=plotly_template(),
        height=tile + 40,
        width=len(named) * (tile + 20),
        margin={"l": 8, "r": 8, "t": 32, "b": 8},
    )
    figure.update_annotations(font={"size": 11})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def _tiled(pictures: Tensor, value_range: tuple[float, float], columns: int) -> list[list[list[int]]]:
    """One row of pictures, filled up with white, as 8-bit colours (height, width, 3)."""
    low, high = value_range
    images = pictures if pictures.ndim == 4 else pictures[:, None]
    images = ((images.double() - low) / (high - low)).clamp(0, 1).expand(-1, 3, -1, -1)
    blank = torch.ones(columns - len(images), *images.shape[1:], dtype=images.dtype)
    framed = torch.nn.functional.pad(torch.cat([images.cpu(), blank]), (1, 1, 1, 1), value=1.0)
    return (255 * torch.cat(list(framed), dim=2)).round().to(torch.uint8).permute(1, 2, 0).tolist()
