"""The part of the panel with the samples: a row for each query, filled as they are found, with its facts."""

from __future__ import annotations

import html
import math
import threading
from collections.abc import Callable

import ipywidgets as widgets
import torch

from workbench.inverse_sets.result import PARTS, InverseSet
from workbench.models import Classifier, Generator
from workbench.models.latent import Resize, pictures_for
from workbench.ui import parts
from workbench.ui.handover import Sample
from workbench.ui.sample_grid import SampleGrid

_EMPTY = "Choose a neuron: click one of the tiles. What excites it most fills a row here."


class RowList(widgets.VBox):
    """The rows, the newest on top; one sample of all of them can be chosen.

    Args:
        generator, classifier: that make the samples and have the neurons.
        resize: of pictures for a classifier of another size.
        showing: the panel's lock.
        chosen: is handed the sample that was chosen, or None when it is no longer.
        removed: called with a row that is to go.

    Attributes:
        rows: the oldest first.
    """

    def __init__(
        self,
        generator: Generator,
        classifier: Classifier,
        *,
        resize: Resize | None,
        showing: threading.RLock,
        chosen: Callable[[Sample | None], object],
        removed: Callable[[RowView], object],
    ) -> None:
        self._generator, self._classifier, self._resize = generator, classifier, resize
        self._showing, self._offer, self._removed = showing, chosen, removed
        self._fit = pictures_for(classifier, generator, resize=resize)
        self.rows: list[RowView] = []
        self._chosen: RowView | None = None
        super().__init__(layout=widgets.Layout(grid_gap="14px"))
        self.arrange()

    @property
    def code(self) -> str:
        """The Python that makes all samples."""
        lines = [row.code for row in self.rows]
        if len(lines) > 1:
            return "rows = [\n" + "".join(f"    {line},\n" for line in lines) + "]"
        return "".join(f"found = {line}" for line in lines)

    def add(self, title: str, wanted: int, code: str, *, several: bool) -> RowView:
        """A new row, which `arrange` shows; the arguments are those of `RowView`."""
        row = RowView(
            title,
            self._generator.value_range,
            wanted,
            code,
            several=several,
            selected=self._select,
            removed=self._removed,
        )
        self.rows.append(row)
        return row

    def drop(self, row: RowView) -> None:
        """Take a row out, and its sample back where that is chosen."""
        self.rows.remove(row)
        self._let_go(row)
        row.close()

    def arrange(self) -> None:
        """Show the rows that there are, or what to do for the first."""
        empty = [] if self.rows else [parts.live_only(widgets.HTML(parts.note(_EMPTY)))]
        parts.replace(self, [*reversed(self.rows), *empty])

    def _let_go(self, row: RowView) -> None:
        if self._chosen is row:
            self._chosen = None
            self._offer(None)

    def _select(self, row: RowView, index: int | None) -> None:
        with self._showing:
            if index is None:
                self._let_go(row)
                return
            self._chosen = row
            for other in self.rows:
                if other is not row:
                    other.unselect()
            self._offer(self._sample(row, index))

    def _sample(self, row: RowView, index: int) -> Sample | None:
        found = row.found
        if found is None:
            return None
        part = "" if row.hits else "nearest_"
        code = getattr(found, f"{part}codes")[index]
        output = getattr(found, f"{part}outputs")[index : index + 1]
        name = f"rows[{self.rows.index(row)}]" if len(self.rows) > 1 else "found"
        picture = self._fit(output.to(self._generator.device, self._generator.dtype))[0]
        low, high = self._classifier.value_range
        return Sample(
            self._generator,
            self._classifier,
            code,
            picture.clamp(low, high),
            code_source=f"{name}.{part}codes[{index}]",
            picture_source=self._picture(f"{name}.{part}outputs", index),
            name=f"sample {index}",
        )

    def _picture(self, outputs: str, index: int) -> str:
        """The Python that brings an output into the classifier's range."""
        (a, b), (low, high) = self._generator.value_range, self._classifier.value_range
        if self._generator.output_shape != self._classifier.input_shape:
            how = f"pictures_for(C, G, resize={self._resize!r})"
            return f"wb.models.latent.{how}({outputs}[{index}:{index + 1}])[0]"
        scale = (high - low) / (b - a)
        if (a, b) == (low, high):
            return f"{outputs}[{index}]"
        return f"({outputs}[{index}] - {a:g}) * {scale:g} + {low:g}"


