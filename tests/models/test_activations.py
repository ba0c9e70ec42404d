"""The erf activation has the paper's slope and limits, and trains in its input and its sigma."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import workbench as wb
from workbench.models import Erf, ModelError


def _slope(layer: Erf, c: Tensor) -> Tensor:
    c = c.clone().requires_grad_()
    (slope,) = torch.autograd.grad(layer(c).sum(), c)
    return slope


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2 / math.sqrt(math.pi), 30.0])
def test_the_slope_at_zero_is_two_over_sigma_root_pi(sigma: float) -> None:
    slope = _slope(Erf(sigma).double(), torch.zeros(1, 1, dtype=torch.double))
    assert slope.item() == pytest.approx(2 / (sigma * math.sqrt(math.pi)), rel=1e-6)


def test_the_value_is_the_integral_of_equation_7() -> None:
    sigma = 0.7
    for c in (-1.3, -0.2, 0.0, 0.5, 2.0):
        t = torch.linspace(-c / sigma, c / sigma, 20_001, dtype=torch.double)
        integral = torch.trapezoid((-(t**2)).exp(), t) / math.sqrt(math.pi)
        assert Erf(torch.tensor(sigma, dtype=torch.double))(torch.tensor(c)).item() == pytest.approx(
            integral.item(), abs=1e-7
        )


def test_a_small_sigma_makes_a_step_and_a_large_one_a_line() -> None:
    c = torch.linspace(-2, 2, 9, dtype=torch.double)
    assert torch.equal(Erf(1e-6)(c), c.sign())
    line = 2 * c / (1e3 * math.sqrt(math.pi))
    assert torch.allclose(Erf(1e3).double()(c), line, rtol=1e-5)


def test_every_neuron_may_have_a_sigma_of_its_own() -> None:
    sigma = torch.tensor([0.5, 1.0, 4.0])
    c = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    together = Erf(sigma)(c)
    for i in range(3):
        assert torch.equal(together[:, i], Erf(sigma[i].item())(c[:, i]))


def test_a_scalar_sigma_is_swapped_for_one_per_neuron_in_a_functional_call() -> None:
    layer, sigma = Erf(1.0), torch.tensor([0.5, 1.0, 4.0])
    c = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(functional_call(layer, {"sigma": sigma}, c), torch.erf(c / sigma))
    assert layer.sigma.item() == 1.0


@pytest.mark.parametrize("shape", [(), (3,)])
def test_gradients_in_the_input_and_in_sigma_are_those_of_finite_differences(shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    c = torch.randn(4, 3, generator=random, dtype=torch.double, requires_grad=True)
    layer = Erf(0.5 + torch.rand(shape, generator=random, dtype=torch.double))
    assert torch.autograd.gradcheck(lambda c, sigma: functional_call(layer, {"sigma": sigma}, c), (c, layer.sigma))


def test_a_layer_has_one_trained_scalar() -> None:
    layer = Erf(0.8)
    assert [(name, p.shape, p.requires_grad) for name, p in layer.named_parameters()] == [("sigma", (), True)]
    assert repr(layer) == "Erf(sigma=0.8)"
    assert repr(Erf(torch.ones(5))) == "Erf(sigma=(5,))"


def test_the_sigma_that_was_given_is_not_trained_in_place() -> None:
    given = torch.ones(3)
    with torch.no_grad():
        Erf(given).sigma.add_(1)
    assert torch.equal(given, torch.ones(3))


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf, torch.tensor([1.0, 0.0])])
def test_a_sigma_that_is_not_positive_is_refused(sigma: float | Tensor) -> None:
    with pytest.raises(ModelError, match=r"erf\(c / sigma\) needs finite numbers above 0"):
        Erf(sigma)


def test_a_classifier_sees_the_layer_by_name() -> None:
    C = wb.Classifier(nn.Sequential(nn.Linear(4, 6), Erf(), nn.Linear(6, 3)), 4, device="cpu")
    assert C.layers["1"].kind == "Erf"
    assert C.until("1")(torch.rand(2, 4)).abs().max() < 1
