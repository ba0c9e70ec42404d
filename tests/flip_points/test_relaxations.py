"""The two lines of an activation hold it between them on the whole interval, and no looser than need be."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from workbench.flip_points import relaxations
from workbench.flip_points.relaxations import Lines

F = nn.functional
S_SHAPED = {
    "erf": (torch.erf, relaxations.erf_slope),
    "tanh": (torch.tanh, relaxations.tanh_slope),
    "sigmoid": (torch.sigmoid, relaxations.sigmoid_slope),
}


def intervals() -> tuple[Tensor, Tensor]:
    """Wide and narrow ones, on either side of 0 and across it."""
    generator = torch.Generator().manual_seed(0)
    middle = 3 * torch.randn(2000, dtype=torch.float64, generator=generator)
    half = 10 ** torch.empty(2000, dtype=torch.float64).uniform_(-6, 1, generator=generator)
    return (middle - half)[None], (middle + half)[None]


def check(lines: Lines, f: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """That the lines hold `f`; returns the widest gap between them on each interval."""
    v = low + (high - low) * torch.linspace(0, 1, 201, dtype=torch.float64)[:, None]
    below, above = lines.lower * v + lines.lower_at, lines.upper * v + lines.upper_at
    rounding = 1e-12 * (1 + v.abs())
    assert bool((below <= f(v) + rounding).all())
    assert bool((above >= f(v) - rounding).all())
    return (above - below).amax(0)


@pytest.mark.parametrize("slope", [0.0, 0.1, -0.5, 1.0, 2.5])
def test_kinked_activations_lie_between_their_lines(slope):
    low, high = intervals()
    crossing = (low < 0) & (high > 0)
    gap = check(relaxations.kinked(low, high, slope), lambda v: torch.where(v > 0, v, slope * v), low, high)
    torch.testing.assert_close(gap[~crossing[0]], torch.zeros_like(gap[~crossing[0]]), atol=1e-12, rtol=0)
    assert bool((gap <= abs(1 - slope) * torch.minimum(-low, high).clamp_min(0)[0] + 1e-9).all())


def test_an_elu_lies_between_its_lines():
    low, high = intervals()

    def slope(v: Tensor) -> Tensor:
        return torch.where(v > 0, 1.0, v.clamp_max(0).exp())

    gap = check(relaxations.convex(low, high, F.elu, slope), F.elu, low, high)
    assert bool((gap <= (high - low)[0]).all())


@pytest.mark.parametrize("name", S_SHAPED)
def test_s_shaped_activations_lie_between_their_lines(name):
    f, slope = S_SHAPED[name]
    low, high = intervals()
    gap = check(relaxations.s_shaped(low, high, f, slope), f, low, high)
    width = (high - low)[0]
    assert bool((gap <= 2 / math.sqrt(math.pi) * width).all())  # the steepest of the three slopes
    narrow = width < 1e-2  # second order in the width: at most the largest |f''|, times width²
    assert float((gap / width.square())[narrow & (width > 1e-4)].max()) < 1


@pytest.mark.parametrize("name", S_SHAPED)
def test_the_slopes_are_the_derivatives(name):
    f, slope = S_SHAPED[name]
    v = torch.linspace(-3, 3, 101, dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(f(v).sum(), v)
    torch.testing.assert_close(slope(v.detach()), exact)
    assert math.isclose(float(slope(torch.zeros(1, dtype=torch.float64))), float(exact[50]))
