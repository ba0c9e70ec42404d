"""The part of the panel with the query: the neurons that are asked for, each with its band on its histogram."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
from jaxtyping import Float
from torch import Tensor

from workbench.inverse_sets import figures
from workbench.inverse_sets.bands import Band, InverseSetError, as_bands
from workbench.inverse_sets.browse import rounded, upper
from workbench.inverse_sets.result import InverseSet
from workbench.models import Classifier, Neuron
from workbench.ui import parts
from workbench.ui.jobs import Drawing
from workbench.ui.plot import Plot

#: Share of the pictures in the band that a neuron begins with: the first one, and one that is asked for besides.
_SHARE, _BESIDES = 0.05, 0.25
#: Width of the histogram, CSS pixels: Plotly's widget does not fit itself to its place.
_WIDE = 430
_HINT = "or drag on the histogram"


class BandView(widgets.VBox):
    """The bands that are asked for: one of them on the histogram of its neuron, where a drag gives it another.

    Args:
        classifier: that has the neurons.
        query: the bands to begin with.
        showing: the panel's lock; the worker and the one who drags change the same.
        values: gives a neuron's activations on the pictures that neurons are browsed with, or None.
        mark: shows which neuron is looked at, or that none is.
        found: gives the samples of the panel's rows, the oldest first, None where there are none yet.
        changed: called when the query is to be sampled.
        say: is told what the user should know.

    Attributes:
        query: the bands, none at the beginning; `at` is the index of the one that is looked at.
    """

    def __init__(
        self,
        classifier: Classifier,
        query: Sequence[Band],
        *,
        showing: threading.RLock,
        values: Callable[[Neuron], Float[Tensor, " pictures"] | None],
        mark: Callable[[Neuron | None], object],
        found: Callable[[], Sequence[InverseSet | None]],
        changed: Callable[[], object],
        say: Callable[[str], object],
    ) -> None:
        self._classifier, self._showing = classifier, showing
        self._values, self._mark, self._found, self._changed, self._say = values, mark, found, changed, say
        self.query, self.at = list(query), 0
        self._adding = False
        self._writing = False  # the view itself sets the fields
        self.drawing = Drawing(say)
        self._build()

    # -- what it looks like --------------------------------------------------------------------

    def _build(self) -> None:
        self.chips = widgets.ToggleButtons(options=[], style={"button_width": "auto"})
        self.chips.observe(self._look_at, names="index")
        self.also = widgets.ToggleButton(
            description="and also …",
            tooltip="Ask for a second neuron besides: the next one that you choose is added",
            layout=widgets.Layout(width="auto"),
        )
        self.also.observe(lambda change: self._add(change["new"]), names="value")
        self.without = parts.button("without it", "Ask no longer for the neuron whose histogram is shown")
        self.without.on_click(lambda _: self._remove())
        self.title = widgets.HTML()
        self.plot = Plot(tools=False, layout=widgets.Layout(width="100%", min_height="250px"))
        self.plot.on_span(lambda low, high: self.set_band(rounded(low), rounded(high)))
        self.low, self.high = (
            widgets.FloatText(
                description=name,
                tooltip=f"{which} activation of the band",
                continuous_update=False,
                layout=widgets.Layout(width="130px"),
                style={"description_width": "initial"},
            )
            for name, which in (("from", "Lowest"), ("to", "Highest"))
        )
        for field in (self.low, self.high):
            field.observe(lambda _: self._typed(), names="value")
        hint = parts.live_only(widgets.HTML(parts.note(_HINT)))
        super().__init__(
            [
                widgets.HBox([self.title, self.chips, self.also, self.without], layout=parts.row()),
                self.plot,
                widgets.HBox([self.low, self.high, hint], layout=parts.row()),
            ],
            layout=widgets.Layout(flex="0 0 auto", width=f"{_WIDE + 10}px", grid_gap="6px"),
        )

    # -- what the user does --------------------------------------------------------------------

    def ask(self, neuron: Neuron) -> None:
        """Make a neuron the query, at the upper part of what it does; after "and also …" add it instead."""
        with self._showing:
            values = self._values(neuron)
            if values is None:
                return
            try:
                band = Band(self._classifier, neuron, *upper(values, _BESIDES if self._adding else _SHARE))
                others = [one for i, one in enumerate(self.query) if self._adding or i != self.at]
                as_bands([*others, band])
            except InverseSetError as error:
                self._say(str(error))
                self._mark(self._looked_at)
                return
            if self._adding:
                self.query.append(band)
                self.at = len(self.query) - 1
                self.also.value = False
            else:
                self.query[self.at : self.at + 1] = [band]
        self._changed()

    def set_band(self, low: float, high: float) -> None:
        """Give the neuron whose histogram is shown another band, and sample it."""
        with self._showing:
            if not self.query:
                return
            try:
                self.query[self.at] = replace(self.query[self.at], low=low, high=high)
            except InverseSetError as error:
                self._say(str(error))
                return
        self._changed()

    def _typed(self) -> None:
        if not self._writing and self.query:
            self.set_band(self.low.value, self.high.value)

    def _look_at(self, change: Any) -> None:
        if change["new"] is not None and not self._writing:
            with self._showing:
                self.at = change["new"]
                self.show()

    def _add(self, adding: bool) -> None:
        self._adding = adding
        if adding:
            self._say("Choose the second neuron: samples have to reach both bands.")

    def _remove(self) -> None:
        with self._showing:
            if len(self.query) < 2:
                return
            del self.query[self.at]
            self.at = 0
        self._changed()

    # -- what follows from it ------------------------------------------------------------------

    @property
    def _looked_at(self) -> Neuron | None:
        return self.query[self.at].neuron if self.query else None

    def show(self) -> None:
        """Write the query into the controls, and draw its histogram."""
        with self._showing:
            self._writing = True
            try:
                several = len(self.query) > 1
                self.chips.options = [band.label for band in self.query] if several else []
                if several:
                    self.chips.index = self.at
                for widget in (self.chips, self.without):
                    widget.layout.display = None if several else "none"
                name = "" if several or not self.query else f"<b>{html.escape(self.query[0].label)}</b>"
                self.title.value = name
                for control in (self.low, self.high, self.also):
                    control.disabled = not self.query
                if self.query:
                    self.low.value, self.high.value = self.query[self.at].low, self.query[self.at].high
            finally:
                self._writing = False
            self._mark(self._looked_at)
        self.redraw()

    def redraw(self) -> None:
        """Draw the histogram anew, behind the panel."""
        self.drawing.draw(lambda: None, lambda _: self.draw(), label="Histogram")

    def draw(self) -> None:
        """Draw the histogram of the neuron that is looked at: its band, the last samples, other rows' bands."""
        with self._showing:
            if not self.query:
                self.plot.draw(figures.histogram(None, width=_WIDE))
                return
            band = self.query[self.at]
            rows = self._found()
            last, samples = rows[-1] if rows else None, None
            if last is not None and band.label in last.neurons:
                samples = last.values[:, last.neurons.index(band.label)]
            others = [
                tuple(limits)
                for found in rows[:-1]
                if found is not None
                for name, limits in zip(found.neurons, found.limits.tolist(), strict=True)
                if name == band.label
            ]
            self.plot.draw(
                figures.histogram(
                    self._values(band.neuron),
                    (band.low, band.high),
                    samples=samples,
                    others=others,
                    name=f"activation of {band.label}",
                    width=_WIDE,
                )
            )

    def close(self) -> None:
        """Stop the worker and close every widget of the view."""
        if hasattr(self, "plot"):
            self.drawing.close()
            parts.close_all(self)
        super().close()
