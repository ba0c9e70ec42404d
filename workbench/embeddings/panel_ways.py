"""The part of the panel about ways: between two latents of the class, and from the class to another."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator as Steps
from typing import Any

import ipywidgets as widgets

from workbench.embeddings.edits import EmbeddingTable
from workbench.embeddings.interpolate import interpolate_classes, interpolate_latents
from workbench.models import Generator
from workbench.progress import Step
from workbench.ui import parts
from workbench.ui.film_strip import FilmStrip
from workbench.ui.jobs import Jobs

#: Pictures of a way.
_FRAMES = 25
#: Of a picture, in CSS pixels.
_HEIGHT = 132


class WaysView(widgets.VBox):
    """Film strips: between two latents with the original and with the edited embedding, and between two classes.

    Args:
        generator: with class embeddings.
        table: the edits.
        seed: of the latents.
    """

    def __init__(self, generator: Generator, table: EmbeddingTable, *, seed: int) -> None:
        self._generator, self._table, self._seed = generator, table, seed
        self.class_index, self._pair = 0, 0
        self.jobs = Jobs()
        self.original, self.edited, self.across = (
            FilmStrip(height=_HEIGHT, accept_on_release=False, empty_text="The way is being computed.")
            for _ in range(3)
        )
        titles = table.titles
        self.other = widgets.Combobox(
            options=titles,
            value=titles[1 % len(titles)],
            description="to the class",
            ensure_option=True,
            style={"description_width": "initial"},
            layout=widgets.Layout(width="260px"),
        )
        self.other.observe(lambda _: self.draw(), names="value")
        self.again = parts.button("Other latents", "Draw two other latents")
        self.again.on_click(lambda _: self._draw_others())
        box = widgets.Layout(flex="1 1 300px", min_width="260px")
        titled: Callable[[str, Any], widgets.VBox] = lambda title, strip: widgets.VBox(  # noqa: E731
            [widgets.HTML(f"<b>{title}</b>"), strip], layout=box
        )
        strips = [
            titled("Between two latents, original embedding", self.original),
            titled("Between two latents, edited embedding", self.edited),
            titled("From class to class, one latent", self.across),
        ]
        self._parts = [
            widgets.HBox([self.again, self.other], layout=parts.row()),
            widgets.HBox(strips, layout=widgets.Layout(flex_flow="row wrap", grid_gap="14px")),
        ]
        super().__init__(layout=widgets.Layout(grid_gap="6px", width="100%"))

    def ask(self, class_index: int) -> None:
        """Show the ways of a class; nothing is computed or drawn before this is first called."""
        self.class_index = class_index
        self.children = self._parts
        titles = self._table.titles
        if self.other.value == titles[class_index]:  # a way needs another end; the change draws
            self.other.value = titles[(class_index + 1) % len(titles)]
        else:
            self.draw()

    def _draw_others(self) -> None:
        self._pair += 1
        self.draw()

    def draw(self) -> None:
        """Compute the three strips anew, behind the panel."""
        generator, index, matrix = self._generator, self.class_index, self._table.matrix
        titles = self._table.titles
        if self.other.value not in titles:
            return
        target = titles.index(self.other.value)
        start, end = generator.latents(2, seed=self._seed + 1000 + self._pair)

        def steps() -> Steps[Step, None, list[Any]]:
            strips: list[Any] = []
            for row in (self._table.original[index], matrix[index]):
                yield Step(len(strips), 3, "ways")
                strips.append(interpolate_latents(generator, start, end, row, frames=_FRAMES))
            yield Step(2, 3, "ways")
            strips.append(interpolate_classes(generator, start, matrix[index], matrix[target], frames=_FRAMES))
            return strips

        def show(strips: list[Any]) -> None:
            texts = [("one latent", "another")] * 2 + [(titles[index], titles[target])]
            for strip, frames, ends in zip((self.original, self.edited, self.across), strips, texts, strict=True):
                strip.show(frames, value_range=generator.value_range, ends=ends)

        self.jobs.submit(steps, show, label="Ways", background=True)

    def close(self) -> None:
        """Stop the worker and close every widget of the view."""
        if hasattr(self, "again"):
            self.jobs.close()
            self.children = self._parts
            parts.close_all(self)
        super().close()
