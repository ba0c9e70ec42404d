"""The panel of inverse sets: choose a neuron, drag a band on its histogram, see the samples that reach it."""

from __future__ import annotations

import threading
from collections.abc import Generator as Steps
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.exports import Export
from workbench.exports.view import ExportView
from workbench.inverse_sets import figures, panel_state
from workbench.inverse_sets.bands import Band, InverseSetError, as_bands, line
from workbench.inverse_sets.panel_neurons import NeuronView
from workbench.inverse_sets.panel_query import BandView
from workbench.inverse_sets.panel_report import describe
from workbench.inverse_sets.panel_rows import RowList, RowView
from workbench.inverse_sets.problem import Encoder, Problem
from workbench.inverse_sets.result import InverseSet
from workbench.inverse_sets.sample import Sampled, check, sample_steps
from workbench.models import Classifier, Generator, Neuron
from workbench.models.latent import Resize, pictures_for
from workbench.progress import Progress, Step
from workbench.sessions import State
from workbench.ui import parts
from workbench.ui.code_line import CodeLine
from workbench.ui.handover import Handover
from workbench.ui.jobs import Jobs
from workbench.ui.saving import Savable

if TYPE_CHECKING:
    from workbench.reports import Run

#: Draws of the generator that neurons are browsed with, where no pictures are given.
_DRAWN = 500
_ENCODER = "the encoder"


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
        InverseSetError: bands of another classifier, an encoder that is none, settings out of range, or networks
            on different devices or in different precisions.
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
        query = [] if neurons is None else list(as_bands(neurons))
        if any(band.classifier is not classifier for band in query):
            raise InverseSetError(f"neurons has a band of another classifier; expected bands of {classifier.name}")
        # what `sample` would refuse is refused here, before anything is shown
        check(n=n, walkers=walkers, method=method)
        last = classifier.layers[-1].name
        first = query or [Band(classifier, Neuron(last, 0), 0.0, 1.0)]
        Problem(generator, first, encoder=encoder, distance="latent" if encoder is None else None, resize=resize)
        self._fit = pictures_for(classifier, generator, resize=resize)
        self._images = _checked(classifier, images)
        self.kept = True
        self.showing = threading.RLock()  # the worker and the one who drags change the same
        self.jobs, self.code, self.handover = Jobs(), CodeLine(), Handover()
        self.jobs.on_busy = self._busy
        self.asked = False
        self._list = RowList(
            generator,
            classifier,
            resize=resize,
            showing=self.showing,
            chosen=self.handover.offer,
            removed=self._take_away,
        )
        self.bands = BandView(
            classifier,
            query,
            showing=self.showing,
            values=lambda neuron: self.neurons.values(neuron),
            mark=lambda neuron: self.neurons.mark(neuron),
            found=lambda: [row.found for row in self.rows],
            changed=self._changed,
            say=self.jobs.say,
        )
        view = self.bands
        self.chips, self.also, self.without, self.title = view.chips, view.also, view.without, view.title
        self.plot, self.low, self.high, self.drawing = view.plot, view.low, view.high, view.drawing
        layers = [band.neuron.layer for band in query] or [last]
        self.neurons = NeuronView(classifier, self._pictures, layers=layers, ask=self.ask, read=self._read)
        self.report = ExportView("inverse-sets", self._described)
        self._build(n)
        if query:
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
        super().__init__(
            [
                widgets.HBox(
                    [self.neurons, self.bands],
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
        self.bands.ask(neuron)

    def set_band(self, low: float, high: float) -> None:
        """Give the neuron whose histogram is shown another band, and sample it."""
        self.bands.set_band(low, high)

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
            for row in [*self.rows]:
                self._list.drop(row)
            self._writing = True
            try:
                self.count.value, self.distance.value = count, distance
            finally:
                self._writing = False
            self.bands.query, self.bands.at = list(bands), at
            for told, found in rows:
                self._list.add(**told).show(found, done=True)
            self.kept = kept
            self._show_query()
            self._arrange()

    # -- what follows from it ------------------------------------------------------------------

    _writing = False  # the panel itself sets the fields

    @property
    def rows(self) -> list[RowView]:
        """The rows, the oldest first."""
        return self._list.rows

    @property
    def query(self) -> list[Band]:
        """The bands that are asked for, none at the beginning."""
        return self.bands.query

    @property
    def at(self) -> int:
        """The index of the band that is looked at."""
        return self.bands.at

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
            arguments, code = self._arguments(), line("sample", bands, **self._options())
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
                self._list.drop(self.rows[-1])
            row = self._list.add(
                figures.asked([band.label for band in bands], [(band.low, band.high) for band in bands]),
                wanted,
                code,
                several=len(bands) > 1,
            )
            self.kept = self.asked = False
            self._arrange()
        self.on_settled()
        return row

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
                self.bands.redraw()
        if done:
            self.on_settled()

    def _read(self) -> None:
        if hasattr(self, "neurons"):  # a layer may be read before all parts are there
            self.bands.draw()

    def _busy(self, busy: bool) -> None:
        self.keep.disabled = busy or self.kept
        if not busy:
            self.asked = False
            for row in self.rows:
                row.stopped(self.jobs.text)

    def _show_query(self) -> None:
        """Write the query into the controls, and draw its histogram."""
        with self.showing:
            self.again.disabled = not self.query
            self.keep.disabled = self.kept or self.jobs.busy
            self.bands.show()

    # -- the rows ------------------------------------------------------------------------------

    def _arrange(self) -> None:
        """The newest row on top, and the code of all of them."""
        self._list.arrange()
        self.code.code = self._list.code

    def _take_away(self, row: RowView) -> None:
        with self.showing:
            if row is self.rows[-1]:
                self.jobs.cancel(keep=False)
                self.kept = True
                self.keep.disabled = True
            self._list.drop(row)
            self._arrange()
        self.bands.redraw()
        self.on_settled()

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
        if hasattr(self, "again"):
            self.jobs.close()
            self.bands.close()
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
