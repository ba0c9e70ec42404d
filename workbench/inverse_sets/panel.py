"""The panel of inverse sets: choose a neuron, drag a band on its histogram, see the samples that reach it."""

from __future__ import annotations

import threading
from collections.abc import Generator as Steps
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.exports import Export
from workbench.exports.view import ExportView
from workbench.inverse_sets import figures, panel_state
from workbench.inverse_sets.bands import Band, InverseSetError, as_bands, label
from workbench.inverse_sets.browse import rounded, upper
from workbench.inverse_sets.panel_neurons import NeuronView
from workbench.inverse_sets.panel_report import describe
from workbench.inverse_sets.panel_rows import RowView
from workbench.inverse_sets.problem import Encoder, Problem
from workbench.inverse_sets.result import InverseSet
from workbench.inverse_sets.sample import Sampled, sample_steps
from workbench.models import Classifier, Generator, Neuron
from workbench.models.latent import Resize, pictures_for
from workbench.progress import Progress, Step
from workbench.sessions import State
from workbench.ui import parts
from workbench.ui.code_line import CodeLine
from workbench.ui.handover import Handover, Sample
from workbench.ui.jobs import Drawing, Jobs
from workbench.ui.plot import Plot
from workbench.ui.saving import Savable

if TYPE_CHECKING:
    from workbench.reports import Run

#: Draws of the generator that neurons are browsed with, where no pictures are given.
_DRAWN = 500
#: Share of the pictures in the band that a neuron begins with: the first one, and one that is asked for besides.
_SHARE, _BESIDES = 0.05, 0.25
#: Width of the histogram, CSS pixels: Plotly's widget does not fit itself to its place.
_WIDE = 430
_ENCODER = "the encoder"
_HINT = "or drag on the histogram"
_EMPTY = "Choose a neuron: click one of the tiles. What excites it most fills a row here."


