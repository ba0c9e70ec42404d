"""The gradient of equation (6) in closed form, the starts, and the search for seeds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.inverse_sets.networks import identity, linear
from workbench.inverse_sets import band
from workbench.inverse_sets.problem import Problem
from workbench.inverse_sets.seeds import lagrangian_slope, measure, search, starts
from workbench.numerics.augmented_lagrangian import penalty, updated
from workbench.progress import run


def _problem(low: float = 0.5, high: float = 1.0, *, batch_size: int | None = None) -> Problem:
    return Problem(identity(batch_size=batch_size), band(linear(), 0, 1, low, high), distance="pixel")


@pytest.mark.parametrize("batch_size", [None, 3])
def test_the_slope_is_that_of_the_sum_over_all_pairs(batch_size: int | None) -> None:
    problem = _problem(-1e9, 1e9, batch_size=batch_size)  # so wide that no constraint acts
    units = measure(problem, seed=0)
    codes = problem.generator.latents(7, seed=1)
    zeros = torch.zeros(7, 1)
    _, slope = lagrangian_slope(problem, codes, units, zeros, zeros, 1.0, diversity=True)
    given = codes.clone().requires_grad_(True)
    pairs = (given[:, None] - given[None]).square().sum() / 2 / 7 / units.spread
    assert torch.allclose(slope, torch.autograd.grad(-pairs, given)[0], atol=1e-6)


def test_samples_from_before_add_the_sum_over_pairs_with_them() -> None:
    problem = _problem(-1e9, 1e9)
    units = measure(problem, seed=0)
    codes, before = problem.generator.latents(4, seed=1), problem.generator.latents(5, seed=2)
    zeros = torch.zeros(4, 1)
    _, slope = lagrangian_slope(problem, codes, units, zeros, zeros, 1.0, diversity=True, before=before)
    given = codes.clone().requires_grad_(True)
    # each pair of new ones stands twice in the first sum of equation (7)
    within = (given[:, None] - given[None]).square().sum()
    across = (given[:, None] - before[None]).square().sum()
    expected = torch.autograd.grad(-(within / 2 + across) / 4 / units.spread, given)[0]
    assert torch.allclose(slope, expected, atol=1e-6)


def test_both_ends_of_the_band_push_inward() -> None:
    problem = _problem(0.5, 1.0)
    units = measure(problem, seed=0)
    weight = problem.bands[0].classifier.module[0].weight[1]  # type: ignore[index]
    codes = torch.stack([-3 * weight, 3 * weight]) / weight.square().sum()  # activations near -3 and 3
    zeros = torch.zeros(2, 1)
    _, slope = lagrangian_slope(problem, codes, units, zeros, zeros, 10.0, diversity=False)
    rise = -slope @ weight
    assert rise[0] > 0 > rise[1]


def test_the_penalty_is_the_augmented_lagrangian_at_its_best_slack() -> None:
    c, multiplier, weight = torch.linspace(-2, 2, 9), torch.full((9,), 0.7), 3.0
    slack = torch.linspace(0, 4, 40_001)[:, None]
    whole = -multiplier * (c - slack) + weight / 2 * (c - slack) ** 2
    constant = multiplier**2 / (2 * weight)
    for i in range(9):
        expected = whole[:, i].min() + constant[i]
        assert float(penalty(c[i], multiplier[i], weight)) == pytest.approx(float(expected), abs=1e-3)
    assert torch.allclose(updated(c, multiplier, weight), (multiplier - weight * c).clamp_min(0))


def test_starts_are_the_draws_nearest_to_the_band_and_far_apart() -> None:
    problem = _problem(0.5, 1.0)
    units = measure(problem, seed=0)
    chosen, others = starts(problem, units, 10)
    beyond = problem.outside_by(units.seen.values)
    nearest = units.draws[beyond.argsort(stable=True)[:40]]
    assert all((row == nearest).all(1).any() for row in chosen)
    assert len(chosen) + len(others) == len(units.draws)
    assert torch.pdist(chosen).mean() > torch.pdist(nearest).mean()


def test_seeds_are_found_in_the_band_or_as_near_as_they_came() -> None:
    problem = _problem(2.0, 2.2)
    units = measure(problem, seed=0)
    chosen, spare = starts(problem, units, 10)
    found = run(search(problem, units, chosen, spare=spare, steps=400))
    assert found.inside.all() and not found.stopped and found.steps < 400
    assert problem.inside(problem.look(found.codes).values).all()
    short = run(search(problem, units, chosen - 3, spare=spare, steps=1))
    assert not short.inside.all() and short.steps == 1


def test_a_seed_whose_neuron_is_off_starts_again_elsewhere() -> None:
    G, C = identity(), linear(then=nn.ReLU())
    problem = Problem(G, band(C, 1, 1, 0.5, 0.6), distance="pixel")
    units = measure(problem, seed=0)
    _, spare = starts(problem, units, 2)
    weight = C.module[0].weight[1]  # type: ignore[index]
    off = torch.stack([-5 * weight, -6 * weight]) / weight.square().sum()
    assert (problem.look(off).values == 0).all()
    alone = run(search(problem, units, off, steps=100, diversity=False))
    helped = run(search(problem, units, off, spare=spare, steps=100, diversity=False))
    assert not alone.inside.any() and helped.inside.all()


def test_a_batch_that_is_halved_for_want_of_memory_gives_the_same_gradient() -> None:
    G, C = identity(), linear()
    problem = Problem(G, band(C, 0, 1, 0.5, 1.0), distance="pixel")
    units = measure(problem, seed=0)
    codes = units.draws[:10]
    zeros = codes.new_zeros(10, 1)
    whole = lagrangian_slope(problem, codes, units, zeros, zeros, 1.0, diversity=True)[1]
    forward = G.module.forward

    def short(z: torch.Tensor) -> torch.Tensor:
        if len(z) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(z)

    G.module.forward = short  # type: ignore[method-assign]
    halved = lagrangian_slope(problem, codes, units, zeros, zeros, 1.0, diversity=True)[1]
    assert G.batches.size == 5 and torch.allclose(halved, whole, atol=1e-6)
