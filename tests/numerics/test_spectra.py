"""The spectrum of a linear map is its SVD; all routes agree on real networks, as far as they claim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor, nn

from workbench.numerics.jacobians import Linearisation
from workbench.numerics.spectra import Spectrum, choose_route, spectrum_steps
from workbench.progress import run


def spectrum(function: object, point: Tensor, **options: object) -> Spectrum:
    return run(spectrum_steps(function, point, **options), lambda _: True)  # type: ignore[arg-type]


@pytest.fixture
def matrix() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(40, 12) @ torch.diag(torch.logspace(0, -3, 12))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(30, 64), nn.Tanh(), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh()
    )
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("route", ["exact", "matrix-free"])
def test_a_linear_map_gives_its_svd(matrix: Tensor, route: str) -> None:
    found = spectrum(lambda z: z @ matrix.T, torch.zeros(12), route=route, rank=12)
    _, singular, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    assert torch.allclose(found.singular_values.double(), singular, rtol=1e-4)
    assert torch.allclose(
        (found.directions.double() * right).sum(1).abs(), torch.ones(12, dtype=torch.float64), atol=1e-4
    )
    assert found.complete and found.remaining_scale == 0.0


def test_rows_of_the_jacobian_agree_with_autograd(network: nn.Module) -> None:
    z = torch.randn(30)
    expected = torch.autograd.functional.jacobian(lambda v: network(v[None]).flatten(), z)
    linear = Linearisation(network, z, chunk=7)
    assert torch.allclose(linear.push(torch.eye(30)).T, expected, atol=1e-5)
    assert torch.allclose(linear.pull(torch.eye(len(expected))[:20]), expected[:20], atol=1e-5)
    assert (linear.passes.jvp, linear.passes.vjp) == (30, 20)


def test_the_matrix_free_route_finds_the_leading_directions(network: nn.Module) -> None:
    z = torch.randn(30)
    exact = spectrum(network, z, route="exact")
    free = spectrum(network, z, route="matrix-free", rank=5)
    assert torch.allclose(free.singular_values, exact.singular_values[:5], rtol=1e-3)
    assert ((free.directions * exact.directions[:5]).sum(1).abs() > 0.999).all()
    assert free.remaining_scale == pytest.approx(float(exact.singular_values[5:].square().mean().sqrt()), rel=0.5)


def test_the_matrix_free_route_agrees_with_scipys_svds(network: nn.Module) -> None:
    z = torch.randn(30)
    linear = Linearisation(network, z)
    m = linear.output.numel()
    operator = LinearOperator(
        (m, 30),
        matvec=lambda v: linear.push(torch.as_tensor(v, dtype=torch.float32).reshape(1, -1))[0].numpy(),
        rmatvec=lambda u: linear.pull(torch.as_tensor(u, dtype=torch.float32).reshape(1, -1))[0].numpy(),
        dtype=np.float32,
    )
    reference = np.sort(svds(operator, k=4, return_singular_vectors=False))[::-1]
    free = spectrum(network, z, route="matrix-free", rank=4)
    assert np.allclose(free.singular_values.numpy(), reference, rtol=1e-3)


def test_the_matrix_free_route_never_holds_the_whole_jacobian(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = torch.randn(30)
    widest = 0
    push = Linearisation.push

    def watched(self: Linearisation, tangents: Tensor) -> Tensor:
        nonlocal widest
        widest = max(widest, len(tangents))
        return push(self, tangents)

    monkeypatch.setattr(Linearisation, "push", watched)
    spectrum(network, z, route="matrix-free", rank=5)
    assert 0 < widest <= 5 + 6 < 30


def test_the_stochastic_route_estimates_the_energy_without_bias(network: nn.Module) -> None:
    z = torch.randn(30)
    exact = spectrum(network, z, route="exact")
    energies = [spectrum(network, z, route="stochastic", rows=50, seed=s).energy for s in range(40)]
    assert np.mean(energies) == pytest.approx(exact.energy, rel=0.1)


def test_with_every_output_the_stochastic_route_is_exact(network: nn.Module) -> None:
    z = torch.randn(30)
    exact = spectrum(network, z, route="exact")
    every = spectrum(network, z, route="stochastic", rows=10**6)
    assert torch.allclose(every.singular_values, exact.singular_values, rtol=1e-3, atol=1e-5)


def test_fewer_outputs_than_latents_leave_as_many_directions_as_outputs() -> None:
    matrix = torch.randn(3, 10)
    found = spectrum(lambda z: z @ matrix.T, torch.zeros(10), route="exact")
    assert found.singular_values.shape == (3,) and found.directions.shape == (3, 10)


def test_an_operation_without_batching_rule_still_has_a_jacobian() -> None:
    class Branching(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return torch.stack([row * 2 if row.sum().item() > 0 else row * 3 for row in z])

    found = spectrum(Branching(), torch.ones(4), route="exact")
    assert torch.allclose(found.singular_values, torch.full((4,), 2.0))


def test_the_route_follows_the_size() -> None:
    assert choose_route(100, 3 * 64 * 64) == "exact"
    assert choose_route(100, 3 * 2048 * 2048) == "matrix-free"
    assert choose_route(4096, 784) == "matrix-free"


def test_an_unknown_route_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 'auto', 'exact'"):
        spectrum(nn.Identity(), torch.zeros(3), route="quick")


def test_singular_values_of_a_constant_function_are_zero() -> None:
    for route in ("exact", "matrix-free", "stochastic"):
        found = spectrum(lambda z: 0 * z, torch.zeros(5), route=route)
        assert torch.equal(found.singular_values, torch.zeros(len(found.singular_values)))
        assert torch.isfinite(found.directions).all()
