"""Figures of flip points: distances, trust, principal components and what networks learn from subsets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from workbench.flip_points.directions import Directions
from workbench.flip_points.result import FlipPoints, check_flips
from workbench.flip_points.trust import Measure, Trust
from workbench.flip_points.way import Way
from workbench.ui.film_strip import FilmStrip
from workbench.ui.sample_grid import SampleGrid
from workbench.ui.theme import (
    DIVERGING,
    NEUTRAL_AXIS,
    PALETTE,
    colour_of,
    plain,
    plotly_template,
    with_difference,
)

if TYPE_CHECKING:
    import pandas as pd

_CORRECT, _MISTAKE = PALETTE[0], PALETTE[1]
#: Beyond the palette's seven colours, classes differ by their marker too.
_SYMBOLS = ("circle", "diamond", "square")


def distances(found: FlipPoints, *, query: int = 0, shown: int | None = None, height: int = 260) -> go.Figure:
    """Distances from one query to its flip points toward the other classes, as bars in the order of its rows.

    A class toward which none was found has no bar, and says so. Where `certify` gave lower bounds, a line across
    the bar is the distance up to which there is proved to be no flip point. A bar's custom data is its class.

    Args:
        found: flip points with targets, such as `closest(C, x, targets="all")`.
        query: which of its queries.
        shown: the class whose bar is marked; by default the nearest one.

    Raises:
        IndexError: no row belongs to that query.
        FlipPointError: rows of a change of an output, which have no other class.
    """
    check_flips(found)
    own = found[found.query == query]
    if not len(own):
        raise IndexError(f"query {query} was asked for; the flip points belong to 0 to {len(found.inputs) - 1}")
    named = [plain(name) for name in found.class_names]
    names = [named[int(j)] for j in own.targets]
    marked = int(own.targets[own.distances.argmin()]) if shown is None else shown
    figure = go.Figure(
        go.Bar(
            x=names,
            y=[d if f else None for d, f in zip(own.distances.tolist(), own.found.tolist(), strict=True)],
            marker={"color": [_MISTAKE if int(j) == marked else _CORRECT for j in own.targets]},
            customdata=[[int(j)] for j in own.targets],
            hovertemplate="class %{x}<br>distance %{y:.4g}<extra></extra>",
        )
    )
    figure.add_scatter(
        x=names,
        y=[bound if math.isfinite(bound) else None for bound in own.lower.tolist()],
        mode="markers",
        marker={"symbol": "line-ew-open", "size": 16, "color": NEUTRAL_AXIS, "line": {"width": 3}},
        hovertemplate="class %{x}<br>none nearer than %{y:.4g}<extra></extra>",
    )
    for name, there in zip(names, own.found.tolist(), strict=True):
        if not there:
            figure.add_annotation(x=name, y=0, text="none found", textangle=-90, showarrow=False, yanchor="bottom")
    title = f"From class {named[int(own.labels[0])]} to the boundary with each class"
    _lay_out(figure, title, "class", "distance", height=height)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=names)
    figure.update_yaxes(rangemode="tozero")
    return figure


def way_strip() -> FilmStrip:
    """An empty film strip for `show_way`."""
    return FilmStrip(
        height=280, accept_on_release=False, status="Drag from the query to its flip point and beyond"
    )


def show_way(strip: FilmStrip, way: Way, *, line_id: str | None = None) -> None:
    """The way from a query to its flip point and beyond on a film strip, which begins at the flip point."""
    names = way.class_names
    i, j = names[way.label], names[way.target]
    strip.show(
        way.pictures,
        positions=way.positions.tolist(),
        value_range=way.value_range,
        captions=[
            {"decision": names[int(p.argmax())], i: f"{p[way.label]:.1%}", j: f"{p[way.target]:.1%}"}
            for p in way.probabilities
        ],
        ends=(i, f"beyond the flip to {j}"),
        line_id=line_id,
        start=way.at,
    )


def flip_grid() -> SampleGrid:
    """An empty row of pictures for `show_flip`."""
    return SampleGrid(arrangement="strip", name="pictures", tile=112, empty_text="")


def show_flip(grid: SampleGrid, way: Way) -> None:
    """A query, its flip point and their difference beside each other."""
    names = way.class_names
    three, value_range = with_difference(way.pictures[[0, way.at]], way.value_range)
    labels = [f"query: {names[way.label]}", f"flip: {names[way.target]}", "difference"]
    grid.show(three, value_range=value_range, labels=labels)


def show_samples(
    grid: SampleGrid, found: FlipPoints, pictures: Float[Tensor, "rows *picture"], value_range: tuple[float, float]
) -> None:
    """A picture of each row, with the classes on both sides and the distance, the nearest first.

    Args:
        pictures: of the queries or of the flip points, in `value_range`.
    """
    names = found.class_names
    ends = zip(found.labels.tolist(), found.targets.tolist(), strict=True)
    grid.show(
        pictures,
        value_range=value_range,
        values={"distance": found.distances.tolist()},
        labels=[f"{names[i]} → {names[j]}" for i, j in ends],
        sort_by="distance",
    )


def table(found: FlipPoints, trust: Trust | None = None) -> pd.DataFrame:
    """What is told of each row: classes, distance, any proof, and of labelled inputs the right class and softmax.

    Args:
        trust: of the same rows.

    Returns:
        Numbers are rounded, and `gap` is text, to be read; `found.frame()` has them as they are.
    """
    frame = found.frame()
    if trust is not None:
        frame.insert(2, "truth", trust.frame()["truth"])
        frame.insert(4, "softmax", trust.confidence.numpy())
    empty = [name for name in ("lower", "certified") if frame[name].isna().all()]
    frame = frame.drop(columns=["violation", "outside", "found", "converged", *empty])
    frame["gap"] = [f"{gap:.1e}" for gap in frame["gap"]]
    return frame.round({"distance": 4, "softmax": 4, "angle": 4})


def trust(trust: Trust, *, height: int = 380) -> go.Figure:
    """The paper's figure 3: distance to the closest flip point against softmax, one dot an input, mistakes marked.

    Each dot's custom data begins with its row.
    """
    figure, named = go.Figure(), [plain(name) for name in trust.class_names]
    for mistakes in (False, True):
        rows = ((trust.correct != mistakes) & trust.found).nonzero()[:, 0]
        classes = (trust.labels, trust.truth, trust.closest)
        told = [[int(r), *(named[int(of[r])] for of in classes)] for r in rows]
        figure.add_scatter(
            x=trust.distances[rows].tolist(),
            y=trust.confidence[rows].tolist(),
            mode="markers",
            name=f"{'mistakes' if mistakes else 'correct'} ({len(rows)})",
            marker={
                "color": _MISTAKE if mistakes else _CORRECT,
                "size": 7 if mistakes else 4,
                "symbol": "x" if mistakes else "circle",
                "opacity": 0.9 if mistakes else 0.5,
            },
            customdata=told,
            hovertemplate=(
                "row %{customdata[0]}: read as %{customdata[1]}, is %{customdata[2]}, closest %{customdata[3]}<br>"
                "distance %{x:.4g}, softmax %{y:.4f}<extra></extra>"
            ),
        )
    title = "Trust" + _without(trust)
    _lay_out(figure, title, "distance to the closest flip point", "softmax", height=height)
    return figure


def distance_histogram(trust: Trust, *, bins: int = 40, height: int = 320) -> go.Figure:
    """Distances of correct inputs and of mistakes as two histograms, each as shares of its own group."""
    there = trust.distances[trust.found]
    top = float(there.max()) if len(there) else 1.0
    figure = go.Figure()
    for mistakes in (False, True):
        values = trust.distances[(trust.correct != mistakes) & trust.found]
        figure.add_histogram(
            x=values.tolist(),
            xbins={"start": 0, "end": top * (1 + 1e-9), "size": top / bins or 1.0},
            histnorm="probability",
            name=f"{'mistakes' if mistakes else 'correct'} ({len(values)})",
            marker={"color": _MISTAKE if mistakes else _CORRECT},
            opacity=0.65,
            hovertemplate="distance %{x}<br>share %{y:.3f}<extra></extra>",
        )
    title = "Distances of mistakes and of correct inputs" + _without(trust)
    _lay_out(figure, title, "distance to the closest flip point", "share of the group", height=height)
    figure.update_layout(barmode="overlay")
    return figure


def roc(trust: Trust, *, height: int = 380) -> go.Figure:
    """How well distance and softmax find mistakes: the share found against false alarms, with the areas.

    Raises:
        FlipPointError: no mistakes, or nothing else.
    """
    figure = go.Figure()
    lines: tuple[tuple[Measure, str, str], ...] = (
        ("distance", PALETTE[0], "solid"),
        ("softmax", PALETTE[1], "dash"),
    )
    for measure, colour, dash in lines:
        false, true, limits = trust.roc(measure)
        figure.add_scatter(
            x=false.tolist(),
            y=true.tolist(),
            mode="lines",
            name=f"{measure} (area {trust.auc(measure):.3f})",
            line={"color": colour, "dash": dash, "width": 2},
            customdata=limits.tolist(),
            hovertemplate=(
                measure + " up to %{customdata:.4g}: finds %{y:.1%} of the mistakes, %{x:.1%} false alarms"
                "<extra></extra>"
            ),
        )
    diagonal = {"color": NEUTRAL_AXIS, "dash": "dot", "width": 1}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=diagonal, hoverinfo="skip", showlegend=False)
    _lay_out(
        figure, "Finding mistakes", "share of correct inputs suspected", "share of mistakes found", height=height
    )
    return figure


def pca_scatter(directions: Directions, i: int = 0, j: int = 1, *, height: int = 420) -> go.Figure:
    """Flip directions on two of their principal components, one dot a direction, one trace a class.

    The class is that of the query, or where all directions start from one class, that beyond the boundary.
    Each dot's custom data begins with its row among the flip points.

    Args:
        i, j: components, from 0.

    Raises:
        IndexError: no such component.
    """
    count = directions.scores.shape[1]
    if not (0 <= i < count and 0 <= j < count):
        raise IndexError(f"components {i} and {j} were asked for; there are 0 to {count - 1}")
    figure, named = go.Figure(), [plain(name) for name in directions.class_names]
    alone = len(directions.labels.unique()) == 1
    classes = directions.targets if alone else directions.labels
    for k, name in enumerate(named):
        rows = classes == k
        ends = zip(directions.labels[rows].tolist(), directions.targets[rows].tolist(), strict=True)
        flips = [f"{named[i]} to {named[j] if j >= 0 else 'another'}" for i, j in ends]
        figure.add_scatter(
            x=directions.scores[rows, i].tolist(),
            y=directions.scores[rows, j].tolist(),
            mode="markers",
            name=name,
            showlegend=bool(rows.any()),
            marker={
                "color": colour_of(k),
                "symbol": _SYMBOLS[k // len(PALETTE) % len(_SYMBOLS)],
                "size": 6,
                "opacity": 0.75,
            },
            customdata=list(zip(directions.rows[rows].tolist(), flips, strict=True)),
            hovertemplate="row %{customdata[0]}: %{customdata[1]}<extra></extra>",
        )
    axes = [f"component {c + 1} ({directions.explained[c]:.1%})" for c in (i, j)]
    side = "beyond the boundary" if alone else "of the query"
    _lay_out(figure, f"Flip directions, by class {side}", *axes, height=height)
    return figure


def explained_variance(directions: Directions, *, height: int = 260) -> go.Figure:
    """Share of the directions' variance that each component explains, as bars, and their running sum."""
    shares = directions.explained
    places = list(range(1, len(shares) + 1))
    figure = go.Figure()
    figure.add_bar(
        x=places,
        y=shares.tolist(),
        name="each",
        marker={"color": PALETTE[0]},
        hovertemplate="component %{x}: %{y:.1%}<extra></extra>",
    )
    figure.add_scatter(
        x=places,
        y=shares.cumsum(0).tolist(),
        name="together",
        mode="lines+markers",
        line={"color": PALETTE[1]},
        hovertemplate="components 1 to %{x}: %{y:.1%}<extra></extra>",
    )
    _lay_out(figure, "Variance of the flip directions", "component", "share explained", height=height)
    figure.update_xaxes(dtick=max(1, len(shares) // 10))
    figure.update_yaxes(range=[0, 1.02])
    return figure


def pictures(directions: Directions, count: int = 3, *, height: int = 240) -> go.Figure:
    """The mean direction and the first components as pictures: what is added is of one colour, what is taken away
    of the other. Each has its own scale; colour channels are averaged.

    Raises:
        ValueError: inputs that are no pictures, (h, w) or (channels, h, w).
    """
    shape = tuple(directions.mean.shape)
    if len(shape) not in (2, 3):
        raise ValueError(f"the directions have shape {shape}; pictures have (h, w) or (channels, h, w)")
    shown = [directions.mean, *directions.components[:count]]
    titles = ["mean", *(f"component {k} ({share:.1%})" for k, share in enumerate(directions.explained[:count], 1))]
    figure = make_subplots(1, len(shown), subplot_titles=titles, horizontal_spacing=0.02)
    for column, picture in enumerate(shown, start=1):
        flat = picture if len(shape) == 2 else picture.mean(0)
        most = float(flat.abs().max()) or 1.0
        figure.add_heatmap(
            z=flat.tolist(),
            zmin=-most,
            zmax=most,
            colorscale=DIVERGING,
            showscale=False,
            hovertemplate="row %{y}, column %{x}: %{z:.3g}<extra></extra>",
            row=1,
            col=column,
        )
        anchor = "x" if column == 1 else f"x{column}"
        figure.update_yaxes(autorange="reversed", scaleanchor=anchor, constrain="domain", row=1, col=column)
    _lay_out(figure, "", "", "", height=height)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 36, "b": 8})
    figure.update_annotations(font={"size": 11})
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False)
    return figure


