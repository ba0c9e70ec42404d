"""The part of the panel with the samples: a row for each query, filled as they are found, and its facts."""

from __future__ import annotations

import html
import math
import threading
from collections.abc import Callable

import ipywidgets as widgets
import torch

from workbench.inverse_sets.result import PARTS, InverseSet
from workbench.ui import parts
from workbench.ui.sample_grid import SampleGrid


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