class Panel(Savable, widgets.VBox):
    """See what a neuron likes, at the level that you choose.

    Choose a layer, and in it a neuron by the pictures that excite it most: samples that reach its upper band fill
    a row as they are found. Drag another band across the histogram, and the row is sampled anew; "Keep as a row"
    leaves it standing, and the next band gets a row of its own (figure 1). "and also …" asks for a second neuron
    besides (section 3.5, figures 4 and 5). Cancel keeps what there is. A sample that is clicked can be sent to
    the other methods.

    Args:
        generator: G; one with classes has its class fixed by `generator.of_class(…)`.
        classifier: C, that has the neurons.
        encoder: E, in whose codes the samples are to be far apart; without one a layer of C is chosen, at first
            its last hidden one.
        images: (m, *input) in C's value range, to browse neurons with; by default 500 draws of G.
        neurons: a band or several of C, `wb.inverse_sets.band(C, layer, channel, low, high)`, to begin with.
        n: samples a row.
        seed: of everything random.
        walkers, method: as for `wb.inverse_sets.sample`.
        resize: of pictures for a classifier of another size.

    Attributes:
        query: the bands that are asked for, none at the beginning; `at` is the index of the one that is looked at.
        rows: the rows, the oldest first; the last one follows the query unless it is kept.
        kept: whether the last row stays as it is, so that a new query gets a new one.
        asked: whether the query is another than that of the last row, and its own row is still to come.
        found: the samples of the last row, or None.
        handover: sends a sample to other methods; its `route` may take it elsewhere.

    Raises:
        InverseSetError: bands of another classifier, an encoder that is none, networks on different devices.
        ModelError: pictures that do not fit, or a generator whose class is not fixed.
    """

    def __init__(
        self,
        generator: Generator,
        classifier: Classifier,
        *,
        encoder: Encoder | None = None,
        images: Float[Tensor, "m *input"] | None = None,
        neurons: Band | Sequence[Band] | None = None,
        n: int = 60,
        seed: int = 0,
        walkers: int | None = None,
        method: str = "tangent",
        resize: Resize | None = None,
    ) -> None:
        self.generator, self.classifier, self.encoder, self.seed = generator, classifier, encoder, seed
        self._settings: dict[str, Any] = {"walkers": walkers, "method": method, "resize": resize}
        self.query: list[Band] = [] if neurons is None else list(as_bands(neurons))
        if any(band.classifier is not classifier for band in self.query):
            raise InverseSetError(f"neurons has a band of another classifier; expected bands of {classifier.name}")
        # what `sample` would refuse is refused here, before anything is shown
        last = classifier.layers[-1].name
        first = self.query or [Band(classifier, Neuron(last, 0), 0.0, 1.0)]
        Problem(generator, first, encoder=encoder, distance="latent" if encoder is None else None, resize=resize)
        self._fit = pictures_for(classifier, generator, resize=resize)
        self._images = _checked(classifier, images)
        self.at = 0
        self._adding = False
        self.kept = True
        self.rows: list[RowView] = []
        self._chosen: tuple[RowView, int] | None = None
        self.showing = threading.RLock()  # the worker and the one who drags change the same
        self.jobs, self.code, self.handover = Jobs(), CodeLine(), Handover()
        self.jobs.on_busy = self._busy
        self.drawing = Drawing(self.jobs.say)
        self.asked = False
        layers = [band.neuron.layer for band in self.query] or [last]
        self.neurons = NeuronView(
            classifier, self._pictures, layers=layers, ask=self.ask, read=self._draw_histogram
        )
        self.report = ExportView("inverse-sets", self._described)
        self._build(n)
        if self.query:
            self._changed()

    def _pictures(self) -> Steps[Step, None, Float[Tensor, "m *input"]]:
        """What neurons are browsed with, in the classifier's range; drawn batch after batch."""
        if self._images is not None:
            return self._images.to(self.classifier.device, self.classifier.dtype)
        drawn: list[Tensor] = []
        for rows in self.generator.latents(_DRAWN, seed=self.seed).split(self.generator.batches.size):
            yield Step(sum(map(len, drawn)), _DRAWN, "pictures")
            drawn.append(self._fit(self.generator.render(rows)))
        return torch.cat(drawn)

    # -- what it looks like --------------------------------------------------------------------

    def _build(self, n: int) -> None:
        wide = {"style": {"description_width": "initial"}}
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
                **wide,
            )
            for name, which in (("from", "Lowest"), ("to", "Highest"))
        )
        for field in (self.low, self.high):
            field.observe(lambda _: self._typed(), names="value")
        self.count = widgets.BoundedIntText(
            value=n,
            min=1,
            max=10_000,
            description="samples",
            tooltip="Samples in a row",
            layout=widgets.Layout(width="140px"),
            **wide,
        )
        places = [*self.classifier.layers.names, "pixel", "latent"]
        options = [(f"layer {name}" if name in self.classifier.layers else name, name) for name in places]
        if self.encoder is not None:
            options.insert(0, (_ENCODER, _ENCODER))
        self.distance = widgets.Dropdown(
            options=options,
            value=_ENCODER if self.encoder is not None else last_hidden(self.classifier),
            description="far apart in",
            tooltip="Where the samples are to differ from one another",
            layout=widgets.Layout(width="215px"),
            **wide,
        )
        self.again = parts.button("Sample", "Sample the band, in the row that is not kept yet")
        self.again.button_style = "primary"
        self.again.on_click(lambda _: self._changed())
        self.keep = parts.button("Keep as a row", "Leave these samples standing; the next band gets a new row")
        self.keep.on_click(lambda _: self._keep())
        self._list = widgets.VBox(
            [parts.live_only(widgets.HTML(parts.note(_EMPTY)))], layout=widgets.Layout(grid_gap="14px")
        )
        aside = widgets.VBox(
            [
                widgets.HBox([self.title, self.chips, self.also, self.without], layout=parts.row()),
                self.plot,
                widgets.HBox(
                    [self.low, self.high, parts.live_only(widgets.HTML(parts.note(_HINT)))], layout=parts.row()
                ),
            ],
            layout=widgets.Layout(flex="0 0 auto", width=f"{_WIDE + 10}px", grid_gap="6px"),
        )
        super().__init__(
            [
                widgets.HBox(
                    [self.neurons, aside],
                    layout=widgets.Layout(flex_flow="row wrap", grid_gap="18px", align_items="flex-start"),
                ),
                widgets.HBox([self.again, self.keep, self.count, self.distance], layout=parts.row()),
                self.jobs,
                self._list,
                self.code,
                self.report,
                self.handover,
            ],
            layout=widgets.Layout(grid_gap="10px", width="100%"),
        )
        for field in (self.count, self.distance):
            field.observe(lambda _: None if self._writing else self._changed(), names="value")
        self._show_query()

    # -- what the user does --------------------------------------------------------------------

    def ask(self, neuron: Neuron) -> None:
        """Make a neuron the query, at the upper part of what it does; after "and also …" add it instead."""
        with self.showing:
            values = self.neurons.values(neuron)
            if values is None:
                return
            try:
                band = Band(self.classifier, neuron, *upper(values, _BESIDES if self._adding else _SHARE))
                others = [one for i, one in enumerate(self.query) if self._adding or i != self.at]
                as_bands([*others, band])
            except InverseSetError as error:
                self.jobs.say(str(error))
                self.neurons.mark(self._looked_at)
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
        with self.showing:
            if not self.query:
                return
            try:
                self.query[self.at] = replace(self.query[self.at], low=low, high=high)
            except InverseSetError as error:
                self.jobs.say(str(error))
                return
        self._changed()

    def export(self, folder: str | Path = "", *, progress: Progress | None = None) -> Run:
        """Write what is on screen as a report; see `workbench.exports.write`."""
        return self.report.export(folder, progress=progress)

    def _described(self) -> Export:
        with self.showing:
            rows = [(row.found, row.code) for row in self.rows if row.found is not None]
            activations = [(band, self.neurons.values(band.neuron)) for band in self.query]
        return describe(
            self.generator,
            self.classifier,
            self.encoder,
            rows,
            [(band, values) for band, values in activations if values is not None],
            images=self._images,
            drawn=_DRAWN,
            settings={"n": self.count.value, "seed": self.seed, **self._settings},
        )

    def _typed(self) -> None:
        if not self._writing and self.query:
            self.set_band(self.low.value, self.high.value)

    def _look_at(self, change: Any) -> None:
        if change["new"] is not None and not self._writing:
            with self.showing:
                self.at = change["new"]
                self._show_query()

    def _add(self, adding: bool) -> None:
        self._adding = adding
        if adding:
            self.jobs.say("Choose the second neuron: samples have to reach both bands.")

    def _remove(self) -> None:
        with self.showing:
            if len(self.query) < 2:
                return
            del self.query[self.at]
            self.at = 0
        self._changed()

    def _keep(self) -> None:
        self.kept = True
        self.keep.disabled = True
        self.on_settled()

    def resume(
        self,
        bands: Sequence[Band],
        *,
        at: int,
        count: int,
        distance: str,
        kept: bool,
        rows: Sequence[tuple[Mapping[str, Any], InverseSet]],
    ) -> None:
        """Show rows that were found before, each as `RowView` takes it, and make these bands the query."""
        with self.showing:
            for row in self.rows:
                self._forget(row)
            self._writing = True
            try:
                self.count.value, self.distance.value = count, distance
            finally:
                self._writing = False
            self.query, self.at = list(bands), at
            self.rows = []
            for told, found in rows:
                self.rows.append(self._row(**told))
                self.rows[-1].show(found, done=True)
            self.kept = kept
            self._show_query()
            self._arrange()

    # -- what follows from it ------------------------------------------------------------------

    _writing = False  # the panel itself sets the fields

    @property
    def _looked_at(self) -> Neuron | None:
        return self.query[self.at].neuron if self.query else None

    @property
    def found(self) -> InverseSet | None:
        """The samples of the last row, or None."""
        return self.rows[-1].found if self.rows else None

    def _changed(self) -> None:
        """Sample the query, in the last row, or in a new one where that is kept."""
        with self.showing:
            if not self.query:
                return
            bands, wanted = list(self.query), self.count.value
            arguments, code = self._arguments(), _line(bands, self._options())
            self.asked = True
            self._show_query()
        row: RowView | None = None

        def steps() -> Steps[Step, None, InverseSet]:
            nonlocal row
            row = self._begin(bands, wanted, code)
            return (yield from sample_steps(self.generator, bands, wanted, **arguments, **self._settings))

        self.jobs.submit(
            steps,
            lambda found: self._show(row, found, done=True),
            label=" and ".join(band.label for band in bands),
            on_step=lambda step: self._step(row, step),
        )
        self.on_settled()

    def _begin(self, bands: Sequence[Band], wanted: int, code: str) -> RowView:
        """The row of a query that is about to be sampled, in place of the last one unless that is kept."""
        with self.showing:
            if not self.kept and self.rows:
                self._forget(self.rows.pop())
            row = self._row(
                " and ".join(f"{band.label} from {band.low:g} to {band.high:g}" for band in bands),
                wanted,
                code,
                several=len(bands) > 1,
            )
            self.rows.append(row)
            self.kept = self.asked = False
            self._arrange()
        self.on_settled()
        return row

    def _row(self, title: str, wanted: int, code: str, *, several: bool) -> RowView:
        return RowView(
            title,
            self.generator.value_range,
            wanted,
            code,
            several=several,
            selected=self._select,
            removed=self._take_away,
        )

    def _arguments(self) -> dict[str, Any]:
        where = self.distance.value
        return {
            "seed": self.seed,
            "encoder": self.encoder if where == _ENCODER else None,
            "distance": None if where == _ENCODER else where,
        }

    def _options(self) -> dict[str, Any]:
        """The options of `sample` as the shown line has them."""
        where = self.distance.value
        usual = {"walkers": None, "method": "tangent", "resize": None}
        differing = {name: value for name, value in self._settings.items() if value != usual[name]}
        place = {"encoder": self.encoder} if where == _ENCODER else {"distance": where}
        return {"n": self.count.value, **place, "seed": self.seed, **differing}

    def _step(self, row: RowView | None, step: Step) -> None:
        if isinstance(step, Sampled) and step.so_far is not None:
            self._show(row, step.so_far(), done=False)

    def _show(self, row: RowView | None, found: InverseSet, *, done: bool) -> None:
        with self.showing:
            if row is None or row not in self.rows:
                return
            row.show(found, done=done)
            if done and row is self.rows[-1]:  # not before: a band may be dragged while samples are found
                self._redraw_histogram()
        if done:
            self.on_settled()

    def _busy(self, busy: bool) -> None:
        self.keep.disabled = busy or self.kept
        if not busy:
            self.asked = False
            for row in self.rows:
                row.stopped(self.jobs.text)

    def _show_query(self) -> None:
        """Write the query into the controls, and draw its histogram."""
        with self.showing:
            self._writing = True
            try:
                several = len(self.query) > 1
                self.chips.options = [band.label for band in self.query] if several else []
                if several:
                    self.chips.index = self.at
                for widget in (self.chips, self.without):
                    widget.layout.display = None if several else "none"
                name = "" if several or not self.query else f"<b>{figures.plain(self.query[0].label)}</b>"
                self.title.value = name
                for control in (self.low, self.high, self.also, self.again):
                    control.disabled = not self.query
                self.keep.disabled = self.kept or self.jobs.busy
                if self.query:
                    self.low.value, self.high.value = self.query[self.at].low, self.query[self.at].high
            finally:
                self._writing = False
            self.neurons.mark(self._looked_at)
        self._redraw_histogram()

    def _redraw_histogram(self) -> None:
        self.drawing.draw(lambda: None, lambda _: self._draw_histogram(), label="Histogram")

    def _draw_histogram(self) -> None:
        with self.showing:
            if not hasattr(self, "plot"):
                return
            if not self.query:
                self.plot.draw(figures.histogram(None, width=_WIDE))
                return
            band = self.query[self.at]
            samples = None
            if self.found is not None and band.label in self.found.neurons:
                samples = self.found.values[:, self.found.neurons.index(band.label)]
            others = [
                tuple(limits)
                for row in self.rows[:-1]
                if row.found is not None
                for name, limits in zip(row.found.neurons, row.found.limits.tolist(), strict=True)
                if name == band.label
            ]
            self.plot.draw(
                figures.histogram(
                    self.neurons.values(band.neuron),
                    (band.low, band.high),
                    samples=samples,
                    others=others,
                    name=f"activation of {label(self.classifier, band.neuron)}",
                    width=_WIDE,
                )
            )

    # -- the rows ------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """The newest row on top, and the code of all of them."""
        empty = [] if self.rows else [parts.live_only(widgets.HTML(parts.note(_EMPTY)))]
        parts.replace(self._list, [*reversed(self.rows), *empty])
        lines = [row.code for row in self.rows]
        if len(lines) > 1:
            self.code.code = "rows = [\n" + "".join(f"    {line},\n" for line in lines) + "]"
        else:
            self.code.code = "".join(f"found = {line}" for line in lines)

    def _take_away(self, row: RowView) -> None:
        with self.showing:
            if row is self.rows[-1]:
                self.jobs.cancel(keep=False)
                self.kept = True
                self.keep.disabled = True
            self.rows.remove(row)
            self._forget(row)
            self._arrange()
        self._redraw_histogram()
        self.on_settled()

    def _forget(self, row: RowView) -> None:
        if self._chosen is not None and self._chosen[0] is row:
            self._chosen = None
            self.handover.offer(None)
        row.close()

    def _select(self, row: RowView, index: int | None) -> None:
        with self.showing:
            if index is None:
                if self._chosen is not None and self._chosen[0] is row:
                    self._chosen = None
                    self.handover.offer(None)
                return
            self._chosen = row, index
            for other in self.rows:
                if other is not row:
                    other.unselect()
            self.handover.offer(self._sample(row, index))

    def _sample(self, row: RowView, index: int) -> Sample | None:
        found = row.found
        if found is None:
            return None
        part = "" if row.hits else "nearest_"
        code = getattr(found, f"{part}codes")[index]
        output = getattr(found, f"{part}outputs")[index : index + 1]
        name = f"rows[{self.rows.index(row)}]" if len(self.rows) > 1 else "found"
        picture = self._fit(output.to(self.generator.device, self.generator.dtype))[0]
        low, high = self.classifier.value_range
        return Sample(
            self.generator,
            self.classifier,
            code,
            picture.clamp(low, high),
            code_source=f"{name}.{part}codes[{index}]",
            picture_source=self._picture(f"{name}.{part}outputs", index),
            name=f"sample {index}",
        )

    def _picture(self, outputs: str, index: int) -> str:
        """The Python that brings an output into the classifier's range."""
        (a, b), (low, high) = self.generator.value_range, self.classifier.value_range
        if self.generator.output_shape != self.classifier.input_shape:
            how = f"pictures_for(C, G, resize={self._settings['resize']!r})"
            return f"wb.models.latent.{how}({outputs}[{index}:{index + 1}])[0]"
        scale = (high - low) / (b - a)
        if (a, b) == (low, high):
            return f"{outputs}[{index}]"
        return f"({outputs}[{index}] - {a:g}) * {scale:g} + {low:g}"

    def state(self) -> State:
        """The query and the rows, to be saved."""
        return panel_state.state_of(self)

    def restore(self, state: State) -> None:
        """Show what `state()` gave.

        Raises:
            LayerError, InverseSetError: it does not fit this classifier.
        """
        panel_state.restore(self, state)

    def close(self) -> None:
        """Stop the workers and close every widget of the panel."""
        if hasattr(self, "plot"):
            self.jobs.close()
            self.drawing.close()
            self.neurons.close()
            self.handover.close()
            self.report.close()
            parts.close_all(self)
        super().close()