class RowView(widgets.HBox):
    """The samples of one query, with their activations, beside its facts.

    Args:
        title: of the row, what was asked for.
        value_range: of the pictures.
        wanted: samples that were asked for.
        code: the Python that makes the samples.
        several: neurons, whose activations stand side by side under a picture.
        selected: called with the row and the index of a sample that was chosen, or None.
        removed: called with the row when it is to go.

    Attributes:
        found: the samples, or None before the first.
        title, wanted, code, several: as above.
    """

    def __init__(
        self,
        title: str,
        value_range: tuple[float, float],
        wanted: int,
        code: str,
        *,
        several: bool = False,
        selected: Callable[[RowView, int | None], object],
        removed: Callable[[RowView], object],
    ) -> None:
        self.title, self.wanted, self.code, self.several = title, wanted, code, several
        self._value_range, self._selected = value_range, selected
        self.found: InverseSet | None = None
        self._nearest = False  # what is in sight missed the band
        self._showing = threading.RLock()
        self.facts = widgets.HTML()
        self.grid = SampleGrid(
            name="samples",
            multiple=False,
            captions=True,
            tile=76 if several else 52,
            height=212,
            busy=True,
            empty_text="Codes that reach the band are being sought …",
        )
        self.grid.on_select(lambda places: self._selected(self, places[-1] if places else None))
        remove = parts.button("✕", f"Take away the row of {title}", width="34px", flex="0 0 auto", padding="0")
        remove.on_click(lambda _: removed(self))
        name = widgets.HTML(f"<b>{html.escape(title)}</b>")
        aside = widgets.VBox(
            [
                widgets.HBox([name, remove], layout=widgets.Layout(align_items="center", grid_gap="8px")),
                self.facts,
            ],
            layout=widgets.Layout(flex="1 1 250px", min_width="230px", max_width="360px", grid_gap="0"),
        )
        box = widgets.Box([self.grid], layout=widgets.Layout(flex="4 1 420px", min_width="300px"))
        super().__init__([aside, box], layout=widgets.Layout(flex_flow="row wrap", grid_gap="4px 14px"))

    def show(self, found: InverseSet, *, done: bool) -> None:
        """Show samples: more of them than before, or those of another search."""
        with self._showing:
            before, self.found = self.found, found
            self._nearest = done and not len(found) and len(found.nearest_codes) > 0
            self.grid.busy = not done
            self._put(found, len(before) if before is not None and _grown(before, found) else 0)
            self.facts.value = parts.table(facts(found, self.wanted, done=done))

    def stopped(self, text: str) -> None:
        """Nothing more comes; where there is nothing at all, say why."""
        with self._showing:
            self.grid.busy = False
            if self.found is None:
                self.grid.empty_text = text

    def unselect(self) -> None:
        """Take the mark of a chosen sample away."""
        if self.grid.selected:
            self.grid.selected = []

    @property
    def hits(self) -> bool:
        """Whether what is in sight lies in the band; else it is what came nearest."""
        return not self._nearest

    def _put(self, found: InverseSet, start: int) -> None:
        """Show the samples from `start` on beside those that are there, or what came nearest."""
        nearest = self._nearest
        values = found.nearest_values if nearest else found.values
        outputs = found.nearest_outputs if nearest else found.outputs
        rows = values[start:]
        labels = [" · ".join(f"{value:.3g}" for value in row) for row in rows.tolist()]
        columns = {name: column.tolist() for name, column in zip(found.neurons, rows.unbind(1), strict=True)}
        if start == 0 and not len(rows):
            self.grid.clear()
            self.grid.empty_text = "No samples."
        elif start == 0:
            self.grid.name = "nearest" if nearest else "samples"
            self.grid.show(outputs, value_range=self._value_range, values=columns, labels=labels)
        elif len(rows):
            self.grid.append(outputs[start:], columns, labels=labels)

    def close(self) -> None:
        """Close every widget of the row."""
        if hasattr(self, "grid"):
            parts.close_all(self)
        super().close()


def facts(found: InverseSet, wanted: int, *, done: bool) -> dict[str, str]:
    """What a set of samples is like and what it cost, in words; `wanted` were asked for."""
    provenance = found.provenance
    stopped = ", stopped" if done and provenance.partial else ""
    rows = {"found": f"{len(found)} of {wanted}{stopped}"}
    if len(found):
        several = len(found.neurons) > 1
        for name, (low, high), share in zip(
            found.neurons, found.covered.tolist(), found.coverage.tolist(), strict=True
        ):
            label = f"covered, {name}" if several else "covered"
            rows[label] = f"{low:.4g} to {high:.4g}, {round(share * PARTS)} of {PARTS} parts"
    if math.isfinite(found.diversity):
        rows["diversity"] = f"{found.diversity:.3g}, the prior's own {found.reference:.3g}"
    seeds, rest = found.steps.tolist()
    rows["gradient steps"] = f"{seeds} for the seeds, {rest} for the rest"
    passes = [f"{number:,} {_PASSES.get(kind, kind)}" for kind, number in provenance.passes.items() if number]
    rows["passes"] = ", ".join(passes)
    rows["time"] = f"{provenance.seconds:.1f} s"
    if found.note:
        rows["note"] = found.note
    return rows


_PASSES = {"forward": "forward", "vjp": "backward", "jvp": "tangent"}


def _grown(before: InverseSet, after: InverseSet) -> bool:
    """Whether the samples are those of before and further ones."""
    return len(before) <= len(after) and bool(torch.equal(before.codes, after.codes[: len(before)]))
