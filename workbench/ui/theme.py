"""Colours and the Plotly template that all figures and widgets share: colour-blind safe, light and dark."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito, "Color Universal Design" (2008): distinguishable with the common colour-vision deficiencies.
# Ordered so that the first ones keep a contrast of 3:1 on white and on near-black paper; black is left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#B2A429")

# A mid blue that reads on both papers: drawings that cannot know the theme (sparklines in a sheet) use it.
NEUTRAL_LINE = "#3B86C6"
# Text and axes of figures: 4.5 to one on white, 4.2 to one on JupyterLab's dark paper, which a figure cannot tell
# from the light one.
NEUTRAL_AXIS = "#777777"
_GRID = "rgba(128, 128, 128, 0.2)"

# Perceptually uniform and readable without colour; diverging maps have a neutral middle.
SEQUENTIAL = "Viridis"
DIVERGING = "RdBu"

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def colour_of(place: int) -> str:
    """Return the colour of this place in the palette; beyond its length they repeat."""
    return PALETTE[place % len(PALETTE)]


def palette(count: int) -> list[str]:
    """Return ``count`` colours; beyond the length of the palette they repeat."""
    return [colour_of(i) for i in range(count)]


def plotly_template() -> go.layout.Template:
    """Return the Plotly template of the workbench: transparent paper, light or dark, a thin grid, the palette."""
    import plotly.graph_objects as go

    axis: dict[str, Any] = {
        "gridcolor": _GRID,
        "linecolor": NEUTRAL_AXIS,
        "zerolinecolor": _GRID,
        "tickcolor": NEUTRAL_AXIS,
        "ticks": "outside",
        "ticklen": 4,
        "showline": True,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8},
    }
    return go.layout.Template(
        layout={
            "colorway": list(PALETTE),
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": FONT, "size": 12, "color": NEUTRAL_AXIS},
            "title": {"font": {"size": 14}, "x": 0, "xanchor": "left", "pad": {"l": 8}},
            "margin": {"l": 56, "r": 16, "t": 40, "b": 48},
            "xaxis": axis,
            "yaxis": axis,
            "colorscale": {"sequential": SEQUENTIAL, "diverging": DIVERGING},
            "hoverlabel": {"font": {"family": FONT, "size": 12}},
            "legend": {"bgcolor": "rgba(0,0,0,0)"},
        }
    )


def plain(name: str) -> str:
    """A name as text: Plotly would read tags in it as markup, and `%{` in a hover text as a field."""
    return html.escape(name, quote=False).replace("%{", "%&#123;")


def diverging(values: Float[Tensor, "*any"], limit: float) -> Float[Tensor, "*any"]:
    """Signed numbers as colours with a neutral middle, red above and blue below zero.

    Args:
        values: (..., H, W).
        limit: the size at which the colour is strongest; 0 gives the neutral one.

    Returns:
        (..., 3, H, W) in [0, 1].
    """
    from plotly.colors import sample_colorscale, unlabel_rgb

    steps = [i / 255 for i in range(256)]
    table = torch.tensor([unlabel_rgb(c) for c in sample_colorscale(f"{DIVERGING}_r", steps)]) / 255
    share = (values / limit if limit > 0 else torch.zeros_like(values)).clamp(-1, 1)
    return table[((share + 1) / 2 * 255).round().long()].movedim(-1, -3)


def with_difference(
    pair: Float[Tensor, "two *picture"], value_range: tuple[float, float]
) -> tuple[Float[Tensor, "three *picture"], tuple[float, float]]:
    """Two pictures and the second less the first, with the value range to show the three in.

    The difference of images is coloured by `diverging`, its channels averaged; that of signals is a signal.
    """
    change = pair[1] - pair[0]
    if change.ndim != 3:
        three = torch.cat([pair, change[None]])
        return three, (float(three.min()), float(three.max()))
    low, high = value_range
    coloured = diverging(change.mean(0), float(change.mean(0).abs().max()))
    shown = ((pair - low) / (high - low)).expand(2, 3, *pair.shape[2:])
    return torch.cat([shown, coloured[None]]), (0.0, 1.0)
