"""The part of the panel with the neurons: a layer's channels, each by the pictures that excite it most."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from collections.abc import Generator as Steps

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.inverse_sets.bands import gives_score
from workbench.inverse_sets.browse import REDUCTIONS, Activity, activity_steps
from workbench.models import Classifier, Layer, Neuron
from workbench.progress import Step
from workbench.ui import parts
from workbench.ui.jobs import Jobs
from workbench.ui.sample_grid import SampleGrid

#: Channels in sight at once, and the longer side of a picture in a tile, in pixels.
PAGE, _SIDE = 60, 48
_WORDS = {"centre": "the unit in a channel's middle", "mean": "its mean", "maximum": "its largest unit"}


class NeuronView(widgets.VBox):
    """All channels of a layer, of many the most active first: a click chooses one.

    Args:
        classifier: that has the neurons.
        pictures: the steps that give (n, *input) in its value range; they go in the worker, once.
        layers: to begin with: the first is shown, and all are read.
        ask: called with the neuron that was chosen.
        read: called when the activations of a layer are there.

    Attributes:
        activities: the layers that have been read, by name.
    """

    def __init__(
        self,
        classifier: Classifier,
        pictures: Callable[[], Steps[Step, None, Float[Tensor, "n *input"]]],
        *,
        layers: Sequence[str],
        ask: Callable[[Neuron], object],
        read: Callable[[], object],
    ) -> None:
        self._classifier, self._draw, self._ask, self._read = classifier, pictures, ask, read
        self._pictures: Tensor | None = None
        self._small: Tensor | None = None
        self.activities: dict[str, Activity] = {}
        self._channels: list[int] = []  # of the layer, in the order in which they are shown
        self._first = 0
        self._marked: Neuron | None = None
        self._showing = threading.RLock()
        self.jobs = Jobs()
        self.jobs.on_busy = self._busy
        self._build(layers[0])
        self.open_layers(layers)

    # -- what it looks like --------------------------------------------------------------------

    def _build(self, layer: str) -> None:
        names = [(_described(one), one.name) for one in self._classifier.layers]
        self.layer = widgets.Dropdown(
            options=names,
            value=layer,
            description="layer",
            tooltip="Layers of the classifier, the last with a score for each class",
            layout=widgets.Layout(width="250px"),
            style={"description_width": "initial"},
        )
        self.layer.observe(lambda change: self.open_layers([change["new"]]), names="value")
        self.way = widgets.ToggleButtons(
            options=list(REDUCTIONS),
            tooltips=[f"The neuron is {words}" for words in _WORDS.values()],
            style={"button_width": "auto"},
        )
        self.way.observe(lambda _: self._arrange(), names="value")
        self.back = parts.button("◀", "More active channels")
        self.back.on_click(lambda _: self._turn(-PAGE))
        self.forth = parts.button("▶", "Less active channels")
        self.forth.on_click(lambda _: self._turn(PAGE))
        self._place = widgets.HTML()
        self.pages = widgets.HBox([self.back, self._place, self.forth], layout=parts.row())
        self.grid = SampleGrid(
            name="neurons",
            multiple=False,
            captions=True,
            tile=76,
            height=330,
            empty_text="The layer is being read …",
        )
        self.grid.on_select(self._chosen)
        super().__init__(
            [
                widgets.HBox([self.layer, self.way, self.pages], layout=parts.row()),
                self.grid,
                self.jobs,
            ],
            layout=widgets.Layout(flex="3 1 420px", min_width="320px", grid_gap="6px"),
        )
        self._arrange()

    # -- what the user does --------------------------------------------------------------------

    def values(self, neuron: Neuron) -> Float[Tensor, " pictures"] | None:
        """A neuron's activations on the pictures, or None while its layer has not been read, and for one that is
        among no layer's tiles, such as one with a position of its own."""
        found = self.activities.get(neuron.layer)
        return None if found is None or not found.holds(neuron) else found.of(neuron)

    def mark(self, neuron: Neuron | None) -> None:
        """Show which neuron is chosen, where its layer is in sight."""
        with self._showing:
            self._marked = neuron
            in_sight = self._channels[self._first : self._first + PAGE]
            self.grid.selected = [i for i, channel in enumerate(in_sight) if self._tile(channel) == neuron]

    def _chosen(self, places: Sequence[int]) -> None:
        with self._showing:
            if not places:
                return
            neuron = self._tile(self._channels[self._first + places[-1]])
        if neuron != self._marked:
            self._ask(neuron)

    def _tile(self, channel: int) -> Neuron:
        """The neuron that the tile of a channel stands for."""
        positions = len(self._classifier.layers[self.layer.value].shape) > 1
        return Neuron(self.layer.value, channel, reduce=REDUCTIONS[self.way.value] if positions else None)

    def _turn(self, by: int) -> None:
        with self._showing:
            self._first = min(max(0, self._first + by), max(0, len(self._channels) - 1) // PAGE * PAGE)
            self._show()

    # -- what follows from it ------------------------------------------------------------------

    def open_layers(self, layers: Sequence[str]) -> None:
        """Show the first of the layers, once all of them are read."""
        missing = [name for name in dict.fromkeys(layers) if name not in self.activities]
        if not missing:
            self._arrange()
            return
        self.grid.clear()

        def steps() -> Steps[Step, None, dict[str, Activity]]:
            if self._pictures is None:
                self._pictures = yield from self._draw()
            return (yield from activity_steps(self._classifier, self._pictures, missing))

        self.jobs.submit(steps, self._arrived, label=f"Layer {layers[0]}")

    def _busy(self, busy: bool) -> None:
        self.jobs.layout.display = None if busy or self.jobs.error else "none"

    def _arrived(self, found: dict[str, Activity]) -> None:
        self.activities |= found
        self._arrange()
        self._read()

    def _arrange(self) -> None:
        """Order the channels of the layer in sight, and show the first of them."""
        with self._showing:
            layer = self._classifier.layers[self.layer.value]
            self.way.layout.display = None if len(layer.shape) > 1 else "none"
            self.pages.layout.display = None if layer.shape[0] > PAGE else "none"
            self._first = 0
            self._channels = list(range(layer.shape[0]))
            if layer.name not in self.activities:
                return
            if layer.shape[0] > PAGE:
                self._channels = self._activations().amax(0).argsort(descending=True).tolist()
            self._show()

    def _activations(self) -> Float[Tensor, "pictures channels"]:
        found = self.activities[self.layer.value]
        return found.values[self.way.value if len(found.values) > 1 else "centre"]

    def _show(self) -> None:
        channels = self._channels[self._first : self._first + PAGE]
        total = len(self._channels)
        self._place.value = parts.note(f"{self._first + 1} to {self._first + len(channels)} of {total:,}")
        self.back.disabled, self.forth.disabled = self._first == 0, self._first + PAGE >= total
        activations = self._activations()[:, channels]
        largest = activations.amax(0)
        names = [self._name(channel) for channel in channels]
        self._marked, marked = None, self._marked
        self.grid.show(
            self._tiles(activations),
            value_range=self._classifier.value_range,
            labels=[f"{name} · {value:.3g}" for name, value in zip(names, largest.tolist(), strict=True)],
            values={
                "largest activation": largest.tolist(),
                "median activation": activations.median(0).values.tolist(),
            },
        )
        self.mark(marked)

    def _name(self, channel: int) -> str:
        scores = gives_score(self._classifier, self._tile(channel))
        return self._classifier.class_names[channel] if scores else str(channel)

    def _tiles(self, activations: Float[Tensor, "pictures channels"]) -> Float[Tensor, "channels *tile"]:
        """For each channel the pictures that excite it most: four images in a square, or one signal."""
        assert self._pictures is not None
        if self._pictures.ndim != 4:
            return self._pictures[activations.argmax(0)].float().cpu()
        if self._small is None:
            images = self._pictures.float().cpu()
            if max(images.shape[2:]) > _SIDE:
                share = _SIDE / max(images.shape[2:])
                images = nn.functional.interpolate(images, scale_factor=share, mode="area")
            self._small = images
        order = activations.topk(min(4, len(activations)), dim=0).indices
        order = order[torch.arange(4) % len(order)]
        top = self._small[order]  # (4, channels, c, h, w)
        return torch.cat([torch.cat([top[0], top[1]], 3), torch.cat([top[2], top[3]], 3)], 2)

    def close(self) -> None:
        """Stop the worker and close every widget of the view."""
        if hasattr(self, "grid"):
            self.jobs.close()
            parts.close_all(self)
        super().close()


def _described(layer: Layer) -> str:
    """A layer in the list: its name, kind and size."""
    return f"{layer.name} · {layer.kind} · {' × '.join(map(str, layer.shape))}"
