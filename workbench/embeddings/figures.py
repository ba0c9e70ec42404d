"""Figures of class embeddings: the map of all classes, how trials went, and what the variants do."""

from __future__ import annotations

import html
from collections.abc import Generator as Steps
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
import torch
from bokeh.layouts import row
from bokeh.models import LayoutDOM
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from workbench.embeddings.claims import ORIGINAL, REAL
from workbench.embeddings.class_map import ClassMap
from workbench.embeddings.result import EmbeddingTrials
from workbench.models import Generator
from workbench.progress import Step, run
from workbench.ui.map_plot import MapPlot
from workbench.ui.sprites import frames
from workbench.ui.theme import PALETTE, plotly_template

if TYPE_CHECKING:
    import pandas as pd

    from workbench.ui.sprites import Array

#: Classes whose pictures are drawn at once.
BATCH = 32
#: The longer side of a thumbnail, in pixels.
_SIDE = 64
#: Trials whose lines are drawn one by one.
_LINES = 20


def map_figure(
    class_map: ClassMap,
    thumbnails: Array | Mapping[int, Array] | None = None,
    samples: Array | Mapping[int, Array] | None = None,
    placed: Float[Tensor, "m 2"] | None = None,
    *,
    of: Sequence[int | None] | None = None,
    placed_names: Sequence[str] | None = None,
    placed_thumbnails: Float[Tensor, "m *picture"] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    width: int = 900,
    height: int = 640,
) -> LayoutDOM:
    """The map of all classes with a search box; figure 4.21 of the BigGAN-AM thesis.

    Thumbnails, or names where there are none, show as many as there is room for: more of them, and larger, as one
    zooms in. Hovering shows a class's name and samples.

    Args:
        thumbnails: (classes, 1 or 3, H, W), or a mapping from some classes' indices to an image each.
        samples: (classes, k, 1 or 3, H, W), or a mapping from some classes' indices to (k, 1 or 3, H, W).
        placed: where `place` put new embeddings.
        of: for each of them the class that it is an embedding of, whence an arrow leads to it, or None.
        placed_names, placed_thumbnails: of each; by default their classes' names, and none.
        value_range: values shown as black and white.
        width, height: that the figure is made for, CSS pixels; it takes the width that the page gives.

    Raises:
        ValueError: lengths that do not fit.
    """
    plot = MapPlot(
        class_map.positions,
        class_map.names,
        thumbnails=thumbnails,
        samples=samples,
        value_range=value_range,
        width=width,
        height=height,
    )
    if placed is not None:
        plot.place(placed, of=of, names=placed_names, thumbnails=placed_thumbnails)
    return plot.layout


def thumbnails(generator: Generator, embeddings: Float[Tensor, "classes width"], *, seed: int = 0) -> Tensor:
    """One picture of each embedding, all of one latent, small enough for a map.

    Returns:
        (classes, channels, height, width) uint8; of a generator of signals its outputs.
    """
    return run(thumbnail_steps(generator, embeddings, seed=seed), lambda step: None)


def thumbnail_steps(
    generator: Generator, embeddings: Float[Tensor, "classes width"], *, seed: int = 0
) -> Steps[Step, None, Tensor]:
    """`thumbnails` in steps, one a batch."""
    z = generator.latents(1, seed=seed)
    small = []
    for start in range(0, len(embeddings), BATCH):
        rows = embeddings[start : start + BATCH]
        drawn = generator.render(z.expand(len(rows), *generator.latent_shape), rows)
        if generator.kind == "image":
            pixels = frames(drawn, generator.value_range, max_side=_SIDE).transpose(0, 3, 1, 2)
            drawn = torch.from_numpy(np.ascontiguousarray(pixels))
        small.append(drawn.cpu())
        yield Step(start, len(embeddings), "pictures")
    return torch.cat(small)


def before_and_after(
    class_map: ClassMap,
    placed: Float[Tensor, "m 2"],
    of: Sequence[int],
    *,
    thumbnails: Array | Mapping[int, Array] | None = None,
    placed_thumbnails: Float[Tensor, "m *picture"] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    width: int = 560,
    height: int = 520,
) -> LayoutDOM:
    """The map before some classes were given new embeddings, and beside it after: both show the same part.

    Args:
        of: the class that each new embedding is of.

    Others as in `map_figure`.
    """
    options: dict[str, Any] = {
        "value_range": value_range,
        "width": width,
        "height": height,
        "thumbnails": thumbnails,
    }
    before = MapPlot(class_map.positions, class_map.names, title="Before", **options)
    after = MapPlot(class_map.positions, class_map.names, title="After", beside=before, **options)
    before.select(of)
    after.place(placed, of=of, thumbnails=placed_thumbnails)
    return row(before.layout, after.layout, sizing_mode="stretch_width")


