"""Figures of generative boundaries: arrangements in a plane, galleries of samples, comparisons over queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.boundaries.arrangement import Arrangement, Region
from workbench.boundaries.baselines import CONTROLS, PAPER
from workbench.boundaries.claims import OURS
from workbench.boundaries.complexes import polylines
from workbench.boundaries.explore import Exploration
from workbench.boundaries.plane import Plane
from workbench.boundaries.supporting_set import SupportingSet
from workbench.ui.film_strip import FilmStrip
from workbench.ui.sample_grid import SampleGrid
from workbench.ui.theme import PALETTE, plotly_template, with_difference

if TYPE_CHECKING:
    import pandas as pd

#: Columns of pixels for each bar of a classifier's probabilities.
_BAR = 12
_FEW = 12
_SHADE = "rgba(0,158,115,0.24)"
_STAR = {"size": 13, "symbol": "star", "color": PALETTE[4], "line": {"width": 1, "color": "#1f2328"}}

#: A colour and a symbol for each method, the same in every figure.
_LOOKS = {
    name: (PALETTE[i], symbol)
    for i, (name, symbol) in enumerate(
        zip((OURS, *PAPER, *CONTROLS), ("circle", "square", "diamond", "triangle-up", "x"), strict=True)
    )
}


def show_thresholds(
    strip: FilmStrip,
    found: SupportingSet,
    thresholds: Sequence[float],
    masked: Float[Tensor, "thresholds *output"],
    value_range: tuple[float, float] | None,
    class_names: Sequence[str] = (),
) -> None:
    """What is left of a query at each threshold, on a film strip that begins at the one of the supporting set.

    Args:
        thresholds, masked: as `masked_outputs` takes and gives them.
        value_range: of a generator's outputs, or None for a classifier's scores, whose probabilities are bars.
        class_names: of a classifier.
    """
    kept = [int((found.theta > p).sum()) for p in thresholds]
    errors = (masked - found.output).flatten(1).norm(dim=1) / found.scale
    pictures, value_range_shown = as_pictures(masked, value_range)
    strip.show(
        pictures,
        positions=thresholds,
        value_range=value_range_shown,
        captions=[
            {"kept": f"{n:,} of {found.candidates:,}", "error": f"{e:.1%}", "threshold": f"{p:.4g}"}
            | ({} if value_range is not None else {"decision": decision(output, class_names)})
            for n, e, p, output in zip(kept, errors.tolist(), thresholds, masked, strict=True)
        ],
        ends=(f"{kept[0]:,} kept", f"{kept[-1]:,} kept"),
        start=list(thresholds).index(found.threshold),
    )


def show_kept(grid: SampleGrid, found: SupportingSet, value_range: tuple[float, float] | None) -> None:
    """A query, what its supporting set keeps of it, and the difference, beside each other."""
    pair, shown = as_pictures(torch.stack([found.output, found.masked]), value_range)
    three, shown = with_difference(pair, shown)
    grid.show(three, value_range=shown, labels=["query", f"{len(found.units):,} kept", "difference"])


def as_pictures(
    outputs: Float[Tensor, "n *output"], value_range: tuple[float, float] | None
) -> tuple[Tensor, tuple[float, float]]:
    """Outputs as pictures with their value range: a generator's own, of a classifier's scores bars."""
    if value_range is not None:
        return outputs.float().cpu(), value_range
    edge = torch.zeros(_BAR)
    edge[2:-2] = 1
    return (_chances(outputs)[:, :, None] * edge).flatten(1), (0.0, 1.0)


def few(samples: Float[Tensor, "n *any"]) -> Float[Tensor, "few *any"]:
    """Twelve samples at most, evenly spaced: those that stand for all where there is no room."""
    return samples[:: max(1, len(samples) // _FEW)][:_FEW]


def decision(scores: Float[Tensor, " classes"], class_names: Sequence[str]) -> str:
    """What a classifier decides, and how sure it is."""
    chance = _chances(scores[None])[0]
    best = int(chance.argmax())
    return f"{class_names[best] if class_names else best} ({float(chance[best]):.1%})"


def _chances(scores: Float[Tensor, "n classes"]) -> Any:
    """Probabilities of the classes; of a single score that of being above zero."""
    rows = scores.detach().float().cpu()
    return rows.sigmoid() if rows.shape[1] == 1 else rows.softmax(1)


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
    every, own = drawn, None
    if kept is not None:
        every, own = drawn.of_units(kept.units, others=True), drawn.of_units(kept.units)
    query = None if kept is None else kept.query
    traces = plane_traces(drawn.plane, every=every, kept=own, region=region, exploration=exploration, query=query)
    figure = go.Figure([trace for trace in traces if trace.x is not None and len(trace.x)])
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


def plane_traces(
    plane: Plane,
    *,
    every: Arrangement | None = None,
    kept: Arrangement | None = None,
    region: Region | None = None,
    exploration: Exploration | None = None,
    query: Float[Tensor, " *point"] | None = None,
) -> list[go.Scatter]:
    """What `arrangement` is made of: always the same seven traces, empty where there is nothing to show.

    Args:
        every, kept: boundaries that are drawn pale and highlighted.
    """
    nodes, rejected, branches = (np.zeros((0, 2)) for _ in range(3))
    if exploration is not None:
        nodes, rejected = (plane.coordinates(p).numpy() for p in (exploration.points, exploration.rejected))
        branches = _gapped(list(np.stack([nodes[1:], nodes[exploration.parents[1:].cpu().numpy()]], 1)))
    star = np.zeros((0, 2)) if query is None else plane.coordinates(query[None]).numpy()
    outlines = [] if region is None else list(region.outlines)
    pale, highlighted = _boundaries(every), _boundaries(kept)
    grey = f"rgba(110,110,110,{_less(0.6, len(pale), 200):.3f})"
    looks: tuple[tuple[str, np.ndarray, dict[str, Any]], ...] = (
        ("region", _gapped(outlines), {"fill": "toself", "fillcolor": _SHADE, "line": {"width": 0}}),
        ("boundaries", _gapped(pale), {"line": {"width": 0.8, "color": grey}}),
        (
            "kept boundaries",
            _gapped(highlighted),
            {"line": {"width": _less(1.6, len(highlighted), 60), "color": PALETTE[2]}},
        ),
        ("rejected", rejected, {"marker": {"size": 3, "color": PALETTE[1]}}),
        ("tree", branches, {"line": {"width": 1, "color": PALETTE[0]}}),
        ("accepted", nodes[1:], {"marker": {"size": 4, "color": PALETTE[0]}}),
        ("query", star, {"marker": _STAR}),
    )
    return [
        go.Scatter(x=at[:, 0], y=at[:, 1], name=name, mode=_mode(look), hoverinfo="skip", **look)
        for name, at, look in looks
    ]


def _mode(look: Mapping[str, Any]) -> str:
    return "markers" if "marker" in look else "lines"


def _boundaries(drawn: Arrangement | None) -> list[np.ndarray]:
    """Boundaries as a few long lines (n, 2)."""
    return [] if drawn is None else polylines(drawn.segments.numpy(), drawn.unit.numpy())


def _less(full: float, lines: int, many: int) -> float:
    """Ink of each line where more than `many` would cover the picture."""
    return full * min(1.0, math.sqrt(many / max(lines, 1)))


def _gapped(lines: list[np.ndarray]) -> np.ndarray:
    """Lines (n, 2) one after another, with a gap after each."""
    gap = np.full((1, 2), np.nan)
    return np.concatenate([part for line in lines for part in (line, gap)]) if lines else np.zeros((0, 2))


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