def subsets(trained: pd.DataFrame) -> go.Figure:
    """The paper's figure 4: test accuracy of networks trained on subsets, one dot a network.

    Args:
        trained: one row a network: columns `arm`, `seed`, `images` and `test_accuracy`.
    """
    figure = go.Figure()
    for arm, colour in zip(("nearest", "random", "farthest"), PALETTE, strict=False):
        own = trained[trained["arm"] == arm].sort_values("images")
        means = own.groupby("images")["test_accuracy"].mean()
        figure.add_scatter(
            x=own["images"].tolist(),
            y=own["test_accuracy"].tolist(),
            mode="markers",
            name=arm,
            legendgroup=arm,
            marker={"color": colour, "size": 7, "opacity": 0.6},
            customdata=own["seed"].tolist(),
            hovertemplate=f"{arm}, seed %{{customdata}}: %{{y:.2%}} of %{{x}} images<extra></extra>",
        )
        figure.add_scatter(
            x=means.index.tolist(),
            y=means.tolist(),
            mode="lines+markers",
            legendgroup=arm,
            showlegend=False,
            line={"color": colour, "width": 2},
            marker={"color": colour, "symbol": "line-ew-open", "size": 22, "line": {"width": 2}},
            hovertemplate=f"{arm}, mean: %{{y:.2%}}<extra></extra>",
        )
    _lay_out(figure, "Networks trained on subsets", "images trained on", "test accuracy", height=360)
    figure.update_yaxes(tickformat=".1%")
    return figure


def _lay_out(figure: go.Figure, title: str, x: str, y: str, *, height: int) -> None:
    """The house's template, with titles."""
    figure.update_layout(
        template=plotly_template(),
        height=height,
        title={"text": title},
        xaxis={"title": x},
        yaxis={"title": y},
    )


def _without(trust: Trust) -> str:
    """What a title says of the rows that a figure cannot show."""
    missing = int((~trust.found).sum())
    return f" ({missing} of {len(trust)} without a flip point are not shown)" if missing else ""
