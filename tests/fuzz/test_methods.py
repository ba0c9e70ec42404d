"""The methods' one-line calls under settings, points, classes and layers that may be wrong."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from tests.fuzz import networks, values
from tests.fuzz.outcomes import Refused, attempt, finite

points = values.mostly(values.good(4), values.batches(4))
pictures = values.mostly(values.good(2, 1, 6, 6), values.batches(1, 6, 6))
routes = values.mostly(st.sampled_from(["auto", "exact", "matrix-free", "stochastic"]), values.words)
variants = values.mostly(st.sampled_from(["AM-S", "AM-L", "AM-D-S", "Top-5"]), values.words)
methods = values.mostly(st.sampled_from(["tangent", "lagrangian", "full"]), values.words)
distances = values.mostly(st.sampled_from(["pixel", "1"]), st.one_of(st.just("latent"), values.words))
boxes = values.mostly(st.sampled_from([None, "table"]), st.tuples(values.numbers, values.numbers))
targets = st.one_of(st.none(), st.just("all"), values.classes, st.lists(values.classes, max_size=3))


@given(
    points, values.counts, values.seeds, routes, values.counts, st.integers(-1, 3), values.counts, values.numbers
)
def test_subspaces(z, dims, seed, route, rank, axis, steps, share):
    G = networks.generator()
    found = attempt(lambda: wb.subspaces.subspace(G, z, dims, seed=seed, route=route, rank=rank))
    if isinstance(found, Refused):
        return
    finite(found.directions, found.singular_values, found.spectrum, found.output)
    line = attempt(lambda: wb.subspaces.line(G, found, axis, steps=steps, share=share))
    if not isinstance(line, Refused):
        finite(line.outputs, line.change, line.positions)


@given(points, values.layers, values.seeds, values.numbers, values.numbers, values.counts, values.numbers,
       values.numbers, values.counts, values.few, values.numbers, values.numbers)  # fmt: skip
def test_boundaries(z, layer, seed, threshold, sparsity, masks, rate, temperature, samples, tries, step, interval):
    G = networks.generator()
    options = {
        "threshold": threshold,
        "sparsity": sparsity,
        "masks": masks,
        "rate": rate,
        "temperature": temperature,
    }
    kept = attempt(lambda: wb.boundaries.supporting_set(G, z, layer, seed=seed, most_steps=5, **options))
    if isinstance(kept, Refused):
        kept = wb.boundaries.supporting_set(G, torch.ones(4) / 2, "1", most_steps=5, sparsity=0)
    finite(kept.theta, kept.losses, kept.masked)
    assert kept.error == kept.error
    tree = attempt(
        lambda: wb.boundaries.explore(
            G, kept.query, kept, seed=seed, samples=samples, tries=tries, step=step, interval=interval
        )
    )
    if not isinstance(tree, Refused):
        finite(tree.points, tree.rejected)


@given(values.layers, values.classes, values.shares, values.numbers, values.counts, values.seeds, values.counts,
       methods, values.numbers, values.few, distances)  # fmt: skip
def test_inverse_sets(layer, channel, low, width, n, seed, walkers, method, length, steps, distance):
    G, C = networks.generator(), networks.classifier()

    def sample():
        band = wb.inverse_sets.band(C, layer, channel, low, low + width)
        return wb.inverse_sets.sample(
            G, band, n, seed=seed, walkers=walkers, method=method, length=length, seed_steps=5, steps=steps,
            distance=distance,
        )  # fmt: skip

    found = attempt(sample)
    if not isinstance(found, Refused):
        finite(found.codes, found.outputs, found.values)


@given(values.classes, variants, values.seeds, values.counts, values.few, values.counts, values.few,
       values.numbers, values.numbers, distances, boxes, values.mostly(st.none(), values.classes))  # fmt: skip
def test_embeddings(index, variant, seed, trials, steps, latents, resample, rate, noise, distance, limits, target):
    G, C = networks.with_classes(), networks.classifier()
    found = attempt(
        lambda: wb.embeddings.maximize(
            G, C, index, variant, seed=seed, trials=trials, steps=steps, latents=latents, resample=resample,
            rate=rate, noise=noise, distance=distance, limits=limits, target=target,
        )
    )  # fmt: skip
    if not isinstance(found, Refused):
        finite(found.embeddings, found.probability, found.diversity, found.scores)


@given(pictures, targets, values.mostly(st.sampled_from(["batched", "homotopy"]), values.words),
       values.mostly(st.just("fast"), values.words),
       values.mostly(st.sampled_from(["range", None]), st.tuples(values.numbers, values.numbers)),
       values.mostly(st.none(), values.batches(6, 6)), values.seeds)  # fmt: skip
def test_flip_points(x, target, method, effort, bounds, mask, seed):
    C = networks.classifier()
    found = attempt(
        lambda: wb.flip_points.closest(
            C, x, target, method=method, effort=effort, bounds=bounds, mask=mask, seed=seed
        )
    )
    if not isinstance(found, Refused):
        finite(found.points[found.converged], found.distances[found.converged])


@given(pictures, values.counts, values.seeds, values.numbers, st.integers(-2, 4))
def test_boundary_points_and_changes(x, n, seed, change, output):
    C = networks.classifier()
    many = attempt(lambda: wb.flip_points.boundary_points(C, x, n, seed=seed))
    moved = attempt(lambda: wb.flip_points.closest_change(C, x, change, output=output, effort="fast", seed=seed))
    for found in (many, moved):
        if not isinstance(found, Refused):
            finite(found.points[found.converged], found.distances[found.converged])
