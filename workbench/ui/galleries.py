"""Pictures side by side as Plotly figures: rows of many, and single ones with their names."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from workbench.ui.sprites import data_url, png
from workbench.ui.theme import plotly_template


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
        got = ", ".join(f"{name!r} {tuple(pictures.shape)}" for name, pictures in rows.items()) or "none"
        raise ValueError(
            f"expected named rows of images (n, channels, height, width) or (n, height, width), got {got}"
        )
    figure = make_subplots(len(rows), 1, subplot_titles=list(rows), vertical_spacing=0.3 / (3 * len(rows)))
    for place, pictures in enumerate(rows.values(), start=1):
        figure.add_trace(go.Image(source=_tiled(pictures[:columns], value_range, columns)), row=place, col=1)
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
        figure.add_trace(go.Image(source=_tiled(image[None], value_range, 1)), row=1, col=place)
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


def _tiled(pictures: Tensor, value_range: tuple[float, float], columns: int) -> str:
    """One row of pictures, filled up with white, as a PNG in a `data:` address."""
    low, high = value_range
    images = pictures if pictures.ndim == 4 else pictures[:, None]
    images = ((images.double() - low) / (high - low)).clamp(0, 1).cpu()
    blank = torch.ones(columns - len(images), *images.shape[1:], dtype=images.dtype)
    framed = torch.nn.functional.pad(torch.cat([images, blank]), (1, 1, 1, 1), value=1.0)
    row = torch.cat(list(framed), dim=2)
    return data_url(png(row))
