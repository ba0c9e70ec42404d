"""Which layers have boundaries, and what is read there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import workbench as wb
from tests.boundaries.networks import Functional
from workbench.boundaries.sign_layer import BoundaryError, draws, sign_layer, sign_layers


def generator(module: nn.Module, latents: int = 4) -> wb.Generator:
    torch.manual_seed(0)
    return wb.Generator(module, latents, value_range=(-5, 5), device="cpu")


@pytest.mark.parametrize("inplace", [False, True])
def test_an_activation_and_the_layer_before_it_name_the_same_boundaries(inplace):
    G = generator(nn.Sequential(nn.Linear(4, 10), nn.ReLU(inplace=inplace), nn.Linear(10, 6)))
    z = G.latents(32, seed=1)
    expected = nn.functional.linear(z, G.module[0].weight, G.module[0].bias)
    for name in ("0", "1"):
        at = sign_layer(G, name)
        assert at.mask_at.name == "1"
        torch.testing.assert_close(at.pre_activations(z), expected)
    assert bool((expected < 0).any())  # what a ReLU hides


def test_activations_that_are_functions_are_read_at_what_feeds_them_even_in_place():
    module = Functional()
    G = generator(module)
    assert sign_layers(G) == ["first", "second"]
    z = G.latents(16, seed=1)
    torch.testing.assert_close(sign_layer(G, "first").pre_activations(z), module.first(z))


def test_an_activation_that_is_called_twice_is_read_at_each_call():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.act = nn.Linear(4, 5), nn.Linear(5, 6), nn.ReLU()

        def forward(self, z):
            return self.act(self.b(self.act(self.a(z)))) - 0.1

    module = Twice()
    G = generator(module)
    z = G.latents(8, seed=2)
    assert sign_layers(G) == ["act", "act#2"]
    torch.testing.assert_close(sign_layer(G, "act").pre_activations(z), module.a(z))
    torch.testing.assert_close(sign_layer(G, "act#2").pre_activations(z), module.b(module.a(z).relu()))


def test_a_skip_connection_before_the_activation_is_part_of_the_pre_activation():
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.act, self.b = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)

        def forward(self, z):
            return self.b(self.act(z + self.a(z)))

    module = Sum()
    G = generator(module)
    z = G.latents(8, seed=2)
    torch.testing.assert_close(sign_layer(G, "act").pre_activations(z), z + module.a(z))


@pytest.mark.parametrize("units", [[0, 7, 8, 95], [3], list(range(96))])
@pytest.mark.parametrize(
    "steps",
    [
        [nn.Linear(4, 96), nn.Unflatten(1, (6, 4, 4)), nn.BatchNorm2d(6)],
        [nn.Linear(4, 96, bias=False), nn.Unflatten(1, (6, 4, 4))],
        [nn.Unflatten(1, (1, 4)), nn.Linear(4, 96), nn.Flatten()],
        [nn.Linear(4, 96), nn.BatchNorm1d(96), nn.Unflatten(1, (6, 4, 4))],
        [nn.Linear(4, 96), nn.Unflatten(1, (6, 4, 4)), nn.BatchNorm2d(6), nn.Flatten()],
        [nn.Unflatten(1, (4, 1, 1)), nn.ConvTranspose2d(4, 6, 4), nn.BatchNorm2d(6)],
        [nn.Linear(4, 32), nn.ReLU(), nn.Unflatten(1, (2, 4, 4)), nn.Conv2d(2, 6, 3, padding=1), nn.Dropout2d()],
        [nn.Linear(4, 32), nn.Unflatten(1, (2, 4, 4)), nn.Conv2d(2, 6, 3, padding=1, groups=2)],
    ],
)
def test_a_few_units_alone_are_what_all_of_them_give(steps, units):
    rest = [nn.Unflatten(1, (6, 4, 4))] if isinstance(steps[-1], nn.Flatten) else []
    module = nn.Sequential(*steps, nn.ReLU(), *rest, nn.Conv2d(6, 1, 1))
    for part in module:
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.uniform_(-0.1, 0.1), part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight), nn.init.uniform_(part.bias, -0.1, 0.1)
    G = generator(module.double())
    at = sign_layer(G, sign_layers(G)[-1])
    z, chosen = G.latents(9, seed=3), torch.tensor(units)
    torch.testing.assert_close(at.reader(chosen)(z), at.pre_activations(z)[:, chosen], rtol=1e-10, atol=1e-10)


class Squared(nn.Linear):
    """A layer with a forward of its own in place of the plain one's."""

    def forward(self, x):
        return super().forward(x).square() - 0.1


def test_a_layer_with_a_forward_of_its_own_is_run_as_it_is():
    G = generator(nn.Sequential(Squared(4, 12), nn.ReLU(), nn.Linear(12, 3)))
    at = sign_layer(G, "1")
    z, chosen = G.latents(9, seed=3), torch.tensor([2, 5])
    torch.testing.assert_close(at.reader(chosen)(z), at.pre_activations(z)[:, chosen])


def test_layers_without_signs_are_refused_with_those_that_have_some():
    G = generator(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3), nn.Softmax(1)))
    with pytest.raises(BoundaryError, match=r"'0' \(Linear\) goes straight into '1'.*next one is '2'"):
        sign_layer(G, "0")
    with pytest.raises(BoundaryError, match=r"'4'.*has both signs.*choose one of '2'"):
        sign_layer(G, "4")


def test_draws_of_a_classifier_fill_its_value_range():
    C = wb.Classifier(nn.Linear(5, 2), 5, value_range=(-3, 2), device="cpu")
    drawn = draws(C, 1000, seed=0)
    assert -3 <= float(drawn.min()) < -2.9 and 1.9 < float(drawn.max()) <= 2
