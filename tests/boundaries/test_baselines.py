"""The balls have the paper's radii, and the controls what they control for."""

from __future__ import annotations

import math

import pytest
import torch

import workbench as wb
from tests.boundaries.networks import one_layer
from workbench.boundaries import (
    BoundaryError,
    Exploration,
    coin_flip,
    epsilon_l2,
    epsilon_linf,
    epsilon_radii,
    explore,
    same_radii,
    supporting_set,
)


@pytest.fixture(scope="module")
def grown() -> tuple[wb.Generator, Exploration]:
    G = one_layer(latents=6, units=24)
    found = supporting_set(G, G.latents(1, seed=4), "1", most_steps=60)
    return G, explore(G, found.query, found, samples=300, step=0.4)


def test_the_radius_is_the_mean_of_the_farthest_and_the_nearest_point_that_left(grown):
    _, tree = grown
    centre = tree.points.mean(0)
    distances = [
        float((z - centre).norm()) for z, left in zip(tree.rejected, tree.left_region, strict=True) if left
    ]
    radius, _ = epsilon_radii(tree)
    assert radius == pytest.approx((max(distances) + min(distances)) / 2)


@pytest.mark.parametrize("latents", [2, 3, 64])
def test_the_cube_has_the_volume_of_the_ball(latents):
    G = one_layer(latents=latents, units=24)
    found = supporting_set(G, G.latents(1, seed=4), "1", most_steps=60)
    tree = explore(G, found.query, found, samples=50, step=max(0.3, latents / 8), interval=4.0, tries=300)
    l2, linf = epsilon_radii(tree)
    ball = latents / 2 * math.log(math.pi) - math.lgamma(latents / 2 + 1) + latents * math.log(l2)
    assert latents * math.log(2 * linf) == pytest.approx(ball)


def test_draws_are_uniform_in_their_balls(grown):
    G, tree = grown
    l2, linf = epsilon_radii(tree)
    ball = epsilon_l2(G, tree, samples=4000)
    assert ball.radius == l2 and float(ball.radii.max()) <= l2
    assert float((ball.radii / l2).pow(6).mean()) == pytest.approx(0.5, abs=0.02)  # the share of the volume
    cube = epsilon_linf(G, tree, samples=4000)
    moves = cube.points - tree.query
    assert float(moves.abs().max()) <= linf and float(moves.std()) == pytest.approx(linf / math.sqrt(3), rel=0.02)


def test_the_fair_ball_has_the_trees_own_distances_and_no_direction(grown):
    G, tree = grown
    fair = same_radii(G, tree)
    torch.testing.assert_close(fair.radii.sort().values, tree.radii.sort().values)
    assert float((fair.points - tree.query).mean(0).norm()) < 0.15 * float(tree.radii.mean())


def test_the_coin_flip_tree_has_the_same_number_step_and_rate(grown):
    G, tree = grown
    other = coin_flip(G, tree)
    assert len(other.points) == len(tree.samples)
    gaps = torch.cdist(other.points, torch.cat([other.query[None], other.points])).sort(dim=1).values
    assert float(gaps[:, 1].min()) >= 0.4 * (1 - 2e-4)
    signs = (G.until("1", before=True)(other.points)[:, tree.units] * tree.signs >= 0).all(1)
    assert not bool(signs.all())  # it does not know the region


def test_without_a_point_that_left_the_radius_is_undefined_and_the_controls_are_not():
    G = one_layer(latents=6, units=24)
    found = supporting_set(G, G.latents(1, seed=4), "1", most_steps=60)
    tree = explore(G, found.query, found, samples=20, step=1e-4)
    assert not bool(tree.left_region.any())
    with pytest.raises(BoundaryError, match="undefined; explore with a longer step"):
        epsilon_l2(G, tree)
    assert len(same_radii(G, tree).points) == len(coin_flip(G, tree).points) == 20


def test_beside_an_empty_exploration_there_is_nothing_to_draw(grown):
    G = one_layer()
    found = supporting_set(G, G.latents(1, seed=5), "1", sides="both", sparsity=0.0, most_steps=60)
    tree = explore(G, found.query, found, step=10.0, interval=20.0, tries=50)
    with pytest.raises(BoundaryError, match="both must have some"):
        same_radii(G, tree)


def test_a_baseline_saves_and_loads_and_its_call_makes_it_again(grown, tmp_path):
    G, exploration = grown
    for make in (epsilon_l2, epsilon_linf, same_radii, coin_flip):
        made = make(G, exploration, seed=3)
        again = wb.load_result(made.save(tmp_path / made.name))
        assert torch.equal(again.points, made.points)
        assert torch.equal(eval(made.provenance.call).points, made.points)
