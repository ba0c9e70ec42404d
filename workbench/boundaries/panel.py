"""The panel of generative boundaries: a query, what carries it in a layer, samples inside its region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from torch import Tensor

from workbench.boundaries import panel_state
from workbench.boundaries.explore import Exploration
from workbench.boundaries.panel_layers import LayersView
from workbench.boundaries.panel_plane import PlaneView
from workbench.boundaries.panel_report import describe
from workbench.boundaries.panel_samples import SamplesView
from workbench.boundaries.panel_set import SetView
from workbench.boundaries.sign_layer import (
    AnyModel,
    BoundaryError,
    dimensions,
    draws,
    point_of,
    sign_layer,
    sign_layers,
)
from workbench.boundaries.supporting_set import Sides, SupportingSet
from workbench.exports.view import ExportView
from workbench.models import Classifier, Generator, LatentClassifier, checks
from workbench.models.pictures import Pictures
from workbench.progress import Progress
from workbench.results import call
from workbench.sessions import State
from workbench.ui import parts
from workbench.ui.code_line import CodeLine
from workbench.ui.jobs import Jobs
from workbench.ui.sample_grid import SampleGrid
from workbench.ui.saving import Savable

if TYPE_CHECKING:
    from workbench.reports import Run

#: Draws of the prior to choose a query from.
_DRAWN = 60
#: Half the side of the box of targets: in latent units, and as a share of the value range of inputs.
_INTERVAL, _SHARE = 2.0, 0.1


class Panel(Savable, widgets.VBox):
    """See which boundaries of a layer carry an image, and sample inside the region that they bound.

    Choose a query among samples, or by a click in the plane of a generator with two latents. The strip shows what
    is left of it at each threshold; where it is released, the tree of samples is grown anew. Below, the plane
    with the layer's boundaries, the samples beside those of the baselines, and on demand all layers.

    Args:
        model: a generator, or a classifier (then points are its inputs).
        z: the query (*point), or several (n, *point) to choose from, the first of them the query. By default
            draws of the prior; a classifier of images or signals needs some.
        layer: the layer to begin with, by default the second with boundaries.
        seed: of everything random.
        sides: as for `wb.boundaries.supporting_set`.
        sparsity, step, interval, samples: where the controls stand at the beginning, as for `supporting_set` and
            `explore`. The interval is by default 2 for latents, and a tenth of the value range for inputs.
        height: of the large picture, in CSS pixels.

    Attributes:
        query: (*point) what is asked about; `source` is the Python expression that gives it.
        supporting_set: at the accepted threshold, or None while it is computed.
        exploration: the tree that is shown, or None while there is none.

    Raises:
        BoundaryError: a layer without boundaries, a query outside the box, or a classifier without inputs.
        ModelError, LayerError: points of another shape, no such layer.
    """

    def __init__(
        self,
        model: AnyModel,
        z: Any = None,
        layer: str | int | None = None,
        *,
        seed: int = 0,
        sides: Sides = "active",
        sparsity: float = 0.5,
        step: float | None = None,
        interval: float | None = None,
        samples: int = 200,
        height: int = 252,
    ) -> None:
        self.model, self.seed, self._sides = model, seed, sides
        self._pictures = Pictures(model)
        self._symbol = "G" if isinstance(model, Generator) else "C"
        self.points, self._sources = self._to_choose_from(z)
        self.query, self.source = self.points[0], self._sources[0]
        names = sign_layers(model)
        if not names:
            raise BoundaryError(
                f"{model.name} has no layer with boundaries: no activation such as a ReLU, and no layer that "
                "feeds a function; there is nothing to draw"
            )
        chosen = names[min(1, len(names) - 1)] if layer is None else sign_layer(model, layer).name
        if interval is None:
            latents = isinstance(model, (Generator, LatentClassifier))
            low, high = self._pictures.value_range
            interval = _INTERVAL if latents else _SHARE * (high - low)
        self.jobs, self.code = Jobs(), CodeLine()
        self.jobs.on_busy = self._busy
        self.region = SetView(
            model,
            self.jobs,
            seed=seed,
            sides=sides,
            layer=chosen,
            sparsity=sparsity,
            height=height,
            asked=self._asked,
            accepted=self._accepted,
        )
        self.samples = SamplesView(
            model,
            self.jobs,
            seed=seed,
            step=step,
            interval=interval,
            samples=samples,
            grown=self._grown,
        )
        self.plane = PlaneView(model, ask=self.ask)
        self.layers = LayersView(model, ask=self._compared, code=self._compare_lines)
        self.report = ExportView("generative-boundaries", lambda: describe(self))
        self._build()
        self.ask(self.query, self.source)

    def _to_choose_from(self, z: Any) -> tuple[Tensor, list[str]]:
        """Points to choose a query from, and the Python expression that gives each."""
        model, name = self.model, "z"
        if isinstance(model, Classifier) and not isinstance(model, LatentClassifier):
            name = "x"
            if z is None:
                raise BoundaryError(
                    f"{model.name} takes inputs, and none were given to choose a query from: "
                    "wb.boundaries.Panel(C, x) with one input or several"
                )
        given = []
        if z is not None:
            rows, shape = checks.as_tensor(z, name=name), dimensions(model)
            rows = rows[None] if tuple(rows.shape) == shape else rows
            rows = checks.as_batch(rows, shape, name=name, device=model.device, dtype=model.dtype)
            given = [point_of(model, row, name=name) for row in rows]
        sources = [name] if len(given) == 1 else [f"{name}[{i}]" for i in range(len(given))]
        drawn: list[Tensor] = []
        if name == "z":
            drawn = list(draws(model, _DRAWN, seed=self.seed))
            of = "G" if isinstance(model, Generator) else "C.generator"
            sources += [f"{of}.latents({_DRAWN}, seed={self.seed})[{i}]" for i in range(_DRAWN)]
        return torch.stack([*given, *drawn]), sources

    # -- what it looks like --------------------------------------------------------------------

    def _build(self) -> None:
        self.grid = SampleGrid(name="queries", multiple=False, tile=44, height=392)
        self.grid.show(self._pictures(self.points), value_range=self._pictures.value_range)
        self.grid.on_select(self._chosen)
        columns = widgets.Layout(flex_flow="row wrap", grid_gap="20px", align_items="flex-start")
        choose = widgets.VBox(
            [widgets.HTML("<b>Choose a query</b>"), self.grid],
            layout=widgets.Layout(flex="1 1 240px", min_width="220px", max_width="340px"),
        )
        aside = widgets.Layout(flex="0 1 300px", min_width="240px")
        more = widgets.Accordion([self.layers], selected_index=None)
        more.titles = ("Compare layers",)
        super().__init__(
            [
                widgets.HBox(
                    [choose, self.region, widgets.VBox([self.region.facts, self.samples.facts], layout=aside)],
                    layout=columns,
                ),
                self.samples.controls,
                self.jobs,
                widgets.HBox([self.plane, self.samples], layout=columns),
                self.code,
                self.report,
                more,
            ],
            layout=widgets.Layout(grid_gap="8px", width="100%"),
        )

    # -- what the user does --------------------------------------------------------------------

    def ask(self, z: Any, source: str = "panel.query") -> None:
        """Make `z` the query; `source` is the Python expression that gives it.

        Raises:
            BoundaryError, ModelError: as `wb.boundaries.supporting_set`.
        """
        self.query, self.source = point_of(self.model, z), source
        self.region.ask(self.query)
        self.on_settled()

    def resume(self, z: Tensor, source: str, found: SupportingSet, tree: Exploration | None) -> None:
        """Show a query with what was found for it before; without a tree that is grown."""
        self.query, self.source = z, source
        self.region.resume(z, found)
        self.plane.show(found)
        self.code.code = self._lines(found)
        self.samples.ask(found, grow=tree is None and not found.provenance.partial)
        if tree is not None:
            self.samples.resume(tree)

    def _chosen(self, places: Sequence[int]) -> None:
        if places:
            self.ask(self.points[places[-1]], self._sources[places[-1]])

    # -- what follows from it ------------------------------------------------------------------

    def _asked(self) -> None:
        """A new supporting set is on its way: what is shown below belongs to the one before."""
        self.samples.ask(None)
        self.code.code = ""

    def _accepted(self, found: SupportingSet) -> None:
        self.code.code = self._lines(found)
        self.plane.show(found)
        # a set that was stopped is kept, and sampled only if that is asked for
        self.samples.ask(found, grow=not found.provenance.partial)
        self.on_settled()

    def _grown(self, tree: Exploration, done: bool) -> None:
        self.plane.show_tree(tree, done=done)
        if done and self.supporting_set is not None:
            self.code.code = self._lines(self.supporting_set, tree)
            self.on_settled()

    def _busy(self, busy: bool) -> None:
        self.region.strip.busy = busy
        if not busy and self.region.found is None:
            self.region.failed(self.jobs.text)

    def _keeping(self) -> dict[str, Any]:
        """The options of `supporting_set` as the controls stand."""
        return _differing(self.seed, sparsity=self.region.sparsity.value, sides=self._sides)

    def _growing(self, seed: int) -> dict[str, Any]:
        return {"seed": seed, **self.samples.options()}

    def _lines(self, found: SupportingSet, tree: Exploration | None = None) -> str:
        """The lines that give what is shown, which may have been found with another panel's settings."""
        module, symbol = "wb.boundaries", self._symbol
        options = _differing(
            found.provenance.seed, threshold=found.threshold, sparsity=found.sparsity, sides=found.sides
        )
        kept = call(f"{module}.supporting_set", symbol, "z", repr(found.layer), **options)
        growing = self._growing(self.seed if tree is None else tree.provenance.seed)
        grown = call(f"{module}.explore", symbol, "z", "supporting_set", **growing)
        return f"z = {self.source}\nsupporting_set = {kept}\nexploration = {grown}"

    def _compared(self) -> tuple[Tensor, dict[str, Any], dict[str, Any]]:
        return self.query, self._keeping(), self._growing(self.seed)

    def _compare_lines(self) -> str:
        module, symbol = "wb.boundaries", self._symbol
        kept = call(f"{module}.supporting_set", symbol, "z", "layer", **self._keeping())
        tree = call(f"{module}.explore", symbol, "z", "kept", **self._growing(self.seed))
        return (
            f"z = {self.source}\n"
            f"sets = {{layer: {kept} for layer in {module}.sign_layers({symbol})}}\n"
            f"trees = {{layer: {tree} for layer, kept in sets.items()}}"
        )

    def export(self, folder: str | Path = "", *, progress: Progress | None = None) -> Run:
        """Write what is on screen as a report; see `workbench.exports.write`."""
        return self.report.export(folder, progress=progress)

    @property
    def supporting_set(self) -> SupportingSet | None:
        """The supporting set at the accepted threshold, or None while there is none."""
        return self.region.found

    @property
    def exploration(self) -> Exploration | None:
        """The tree that is shown, or None while there is none."""
        return self.samples.exploration

    def state(self) -> State:
        """The query with what was found for it, to be saved."""
        return panel_state.state_of(self)

    def restore(self, state: State) -> None:
        """Show what `state()` gave.

        Raises:
            BoundaryError: it does not fit this model.
        """
        panel_state.restore(self, state)

    def close(self) -> None:
        """Stop the workers and close every widget of the panel."""
        if hasattr(self, "grid"):
            self.jobs.close()
            self.plane.close()
            self.layers.close()
            self.report.close()
            parts.close_all(self)
        super().close()


def _differing(seed: int, *, threshold: float = 0.5, sparsity: float, sides: Sides) -> dict[str, Any]:
    """The options of `supporting_set` that differ from its defaults, and the seed."""
    given: dict[str, Any] = {"threshold": threshold, "sparsity": sparsity, "sides": sides}
    defaults = {"threshold": 0.5, "sparsity": 0.5, "sides": "active"}
    return {"seed": seed} | {name: value for name, value in given.items() if value != defaults[name]}
