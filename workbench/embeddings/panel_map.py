"""The part of the panel with the map: it is laid out behind the panel, pictures appear as they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Generator as Steps

import ipywidgets as widgets
import torch
from torch import Tensor

from workbench.embeddings.class_map import FEWEST, ClassMap, class_map_steps, place
from workbench.embeddings.edits import EmbeddingTable
from workbench.embeddings.figures import BATCH, thumbnail_steps
from workbench.models import Generator
from workbench.progress import Step
from workbench.ui import parts
from workbench.ui.class_map import ClassMapView
from workbench.ui.jobs import Drawing, Jobs
from workbench.ui.map_plot import MapPlot
from workbench.ui.sample_grid import SampleGrid

#: Pictures of each class that show on hover.
_SAMPLES = 6


class MapView(widgets.VBox):
    """All classes on a map: tap one, or lasso several and choose among their pictures.

    Args:
        generator: with class embeddings.
        table: the edits; where they lie shows as arrows.
        seed: of the map and of the latents of its pictures.
        height: of the map, in CSS pixels.
        ask: called with the class that was chosen.

    Attributes:
        found: the map, or None while it is laid out (and where there are too few classes for one).
        thumbnails: (classes, channels, height, width) uint8, its pictures, or None before they are drawn.
    """

    def __init__(
        self,
        generator: Generator,
        table: EmbeddingTable,
        *,
        seed: int,
        height: int,
        ask: Callable[[int], object],
    ) -> None:
        self._generator, self._table, self._seed, self._height, self._ask = generator, table, seed, height, ask
        self._names = table.names
        self.found: ClassMap | None = None
        self.plot: MapPlot | None = None
        self.thumbnails: Tensor | None = None
        self._chosen: list[int] = []
        self.jobs = Jobs()
        self.moving, self.looking = Drawing(self.jobs.say), Drawing(self.jobs.say)
        self.grid = SampleGrid(name="lassoed classes", multiple=False, tile=40, height=110)
        self.grid.on_select(lambda places: self._ask(self._chosen[places[-1]]) if places else None)
        self._frame = widgets.Box(
            [parts.live_only(widgets.HTML("The map is being laid out …"))], layout=widgets.Layout(width="100%")
        )
        self._lassoed = widgets.Box([], layout=widgets.Layout(width="100%"))
        super().__init__([self._frame, self._lassoed], layout=widgets.Layout(flex="3 1 480px", min_width="320px"))
        if len(self._names) < FEWEST:
            parts.replace(self._frame, [widgets.HTML(f"A map needs {FEWEST} classes; choose by name.")])
        else:
            steps = class_map_steps(generator, seed=seed)
            self.jobs.submit(lambda: steps, self._laid_out, label="Map", background=True)

    def moved(self) -> None:
        """Show where the edited classes have gone."""
        found, plot = self.found, self.plot
        if found is None or plot is None:
            return

        def draw() -> tuple[list[int], Tensor, list[Tensor]]:
            changed = self._table.changed
            rows = self._table.matrix[changed]
            z = self._generator.latents(1, seed=self._seed)
            return changed, place(found, rows), [self._generator.render(z, row)[0].cpu() for row in rows]

        def show(moved: tuple[list[int], Tensor, list[Tensor]]) -> None:
            changed, places, drawn = moved
            plot.place(places, of=changed, thumbnails=torch.stack(drawn) if drawn else None)

        self.moving.draw(draw, show)

    def highlight(self, class_index: int) -> None:
        """Ring a class and bring it into view."""
        if self.plot is not None:
            self.plot.highlight([class_index])

    def _laid_out(self, found: ClassMap) -> None:
        self.found = found
        self.plot = MapPlot(
            found.positions, found.names, value_range=self._generator.value_range, width=640, height=self._height
        )
        view = ClassMapView(self.plot, layout=widgets.Layout(width="100%"))
        view.on_tap(self._ask)
        view.on_select(self._selected)
        parts.replace(self._frame, [view])
        self.moved()
        self.jobs.submit(self._drawing, lambda _: None, label="Pictures", background=True)

    def _drawing(self) -> Steps[Step, None, None]:
        """Draw pictures of every class, those of the map first."""
        generator, classes = self._generator, len(self._names)
        latents = generator.latents(_SAMPLES, seed=self._seed)
        embeddings = self._table.original
        assert self.plot is not None
        self.thumbnails = yield from thumbnail_steps(generator, embeddings, seed=self._seed)
        self.plot.show_thumbnails(self.thumbnails)
        for start in range(0, classes, BATCH):
            samples = {
                index: generator.render(latents, embeddings[index]).cpu()
                for index in range(start, min(start + BATCH, classes))
            }
            self.plot.show_samples(samples)
            yield Step(start, classes, "samples")

    def _selected(self, indices: Sequence[int]) -> None:
        chosen = self._chosen = [] if len(indices) < 2 else list(indices)

        def draw() -> Tensor:
            z = self._generator.latents(1, seed=self._seed)
            rows = self._table.matrix[chosen]
            return self._generator.render(z.expand(len(rows), *self._generator.latent_shape), rows)

        def show(images: Tensor) -> None:
            if self._chosen is chosen and chosen:
                names = [self._names[i] for i in chosen]
                self.grid.show(images, value_range=self._generator.value_range, labels=names)
                self._lassoed.children = [self.grid]

        if chosen:
            self.looking.draw(draw, show)
        else:
            self._lassoed.children = []

    def close(self) -> None:
        """Stop the workers and close every widget of the view."""
        if hasattr(self, "_frame"):
            for jobs in (self.jobs, self.moving, self.looking):
                jobs.close()
            self._lassoed.children = [self.grid]
            parts.close_all(self)
        super().close()
