"""GB-RRT: the paper's tree, inside the region, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from tests.boundaries.networks import one_layer, two_layers
from workbench.boundaries import BoundaryError, explore, supporting_set
from workbench.boundaries.explore import Exploration, explore_steps
from workbench.boundaries.supporting_set import SupportingSet
from workbench.boundaries.tree import SPACING, Tree
from workbench.progress import stop


@cache
def one_at_a_time(
    network: Callable[[], wb.Generator], layer: str, *, tries: int, step: float, interval: float, seed: int = 0
) -> tuple[wb.Generator, SupportingSet, np.ndarray, list[int], list[int]]:
    """Algorithm 2 written plainly: points relative to the query, parents, and the try of each."""
    G = network()
    found = supporting_set(G, G.latents(1, seed=5), layer, most_steps=60)
    signs_at = G.until(layer, before=True)
    draw = torch.Generator().manual_seed(seed)
    d = found.query.numel()
    targets = [interval * (2 * torch.rand(1024, d, generator=draw, dtype=torch.float64) - 1) for _ in range(8)]
    nodes, parents, made = np.zeros((tries + 1, d)), [-1], [0]
    for i, target in enumerate(torch.cat(targets)[:tries].numpy(), 1):
        distances = np.linalg.norm(nodes[: len(made)] - target, axis=1)
        near = int(distances.argmin())
        point = nodes[near] + step * (target - nodes[near]) / distances[near]
        point = point.clip(-interval, interval)
        z = found.query + torch.from_numpy(point).to(found.query)
        signs = signs_at(z[None])[0].flatten()[found.units] * found.signs
        spaced = np.linalg.norm(nodes[: len(made)] - point, axis=1).min() >= step * SPACING
        if bool((signs >= 0).all()) and spaced:
            nodes[len(made)] = point
            parents.append(near), made.append(i)
    return G, found, nodes[: len(made)], parents, made


@pytest.mark.parametrize(
    ("network", "layer", "step", "interval"),
    [
        (one_layer, "1", 0.1, 1.0),  # a polygon that fills up
        (one_layer, "1", 0.7, 0.5),  # steps that overshoot and are clipped to the box
        (partial(one_layer, latents=8, units=20), "1", 0.3, 2.0),
        (two_layers, "3", 0.15, 2.0),
    ],
)
@pytest.mark.parametrize("batch", [1, 3, 64, 256])
def test_the_tree_is_that_of_the_one_at_a_time_algorithm_for_every_batch(network, layer, step, interval, batch):
    G, found, nodes, parents, made = one_at_a_time(network, layer, tries=1500, step=step, interval=interval)
    tree = explore(G, found.query, found, samples=10_000, tries=1500, step=step, interval=interval, batch=batch)
    assert 10 < len(nodes) < 1500 or step > interval
    assert tree.parents.tolist() == parents and tree.tries.tolist() == made
    np.testing.assert_allclose((tree.points - tree.query).numpy(), nodes, atol=1e-12)


def test_in_a_one_layer_network_every_sample_lies_in_the_known_polytope():
    G = one_layer(latents=5, units=30)
    found = supporting_set(G, G.latents(1, seed=2), "1", sides="both", most_steps=60)
    tree = explore(G, found.query, found, samples=400)
    weight, bias = G.module[0].weight[found.units], G.module[0].bias[found.units]
    heights = found.signs[:, None] * (weight @ tree.points.T + bias[:, None])
    assert len(tree.samples) == 400 and len(found.units) > 3
    assert float(heights.min()) >= 0
    left = tree.rejected[tree.left_region]
    outside = found.signs[:, None] * (weight @ left.T + bias[:, None])
    assert len(left) > 0 and bool((outside.min(0).values < 0).all())


@pytest.mark.parametrize("batch", [1, 16, 256])
def test_nodes_are_a_step_apart_and_the_tree_is_connected(batch):
    G = wb.load("mnist-dcgan-2d", device="cpu")
    found = supporting_set(G, torch.tensor([0.5, -0.3]), "3", most_steps=80)
    tree = explore(G, found.query, found, samples=200, step=0.03, batch=batch)
    flat = tree.points.double()
    distances = torch.cdist(flat, flat).fill_diagonal_(9)
    assert float(distances.min()) > 0.03 * (1 - 3e-4)  # the rule's 1e-4, and the rounding to the network's float32
    assert tree.parents[0] == -1 and bool((tree.parents[1:] < torch.arange(1, len(flat))).all())
    lengths = (flat[1:] - flat[tree.parents[1:]]).norm(dim=1)
    assert float(lengths.max()) < 0.03 * (1 + 1e-4)
    assert tree.tried == len(tree.samples) + len(tree.rejected)


def test_no_point_leaves_the_box_nor_the_inputs_of_a_classifier():
    C = wb.load("mnist-cnn", device="cpu")
    from workbench.datasets import mnist

    x = mnist.sample().tensor()[0]
    found = supporting_set(C, x, "12", most_steps=60)
    tree = explore(C, x, found, samples=40, interval=0.2)
    assert len(tree.samples) == 40
    assert float(tree.points.min()) >= 0 and float(tree.points.max()) <= 1
    assert float((tree.points - x).abs().max()) <= 0.2 + 1e-6


def test_a_region_that_admits_no_step_returns_the_query_and_says_what_to_change():
    G = one_layer()
    found = supporting_set(G, G.latents(1, seed=5), "1", sides="both", sparsity=0.0, most_steps=60)
    tree = explore(G, found.query, found, step=10.0, interval=20.0, tries=100)
    assert len(tree.points) == 1 and torch.equal(tree.points[0], found.query)
    assert "no step of 10 stays in the region" in tree.reason and "smaller step, such as 1" in tree.reason
    boxed = explore(G, found.query, found, step=1.0, interval=0.01, tries=100)
    assert "larger interval" in boxed.reason or "stays in the region" in boxed.reason


def test_what_was_not_found_is_said():
    G = one_layer()
    found = supporting_set(G, G.latents(1, seed=5), "1", most_steps=60)
    tree = explore(G, found.query, found, samples=1000, tries=300)
    assert len(tree.samples) < 1000 and tree.tried == 300
    assert f"{len(tree.samples)} of 1000 samples after 300 tries" in tree.reason


def test_it_ends_with_the_sample_that_completes_the_number_whatever_the_batch():
    G = one_layer(latents=8, units=20)
    found = supporting_set(G, G.latents(1, seed=5), "1", most_steps=60)
    whole, part = (explore(G, found.query, found, samples=n, step=0.2, batch=64) for n in (200, 77))
    assert len(part.samples) == 77 and torch.equal(part.points, whole.points[:78])
    assert part.tried == int(part.tries[-1])


def test_it_starts_at_another_point_of_the_region_but_not_outside():
    G = one_layer()
    found = supporting_set(G, G.latents(1, seed=5), "1", most_steps=60)
    tree = explore(G, found.query, found, samples=50, step=0.3)
    other = explore(G, tree.points[20], found, samples=20)
    assert torch.equal(other.points[0], tree.points[20])
    with pytest.raises(BoundaryError, match="outside the region"):
        explore(G, tree.rejected[tree.left_region][0], found)


def test_a_set_of_another_network_is_refused():
    found = supporting_set(one_layer(), torch.zeros(2), "1", most_steps=10, threshold=0.0)
    with pytest.raises(BoundaryError, match="supporting set is of"):
        explore(one_layer(units=13), torch.zeros(2), found)


def test_a_watcher_sees_the_tree_grow_and_a_cancelled_one_is_kept():
    G = one_layer(latents=8, units=20)
    found = supporting_set(G, G.latents(1, seed=5), "1", most_steps=60)
    steps = explore_steps(G, found.query, found, samples=500, step=0.2)
    first = next(steps)
    second = next(steps)
    seen = second.so_far()
    assert isinstance(seen, Exploration) and 0 < first.done < second.done == len(seen.samples)
    kept = stop(steps, second)
    assert torch.equal(kept.points, seen.points)
    assert kept.provenance.partial and "stopped after" in kept.reason


def test_it_saves_and_loads_and_its_frame_tells_each_points_depth(tmp_path):
    G = one_layer()
    found = supporting_set(G, G.latents(1, seed=5), "1", most_steps=60)
    tree = explore(G, found.query, found, samples=30)
    again = wb.load_result(tree.save(tmp_path))
    assert torch.equal(again.points, tree.points) and again.reason == tree.reason
    table = tree.frame()
    assert table["depth"][0] == 0 and (table["depth"][1:] >= 1).all()
    child = table.iloc[-1]
    assert child["depth"] == table["depth"][child["parent"]] + 1


def test_few_evaluations_are_wasted_on_wrong_guesses():
    """A pass through the network costs more than anything else here: batches must not ask for much in vain."""
    walls = 0.4 * torch.tensor([0.8, 1.1, 0.9, 1.0, 1.2, 0.7], dtype=torch.float64)
    torch.manual_seed(0)
    normals = nn.functional.normalize(torch.randn(6, 20), dim=1).double()

    def inside(rows: torch.Tensor) -> torch.Tensor:
        return (rows @ normals.T <= walls).all(1)

    box = torch.full((20,), 2.0, dtype=torch.float64)
    tree = Tree(inside, step=0.4, low=-box, high=box, seed=0)
    while len(tree) <= 1000:
        tree.grow(10_000, 1001)
    assert 0.2 < tree.rate < 0.9
    assert tree.evaluated < 1.2 * tree.tried


@pytest.mark.parametrize(
    "settings", [{"samples": 0}, {"tries": 0}, {"step": 0.0}, {"step": 1e200}, {"interval": -1}, {"batch": 0}]
)
def test_settings_out_of_range_are_refused(settings):
    G = one_layer()
    found = supporting_set(G, torch.zeros(2), "1", most_steps=10, threshold=0.0)
    with pytest.raises(BoundaryError, match=next(iter(settings))):
        explore(G, torch.zeros(2), found, **settings)