def last_hidden(classifier: Classifier) -> str:
    """The last layer of a classifier that is neither its scores nor a layer that only passes on."""
    scores = classifier.layers[-1].shape
    for layer in reversed(classifier.layers):
        if layer.shape != scores and not layer.kind.startswith(("Dropout", "Identity")):
            return layer.name
    return classifier.layers[-1].name


def _line(bands: Sequence[Band], options: dict[str, Any]) -> str:
    """The Python that samples bands."""
    wanted = bands[0].code if len(bands) == 1 else f"[{', '.join(band.code for band in bands)}]"
    line = parts.call("wb.inverse_sets.sample", "G", wanted, **options)
    return line.replace("encoder=encoder", "encoder=E")


def _checked(classifier: Classifier, images: Any) -> Tensor | None:
    """Pictures to browse neurons with.

    Raises:
        InverseSetError: none at all, of another shape, or outside the classifier's range.
    """
    if images is None:
        return None
    given = torch.as_tensor(images)
    low, high = classifier.value_range
    fits = tuple(given.shape[1:]) == classifier.input_shape and len(given) > 1
    if not fits or float(given.min()) < low - 1e-3 or float(given.max()) > high + 1e-3:
        reach = f"in [{float(given.min()):.3g}, {float(given.max()):.3g}]" if given.numel() else "of no numbers"
        raise InverseSetError(
            f"images of shape {tuple(given.shape)} {reach} were given; expected two or more of "
            f"{classifier.name}'s inputs, (m, {', '.join(map(str, classifier.input_shape))}), in "
            f"[{low:g}, {high:g}]"
        )
    return given
