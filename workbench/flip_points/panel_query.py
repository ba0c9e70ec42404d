"""The part of the panel about one query: draw or choose it, its flip point, the way there, all classes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.flip_points import figures
from workbench.flip_points.batched import EFFORTS
from workbench.flip_points.closest import Effort, closest_steps
from workbench.flip_points.problem import FlipPointError
from workbench.flip_points.result import FlipPoints
from workbench.flip_points.way import Way, way
from workbench.models import Classifier
from workbench.models.pictures import Pictures
from workbench.results import call
from workbench.ui import parts
from workbench.ui.canvas import Canvas
from workbench.ui.code_line import CodeLine
from workbench.ui.jobs import Drawing, Jobs
from workbench.ui.plot import Plot

#: Width of the column beside the film strip, in CSS pixels.
_ASIDE = 320


@dataclass(frozen=True)
class _Seen:
    """A row of flip points, the way to it where there is one, and its facts: all that takes the network."""

    found: FlipPoints
    row: int
    way: Way | None
    facts: dict[str, str]


class QueryView(widgets.VBox):
    """Ask for the flip points of one input, and see them.

    Args:
        classifier: the classifier, perhaps on a generator's latents.
        settings: what `closest` takes besides query, targets, mask and effort.
        effort: of `closest`.
        settled: called when the query, its mask or what was found for it is another.

    Attributes:
        query: (1, *input) what is asked about; `source` is the Python expression that gives it.
        mask: (*input) True where the query may change, or None.
        nearest: the flip point on the nearest of all boundaries.
        every: the flip points toward all classes, once they are there.
        shown: the flip points and the row of them that is in sight, or None.
        way: to the flip point that is in sight, or None where there is none.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        settings: Mapping[str, Any],
        effort: Effort,
        settled: Callable[[], object],
    ) -> None:
        self.classifier, self._settings, self._settled = classifier, dict(settings), settled
        self._pictures = Pictures(classifier)
        self.query: Tensor | None = None
        self.mask: Tensor | None = None
        self.nearest: FlipPoints | None = None
        self.every: FlipPoints | None = None
        self.shown: tuple[FlipPoints, int] | None = None
        self.way: Way | None = None
        self.source = ""
        self._showing = threading.Lock()  # the worker shows what it found, the other what was chosen
        self._build(effort)

    # -- what it looks like --------------------------------------------------------------------

    def _build(self, effort: Effort) -> None:
        self.jobs = Jobs()
        self.drawing = Drawing(self.jobs.say)
        self.code = CodeLine()
        self.strip = figures.way_strip()
        self.strip.empty_text = (
            "Draw a digit, or choose an image below." if self._pictures.drawable else "Choose a picture below."
        )
        self.jobs.on_busy = lambda busy: setattr(self.strip, "busy", busy)
        self.trio = figures.flip_grid()
        self._facts = widgets.HTML()
        self.bars = Plot()
        self.bars.on_click(self.show_class)
        self.effort = parts.choice("effort", EFFORTS, width=170, value=effort)
        self.effort.observe(lambda _: self._request(), names="value")
        columns = [
            widgets.VBox(
                [self.strip, self.trio], layout=widgets.Layout(flex="3 1 380px", min_width="320px", grid_gap="4px")
            ),
            widgets.VBox(
                [self._facts, self.bars], layout=widgets.Layout(flex=f"0 1 {_ASIDE}px", min_width="240px")
            ),
        ]
        if self._pictures.drawable:
            columns.insert(0, self._canvases())
        super().__init__(
            [
                widgets.HBox(columns, layout=widgets.Layout(flex_flow="row wrap", grid_gap="20px")),
                widgets.HBox([self.effort, self.jobs], layout=parts.row()),
                self.code,
            ],
            layout=widgets.Layout(grid_gap="6px", width="100%"),
        )

    def _canvases(self) -> widgets.Widget:
        self.pen = Canvas(self._pictures.shape, "draw")
        self.cover = Canvas(self._pictures.shape, "mask", hint="What you paint stays as it is.")
        self.pen.on_draw(lambda _: self._drawn())
        self.cover.on_mask(lambda _: self._covered())
        both = widgets.Tab([self.pen, self.cover], layout=widgets.Layout(flex="0 0 auto"))
        both.titles = ("Draw", "Keep fixed")
        return both

    # -- what the user does --------------------------------------------------------------------

    def ask(self, x: Float[Tensor, " *input"], source: str) -> None:
        """Show the flip points of `x`; `source` is the Python expression that gives it."""
        self._put(x[None], source)
        self._request()

    def resume(
        self,
        query: Float[Tensor, "1 *input"],
        source: str,
        mask: Tensor | None,
        nearest: FlipPoints | None,
        every: FlipPoints | None,
    ) -> None:
        """Show a query with what was found for it before; what is missing is computed."""
        if tuple(query.shape[1:]) != self.classifier.input_shape:
            raise FlipPointError(
                f"the query has shape {tuple(query.shape[1:])}, {self.classifier.name} takes "
                f"{self.classifier.input_shape}"
            )
        self._put(query.to(self.classifier.dtype), source)
        self.mask = mask
        if mask is not None and self._pictures.drawable:
            self.cover.mask = ~mask.reshape(-1, *mask.shape[-2:])[0]
        if nearest is None:
            self._request()
        elif every is None:
            self._nearest_found(nearest)
        else:
            self.nearest = nearest
            self._show(nearest, 0)
            self._every_found(every)

    def _put(self, query: Float[Tensor, "1 *input"], source: str) -> None:
        self.query, self.source = query, source
        if self._pictures.drawable:
            picture = self._pictures(query)[0]
            self.pen.show(picture, value_range=self._pictures.value_range)
            self.cover.show(picture, value_range=self._pictures.value_range)

    def show_class(self, target: int) -> None:
        """Show the flip point toward one class; the way there is drawn behind the panel."""
        every = self.every
        if every is None:
            return
        rows = (every.targets == target).nonzero()[:, 0]

        def show(seen: _Seen) -> None:
            if self.every is every:
                self._display(seen)

        if len(rows):
            self.drawing.draw(lambda: self._look(every, int(rows[0])), show)

    def _drawn(self) -> None:
        drawn = torch.as_tensor(self.pen.image).reshape(1, *self.classifier.input_shape)
        self.query, self.source = drawn, "panel.query"
        self.cover.show(drawn[0], value_range=self._pictures.value_range)
        self._request()

    def _covered(self) -> None:
        kept = torch.as_tensor(self.cover.mask)
        self.mask = (~kept).expand(self.classifier.input_shape) if bool(kept.any()) else None
        self._request()

    # -- what follows from it ------------------------------------------------------------------

    def _request(self) -> None:
        if self.query is None:
            return
        query, options = self.query, self._options()
        self.jobs.submit(
            lambda: closest_steps(self.classifier, query, **options), self._nearest_found, label="Flip point"
        )
        self._settled()

    def _options(self) -> dict[str, Any]:
        return {**self._settings, "mask": self.mask, "effort": self.effort.value}

    def _nearest_found(self, found: FlipPoints) -> None:
        self.nearest, self.every = found, None
        self._show(found, 0)
        self._settled()
        if found.provenance.partial:  # who has pressed Cancel wants no more
            return
        query, options = self.query, self._options()
        self.jobs.submit(
            lambda: closest_steps(self.classifier, query, "all", **options),
            self._every_found,
            label="All classes",
            background=True,
        )

    def _every_found(self, found: FlipPoints) -> None:
        self.every = found
        self._settled()
        row = int(found.distances.argmin())
        nearest = self.nearest
        if nearest is not None and float(found.distances[row]) < (1 - 1e-6) * float(nearest.distances[0]):
            self._show(found, row)
        elif nearest is not None:
            self._draw_bars(int(nearest.targets[0]))

    def _show(self, found: FlipPoints, row: int) -> None:
        self._display(self._look(found, row))

    def _look(self, found: FlipPoints, row: int) -> _Seen:
        there = bool(found.found[row])
        return _Seen(found, row, way(self.classifier, found, row) if there else None, self._facts_of(found, row))

    def _display(self, seen: _Seen) -> None:
        with self._showing:
            found, row, target = seen.found, seen.row, int(seen.found.targets[seen.row])
            self.shown, self.way = (found, row), seen.way
            if seen.way is not None:
                figures.show_way(self.strip, seen.way, line_id=f"{self.source} to {seen.way.target}")
                figures.show_flip(self.trio, seen.way)
            else:
                self.strip.clear()
                self.strip.empty_text = found.reasons[row].capitalize() + "."
                self.trio.clear()
            self._facts.value = parts.table(seen.facts)
            self._draw_bars(target)
            self.code.code = self.line(str(target) if found.targeted else "")

    def _facts_of(self, found: FlipPoints, row: int) -> dict[str, str]:
        i, j = int(found.labels[row]), int(found.targets[row])
        names = found.class_names
        chance = float(self.classifier.probabilities(found.inputs[found.query[row]][None])[0, i])
        facts = {"class": f"{names[i]} ({chance:.1%})"}
        if bool(found.found[row]):
            facts |= {
                "flips to": names[j],
                "distance": f"{float(found.distances[row]):.4g}",
                "|z_i − z_j|": f"{float(found.gap[row]):.1e}",
                "angle to the normal": f"{math.degrees(float(found.angle[row])):.2g}°",
            }
        return {**facts, "status": found.reasons[row]}

    def _draw_bars(self, target: int) -> None:
        found = self.every if self.every is not None else self.nearest
        if found is None:
            return
        figure = figures.distances(found, shown=target)
        figure.update_layout(width=_ASIDE, height=270, title=None)
        self.bars.draw(figure)

    def line(self, targets: str = "", *, query: str = "", mask: str = "panel.mask") -> str:
        """The Python that finds flip points of the query.

        Args:
            targets: as it is written in the call; "" for the nearest of all boundaries.
            query, mask: the expressions that give the two.
        """
        kept = [] if self.mask is None else [f"mask={mask}"]
        arguments = ("C", query or self.source, *([targets] if targets else []), *kept)
        return call("wb.flip_points.closest", *arguments, effort=self.effort.value, **self._settings)

    def close(self) -> None:
        """Stop the workers and close every widget of the view."""
        if hasattr(self, "jobs"):
            self.jobs.close()
            self.drawing.close()
            parts.close_all(self)
        super().close()
