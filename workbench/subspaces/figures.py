"""Figures of subspace search: the spectrum at a point."""

from __future__ import annotations

import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from workbench.subspaces.subspace import Subspace
from workbench.ui.theme import NEUTRAL_AXIS, PALETTE, plotly_template

_PLAIN, _DRAWN = NEUTRAL_AXIS, PALETTE[1]


def spectrum(subspace: Subspace) -> go.Figure:
    """The singular values of a subspace's spectrum as bars, those of its directions highlighted."""
    figure = spectrum_figure()
    highlight(figure, subspace.spectrum, *[int(i) for i in subspace.indices])
    return figure


def spectrum_figure(*, height: int = 190) -> go.Figure:
    """An empty spectrum, to be filled by `highlight`: readable on light and dark paper."""
    figure = go.Figure(go.Bar(x=[], y=[], hovertemplate="direction %{x}<br>σ = %{y:.3g}<extra></extra>"))
    figure.update_layout(
        template=plotly_template(),
        height=height,
        margin={"l": 44, "r": 8, "t": 26, "b": 34},
        title={"text": "Singular values", "font": {"size": 12}},
        font={"color": NEUTRAL_AXIS, "size": 11},
        bargap=0.15,
        xaxis={"title": None, "gridcolor": "rgba(128,128,128,0.15)"},
        yaxis={"title": None, "gridcolor": "rgba(128,128,128,0.15)", "rangemode": "tozero"},
        showlegend=False,
    )
    return figure


def highlight(figure: go.Figure, singular_values: Float[Tensor, " r"], *drawn: int) -> None:
    """Put a spectrum into `figure` and mark the directions with the indices `drawn`."""
    values = singular_values.tolist()
    with figure.batch_update():
        bars = figure.data[0]
        bars.x = list(range(1, len(values) + 1))
        bars.y = values
        bars.marker.color = [_DRAWN if i in drawn else _PLAIN for i in range(len(values))]
