"""The map of all classes: similar ones lie together, and new embeddings are placed without moving it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models._meta import _IMAGENET_CATEGORIES

import workbench as wb
from tests.models.networks import Conditional
from workbench.embeddings import ClassMap, MapError, class_map, nearest, place
from workbench.embeddings.class_map import (
    class_map_steps,
    divergence,
    joint_probabilities,
    rank_of_own,
    rows_to_map,
)
from workbench.results import sha256_of

GROUPS, MEMBERS = 6, 10


def clusters() -> Tensor:
    """Well separated Gaussian clusters in 16 dimensions, one after another."""
    draw = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(GROUPS, 1, 16, generator=draw)
    return (centres + 0.3 * torch.randn(GROUPS, MEMBERS, 16, generator=draw)).flatten(0, 1)


@pytest.fixture(scope="module")
def grouped() -> ClassMap:
    return class_map(clusters(), seed=0)


def biggan(size: int) -> Tensor:
    folder = Path(os.environ.get("WORKBENCH_DATA", ""))
    file = folder / f"biggan_embeddings_{size}.npy"
    if not file.is_file():
        pytest.skip(f"no {file.name} in WORKBENCH_DATA ({folder}): BigGAN's class embeddings are not at hand")
    return torch.from_numpy(np.load(file))


@pytest.fixture(scope="module")
def real() -> ClassMap:
    return class_map(biggan(256), _IMAGENET_CATEGORIES, seed=0)


def test_clusters_stay_together(grouped):
    group = torch.arange(GROUPS).repeat_interleave(MEMBERS)
    assert bool((group[nearest(grouped.positions, k=5)] == group[:, None]).all())


def test_a_copy_of_a_class_is_placed_on_it(grouped):
    placed = place(grouped, grouped.embeddings)
    assert torch.equal(rank_of_own(placed, grouped.positions, torch.arange(len(placed))), torch.ones(60).long())
    apart = (grouped.positions - grouped.positions[nearest(grouped.positions, k=1)[:, 0]]).norm(dim=1)
    assert bool(((placed - grouped.positions).norm(dim=1) < apart / 2).all())


def test_the_middle_of_a_cluster_is_placed_in_it(grouped):
    middles = grouped.embeddings.view(GROUPS, MEMBERS, -1).mean(1)
    among = nearest(place(grouped, middles), grouped.positions, k=3) // MEMBERS
    assert torch.equal(among, torch.arange(GROUPS)[:, None].expand(-1, 3))


def test_placing_moves_nothing_and_each_is_placed_by_itself(grouped):
    before = grouped.positions.clone()
    new = clusters()[::7] + 0.1
    together = place(grouped, new)
    assert torch.equal(grouped.positions, before)
    torch.testing.assert_close(place(grouped, new[3]), together[3:4])
    assert place(grouped, new[:0]).shape == (0, 2)


def test_a_map_that_was_saved_places_as_before(grouped, tmp_path):
    new = clusters()[::7] + 0.1
    loaded = wb.load_result(grouped.save(tmp_path / "map"))
    assert loaded.kind() == "embeddings.ClassMap" and loaded.names == grouped.names
    assert torch.equal(loaded.positions, grouped.positions)
    assert torch.equal(place(loaded, new), place(grouped, new))


def test_the_seed_fixes_the_map(grouped):
    assert torch.equal(class_map(clusters(), seed=0).positions, grouped.positions)
    assert not torch.equal(class_map(clusters(), seed=1).positions, grouped.positions)


def test_the_divergence_is_that_of_its_definition(grouped):
    p = joint_probabilities(rows_to_map(grouped.embeddings, "cosine"), grouped.perplexity, seed=0).P.toarray()
    kernel = 1 / (
        1 + torch.cdist(grouped.positions, grouped.positions, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    )
    kernel.fill_diagonal_(0)
    q = (kernel / kernel.sum()).numpy()
    assert p.sum() == pytest.approx(1)
    assert grouped.divergence == pytest.approx((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum(), rel=1e-9)
    scrambled = grouped.positions[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    assert (
        divergence(
            joint_probabilities(rows_to_map(grouped.embeddings, "cosine"), 6.0, seed=0).P, scrambled.numpy()
        )
        > 2 * grouped.divergence
    )


def test_cosine_maps_directions_and_euclidean_lengths_too():
    lengths = torch.linspace(1, 3, 60)[:, None]
    assert torch.equal(
        nearest(torch.from_numpy(rows_to_map(clusters() * lengths, "cosine"))),
        nearest(torch.from_numpy(rows_to_map(clusters(), "cosine"))),
    )
    line = torch.linspace(0.1, 10, 40)[:, None] * torch.ones(1, 4)
    ordered = class_map(line, metric="euclidean", perplexity=5).positions
    gaps = (nearest(ordered, k=2) - torch.arange(40)[:, None]).abs()
    assert float((gaps <= 3).double().mean()) > 0.95


@pytest.mark.parametrize("classes", [4, 5, 8, 20])
def test_few_classes_lower_the_perplexity(classes):
    few = class_map(torch.randn(classes, 6, generator=torch.Generator().manual_seed(1)))
    assert few.perplexity == min(5.0, (classes - 1) / 3)
    assert bool(torch.isfinite(few.positions).all())
    placed = place(few, few.embeddings)
    assert torch.equal(nearest(placed, few.positions, k=1)[:, 0], torch.arange(classes))


def test_classes_that_are_the_same_are_mapped():
    draw = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    twice = class_map(torch.cat([draw, draw]))
    assert torch.equal(nearest(twice.positions, k=1)[:, 0], (torch.arange(12) + 6) % 12)
    assert bool(torch.isfinite(class_map(torch.ones(8, 4)).positions).all())


def test_a_cancelled_map_is_partial():
    steps = class_map_steps(clusters())
    first = next(steps)
    half = wb.progress.stop(steps, first)
    assert (first.done, first.total) == (50, 600)
    assert half.provenance.partial and bool(torch.isfinite(half.positions).all())


def test_a_generator_brings_its_embeddings_and_names():
    names = ["<b>bold</b>", *"abcdefghijk"]
    generator = wb.Generator(
        Conditional(12, 5), 4, class_embeddings="shared.weight", class_names=names, device="cpu"
    )
    mapped = class_map(generator)
    assert mapped.names == tuple(names)
    assert torch.equal(mapped.embeddings, generator.class_embeddings)
    assert mapped.provenance.fingerprint == generator.fingerprint
    assert list(mapped.frame().columns) == ["name", "x", "y"]


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (torch.zeros(3, 4), {}, "3 classes were given; a map of neighbourhoods needs four or more"),
        (torch.tensor([[1.0, float("nan")]] * 4), {}, "NaN or infinity in 4 of 4 rows, first in row 0"),
        (torch.zeros(5), {}, "expected a matrix"),
        (torch.zeros(5, 3, dtype=torch.long), {}, "real numbers"),
        (torch.randn(5, 3), {"names": ["a"]}, "1 names were given for 5 embeddings"),
        (torch.randn(5, 3), {"metric": "manhattan"}, "choose 'cosine' or 'euclidean'"),
        (torch.randn(5, 3), {"perplexity": float("nan")}, "a number from 1 on"),
    ],
)
def test_what_cannot_be_mapped_is_refused(given, options, said):
    with pytest.raises(MapError, match=said):
        class_map(given, **options)


def test_what_cannot_be_placed_is_refused(grouped):
    with pytest.raises(MapError, match=r"shape \(2, 7\); this map places rows of \(16,\)"):
        place(grouped, torch.zeros(2, 7))
    with pytest.raises(MapError, match="NaN or infinity in 1 of 3 rows, first in row 1"):
        place(grouped, torch.tensor([[0.0], [float("inf")], [0.0]]).expand(3, 16))


def test_a_generator_without_class_embeddings_is_told_so():
    module = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))
    with pytest.raises(MapError, match="pass class_embeddings="):
        class_map(wb.Generator(module, 3, device="cpu"))


def test_imagenets_dogs_lie_with_dogs(real):
    dogs = torch.arange(151, 269)
    found = nearest(real.positions, k=5)[dogs]
    assert float(((found >= 151) & (found < 269)).double().mean()) >= 0.97


def test_published_embeddings_land_beside_their_own_class(real):
    files = sorted((Path(os.environ["WORKBENCH_DATA"]) / "biggan_am_embeddings").glob("imagenet_*.npy"))
    own = torch.tensor([int(file.name.split("_")[1]) for file in files])
    placed = place(real, torch.from_numpy(np.concatenate([np.load(file) for file in files])))
    assert len(own) == 50
    assert float(rank_of_own(placed, real.positions, own).double().median()) <= 1


def test_the_128_pixel_table_is_mapped_alike():
    dogs = torch.arange(151, 269)
    found = nearest(class_map(biggan(128)).positions, k=5)[dogs]
    assert float(((found >= 151) & (found < 269)).double().mean()) >= 0.97


def test_embeddings_of_half_precision_are_mapped_and_known_by_their_numbers():
    rows = clusters().bfloat16()
    mapped = class_map(rows, progress=lambda step: False)
    assert mapped.provenance.fingerprint == sha256_of(rows) and mapped.positions.shape == (60, 2)
