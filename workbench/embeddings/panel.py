"""The panel of class embeddings: the map of all classes, and the repair of the one that is chosen on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.embeddings import panel_state
from workbench.embeddings.edits import EmbeddingTable
from workbench.embeddings.panel_map import MapView
from workbench.embeddings.panel_repair import RepairView
from workbench.embeddings.panel_report import describe
from workbench.embeddings.panel_ways import WaysView
from workbench.embeddings.result import EmbeddingTrials
from workbench.embeddings.variants import EmbeddingError
from workbench.exports.view import ExportView
from workbench.models import Classifier, Generator
from workbench.progress import Progress
from workbench.sessions import State
from workbench.ui import parts
from workbench.ui.code_line import CodeLine
from workbench.ui.jobs import Jobs
from workbench.ui.saving import Savable

if TYPE_CHECKING:
    from workbench.reports import Run


class Panel(Savable, widgets.VBox):
    """See all classes of a generator on a map, and repair one by its embedding alone.

    Choose a class on the map or by name: its pictures are shown beside real ones. Search runs a variant of
    activation maximisation and shows pictures, probability and diversity as they change; before and after are
    drawn from the same latents. Keep moves the class on the map, Undo takes it back, Save writes the edited
    embeddings.

    Args:
        generator: with class embeddings.
        classifier: of its pictures; without one only noise can be tried.
        real: (n, *output) real pictures in the generator's value range, with `labels`.
        labels: (n,) their classes by index.
        class_index: the class to begin with, by index or name.
        seed: of everything random.
        trials, steps: where the controls stand at the beginning.
        height: of the map, in CSS pixels.

    Attributes:
        table: the edits (`wb.embeddings.EmbeddingTable`).
        class_index: of the class that is shown.
        trials: what was searched last for it, or None.

    Raises:
        EmbeddingError: no class embeddings, or real pictures that do not fit.
        ModelError: no such class.
    """

    def __init__(
        self,
        generator: Generator,
        classifier: Classifier | None = None,
        real: Float[Tensor, "n *output"] | None = None,
        labels: Any = None,
        *,
        class_index: int | str = 0,
        seed: int = 0,
        trials: int = 5,
        steps: int = 200,
        height: int = 520,
    ) -> None:
        self.table = EmbeddingTable(generator)
        self.generator, self.classifier, self.seed = generator, classifier, seed
        self._real = _by_class(generator, real, labels)
        self.jobs, self.code = Jobs(), CodeLine()
        self.repair = RepairView(
            generator,
            classifier,
            self.table,
            self.jobs,
            seed=seed,
            trials=trials,
            steps=steps,
            real=self._real.get,
            changed=self._edited,
            searched=self._searched,
        )
        self.ways = WaysView(generator, self.table, seed=seed)
        self.map = MapView(generator, self.table, seed=seed, height=height, ask=self.ask)
        self.report = ExportView("class-embeddings", lambda: describe(self))
        self._build()
        self.ask(class_index)

    # -- what it looks like --------------------------------------------------------------------

    def _build(self) -> None:
        self.choice = widgets.Combobox(
            options=self.table.titles,
            description="class",
            placeholder="choose by name",
            style={"description_width": "initial"},
            ensure_option=True,
            continuous_update=False,
            layout=widgets.Layout(width="260px"),
        )
        self.choice.observe(self._named, names="value")
        self.path = widgets.Text(
            value="embeddings.safetensors",
            description="file",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="260px"),
        )
        save = parts.button("Save", "Write the edited embedding matrix as safetensors")
        save.on_click(lambda _: self._saying(self._save))
        load = parts.button("Load", "Take the edits of a file, in place of those that there are")
        load.on_click(lambda _: self._saying(self._load))
        self.edited, self.said = widgets.HTML(), widgets.HTML()
        more = widgets.Accordion([self.ways], selected_index=None)
        more.titles = ("Ways between latents and classes",)
        more.observe(lambda change: self._opened(change["new"]), names="selected_index")
        super().__init__(
            [
                widgets.HBox([self.choice, self.edited], layout=parts.row()),
                widgets.HBox(
                    [self.map, self.repair.pictures_of],
                    layout=widgets.Layout(flex_flow="row wrap", grid_gap="16px", align_items="flex-start"),
                ),
                self.repair,
                parts.live_only(widgets.HBox([self.path, save, load, self.said], layout=parts.row())),
                self.code,
                self.report,
                more,
            ],
            layout=widgets.Layout(grid_gap="8px", width="100%"),
        )
        self._more = more

    # -- what the user does --------------------------------------------------------------------

    def ask(self, class_index: int | str) -> None:
        """Show a class, by index or name.

        Raises:
            ModelError: no such class.
        """
        index = self.generator.class_index(class_index)
        self.repair.ask(index)
        self.choice.value = self.table.titles[index]
        self.map.highlight(index)
        self.code.code = self.repair.code()
        self._opened(self._more.selected_index)
        self.on_settled()

    def resume(
        self,
        class_index: int,
        trials: EmbeddingTrials | None = None,
        trial: int | None = None,
        *,
        asked: dict[str, int] | None = None,
        matrix: Float[Tensor, "classes width"] | None = None,
    ) -> None:
        """Show a class with what was searched for it before, and where the edits of the table lie.

        Args:
            trials, trial, asked, matrix: as for `RepairView.resume`.
        """
        self.map.moved()
        self.ask(class_index)
        if trials is not None:
            self.repair.resume(trials, trial, asked=asked or {}, matrix=matrix)
        self._count()

    def _named(self, change: Any) -> None:
        titles = self.table.titles
        if change["new"] in titles and change["new"] != titles[self.class_index]:
            self.ask(titles.index(change["new"]))

    def _opened(self, place: int | None) -> None:
        if place is not None:
            self.ways.ask(self.class_index)

    def _save(self) -> str:
        path = self.table.save(self.path.value)
        return f"{len(self.table.changed)} edited classes written to {path}"

    def _load(self) -> str:
        self.table.load(self.path.value)
        self.resume(self.class_index)
        return f"{len(self.table.changed)} edited classes read from {Path(self.path.value).name}"

    def _saying(self, do: Any) -> None:
        try:
            text, failed = do(), False
        except (OSError, EmbeddingError) as error:
            text, failed = str(error), True
        self.said.value = parts.table({"not done" if failed else "done": text})

    # -- what follows from it ------------------------------------------------------------------

    def _searched(self) -> None:
        self.code.code = self.repair.code()
        self.on_settled()

    def _edited(self, class_index: int) -> None:
        self.on_settled()
        self.map.moved()
        self._count()
        self._opened(self._more.selected_index)

    def _count(self) -> None:
        titles = self.table.titles
        names = [titles[index] for index in self.table.changed]
        self.edited.value = parts.table({"edited": ", ".join(names)}) if names else ""

    def export(self, folder: str | Path = "", *, progress: Progress | None = None) -> Run:
        """Write what is on screen as a report; see `workbench.exports.write`."""
        return self.report.export(folder, progress=progress)

    @property
    def chosen(self) -> tuple[Generator, Tensor]:
        """The generator of the class that is shown, repaired where it was, and the code of one of its pictures:
        the one that is selected before or after, else the first.
        """
        selected = [*self.repair.after.selected, *self.repair.before.selected, 0]
        return self.table.of_class(self.class_index), self.repair.z[selected[0]]

    @property
    def class_index(self) -> int:
        """The class that is shown."""
        return self.repair.class_index

    @property
    def trials(self) -> Any:
        """What was searched last for the class, or None."""
        return self.repair.trials

    def state(self) -> State:
        """The edits, the class and what was searched for it, to be saved."""
        return panel_state.state_of(self)

    def restore(self, state: State) -> None:
        """Show what `state()` gave.

        Raises:
            EmbeddingError, ModelError: it does not fit this generator.
        """
        panel_state.restore(self, state)

    def close(self) -> None:
        """Stop the workers and close every widget of the panel."""
        if hasattr(self, "repair"):
            self.jobs.close()
            self.repair.close()
            self.ways.close()
            self.map.close()
            self.report.close()
            parts.close_all(self)
        super().close()


def _by_class(generator: Generator, real: Any, labels: Any) -> Mapping[int, Tensor]:
    """Real pictures by class.

    Raises:
        EmbeddingError: no label for each, or pictures of another shape.
    """
    if real is None:
        return {}
    images = torch.as_tensor(real)
    indices = torch.as_tensor([] if labels is None else labels).long().flatten()
    if tuple(images.shape[1:]) != generator.output_shape or len(indices) != len(images):
        raise EmbeddingError(
            f"real pictures of shape {tuple(images.shape)} with {len(indices)} labels were given; expected "
            f"(n, {', '.join(map(str, generator.output_shape))}) in the value range {generator.value_range}, and "
            "n labels"
        )
    return {int(i): images[indices == i] for i in indices.unique()}
