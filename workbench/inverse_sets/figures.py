"""Figures of inverse sets: a neuron's activations with the band, samples in rows, and how they fill the band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from workbench.inverse_sets.result import PARTS, InverseSet
from workbench.ui.galleries import gallery
from workbench.ui.theme import NEUTRAL_AXIS, PALETTE, colour_of, plain, plotly_template

_BINS = 48
#: Bars that are this much higher than the next are cut: a ReLU is 0 on most pictures.
_CUT = 2.5


def histogram(
    activations: Float[Tensor, " n"] | None,
    band: tuple[float, float] | None = None,
    *,
    samples: Float[Tensor, " m"] | None = None,
    others: Sequence[tuple[float, float]] = (),
    name: str = "activation",
    height: int = 250,
    width: int | None = None,
) -> go.Figure:
    """How often pictures excite a neuron to which level, with the band that is sampled.

    Args:
        activations: of a set of pictures, or None for empty axes.
        band: shaded; in a widget another one is drawn by a drag across the figure.
        samples: activations of the samples, a tick each.
        others: bands of other rows, in outline.
        name: of the axis.
        height, width: in pixels; None for the width of the page.

    Returns:
        A figure of two traces, the first with the bars.
    """
    figure = go.Figure()
    values = torch.empty(0) if activations is None else activations.double().cpu()
    inside = torch.empty(0) if samples is None else samples.double().cpu()
    ends = [*values.aminmax()] if len(values) else [torch.tensor(0.0), torch.tensor(1.0)]
    reach = [*map(float, ends), *(v for b in (band, *others) if b for v in b)]
    low, high = min(reach), max(reach)
    room = 0.04 * (high - low or 1)
    counts, edges = torch.histogram(values, _BINS, range=(low, high if high > low else low + 1))
    share = 100 * counts / max(len(values), 1)
    largest, next_largest = share.topk(2).values.tolist()
    cut = next_largest > 0 and largest > _CUT * next_largest
    top = 1.12 * ((_CUT / 2 if cut else 1) * (next_largest if cut else largest) or 1)
    centres = (edges[1:] + edges[:-1]) / 2
    figure.add_bar(
        x=centres.tolist(),
        y=share.tolist(),
        width=float(edges[1] - edges[0]) * 0.94,
        marker={"color": NEUTRAL_AXIS, "opacity": 0.6, "line": {"width": 0}},
        hovertemplate="%{y:.1f} % of the pictures near %{x:.4g}<extra></extra>",
        showlegend=False,
    )
    figure.add_scatter(
        x=inside.tolist(),
        y=[0.94 * top] * len(inside),
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 15, "color": PALETTE[1], "line": {"width": 1.5}},
        hovertemplate="sample: %{x:.4g}<extra></extra>",
        showlegend=False,
    )
    shapes: list[dict[str, Any]] = []
    if band is not None:
        shapes.append(_area(band, fillcolor=PALETTE[1], opacity=0.22, line={"width": 1.5}))
    shapes += [_area(other, fillcolor="rgba(0,0,0,0)", line={"width": 1, "dash": "dot"}) for other in others]
    notes = []
    if cut:
        where = float(centres[share.argmax()])
        notes.append(
            {
                "x": where,
                "y": top,
                "text": f"{largest:.0f} %",
                "showarrow": False,
                "yanchor": "bottom",
                "yshift": -2,
                "font": {"size": 10},
            }
        )
    figure.update_layout(
        template=plotly_template(),
        height=height,
        width=width,
        margin={"l": 48, "r": 12, "t": 16, "b": 44},
        font={"size": 11},
        xaxis={"title": plain(name), "range": [low - room, high + room]},
        yaxis={
            "title": "% of pictures",
            "range": [0, top],
            "fixedrange": True,
        },
        shapes=shapes,
        annotations=notes,
        bargap=0,
        dragmode="select",
        selectdirection="h",
        newselection={"line": {"color": PALETTE[1], "width": 1.5, "dash": "solid"}},
    )
    return figure


def rows(
    sets: Sequence[InverseSet], value_range: tuple[float, float], *, columns: int = 10, tile: int = 56
) -> go.Figure:
    """Samples in rows, a row for each set, spread evenly over its activations and in their order (figure 1).

    Of a band that no sample reached the row shows what came nearest, and says so.

    Args:
        sets: of images of one size.
        value_range: of the pictures, as `G.value_range`.
        columns: pictures a row.
        tile: width of a picture, CSS pixels.

    Raises:
        ValueError: no sets, or outputs that are no images.
    """
    shown: dict[str, Tensor] = {}
    for one in sets:
        outputs, name = one.outputs, plain(title(one))
        if len(one):
            order = one.values[:, 0].argsort()
            outputs = outputs[order[torch.linspace(0, len(one) - 1, min(columns, len(one))).round().long()]]
        else:
            outputs, name = one.nearest_outputs, f"{name}: not reached; the nearest"
        while name in shown:
            name += " "
        shown[name] = outputs
    return gallery(shown, value_range, columns=columns, tile=tile)


def coverage(found: InverseSet, *, height: int = 220) -> go.Figure:
    """How many samples fall into each of a band's twenty equal parts, band by band.

    Args:
        found: the samples.
        height: in pixels.
    """
    figure = make_subplots(1, len(found.neurons), horizontal_spacing=0.08)
    for place, (name, limits) in enumerate(zip(found.neurons, found.limits.tolist(), strict=True), start=1):
        low, high = limits
        counts, edges = torch.histogram(found.values[:, place - 1].double().cpu(), PARTS, range=(low, high))
        figure.add_bar(
            x=((edges[1:] + edges[:-1]) / 2).tolist(),
            y=counts.tolist(),
            width=float(edges[1] - edges[0]) * 0.9,
            marker={"color": colour_of(place - 1), "line": {"width": 0}},
            hovertemplate="%{y:.0f} samples near %{x:.4g}<extra></extra>",
            showlegend=False,
            row=1,
            col=place,
        )
        held = float(found.coverage[place - 1])
        figure.update_xaxes(
            title=f"{plain(name)}: {held:.0%} of the parts hold a sample",
            range=[low, high],
            row=1,
            col=place,
        )
    figure.update_yaxes(title="samples", rangemode="tozero", col=1)
    figure.update_layout(
        template=plotly_template(),
        height=height,
        font={"size": 11},
        margin={"l": 48, "r": 12, "t": 12, "b": 44},
    )
    return figure


def title(found: InverseSet) -> str:
    """What was asked for, in words: `class 3 from 5 to 10 and 14[8] from 2 to 4`."""
    return asked(found.neurons, found.limits.tolist())


def asked(neurons: Sequence[str], limits: Sequence[Sequence[float]]) -> str:
    """The same of neurons in short and the ends of their bands."""
    return " and ".join(
        f"{name} from {low:.4g} to {high:.4g}" for name, (low, high) in zip(neurons, limits, strict=True)
    )


def _area(ends: tuple[float, float], **look: Any) -> dict[str, Any]:
    """A band over the whole height."""
    line = {"color": PALETTE[1], **look.pop("line")}
    return {"type": "rect", "yref": "paper", "x0": ends[0], "x1": ends[1], "y0": 0, "y1": 1, "line": line, **look}