def history(trials: EmbeddingTrials | None, *, height: int = 240) -> go.Figure:
    """Probability of the class and diversity by the step, one line a trial, the best one strong.

    Args:
        trials: what was found, or None for empty axes.
        height: in pixels.
    """
    figure = make_subplots(1, 2, subplot_titles=("probability of the class", "diversity"), horizontal_spacing=0.12)
    shown = 0 if trials is None else min(len(trials), _LINES)
    for column, name in ((1, "probability"), (2, "diversity")):
        for i in range(_LINES):
            # always as many traces, so that a widget can be drawn again
            values = getattr(trials, name)[:, i].tolist() if trials is not None and i < shown else []
            strong = trials is not None and i == trials.best
            figure.add_scatter(
                x=list(range(1, len(values) + 1)),
                y=values,
                mode="lines",
                line={"color": PALETTE[0] if strong else "#9aa4af", "width": 2.4 if strong else 1},
                hovertemplate=f"trial {i + 1}, step %{{x}}: %{{y:.3g}}<extra></extra>",
                showlegend=False,
                row=1,
                col=column,
            )
        figure.update_xaxes(title="step", row=1, col=column)
    figure.update_yaxes(range=[0, 1.02], row=1, col=1)
    figure.update_yaxes(rangemode="tozero", row=1, col=2)
    figure.update_layout(template=plotly_template(), height=height, margin={"l": 44, "r": 12, "t": 28, "b": 40})
    figure.update_annotations(font_size=12)
    return figure


def diversity_and_reading(table: pd.DataFrame, *, height: int = 380) -> go.Figure:
    """Table 3.1 as a plane (figure 3.1 of the thesis): diversity across, share of pictures read as the class up.

    Args:
        table: of `workbench.embeddings.claims.table_31`.
        height: in pixels.
    """
    figure = go.Figure()
    looks = {REAL: ("star", PALETTE[2]), ORIGINAL: ("square", PALETTE[1])}
    for _, one in table.iterrows():
        method = str(one["method"])
        symbol, colour = looks.get(method, ("x", PALETTE[3]) if "Noise" in method else ("circle", PALETTE[0]))
        figure.add_scatter(
            x=[one["distance"]],
            y=[one["read_by_judge"]],
            mode="markers+text",
            text=[method],
            textposition="top center",
            marker={"size": 12, "symbol": symbol, "color": colour},
            hovertemplate="%{text}: distance %{x:.3f}, read %{y:.1%}<extra></extra>",
            showlegend=False,
        )
    figure.update_layout(
        template=plotly_template(),
        height=height,
        xaxis_title="feature distance of two pictures (more diverse →)",
        yaxis={"title": "read as the class by the judge", "tickformat": ".0%", "rangemode": "tozero"},
    )
    return figure


def diversities(
    diversity: Float[Tensor, " classes"],
    names: Sequence[str],
    *,
    marked: Sequence[int] = (),
    mark: str = "marked",
    height: int = 320,
) -> go.Figure:
    """The diversity of every class beside that of its real pictures, in ascending order.

    Args:
        diversity: of each class, as a share of that of its real pictures.
        names: of the classes.
        marked: classes that get another colour.
        mark: what they are called.
        height: in pixels.
    """
    order = diversity.argsort().tolist()
    figure = go.Figure()
    for name, held, colour in (("other classes", False, PALETTE[0]), (mark, True, PALETTE[1])):
        rows = [place for place, index in enumerate(order) if (index in set(marked)) == held]
        figure.add_bar(
            x=rows,
            y=[float(diversity[order[place]]) for place in rows],
            customdata=[[html.escape(names[order[place]])] for place in rows],
            marker={"color": colour, "line": {"width": 0}},
            name=name,
            hovertemplate="%{customdata[0]}: %{y:.0%}<extra></extra>",
        )
    figure.add_hline(y=1, line={"width": 1, "dash": "dot", "color": "#656d76"})
    figure.update_layout(
        template=plotly_template(),
        height=height,
        bargap=0.1,
        xaxis_title="classes, the least diverse first",
        yaxis={"title": "diversity, of the real", "tickformat": ".0%"},
        legend={"orientation": "h", "y": 1.12},
    )
    return figure
