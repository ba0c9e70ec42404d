"""The part of the panel about samples: the tree as it grows, and the baselines beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from collections.abc import Generator as Steps
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.boundaries.baselines import BASELINES
from workbench.boundaries.claims import OURS
from workbench.boundaries.explore import Exploration, Growth, explore_steps
from workbench.boundaries.sign_layer import AnyModel, BoundaryError
from workbench.boundaries.supporting_set import SupportingSet
from workbench.metrics import deviation_image
from workbench.models import Generator, Normal
from workbench.models.pictures import Pictures
from workbench.progress import Step
from workbench.ui import parts
from workbench.ui.jobs import Jobs
from workbench.ui.sample_grid import SampleGrid

#: Samples that can be asked for: all their pictures are kept, of the baselines, too.
_MOST = 5000


@dataclass(frozen=True)
class Shown:
    """Samples of one kind with their pictures.

    Attributes:
        points: (n, *point).
        pictures: (n, *picture).
        deviation: (*picture) their standard deviation, as a share of the value range.
    """

    points: Tensor
    pictures: Tensor
    deviation: Tensor

    @classmethod
    def of(
        cls,
        points: Float[Tensor, "n *point"],
        pictures: Pictures,
        drawn: Float[Tensor, "n *picture"] | None = None,
    ) -> Shown:
        """Draw the points, of which there must be some, unless they are `drawn` already."""
        drawn = pictures(points) if drawn is None else drawn
        return cls(points, drawn, deviation_image(drawn, pictures.value_range).float())


class SamplesView(widgets.VBox):
    """Grow the tree from the query inside the region, watch it, stop it, and compare its samples.

    Args:
        model: a generator or a classifier.
        jobs: runs the work.
        seed: of the tree and of the baselines.
        step, interval, samples: where the controls stand at the beginning; a step of None is automatic.
        grown: called with the tree as it stands a few times while it grows, and when it has grown.

    Attributes:
        exploration: the tree that is shown, or None while there is none.
        kinds: by name, the samples and those of the baselines that there are.
        missing: by name, why a baseline is not there.
    """

    def __init__(
        self,
        model: AnyModel,
        jobs: Jobs,
        *,
        seed: int,
        step: float | None,
        interval: float,
        samples: int,
        grown: Callable[[Exploration, bool], object],
    ) -> None:
        self.model, self._jobs, self._seed, self._grown = model, jobs, seed, grown
        self.pictures = Pictures(model)
        self.exploration: Exploration | None = None
        self.kinds: dict[str, Shown] = {}
        self.missing: dict[str, str] = {}
        self._set: SupportingSet | None = None
        self._showing = threading.RLock()  # the tree comes from the worker, the choice of a kind does not
        self._drawn: list[Tensor] = []  # pictures of the tree as it grows
        self._query_picture: Tensor | None = None
        self._count = 0  # of them in the grid
        self._build(step, interval, samples)

    # -- what it looks like --------------------------------------------------------------------

    def _build(self, step: float | None, interval: float, samples: int) -> None:
        def number(kind: Any, name: str, tooltip: str, width: int, **traits: Any) -> Any:
            return kind(
                description=name,
                tooltip=tooltip,
                layout=widgets.Layout(width=f"{width}px"),
                style={"description_width": "initial"},
                **traits,
            )

        self.step = number(
            widgets.BoundedFloatText,
            "step (0: automatic)",
            "Length of a step; 0 takes one that fits the region",
            210,
            value=step or 0,
            min=0,
            max=1e9,
            step=0.01,
        )
        self.interval = number(
            widgets.BoundedFloatText,
            "interval",
            "Half the side of the box that targets are drawn from",
            140,
            value=interval,
            min=1e-9,
            max=1e9,
            step=0.1,
        )
        self.samples = number(
            widgets.BoundedIntText, "samples", "How many are wanted", 140, value=samples, min=1, max=_MOST, step=50
        )
        for control in (self.step, self.interval, self.samples):
            control.observe(lambda _: self.grow(), names="value")
        self.again = parts.button("Grow the tree", "Grow the tree anew with these settings")
        self.again.on_click(lambda _: self.grow())
        self.controls = widgets.HBox([self.step, self.interval, self.samples, self.again], layout=parts.row())
        self.kind = widgets.ToggleButtons(
            options=[OURS, *BASELINES],
            tooltips=[
                "Samples of the tree inside the region",
                "The paper's ball around the query",
                "The paper's cube of the same volume",
                "Random directions with the tree's own distances from the query: the fair ball",
                "A tree of the same kind that accepts by a coin flip of the same rate",
            ],
            style={"button_width": "auto"},
            layout=widgets.Layout(width="auto"),
        )
        self.kind.observe(self._kind_chosen, names="value")
        self._line, self.comparison = widgets.HTML(), widgets.HTML()
        self.statistics = SampleGrid(arrangement="strip", name="statistics", tile=104, empty_text="")
        self.grid = SampleGrid(
            name="samples", multiple=False, tile=52, height=300, empty_text="The tree has not grown yet."
        )
        self.facts = widgets.HTML()
        super().__init__(
            [
                self.kind,
                self._line,
                widgets.HBox(
                    [
                        widgets.Box([self.statistics], layout=widgets.Layout(flex="0 1 340px", min_width="240px")),
                        self.comparison,
                    ],
                    layout=parts.row(),
                ),
                self.grid,
            ],
            layout=widgets.Layout(grid_gap="4px", flex="3 1 400px", min_width="320px"),
        )

    # -- what the user does --------------------------------------------------------------------

    def ask(self, supporting_set: SupportingSet | None, *, grow: bool = True) -> None:
        """Sample the region of another supporting set; None takes away what is shown."""
        self._set = supporting_set
        self._clear("The tree grows once there is a supporting set." if grow else "Press “Grow the tree”.")
        if grow:
            self._grow(follows=True)

    def options(self) -> dict[str, Any]:
        """What `explore` takes of the controls; a step only where it is not automatic."""
        chosen = {"samples": self.samples.value, "interval": self.interval.value}
        return chosen | ({"step": self.step.value} if self.step.value else {})

    def grow(self) -> None:
        """Grow the tree with the present settings."""
        self._grow(follows=False)

    def _grow(self, *, follows: bool) -> None:
        found = self._set
        if found is None:
            return
        options = self.options()

        def steps() -> Steps[Step, None, Exploration]:
            self._clear("The tree grows …")
            return (yield from explore_steps(self.model, found.query, found, seed=self._seed, **options))

        self._jobs.submit(steps, self._finished, label="Tree", on_step=self._growing, follows=follows)

    # -- what follows from it ------------------------------------------------------------------

    def _clear(self, text: str) -> None:
        with self._showing:
            self._take_away(text)

    def _take_away(self, text: str) -> None:
        self.exploration, self._drawn, self._count, self._query_picture = None, [], 0, None
        self.kinds, self.missing = {}, {}
        self.grid.clear()
        self.statistics.clear()
        self.grid.empty_text, self.facts.value, self._line.value, self.comparison.value = text, "", "", ""
        self.kind.value = OURS

    def resume(self, tree: Exploration) -> None:
        """Show a tree that has grown before, in the region that was asked for last."""
        self._finished(tree)

    def _growing(self, step: Growth) -> None:
        if step.so_far is not None:
            self._show_tree(step.so_far(), done=False)

    def _show_tree(self, tree: Exploration, *, done: bool) -> None:
        """Show the tree as it stands, unless it was taken away meanwhile; pictures are drawn without the lock."""
        drawn = self._drawn
        before = sum(map(len, drawn))
        fresh = [self.pictures(tree.samples[before:])] if len(tree.samples) > before else []
        if self._query_picture is None:
            self._query_picture = self.pictures(tree.query[None])[0]
        with self._showing:
            if drawn is not self._drawn:
                return
            drawn += fresh
            self.exploration = tree
            if self.kind.value == OURS and len(tree.samples) > self._count:
                pictures = torch.cat(drawn)[self._count :]
                values = self._values(tree.samples[self._count :], tree.query)
                self.grid.append(pictures, values, value_range=self.pictures.value_range)
                self._count = len(tree.samples)
            self.facts.value = parts.table(self._facts_of(tree))
            if done and len(tree.samples):
                self.kinds = {OURS: Shown.of(tree.samples, self.pictures, torch.cat(drawn))}
                self._show_statistics()
            elif done:
                self.grid.empty_text = f"{tree.reason[:1].upper()}{tree.reason[1:]}."
        self._grown(tree, done)

    def _finished(self, tree: Exploration) -> None:
        self._show_tree(tree, done=True)
        if self.exploration is not tree or not len(tree.samples):
            return

        def steps() -> Steps[Step, None, None]:
            for name, make in BASELINES.items():
                yield Step(len(self.kinds), len(BASELINES) + 1, name)
                try:
                    shown = Shown.of(make(self.model, tree, seed=tree.provenance.seed).points, self.pictures)
                except BoundaryError as error:
                    self.missing[name] = str(error)
                else:
                    with self._showing:
                        self.kinds[name] = shown

        self._jobs.submit(steps, lambda _: self._compared(), label="Baselines", background=True)

    def _compared(self) -> None:
        with self._showing:
            tree = self.exploration
            if tree is not None:
                self.comparison.value = parts.table(self._comparison(tree.query))
                if self.kind.value == OURS:
                    self._show_statistics()
                else:
                    self._show_kind()

    def _kind_chosen(self, _: Any) -> None:
        with self._showing:
            self._show_kind()

    def _show_kind(self) -> None:
        tree, name = self.exploration, self.kind.value
        if tree is None:
            return
        shown = self.kinds.get(name)
        if shown is None:
            waiting = "Computed as soon as the tree has grown."
            self._line.value = parts.table({name: self.missing.get(name, waiting)})
            self.grid.clear()
            self.statistics.clear()
            self.grid.empty_text = ""
            self._count = 0
            return
        self.grid.show(
            shown.pictures,
            value_range=self.pictures.value_range,
            values=self._values(shown.points, tree.query),
        )
        self._count = len(shown.points)
        self._show_statistics()

    def _show_statistics(self) -> None:
        tree, shown = self.exploration, self.kinds.get(self.kind.value)
        if tree is None or shown is None or self._query_picture is None:
            return
        self._line.value = ""
        # one scale for all kinds, so that they can be compared
        most = max(float(one.deviation.max()) for one in self.kinds.values())
        three = statistics(self._query_picture, shown, self.pictures.value_range, most)
        labels = ["query", "mean", f"deviation {float(shown.deviation.mean()):.4f}"]
        self.statistics.show(three, labels=labels)

    def _values(self, points: Tensor, query: Tensor) -> Mapping[str, Any]:
        values = {"distance": (points - query).flatten(1).norm(dim=1).tolist()}
        if isinstance(self.model, Generator):
            values["|z|"] = points.flatten(1).norm(dim=1).tolist()
        return values

    def _facts_of(self, tree: Exploration) -> dict[str, str]:
        facts = {
            "samples": f"{len(tree.samples):,} of {tree.tried:,} tries ({tree.acceptance:.0%} accepted)",
            "step": f"{tree.step:.4g}",
        }
        if len(tree.samples):
            facts["distance"] = f"{float(tree.radii.mean()):.3g} from the query on average"
            facts |= self._norms(tree)
        if tree.reason:
            facts["reason"] = tree.reason
        return facts

    def _comparison(self, query: Tensor) -> dict[str, str]:
        """The mean pixel deviation of each kind, and how far from the query its samples lie."""
        rows = {"": "pixel deviation, at mean distance"}
        for name, shown in self.kinds.items():
            distance = float((shown.points - query).flatten(1).norm(dim=1).mean())
            rows[name] = f"{float(shown.deviation.mean()):.4f}, at {distance:.3g}"
        return rows | {name: "undefined; choose it to see why" for name in self.missing}

    def _norms(self, tree: Exploration) -> dict[str, str]:
        """How far from the origin samples lie, beside where the prior's draws do."""
        if not isinstance(self.model, Generator):
            return {}
        inside = float(self.model.prior.contains(tree.samples).double().mean())
        text = f"{inside:.0%} in the prior's typical set"
        if isinstance(self.model.prior, Normal):
            low, high = self.model.prior.shell(tree.query.numel())
            norms = tree.samples.flatten(1).norm(dim=1)
            of_query = float(tree.query.norm())
            text = f"query {of_query:.3g}, samples {float(norms.mean()):.3g}; {text} ({low:.3g} to {high:.3g})"
        return {"|z|": text}

    def close(self) -> None:
        """Close every widget of the view."""
        if hasattr(self, "grid"):
            parts.close_all(self)
        super().close()


def statistics(
    query: Float[Tensor, " *picture"], shown: Shown, value_range: tuple[float, float], most: float
) -> Float[Tensor, "three *picture"]:
    """The query, the mean of samples, and their standard deviation with `most` as white, all in [0, 1]."""
    low, high = value_range
    mean = shown.pictures.mean(0)
    spread = shown.deviation / most if most > 0 else shown.deviation
    return torch.stack([(query - low) / (high - low), (mean - low) / (high - low), spread])
