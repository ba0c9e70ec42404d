"""The part of the panel about one layer: its supporting set, and what stays of the query at each threshold."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator as Steps
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.boundaries import figures
from workbench.boundaries.sign_layer import AnyModel, BoundaryError, sign_layer, sign_layers
from workbench.boundaries.supporting_set import (
    Sides,
    SupportingSet,
    at_threshold,
    masked_outputs,
    supporting_set_steps,
)
from workbench.models import Classifier
from workbench.progress import Step
from workbench.ui import parts
from workbench.ui.film_strip import Accepted, FilmStrip
from workbench.ui.jobs import Jobs
from workbench.ui.sample_grid import SampleGrid

#: Frames of the strip of thresholds, at most.
_FRAMES = 41


@dataclass(frozen=True)
class _Found:
    """A supporting set, and what is left of the query at each threshold of the strip."""

    at: SupportingSet
    thresholds: list[float]
    masked: Tensor


class SetView(widgets.VBox):
    """Choose a layer and how many of its boundaries to keep, and see what they carry of the query.

    Args:
        model: a generator or a classifier.
        jobs: runs the work.
        seed, sides: as for `supporting_set`.
        layer, sparsity: where the two controls stand at the beginning.
        height: of the large picture, in CSS pixels.
        asked: called, by the worker, when a new supporting set is on its way.
        accepted: called with a supporting set when it is new or its threshold was accepted.

    Attributes:
        found: the supporting set at the accepted threshold, or None while there is none.
        thresholds: those of the strip, ascending; each keeps at least one boundary.
    """

    def __init__(
        self,
        model: AnyModel,
        jobs: Jobs,
        *,
        seed: int,
        sides: Sides,
        layer: str,
        sparsity: float,
        height: int,
        asked: Callable[[], object],
        accepted: Callable[[SupportingSet], object],
    ) -> None:
        self.model, self._jobs, self._seed, self._sides = model, jobs, seed, sides
        self._asked, self._accepted_by = asked, accepted
        self._range = None if isinstance(model, Classifier) else model.value_range
        self._names = model.class_names if isinstance(model, Classifier) else []
        self.found: SupportingSet | None = None
        self.thresholds: list[float] = []
        self._whole: SupportingSet | None = None  # that of the strip, whose threshold is changed
        self._query: Tensor | None = None
        self._build(layer, sparsity, height)

    # -- what it looks like --------------------------------------------------------------------

    def _build(self, layer: str, sparsity: float, height: int) -> None:
        self.layer = parts.choice("layer", [], width=250)
        self.layer.options = [self._option(name) for name in sign_layers(self.model)]
        self.choose(layer)
        self.sparsity = widgets.BoundedFloatText(
            value=sparsity,
            min=0,
            max=1e6,
            step=0.1,
            description="sparsity",
            layout=widgets.Layout(width="150px"),
            style={"description_width": "initial"},
        )
        for control in (self.layer, self.sparsity):
            control.observe(lambda _: self._request(), names="value")
        self.strip = FilmStrip(
            height=height,
            label="Threshold",
            status="Drag to keep fewer boundaries; release to sample the region of those that are kept",
            empty_text="The supporting set is being computed …",
        )
        self.strip.on_accept(self._released)
        self.trio = SampleGrid(arrangement="strip", name="pictures", tile=104, empty_text="")
        self.facts = widgets.HTML()
        super().__init__(
            [widgets.HBox([self.layer, self.sparsity], layout=parts.row()), self.strip, self.trio],
            layout=widgets.Layout(grid_gap="4px", flex="3 1 400px", min_width="320px"),
        )

    def _option(self, name: str) -> tuple[str, str]:
        layer = self.model.layers[name]
        return f"{name} · {layer.kind} {'×'.join(map(str, layer.shape))}", name

    # -- what the user does --------------------------------------------------------------------

    def choose(self, layer: str) -> None:
        """Choose a layer, which need not be one of the activations that are listed.

        Raises:
            LayerError, BoundaryError: no such layer, or one without boundaries.
        """
        if layer not in [name for _, name in self.layer.options]:
            self.layer.options = [*self.layer.options, self._option(sign_layer(self.model, layer).name)]
        self.layer.value = layer

    def ask(self, query: Float[Tensor, " *point"]) -> None:
        """Find the supporting set of another query."""
        self._query = query
        self._request()

    def accept(self, threshold: float) -> None:
        """Keep the boundaries above this threshold.

        Raises:
            BoundaryError: there is no supporting set yet, or the threshold keeps nothing.
        """
        if self.found is None or self._whole is None:
            raise BoundaryError("there is no supporting set yet whose threshold could be changed")
        self._settle(at_threshold(self.model, self._whole, threshold))

    def _released(self, accepted: Accepted) -> None:
        found, whole = self.found, self._whole
        if found is None or whole is None or accepted.line != self.strip.line.get("id"):
            return
        threshold = self.thresholds[accepted.index]
        if threshold == found.threshold:
            return

        def steps() -> Steps[Step, None, SupportingSet]:
            yield Step(0, None, "keeping those above")
            return at_threshold(self.model, whole, threshold)

        self._jobs.submit(steps, self._settle, label="Threshold")

    # -- what follows from it ------------------------------------------------------------------

    def _request(self) -> None:
        query, layer, sparsity = self._query, self.layer.value, self.sparsity.value
        if query is None:
            return
        self.found = None

        def steps() -> Steps[Step, None, _Found]:
            self.found = None  # again: a result may have come since
            self._asked()
            found = yield from supporting_set_steps(
                self.model, query, layer, seed=self._seed, sparsity=sparsity, sides=self._sides
            )
            at = thresholds(found)
            return _Found(found, at, masked_outputs(self.model, found, at))

        self._jobs.submit(steps, self._arrived, label="Supporting set")

    def failed(self, reason: str) -> None:
        """Say where the strip stands why there is nothing to scrub."""
        self.strip.clear()
        self.trio.clear()
        self.strip.empty_text, self.facts.value = reason, ""

    def resume(self, query: Float[Tensor, " *point"], found: SupportingSet) -> None:
        """Show a supporting set that was found before."""
        self._query = query
        at = thresholds(found)
        self._show_strip(_Found(found, at, masked_outputs(self.model, found, at)))
        self._show(found)

    def _arrived(self, arrived: _Found) -> None:
        self._show_strip(arrived)
        self._settle(arrived.at)

    def _show_strip(self, arrived: _Found) -> None:
        found, self.thresholds = arrived.at, arrived.thresholds
        self._whole = found
        figures.show_thresholds(self.strip, found, self.thresholds, arrived.masked, self._range, self._names)

    def _settle(self, found: SupportingSet) -> None:
        self._show(found)
        self._accepted_by(found)

    def _show(self, found: SupportingSet) -> None:
        self.found = found
        figures.show_kept(self.trio, found, self._range)
        self.facts.value = parts.table(self._facts_of(found))

    def _facts_of(self, found: SupportingSet) -> dict[str, str]:
        n = len(found.units)
        settled = "settled" if found.converged else "still falling slowly"
        facts = {
            "layer": f"{found.layer}, {len(found.theta):,} units",
            "boundaries kept": f"{n:,} of {found.candidates:,} ({n / found.candidates:.0%})",
            "threshold": f"{found.threshold:.4g}",
            "error": f"{found.error:.1%} of an empty layer's",
            "loss": f"{settled} after {len(found.losses)} steps",
        }
        if self._range is None:
            of_all, of_kept = (figures.decision(output, self._names) for output in (found.output, found.masked))
            facts["decision"] = f"{of_all}; kept: {of_kept}"
        return facts

    def close(self) -> None:
        """Close every widget of the view."""
        if hasattr(self, "strip"):
            parts.close_all(self)
        super().close()


def thresholds(found: SupportingSet) -> list[float]:
    """Thresholds that keep ever fewer boundaries, from all candidates to the one with the largest theta.

    Their numbers are evenly spaced in the logarithm; `found.threshold` is among them, and none keeps nothing.
    """
    theta = found.theta[found.theta > 0].double().sort(descending=True).values.cpu()
    ends = torch.cat([theta[1:], theta.new_zeros(1)])
    by_kept = {len(found.units): found.threshold}
    for count in np.unique(np.geomspace(len(theta), 1, _FRAMES).round().astype(int)):
        low, high = float(ends[count - 1]), float(theta[count - 1])
        if low < high:  # else units with the same theta stay or go together
            middle = (low + high) / 2
            short = next((r for r in (round(middle, d) for d in (2, 3, 4)) if low <= r < high), middle)
            by_kept.setdefault(int((found.theta > short).sum()), short)
    return sorted(p for n, p in by_kept.items() if n)
