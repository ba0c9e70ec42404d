"""Neurons: scalars of a layer's output, such as a unit or a channel's mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from workbench.models.errors import LayerError
from workbench.models.layers import Layer


@dataclass(frozen=True)
class Neuron:
    """A scalar of one layer's output.

    Args:
        layer: dotted name of the layer.
        channel: index into the output's first dimension (0-based).
        position: index into the remaining dimensions, for one unit of a channel, such as (6, 6).
        reduce: `"mean"` or `"max"` over the channel's positions. Without `position` and `reduce`, a
            channel with several positions stands for the one in its middle.
    """

    layer: str
    channel: int
    position: tuple[int, ...] | None = None
    reduce: Literal["mean", "max"] | None = None

    def __post_init__(self) -> None:
        if self.reduce not in (None, "mean", "max"):
            raise LayerError(f"reduce={self.reduce!r}; expected 'mean', 'max' or None")
        if self.position is not None and self.reduce is not None:
            raise LayerError("give either a position or a reduction over all positions, not both")

    def check(self, layer: Layer) -> None:
        """Raise LayerError where `layer` has no such channel or position."""
        if not 0 <= self.channel < layer.shape[0]:
            raise LayerError(
                f"channel {self.channel} of layer {layer.name!r} was asked for; it has channels 0 to "
                f"{layer.shape[0] - 1}"
            )
        rest = layer.shape[1:]
        if self.position is not None and (
            len(self.position) != len(rest)
            or any(not 0 <= p < n for p, n in zip(self.position, rest, strict=True))
        ):
            raise LayerError(
                f"position {self.position} of layer {layer.name!r} was asked for; a channel has shape {rest}"
            )

    def read(self, activation: Float[Tensor, "batch *layer"]) -> Float[Tensor, " batch"]:
        """This neuron's value for each row of its layer's output."""
        channel = activation[:, self.channel]
        if channel.ndim == 1:
            return channel
        if self.reduce == "mean":
            return channel.flatten(1).mean(1)
        if self.reduce == "max":
            return channel.flatten(1).amax(1)
        position: tuple[int, ...] = self.position or tuple(int(n) // 2 for n in channel.shape[1:])
        return channel[(slice(None), *position)]  # type: ignore[index]
