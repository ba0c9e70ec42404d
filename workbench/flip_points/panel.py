"""The panel of flip points: one query above, the whole set below."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from torch import Tensor

from workbench.exports.view import ExportView
from workbench.flip_points import panel_state
from workbench.flip_points.closest import Effort
from workbench.flip_points.panel_query import QueryView
from workbench.flip_points.panel_report import describe
from workbench.flip_points.panel_set import SetView
from workbench.flip_points.problem import Bounds, check_bounds, check_queries, check_truth, make_space
from workbench.models import Classifier, LatentClassifier
from workbench.progress import Progress
from workbench.sessions import State
from workbench.ui import parts
from workbench.ui.saving import Savable

if TYPE_CHECKING:
    from workbench.reports import Run

#: Latents that are drawn to choose from, where none were given.
_DRAWN = 60


class Panel(Savable, widgets.VBox):
    """See where a classifier changes its mind: for one input that you draw or choose, and for a whole set.

    Draw a digit or choose an image: the film strip goes from it to its closest flip point and beyond, the bars
    show the distances to all classes (click one), and what is painted under "Keep fixed" stays as it is.
    Below, the flip points of the whole set: their principal directions, how far to trust each
    classification, a table; a lasso selects, and the samples and their mean flip follow.

    Args:
        classifier: the classifier, perhaps on a generator's latents (`C.on(G)`).
        x: (n, *input) the set, or one input; None for a blank image to draw on, or draws of the generator's
            prior.
        truth: (n,) the right classes by index, where they are known.
        effort, bounds, basis, seed: as for `wb.flip_points.closest`. The shown code has arrays by these names.

    Attributes:
        one: the view of one query, with `nearest`, `every` and `mask`.
        many: the view of the set, with `found`, `directions`, `trust` and `selected`.

    Raises:
        FlipPointError, ModelError: inputs that `closest` would refuse, or `truth` of another length or no class.
    """

    def __init__(
        self,
        classifier: Classifier,
        x: Any = None,
        truth: Any = None,
        *,
        effort: Effort = "accurate",
        bounds: Bounds = "range",
        basis: Any = None,
        seed: int = 0,
    ) -> None:
        bounds = check_bounds(bounds)
        space = make_space(classifier, bounds=bounds, basis=basis)
        self.x = check_queries(classifier, self._given(classifier, x, seed), space).to(classifier.dtype)
        if truth is not None:
            truth = check_truth(truth, len(self.x), len(classifier.class_names))
        # only what differs from `closest`'s defaults, as the shown code says no more
        differing = {} if isinstance(bounds, str) else {"bounds": bounds}
        differing |= {} if basis is None else {"basis": basis}
        settings = {**differing, "seed": seed}
        self.one = QueryView(classifier, settings=settings, effort=effort, settled=lambda: self.on_settled())
        self.many = SetView(
            classifier,
            self.x,
            truth=truth,
            settings=settings,
            ask=self.ask,
            query=lambda: (self.one.query, self.one.mask),
            settled=lambda: self.on_settled(),
        )
        self.report = ExportView("flip-points", lambda: describe(self.one, self.many, settings))
        super().__init__([self.one, self.many, self.report], layout=widgets.Layout(grid_gap="18px", width="100%"))
        self.ask(0)

    @staticmethod
    def _given(classifier: Classifier, x: Any, seed: int) -> Any:
        if x is not None:
            return x
        if isinstance(classifier, LatentClassifier):
            return classifier.generator.latents(_DRAWN, seed=seed)
        return torch.full(classifier.input_shape, classifier.value_range[0])

    def ask(self, index: int) -> None:
        """Make input `index` of the set the query."""
        self.one.ask(self.x[index], f"x[{index}]")

    def export(self, folder: str | Path = "", *, progress: Progress | None = None) -> Run:
        """Write what is on screen as a report; see `workbench.exports.write`."""
        return self.report.export(folder, progress=progress)

    @property
    def query(self) -> Tensor | None:
        """(1, *input) what is asked about, drawn or chosen."""
        return self.one.query

    @property
    def mask(self) -> Tensor | None:
        """(*input) True where the query may change; None where all of it may."""
        return self.one.mask

    def state(self) -> State:
        """The query with its flip points, and those of the set, to be saved."""
        return panel_state.state_of(self)

    def restore(self, state: State) -> None:
        """Show what `state()` gave.

        Raises:
            FlipPointError: not all of it fits this classifier and this set.
        """
        panel_state.restore(self, state)

    def close(self) -> None:
        """Stop the workers and close every widget of the panel."""
        if hasattr(self, "one"):
            self.one.close()
            self.many.close()
            self.report.close()
            parts.close_all(self)
        super().close()
