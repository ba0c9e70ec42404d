"""Figures of class embeddings: how trials went, and what the variants do to diversity and reading."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from workbench.embeddings.claims import ORIGINAL, REAL
from workbench.embeddings.result import EmbeddingTrials
from workbench.ui.theme import PALETTE, plotly_template

if TYPE_CHECKING:
    import pandas as pd

#: Trials whose lines are drawn one by one.
_LINES = 20


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
    for _, row in table.iterrows():
        method = str(row["method"])
        symbol, colour = looks.get(method, ("x", PALETTE[3]) if "Noise" in method else ("circle", PALETTE[0]))
        figure.add_scatter(
            x=[row["distance"]],
            y=[row["read_by_judge"]],
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
