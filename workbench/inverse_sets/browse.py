"""What every neuron of a layer does on a set of pictures: what one chooses a neuron and its band by."""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.inverse_sets.bands import InverseSetError
from workbench.models import Classifier, Neuron
from workbench.progress import Progress, Step, run

#: How a channel with several positions is read, by the words for it.
REDUCTIONS: dict[str, Literal["mean", "max"] | None] = {"centre": None, "mean": "mean", "maximum": "max"}
_WAYS = {reduce: name for name, reduce in REDUCTIONS.items()}
#: Digits of the ends of a band that was suggested or dragged: a shown line has them all.
_DIGITS = 4


@dataclass(frozen=True)
class Activity:
    """Activations of all channels of one layer.

    Attributes:
        layer: its name.
        values: (pictures, channels) by how a channel is read: at its `centre`, by its `mean`, its `maximum`; a
            layer without positions has `centre` alone.
    """

    layer: str
    values: dict[str, Float[Tensor, "pictures channels"]]

    def of(self, neuron: Neuron) -> Float[Tensor, " pictures"]:
        """A neuron's activations.

        Raises:
            InverseSetError: it is read in a way that was not recorded, at a position of its own.
        """
        if not self.holds(neuron):
            raise InverseSetError(f"{neuron} was not recorded; expected the centre, the mean or the maximum")
        return self.values[_WAYS[neuron.reduce]][:, neuron.channel]

    def holds(self, neuron: Neuron) -> bool:
        """Whether a neuron is read in a way that was recorded, and not at a position of its own."""
        return neuron.position is None and _WAYS[neuron.reduce] in self.values


def activity_steps(
    classifier: Classifier, pictures: Float[Tensor, "n *input"], layers: Sequence[str | int]
) -> Steps[Step, None, dict[str, Activity]]:
    """`activity`, one batch at a time."""
    known = [classifier.layers[layer] for layer in layers]
    parts: dict[tuple[str, str], list[Tensor]] = {}
    size = classifier.batches.size
    for start in range(0, len(pictures), size):
        with torch.no_grad():
            read = classifier.read(pictures[start : start + size], [layer.name for layer in known])
            for layer in known:
                ways = REDUCTIONS if len(layer.shape) > 1 else ("centre",)
                for way in ways:
                    # Neuron.read for all channels: one definition of what a neuron is
                    rows = [
                        Neuron(layer.name, channel, reduce=REDUCTIONS[way]).read(read[layer.name])
                        for channel in range(layer.shape[0])
                    ]
                    parts.setdefault((layer.name, way), []).append(torch.stack(rows, 1).float().cpu())
        yield Step(min(start + size, len(pictures)), len(pictures), "pictures")
    return {
        layer.name: Activity(
            layer.name, {way: torch.cat(rows) for (name, way), rows in parts.items() if name == layer.name}
        )
        for layer in known
    }


def activity(
    classifier: Classifier,
    pictures: Float[Tensor, "n *input"],
    layers: Sequence[str | int],
    *,
    progress: Progress | None = None,
) -> dict[str, Activity]:
    """The activations of all channels of some layers, from one pass of the pictures.

    Args:
        classifier: that has the layers.
        pictures: in its value range.
        layers: by name or index.
        progress: told each batch; returning False stops.

    Returns:
        An `Activity` for each layer, by its name.

    Raises:
        LayerError: no such layer.
        ModelError: pictures of another shape.
        Cancelled: stopped by `progress`.
    """
    return run(activity_steps(classifier, pictures, layers), progress)


def upper(activations: Float[Tensor, " n"], share: float = 0.05) -> tuple[float, float]:
    """The upper part of what a neuron does, up to its largest activation, rounded.

    Args:
        activations: of some pictures.
        share: of them that lie in the band.

    Raises:
        InverseSetError: all activations are the same: the neuron is dead on these pictures.
    """
    least, most = float(activations.min()), float(activations.max())
    low = float(activations.float().quantile(1 - share))
    if low <= least:  # active on fewer pictures than that
        low = (least + most) / 2
    low, high = rounded(low), rounded(most)
    if not low < high:
        raise InverseSetError(
            f"the neuron gives {least:g} on all {len(activations)} pictures: it is dead on these; choose another "
            "one, or other pictures"
        )
    return low, high


def rounded(value: float) -> float:
    """A number of few digits, as it is shown."""
    return float(f"{value:.{_DIGITS}g}")
