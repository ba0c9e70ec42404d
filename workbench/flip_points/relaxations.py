"""Pairs of straight lines that hold an activation between them on an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Function = Callable[[Tensor], Tensor]
#: Halvings in the search of a tangent point; each end of the bracket is on a known side at every step.
_HALVINGS = 40


@dataclass(frozen=True)
class Lines:
    """`lower(v) <= f(v) <= upper(v)` for v in an interval, neuron by neuron.

    Attributes:
        lower, lower_at: (rows, *neurons) slope, and value at 0.
        upper, upper_at: (rows, *neurons) likewise.
    """

    lower: Float[Tensor, "rows *neurons"]
    lower_at: Float[Tensor, "rows *neurons"]
    upper: Float[Tensor, "rows *neurons"]
    upper_at: Float[Tensor, "rows *neurons"]


def kinked(low: Tensor, high: Tensor, slope: Tensor | float) -> Lines:
    """ReLU, leaky ReLU and PReLU: slope 1 above 0 and `slope` below.

    The lines of Zhang et al., "Efficient neural network robustness certification with general activation
    functions" (CROWN), NeurIPS 2018, section 3.3: the chord on one side, a line through 0 on the other,
    with the slope of the larger part.

    Args:
        low, high: (rows, *neurons) ends of the intervals, low < high.
        slope: a number, or one that broadcasts over the neurons.
    """
    below = torch.as_tensor(slope, dtype=low.dtype, device=low.device).expand_as(low)
    one = torch.ones_like(low)
    at_low, at_high = torch.where(low > 0, low, below * low), torch.where(high > 0, high, below * high)
    chord = torch.where(low >= 0, one, torch.where(high <= 0, below, (at_high - at_low) / (high - low)))
    chord_at = torch.where((low < 0) & (high > 0), at_low - chord * low, 0.0)
    ray = torch.where(high > -low, one, below)
    ray, zero = torch.where((low < 0) & (high > 0), ray, chord), torch.zeros_like(low)
    convex = below <= 1
    return Lines(
        lower=torch.where(convex, ray, chord),
        lower_at=torch.where(convex, zero, chord_at),
        upper=torch.where(convex, chord, ray),
        upper_at=torch.where(convex, chord_at, zero),
    )


def convex(low: Tensor, high: Tensor, f: Function, slope: Function) -> Lines:
    """A convex function: the chord above, the tangent in the middle below."""
    chord = (f(high) - f(low)) / (high - low)
    middle = (low + high) / 2
    tangent = slope(middle)
    return Lines(lower=tangent, lower_at=f(middle) - tangent * middle, upper=chord, upper_at=f(low) - chord * low)


def s_shaped(low: Tensor, high: Tensor, f: Function, slope: Function) -> Lines:
    """A function that is convex below 0, concave above, and symmetric about (0, f(0)): erf, tanh, sigmoid.

    Zhang et al. (see `kinked`), table 2.
    """
    upper, upper_at = _above(low, high, f, slope)
    lower, mirrored = _above(-high, -low, f, slope)  # f(v) = 2 f(0) - f(-v)
    return Lines(lower=lower, lower_at=2 * f(torch.zeros_like(low)) - mirrored, upper=upper, upper_at=upper_at)


def _above(low: Tensor, high: Tensor, f: Function, slope: Function) -> tuple[Tensor, Tensor]:
    """Slope and value at 0 of a line above an S-shaped function."""
    chord = (f(high) - f(low)) / (high - low)
    near, far = low.clamp_min(0), high.clamp_min(0)
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        clears = f(middle) + slope(middle) * (low - middle) >= f(low)
        near, far = torch.where(clears, near, middle), torch.where(clears, middle, far)
    touching = torch.where(low >= 0, (low + high) / 2, far)
    tangent = slope(touching)
    # still steeper than the chord at the upper end: it crosses the chord nowhere in between
    straight = (high <= 0) | ((low < 0) & (slope(high) >= chord))
    return (
        torch.where(straight, chord, tangent),
        torch.where(straight, f(low) - chord * low, f(touching) - tangent * touching),
    )


def erf_slope(v: Tensor) -> Tensor:
    """The derivative of erf."""
    return 2 / math.sqrt(math.pi) * torch.exp(-v.square())


def tanh_slope(v: Tensor) -> Tensor:
    """The derivative of tanh."""
    return 1 - torch.tanh(v).square()


def sigmoid_slope(v: Tensor) -> Tensor:
    """The derivative of the logistic function."""
    return torch.sigmoid(v) * torch.sigmoid(-v)
