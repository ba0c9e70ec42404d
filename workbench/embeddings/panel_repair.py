"""The part of the panel that repairs a class: run a variant, watch it, compare before and after, keep or undo."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Generator as Steps
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.embeddings import figures
from workbench.embeddings.edits import EmbeddingTable
from workbench.embeddings.maximize import Maximised, maximize_steps
from workbench.embeddings.noise import NOISES, noise
from workbench.embeddings.objective import embeddings_of
from workbench.embeddings.result import EmbeddingTrials
from workbench.embeddings.variants import VARIANTS
from workbench.metrics import pixel_difference
from workbench.models import Classifier, Generator
from workbench.models.latent import pictures_for
from workbench.progress import Step
from workbench.results import call
from workbench.ui import parts
from workbench.ui.jobs import Drawing, Jobs
from workbench.ui.plot import Plot
from workbench.ui.sample_grid import SampleGrid

#: Pictures of a class that are compared, under the same latents before and after.
SHOWN = 24


@dataclass(frozen=True)
class _Drawn:
    """What is shown of a class: the embeddings before and after, by these names, their pictures, and the facts."""

    class_index: int
    trials: EmbeddingTrials | None
    rows: dict[str, Tensor]
    pictures: dict[str, Tensor]
    facts: str


class RepairView(widgets.VBox):
    """Search another embedding for the chosen class, and see what it does to the same latents.

    Args:
        generator: with class embeddings.
        classifier: of its pictures; without one only noise can be tried.
        table: the edits, which Keep adds to.
        jobs: runs the work.
        seed: of the trials and of the latents that are shown.
        trials, steps: where the controls stand at the beginning.
        real: gives the real pictures of a class, or None.
        changed: called when an edit was kept or undone, with its class.
        searched: called when the code that is shown has changed.

    Attributes:
        class_index: of the class that is shown.
        trials: what was searched last for it, or None.
        asked: how many trials and steps that took.
        matrix: (classes, width) the embeddings that it was searched in.
    """

    def __init__(
        self,
        generator: Generator,
        classifier: Classifier | None,
        table: EmbeddingTable,
        jobs: Jobs,
        *,
        seed: int,
        trials: int,
        steps: int,
        real: Callable[[int], Tensor | None],
        changed: Callable[[int], object],
        searched: Callable[[], object],
    ) -> None:
        self._generator, self._classifier, self._table, self._jobs = generator, classifier, table, jobs
        self._seed, self._real, self._changed, self._searched = seed, real, changed, searched
        self.class_index = 0
        self.trials: EmbeddingTrials | None = None
        self.asked: dict[str, int] = {}
        self.matrix = table.original
        self.z = generator.latents(SHOWN, seed=seed)
        self._drawn: _Drawn | None = None  # what is in sight, None while another class is drawn
        self._setting = False  # the trials that can be chosen are being set
        self.drawing = Drawing(jobs.say)
        self._showing = threading.RLock()
        self._build(trials, steps)

    # -- what it looks like --------------------------------------------------------------------

    def _build(self, trials: int, steps: int) -> None:
        names = [name for name in VARIANTS if name != "Top-5"] if self._classifier is not None else []

        def number(name: str, value: int, most: int, tooltip: str) -> widgets.BoundedIntText:
            return widgets.BoundedIntText(
                value=value,
                min=1,
                max=most,
                description=name,
                tooltip=tooltip,
                layout=widgets.Layout(width="130px"),
                style={"description_width": "initial"},
            )

        self.variant = parts.choice("variant", [*names, *NOISES], width=190)
        if "AM-L" in names:
            self.variant.value = "AM-L"
        self.count = number("trials", trials, 20, "Embeddings that are searched for at once")
        self.steps = number("steps", steps, 10_000, "Steps of Adam")
        self.start = parts.button("Search", "Search embeddings for the chosen class; the generator stays as it is")
        self.start.button_style = "primary"
        self.start.on_click(lambda _: self.search())
        self.keep = parts.button("Keep", "Use this embedding for the class from now on")
        self.keep.on_click(lambda _: self._keep())
        self.undo = parts.button("Undo", "Take back what was kept last")
        self.undo.on_click(lambda _: self._undo())
        self.trial = widgets.ToggleButtons(options=[], style={"button_width": "auto"})
        self.trial.observe(lambda _: self._show_trial(), names="value")
        self.plot = Plot(layout=widgets.Layout(min_height="230px", width="100%"))
        grids: dict[str, Any] = {"tile": 40, "height": 140, "multiple": False}
        self.before = SampleGrid(name="before", empty_text="Choose a class on the map.", **grids)
        self.after = SampleGrid(name="after", empty_text="Press “Search”.", **grids)
        self.real = SampleGrid(name="real", empty_text="No real pictures were given.", **grids)
        self.facts = widgets.HTML()
        box = widgets.Layout(width="100%", grid_gap="0")
        shown = ((self.before, "Before"), (self.after, "After, same latents"), (self.real, "Real"))
        #: The pictures before and after, and real ones: shown beside the map.
        self.pictures_of = widgets.VBox(
            [widgets.VBox([widgets.HTML(f"<b>{title}</b>"), grid], layout=box) for grid, title in shown],
            layout=widgets.Layout(flex="2 1 380px", min_width="300px", grid_gap="4px"),
        )
        super().__init__(
            [
                widgets.HBox(
                    [self.variant, self.count, self.steps, self.start, self.keep, self.undo], layout=parts.row()
                ),
                self._jobs,
                self.trial,
                widgets.HBox(
                    [
                        widgets.Box([self.plot], layout=widgets.Layout(flex="2 1 360px", min_width="280px")),
                        widgets.Box([self.facts], layout=widgets.Layout(flex="1 1 260px", min_width="220px")),
                    ],
                    layout=widgets.Layout(flex_flow="row wrap", grid_gap="14px"),
                ),
            ],
            layout=widgets.Layout(grid_gap="6px", width="100%"),
        )
        self.plot.draw(figures.history(None))
        self._enable()

    def _enable(self) -> None:
        self.keep.disabled = self.trials is None
        self.undo.disabled = not self._table.edits

    # -- what the user does --------------------------------------------------------------------

    def ask(self, class_index: int) -> None:
        """Make a class the one to repair; its pictures are drawn behind the panel."""
        self._jobs.cancel(keep=False)
        with self._showing:
            self.class_index, self.trials, self._drawn = class_index, None, None
            self._set_trials([])
            self._enable()
        self.drawing.draw(self._draw_class, self._put)

    def search(self) -> None:
        """Run the chosen variant for the class."""
        index, name = self.class_index, self.variant.value
        asked = {"trials": self.count.value, "steps": self.steps.value}
        edited = self._table.generator()
        matrix = embeddings_of(edited)

        def steps() -> Steps[Step, None, EmbeddingTrials]:
            if name in NOISES or self._classifier is None:
                yield Step(0, 1, name)
                return noise(edited, index, name, seed=self._seed, trials=asked["trials"])
            return (yield from maximize_steps(edited, self._classifier, index, name, seed=self._seed, **asked))

        def show(step: Step) -> None:
            if isinstance(step, Maximised) and step.so_far is not None:
                self._show(step.so_far(), asked, matrix)

        done = lambda found: self._finished(found, asked, matrix)  # noqa: E731
        self._jobs.submit(steps, done, label=name, on_step=show)

    def code(self, *, generator: str = "", class_name: str = "", variant: str = "") -> str:
        """The line of Python that does what was searched last, or that Search would do.

        Args:
            generator, class_name, variant: expressions that give these; by default what they are, G with the
                embeddings that it was searched in.
        """
        found = self.trials
        named = self.variant.value if found is None else found.variant
        present = {"trials": self.count.value, "steps": self.steps.value}
        options = {"seed": self._seed, **(present if found is None else self.asked or present)}
        index = class_name or repr(self._table.key(self.class_index))
        if not generator:
            edited = bool(self._table.edits) if found is None else self.edited
            where = "table" if found is None else "repair"
            generator = f"G.with_embeddings(panel.{where}.matrix)" if edited else "G"
        if named in NOISES:
            del options["steps"]
            called = call("wb.embeddings.noise", generator, index, variant or repr(named), **options)
        else:
            called = call("wb.embeddings.maximize", generator, "C", index, variant or repr(named), **options)
        return f"trials = {called}"

    def _keep(self) -> None:
        with self._showing:
            if self.trials is None:
                return
            self._table.keep(self.class_index, self._chosen(), source=self.trials.provenance.call)
            self._enable()
        self._changed(self.class_index)

    def _undo(self) -> None:
        with self._showing:
            edit = self._table.undo()
            if edit is None:
                return
            self._enable()
        self._changed(edit.class_index)

    # -- what follows from it ------------------------------------------------------------------

    @property
    def edited(self) -> bool:
        """Whether the embeddings that it was searched in are others than the generator's own."""
        return not torch.equal(self.matrix, self._table.original)

    @property
    def place(self) -> int:
        """Which trial is shown."""
        assert self.trials is not None
        return self.trials.best if self.trial.index is None else self.trial.index

    def _chosen(self) -> Float[Tensor, " width"]:
        assert self.trials is not None
        return self.trials.embeddings[self.place]

    def pictures(self, row: Float[Tensor, " width"]) -> Float[Tensor, "n *output"]:
        """The pictures of an embedding under the latents that are shown."""
        return self._generator.render(self.z, row)

    def _set_trials(self, names: list[str], best: int = 0) -> None:
        self._setting = True
        try:
            self.trial.options = names
            if names:
                self.trial.index = best
        finally:
            self._setting = False

    def _draw_class(self) -> _Drawn:
        """Take away what is shown of another class, and draw this one."""
        with self._showing:
            if self._drawn is None:
                self.before.clear()
                self.after.clear()
                self.plot.draw(figures.history(None))
            real = self._real(self.class_index)
            if real is None or not len(real):
                self.real.clear()
            else:
                self.real.show(real[:SHOWN], value_range=self._generator.value_range)
        return self._draw()

    def _draw(self) -> _Drawn:
        """Draw what there is now; called in a worker, and without the lock, which others wait for."""
        with self._showing:
            index, trials, known = self.class_index, self.trials, self._drawn
            rows = {"before": self._table.original[index]}
            if trials is not None:
                rows["after"] = self._chosen()
            elif index in self._table.changed:
                rows["after"] = self._table.matrix[index]
        pictures = {}
        for name, row in rows.items():
            same = known is not None and name in known.rows and torch.equal(known.rows[name], row)
            pictures[name] = known.pictures[name] if known is not None and same else self.pictures(row)
        return _Drawn(index, trials, rows, pictures, parts.table(self._facts_of(index, trials, pictures)))

    def _put(self, drawn: _Drawn) -> None:
        """Show what was drawn, unless another class or other trials are looked at by now."""
        with self._showing:
            if drawn.class_index != self.class_index or drawn.trials is not self.trials:
                return
            before, self._drawn = self._drawn, drawn
            for name, grid in (("before", self.before), ("after", self.after)):
                pictures = drawn.pictures.get(name)
                if pictures is not None and (before is None or before.pictures.get(name) is not pictures):
                    grid.show(pictures, value_range=self._generator.value_range)
            self.facts.value = drawn.facts

    def _finished(self, trials: EmbeddingTrials, asked: dict[str, int], matrix: Tensor) -> None:
        self._show(trials, asked, matrix)
        with self._showing:
            if self.trials is trials:
                names = [f"trial {i + 1}{' (best)' if i == trials.best else ''}" for i in range(len(trials))]
                self._set_trials(names if len(trials) > 1 else [], trials.best)
                self._enable()
        self._searched()

    def resume(
        self, trials: EmbeddingTrials, trial: int | None, *, asked: dict[str, int], matrix: Tensor | None
    ) -> None:
        """Show trials that were searched before for the class that is shown, the one of this index among them.

        Args:
            asked: as the attribute of this name; empty where it is not known.
            matrix: the same; None for the generator's own.
        """
        own = self._table.original
        self._finished(trials, asked, own if matrix is None else matrix.to(own))
        if trial is not None and trial < len(self.trial.options):
            self.trial.index = trial

    def _show(self, trials: EmbeddingTrials, asked: dict[str, int], matrix: Tensor) -> None:
        with self._showing:
            if trials.class_index != self.class_index:
                return
            self.trials, self.asked, self.matrix = trials, asked, matrix
            self._set_trials([])  # those of an earlier search may be others, and more
            if len(trials.probability):
                self.plot.draw(figures.history(trials))
        self._put(self._draw())

    def _show_trial(self) -> None:
        if not self._setting and self.trials is not None and self.trial.index is not None:
            self.drawing.draw(self._draw, self._put)

    def _facts_of(self, index: int, trials: EmbeddingTrials | None, pictures: dict[str, Tensor]) -> dict[str, str]:
        """Diversity and probability before and after, under the latents that are shown."""
        rows = {"": "mean pixel difference of two pictures"}
        low, high = self._generator.value_range
        for name, images in pictures.items():
            text = f"{pixel_difference(images.cpu()) / (high - low):.4f}"
            if self._classifier is not None and trials is not None and trials.target >= 0:
                given = pictures_for(self._classifier, self._generator, resize="nearest")(images)
                sure = self._classifier.probabilities(given)[:, trials.target]
                text += f", read with probability {float(sure.mean()):.2f}"
            rows[name] = text
        real = self._real(index)
        if real is not None and len(real) > 1:
            rows["real"] = f"{pixel_difference(real.cpu()) / (high - low):.4f}"
        return rows

    def close(self) -> None:
        """Stop the worker that draws and close every widget of the view."""
        if hasattr(self, "drawing"):
            self.drawing.close()
            parts.close_all(self)
        super().close()
