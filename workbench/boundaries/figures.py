"""Figures of generative boundaries: comparisons over queries, galleries of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from workbench.boundaries.claims import CONTROLS, OURS, PAPER
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
