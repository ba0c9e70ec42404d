"""The part of the panel that compares layers (the paper's figure 6): a tree in each, and its samples' spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Generator as Steps
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.boundaries import figures
from workbench.boundaries.explore import Exploration, explore_steps
from workbench.boundaries.panel_samples import Shown, statistics
from workbench.boundaries.sign_layer import AnyModel, BoundaryError, sign_layers
from workbench.boundaries.supporting_set import SupportingSet, supporting_set_steps
from workbench.models.pictures import Pictures
from workbench.progress import Cancelled, R, Step, stop
from workbench.ui import parts
from workbench.ui.code_line import CodeLine
from workbench.ui.jobs import Jobs
from workbench.ui.sample_grid import SampleGrid


@dataclass(frozen=True)
class LayerSamples:
    """What one layer gave, or why it gave nothing."""

    layer: str
    found: SupportingSet | None = None
    tree: Exploration | None = None
    shown: Shown | None = None
    reason: str = ""


class LayersView(widgets.VBox):
    """Press the button: in every layer the supporting set, a tree of the same size, its samples and their spread.

    Args:
        model: a generator or a classifier.
        ask: gives the query, the options of `supporting_set` and those of `explore`.
        code: gives the lines of Python for what is shown.

    Attributes:
        results: what the layers gave, in their order.
        asked: what they were asked, as `ask` gave it, or None before that.
    """

    def __init__(
        self,
        model: AnyModel,
        *,
        ask: Callable[[], tuple[Tensor, Mapping[str, Any], Mapping[str, Any]]],
        code: Callable[[], str],
    ) -> None:
        self.model, self._ask, self._code = model, ask, code
        self._pictures = Pictures(model)
        self.results: list[LayerSamples] = []
        self.asked: tuple[Tensor, Mapping[str, Any], Mapping[str, Any]] | None = None
        self.jobs, self.code = Jobs(), CodeLine(layout={"display": "none"})
        self.start = parts.button("Compare layers", "Grow a tree of the same size in every layer")
        self.start.on_click(lambda _: self.compare())
        self.rows = widgets.VBox(layout=widgets.Layout(grid_gap="10px"))
        super().__init__(
            [widgets.HBox([self.start, self.jobs], layout=parts.row()), self.code, self.rows],
            layout=widgets.Layout(grid_gap="6px", width="100%"),
        )

    def compare(self) -> None:
        """Compare the layers for the present query; Cancel keeps the layers that are done."""
        query, keeping, growing = self._ask()
        code = self._code()

        def done(results: list[LayerSamples]) -> None:
            self.results, self.asked = results, (query, keeping, growing)
            self._show()
            self.code.code, self.code.layout.display = code, None

        self.jobs.submit(lambda: self._steps(query, keeping, growing), done, label="Layers")

    def _steps(
        self, query: Tensor, keeping: Mapping[str, Any], growing: Mapping[str, Any]
    ) -> Steps[Step, None, list[LayerSamples]]:
        results: list[LayerSamples] = []
        names = sign_layers(self.model)
        for place, layer in enumerate(names):
            at = Step(place, len(names), f"{layer}, layer")
            try:
                found = yield from _part(supporting_set_steps(self.model, query, layer, **keeping), at)
                if found.provenance.partial:
                    break
                tree = yield from _part(explore_steps(self.model, query, found, **growing), at)
            except BoundaryError as error:
                results.append(LayerSamples(layer, reason=str(error)))
                continue
            except Cancelled:
                break
            shown = Shown.of(tree.samples, self._pictures) if len(tree.samples) else None
            results.append(LayerSamples(layer, found, tree, shown, tree.reason))
            if tree.provenance.partial:
                break
        return results

    def _show(self) -> None:
        most = max((float(r.shown.deviation.max()) for r in self.results if r.shown is not None), default=0.0)
        parts.replace(self.rows, [self._row(result, most) for result in self.results])

    def _row(self, result: LayerSamples, most: float) -> widgets.Widget:
        facts = widgets.HTML(
            parts.table(facts_of(result)), layout=widgets.Layout(flex="0 0 260px", min_width="240px")
        )
        children: list[widgets.Widget] = [facts]
        if result.shown is not None and result.tree is not None:
            strip = SampleGrid(arrangement="strip", name=f"samples of layer {result.layer}", tile=72)
            own = statistics(self._query_picture(result.tree), result.shown, self._pictures.value_range, most)
            low, high = self._pictures.value_range
            some = (figures.few(result.shown.pictures) - low) / (high - low)
            strip.show(torch.cat([own[1:], some]), labels=["mean", "deviation", *[""] * len(some)])
            children.append(widgets.Box([strip], layout=widgets.Layout(flex="1 1 400px", min_width="300px")))
        return widgets.HBox(children, layout=parts.row())

    def _query_picture(self, tree: Exploration) -> Float[Tensor, " *picture"]:
        return self._pictures(tree.query[None])[0]

    def close(self) -> None:
        """Stop the worker and close every widget of the view."""
        if hasattr(self, "rows"):
            self.jobs.close()
            parts.close_all(self)
        super().close()


def _part(steps: Steps[Step, None, R], at: Step) -> Steps[Step, None, R]:
    """A method as one part of a longer one: its steps are told as `at`."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        try:
            yield at
        except Cancelled:
            return stop(steps, step)


def facts_of(result: LayerSamples) -> dict[str, str]:
    """The numbers of one layer."""
    facts = {"layer": result.layer}
    if result.found is not None:
        facts["boundaries"] = f"{len(result.found.units):,} of {result.found.candidates:,}"
        facts["error"] = f"{result.found.error:.1%}"
    if result.tree is not None and result.shown is not None:
        facts["distance"] = f"{float(result.tree.radii.mean()):.3g}"
        facts["accepted"] = f"{len(result.tree.samples):,}, {result.tree.acceptance:.0%} of the tries"
        facts["deviation"] = f"{float(result.shown.deviation.mean()):.4f}"
    else:
        facts["reason"] = result.reason
    return facts
