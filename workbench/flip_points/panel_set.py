"""The part of the panel about many flip points: their principal directions, trust, a table, linked samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import torch
from itables.widget import ITable
from jaxtyping import Float, Int
from torch import Tensor

from workbench.flip_points import figures
from workbench.flip_points.batched import EFFORTS
from workbench.flip_points.closest import boundary_points_steps, closest_steps
from workbench.flip_points.directions import Directions, directions
from workbench.flip_points.problem import FlipPointError
from workbench.flip_points.result import SKIPPED, FlipPoints
from workbench.flip_points.trust import Trust, trust
from workbench.models import Classifier
from workbench.models.pictures import Pictures
from workbench.results import call
from workbench.ui import parts
from workbench.ui.code_line import CodeLine
from workbench.ui.jobs import Drawing, Jobs
from workbench.ui.plot import Plot
from workbench.ui.sample_grid import SampleGrid
from workbench.ui.shared_module import SharedModule
from workbench.ui.theme import diverging, with_difference

#: Principal components that are computed, and those whose pictures are shown.
_COMPONENTS, _SHOWN = 8, 4
#: Size of the plots in CSS pixels; in a tab that is not in sight Plotly cannot find one itself.
_PLOT = {"width": 640, "height": 420}
#: Boundary points around one query.
_AROUND = 200


#: DataTables keeps every table, with all its rows, until it is destroyed, and itables' views leave theirs behind.
_CLEAN = """
const { dataTable } = window.$.fn;
export const clean = (el) => {
  for (const table of dataTable.tables()) if (el.contains(table)) new dataTable.Api(table).destroy();
};
"""


class _Table(SharedModule, ITable):
    _source, _style_sheet, _css = f"{ITable._esm}{_CLEAN}", str(ITable._css), ""


class SetView(widgets.VBox):
    """Flip points of a whole set, or many around one query: select some, see their images and mean flip.

    Args:
        classifier: the classifier.
        x: (n, *input) the set.
        truth: (n,) the right classes, or None where they are not known.
        settings: what `closest` takes besides query, targets, mask and effort.
        ask: called with the index of an input that the user chose.
        query: gives the present query (1, *input), or None, and the mask of what may change in it, or None.
        settled: called when other flip points are shown.

    Attributes:
        found: the flip points that are shown, one row a point of the plots.
        directions: their principal directions.
        trust: distance beside confidence, where the right classes are known.
        selected: rows that are selected, all when none is.
        around_query: whether they lie around one query rather than being those of the set.
        mask: of what could change, for the boundary points that are shown, or None.
    """

    def __init__(
        self,
        classifier: Classifier,
        x: Float[Tensor, "n *input"],
        *,
        truth: Int[Tensor, " n"] | None,
        settings: Mapping[str, Any],
        ask: Callable[[int], object],
        query: Callable[[], tuple[Tensor | None, Tensor | None]],
        settled: Callable[[], object],
    ) -> None:
        self.classifier, self.x, self.truth = classifier, x, truth
        self._settings, self._ask, self._query, self._settled = dict(settings), ask, query, settled
        self._pictures = Pictures(classifier)
        self.found: FlipPoints | None = None
        self.directions: Directions | None = None
        self.trust: Trust | None = None
        self.selected: list[int] = []
        self.around_query = self._setting = False
        self.mask: Tensor | None = None
        self._build()
        self._show_images()

    # -- what it looks like --------------------------------------------------------------------

    def _build(self) -> None:
        self.jobs, self.code = Jobs(), CodeLine(layout={"display": "none"})
        self.drawing = Drawing(self.jobs.say)
        count = f"all {len(self.x):,}" if len(self.x) > 1 else "this one"
        self.analyse = parts.button(f"Flip points of {count}", "Find the flip point of every input of the set")
        self.analyse.on_click(lambda _: self.find_all())
        self.around = parts.button("Boundary around the query", f"Find {_AROUND} boundary points around the query")
        self.around.on_click(lambda _: self.find_around())
        self.effort = parts.choice("effort", EFFORTS, width=170)
        self.scatter = Plot()
        self.axes = [parts.choice(name, [], width=130) for name in ("x", "y")]
        for axis in self.axes:
            axis.observe(lambda _: self._draw_scatter(), names="value")
        self.means = SampleGrid(arrangement="strip", name="directions", tile=88, empty_text="")
        self.trust_plot = Plot()
        for plot in (self.scatter, self.trust_plot):
            plot.on_select(self.select)
            plot.on_click(self._row_chosen)
        self._trust_facts = widgets.HTML()
        self.table = _Table(
            select=True,
            maxBytes=0,
            showIndex=False,
            classes="display compact",
            style="table-layout:auto;width:100%",  # else what is to be said of a row is a narrow column
            autoWidth=False,
        )
        self.table.observe(self._table_row_chosen, names="selected_rows")
        self.tabs = widgets.Tab(
            [
                widgets.HBox(
                    [
                        widgets.VBox([widgets.HBox(self.axes, layout=parts.row()), self.scatter]),
                        widgets.VBox([self.means], layout=widgets.Layout(flex="1 1 300px", min_width="240px")),
                    ],
                    layout=widgets.Layout(flex_flow="row wrap", grid_gap="20px"),
                ),
                widgets.VBox([self._trust_facts, self.trust_plot]),
                self.table,
            ],
            layout=widgets.Layout(display="none"),
        )
        self.tabs.titles = ("Directions (PCA)", "Trust", "Table")
        self._selection = widgets.HTML()
        self._everything = parts.button("Show all", "Undo the selection")
        self._everything.on_click(lambda _: self._show_everything())
        self._everything.layout.display = "none"
        self.selection_means = SampleGrid(arrangement="strip", name="means", tile=104)
        self.selection_means.layout.display = "none"
        self.grid = SampleGrid(name="inputs", multiple=False, height=300)
        self.grid.on_select(self._grid_chosen)
        super().__init__(
            [
                widgets.HBox([self.analyse, self.around, self.effort, self.jobs], layout=parts.row()),
                self.code,
                self.tabs,
                widgets.HBox([self._selection, self._everything], layout=parts.row()),
                self.selection_means,
                self.grid,
            ],
            layout=widgets.Layout(grid_gap="6px", width="100%"),
        )

    # -- what the user does --------------------------------------------------------------------

    def find_all(self) -> None:
        """Find the flip point of every input of the set; what there is stays when it is stopped."""
        effort = self.effort.value

        def done(found: FlipPoints) -> None:
            code = call("wb.flip_points.closest", "C", "x", effort=effort, **self._settings)
            self.take(found, around=False, code=code)
            self._settled()

        self.jobs.submit(
            lambda: closest_steps(self.classifier, self.x, effort=effort, **self._settings),
            done,
            label="Flip points",
        )

    def find_around(self) -> None:
        """Find many boundary points around the present query."""
        query, mask = self._query()
        if query is None:
            self.jobs.say("There is no query yet: choose or draw one above.")
            return
        effort = self.effort.value
        kept = [] if mask is None else ["mask=panel.mask"]

        def done(found: FlipPoints) -> None:
            arguments = ("C", "panel.query", str(_AROUND), *kept)
            code = call("wb.flip_points.boundary_points", *arguments, effort=effort, **self._settings)
            self.take(found, around=True, code=code, mask=mask)
            self._settled()

        self.jobs.submit(
            lambda: boundary_points_steps(
                self.classifier, query, _AROUND, effort=effort, mask=mask, **self._settings
            ),
            done,
            label="Boundary points",
        )

    def take(self, found: FlipPoints, *, around: bool, code: str, mask: Tensor | None = None) -> None:
        """Show flip points that are there: those of the set, or `around` one query; `code` gives them."""
        self.around_query, self.mask = around, mask
        self._show(found)
        self.code.code = code

    def select(self, rows: Sequence[int]) -> None:
        """Show only these rows' samples below, with their mean flip; none of them shows all."""
        self.selected = sorted(rows)
        self._everything.layout.display = None if self.selected else "none"
        self.grid.filter(self.selected or None)
        self._show_selection()

    def _show_everything(self) -> None:
        for plot in (self.scatter, self.trust_plot):
            plot.unselect()
        self.select([])

    # -- what follows from it ------------------------------------------------------------------

    def _show(self, found: FlipPoints) -> None:
        self.found, self.selected = found, []
        self.tabs.layout.display = self.code.layout.display = None
        try:
            self.directions = directions(found, _COMPONENTS)
        except FlipPointError:  # fewer than two, or all the same
            self.directions = None
        self.scatter.layout.display = None if self.directions is not None else "none"
        names = [] if self.directions is None else [str(k + 1) for k in range(len(self.directions.components))]
        self._setting = True
        for place, axis in enumerate(self.axes):
            axis.options = [(name, k) for k, name in enumerate(names)]
            axis.value = min(place, len(names) - 1) if names else None
        self._setting = False
        self._draw_scatter()
        self._show_components()
        self._show_trust(found)
        self.table.update(figures.table(found, self.trust), selected_rows=[])  # of other rows, by the browser
        self._show_images()
        self.select([])

    def _draw_scatter(self) -> None:
        i, j = (axis.value for axis in self.axes)
        if self._setting or self.directions is None or i is None or j is None:
            return
        figure = figures.pca_scatter(self.directions, i, j)
        figure.update_layout(**_PLOT, dragmode="lasso")
        self.scatter.draw(figure)

    def _show_trust(self, found: FlipPoints) -> None:
        self.trust = None
        if self.around_query or self.truth is None:
            self.trust_plot.layout.display = "none"  # the rows of an earlier one are no longer these
            missing = "Give the right classes, wb.flip_points.Panel(C, x, truth=y), and find all flip points."
            if self.truth is not None:
                missing = "This is about the whole set: find all flip points."
            self._trust_facts.value = parts.table({"trust": missing})
            return
        self.trust_plot.layout.display = None
        self.trust = trust(self.classifier, self.x, self.truth, found)
        self._trust_facts.value = parts.table(self._facts_of(self.trust))
        figure = figures.trust(self.trust)
        figure.update_layout(**_PLOT, dragmode="lasso")
        self.trust_plot.draw(figure)

    def _show_components(self) -> None:
        found = self.directions
        if found is None or not self._pictures.drawable:
            self.means.clear()
            return
        shown = torch.stack([found.mean, *found.components[:_SHOWN]]).float()
        names = [f"{k + 1}: {share:.0%}" for k, share in enumerate(found.explained.tolist()[:_SHOWN])]
        coloured = torch.stack([diverging(one.mean(0), float(one.abs().max())) for one in shown])
        self.means.show(coloured, labels=["mean flip", *names])

    def _show_images(self) -> None:
        """All samples: the set's inputs, or the boundary points around the query."""
        found, value_range = self.found, self._pictures.value_range
        if found is None:
            names = self.classifier.class_names
            labels = [] if self.truth is None else [names[int(t)] for t in self.truth]
            self.grid.show(self._pictures(self.x), value_range=value_range, labels=labels)
        else:
            inputs = found.points if self.around_query else found.inputs
            figures.show_samples(self.grid, found, self._pictures(inputs), value_range)

    def _show_selection(self) -> None:
        found, selected = self.found, self.selected
        if found is None or not selected:
            self._selection.value = ""
            self.selection_means.layout.display = "none"
            return
        some = found[torch.tensor(selected)]
        some = some[some.found]
        what = "boundary points" if self.around_query else "inputs"
        self._selection.value = f"{len(selected)} of {len(found)} {what} selected, with their mean:"
        self.selection_means.layout.display = None if len(some) else "none"

        def draw() -> Tensor:
            means = [self._pictures(points).mean(0) for points in (some.inputs[some.query], some.points)]
            return torch.stack(means)

        def show(means: Tensor) -> None:
            if self.selected is selected:
                three, value_range = with_difference(means, self._pictures.value_range)
                labels = ["queries", "flip points", "difference"]
                self.selection_means.show(three, value_range=value_range, labels=labels)

        if len(some):
            self.drawing.draw(draw, show)

    def _facts_of(self, found: Trust) -> dict[str, str]:
        facts = {"inputs": str(found)}
        tried = found[found.status != SKIPPED]
        if 0 < int(tried.correct.sum()) < len(tried):
            facts["distance finds mistakes"] = f"area under ROC {tried.auc('distance'):.3f}"
            facts["softmax finds mistakes"] = f"area under ROC {tried.auc('softmax'):.3f}"
        if bool((~tried.correct & tried.found).any()):
            facts["closest class"] = f"is the right one for {float(tried.alternative):.0%} of the mistakes"
        return facts

    # -- what is chosen ------------------------------------------------------------------------

    def _grid_chosen(self, places: Sequence[int]) -> None:
        if places:
            self._row_chosen(places[-1])

    def _table_row_chosen(self, change: Mapping[str, Any]) -> None:
        if change["new"] and self.found is not None and 0 <= change["new"][-1] < len(self.found):
            self._row_chosen(change["new"][-1])

    def _row_chosen(self, row: int) -> None:
        if not self.around_query:
            self._ask(row)

    def close(self) -> None:
        """Stop the workers and close every widget of the view."""
        if hasattr(self, "jobs"):
            self.jobs.close()
            self.drawing.close()
            parts.close_all(self)
        super().close()
