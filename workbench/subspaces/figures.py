"""Figures of subspace search: the spectrum at a point, the convergence of simulated searches."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.subspaces.cases import METHODS
from workbench.subspaces.line import Line
from workbench.subspaces.subspace import Subspace
from workbench.ui.film_strip import FilmStrip
from workbench.ui.theme import NEUTRAL_AXIS, PALETTE, colour_of, plotly_template

_PLAIN, _DRAWN = NEUTRAL_AXIS, PALETTE[1]


def show_line(
    strip: FilmStrip, line: Line, value_range: tuple[float, float], *, line_id: str | None = None
) -> None:
    """A line on a film strip: each frame with its share of a full slider's change, those brought back marked."""
    strip.show(
        line.outputs.float().cpu(),
        positions=line.positions.tolist(),
        value_range=value_range,
        captions=[{"change": _share(c, line.target)} for c in line.change.tolist()],
        flags=[None if inside else "kept in the prior's typical set" for inside in line.inside.tolist()],
        line_id=line_id,
    )


def _share(change: float, target: float) -> str:
    return f"{change:.2f}" if target != target else f"{100 * change / target:.0f} % of a full slider"


def spectrum(subspace: Subspace) -> go.Figure:
    """The singular values of a subspace's spectrum as bars, those of its directions highlighted."""
    return singular_values(subspace.spectrum, *[int(i) for i in subspace.indices])


def singular_values(values: Float[Tensor, " r"], *drawn: int, width: int | None = None) -> go.Figure:
    """Singular values as bars, those with the indices `drawn` highlighted: readable on light and dark paper."""
    figure = go.Figure(
        go.Bar(
            x=list(range(1, len(values) + 1)),
            y=values.tolist(),
            marker={"color": [_DRAWN if i in drawn else _PLAIN for i in range(len(values))]},
            hovertemplate="direction %{x}<br>σ = %{y:.3g}<extra></extra>",
        )
    )
    figure.update_layout(
        template=plotly_template(),
        width=width,
        height=190,
        margin={"l": 44, "r": 8, "t": 26, "b": 34},
        title={"text": "Singular values", "font": {"size": 12}},
        font={"size": 11},
        bargap=0.15,
        xaxis={"title": None},
        yaxis={"title": None, "rangemode": "tozero"},
        showlegend=False,
    )
    return figure


def convergence(
    curves: Mapping[str, Float[Tensor, "seeds sliders"]], *, title: str = "", height: int = 420
) -> go.Figure:
    """Lowest loss so far against sliders, of one simulated case.

    A line is the median over the seeds, its band the quartiles; variants of differential subspace
    search are drawn solid, its rivals dashed.

    Args:
        curves: by method, as `Results.curves` gives them; (seeds, sliders + 1), the start first.
    """
    figure = go.Figure()
    known = {name: place for place, name in enumerate(METHODS)}  # one colour a method in the figures of all cases
    for name, runs in curves.items():
        colour = colour_of(known.setdefault(name, len(known)))
        low, median, high = runs.double().quantile(torch.tensor([0.25, 0.5, 0.75]).double(), dim=0).tolist()
        sliders = list(range(len(median)))
        ours = name.startswith(("dss", "hybrid"))
        label = METHODS[name].label if name in METHODS else name
        figure.add_scatter(
            x=[*sliders, *reversed(sliders)],
            y=[*high, *reversed(low)],
            fill="toself",
            fillcolor=f"rgba({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))}, 0.15)",
            line={"width": 0},
            hoverinfo="skip",
            legendgroup=name,
            showlegend=False,
        )
        figure.add_scatter(
            x=sliders,
            y=median,
            name=label,
            legendgroup=name,
            line={"color": colour, "width": 2.5 if name == "dss" else 1.5, "dash": "solid" if ours else "dash"},
            hovertemplate=f"{label}<br>%{{x}} sliders: %{{y:.4g}}<extra></extra>",
        )
    figure.update_layout(
        template=plotly_template(),
        height=height,
        title={"text": title},
        xaxis={"title": "sliders"},
        yaxis={"title": "lowest loss so far", "type": "log", "exponentformat": "power"},
        legend={"font": {"size": 11}},
    )
    return figure
