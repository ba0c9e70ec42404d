"""Where in an input picture the neurons of a convolution look, so that many can be followed back at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Field:
    """A neuron at position p looks at pixels `stride * p - before` to `stride * p + after`, down and along."""

    stride: int = 1
    before: int = 0
    after: int = 0

    @property
    def width(self) -> int:
        """Pixels on a side."""
        return self.before + self.after + 1

    @property
    def apart(self) -> int:
        """How many positions apart two neurons look at no pixel in common."""
        return -(-self.width // self.stride)

    def behind(self, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Field | None:
        """The field behind a convolution or pooling; None where it is not square or leaves its own place."""
        sides = [(v, v) if isinstance(v, int) else v for v in (kernel, stride, padding, dilation)]
        if any(isinstance(side, str) or side[0] != side[-1] for side in sides):
            return None
        size, step, edge, spread = (int(side[0]) for side in sides)
        after = self.after + self.stride * (spread * (size - 1) - edge)
        return Field(self.stride * step, self.before + self.stride * edge, after) if after >= 0 else None

    def fits(self, shape: torch.Size, picture: torch.Size) -> bool:
        """Whether every position of a map (…, height, width) has its pixel `stride * p` in the picture."""
        return all(self.stride * (n - 1) < size for n, size in zip(shape[-2:], picture[-2:], strict=True))

    def places(self, positions: int, pixels: int, like: Tensor) -> Float[Tensor, "positions pixels"]:
        """The matrix that puts what belongs to position p on pixel `stride * p`."""
        pixel, position = (torch.arange(n, device=like.device) for n in (pixels, positions))
        return (pixel == self.stride * position[:, None]).to(like)

    def sums(
        self, maps: Float[Tensor, "k queries height width"], positions: tuple[int, int]
    ) -> Float[Tensor, "k queries rows columns"]:
        """Sums of maps over the pixels that each of `positions` looks at."""
        right, bottom = (
            self.stride * (n - 1) + self.width - self.before - size
            for n, size in zip(reversed(positions), reversed(maps.shape[-2:]), strict=True)
        )
        padded = torch.nn.functional.pad(maps, (self.before, right, self.before, bottom))
        return torch.nn.functional.avg_pool2d(padded, self.width, self.stride, divisor_override=1)


def behind_conv2d(
    field: Field,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Field | None:
    """The field behind `torch.nn.functional.conv2d`, with its arguments."""
    return field.behind(tuple(weight.shape[2:]), stride, padding, dilation)
