"""The glyphs' recipes: which classes are thinned, how diversity and the embeddings' structure are measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workbench.datasets import glyphs
from workbench.zoo import architectures
from workbench.zoo.recipes import glyphs_biggan


def test_thirty_classes_chosen_by_the_seed_are_thinned():
    settings = glyphs_biggan.Settings()
    chosen = glyphs_biggan.thinned(163, settings)
    assert len(chosen.unique()) == 30
    assert torch.equal(chosen, glyphs_biggan.thinned(163, settings))
    assert not torch.equal(chosen, glyphs_biggan.thinned(163, replace(settings, seed=1)))


def test_the_diversity_of_a_class_is_the_mean_difference_of_its_pairs():
    # half of the images are black and half white: two drawn at random differ, by 2, in every second case
    images = torch.tensor([-1.0, 1.0]).repeat_interleave(200)[:, None, None, None].expand(-1, 1, 4, 4)
    labels = torch.zeros(400, dtype=torch.long)
    found = glyphs_biggan.real_diversity(images, labels, 1)
    assert found.item() == pytest.approx(1.0, abs=0.15)
    assert glyphs_biggan.real_diversity(images[:200], labels[:200], 1).item() == 0


def test_the_rank_of_the_nearest_homograph_counts_the_other_classes_from_one():
    embeddings = torch.arange(163.0)[:, None]
    a = [glyphs.CHARACTERS.index(c) for c in "AΑА"]
    embeddings[a, 0] = torch.tensor([1000.0, 1000.5, 1001.5])
    ranks = glyphs_biggan.homograph_ranks(embeddings)
    grouped = [i for i, c in enumerate(glyphs.CHARACTERS) if c in "".join(glyphs.HOMOGRAPHS)]
    assert len(ranks) == len(grouped)
    assert [int(ranks[grouped.index(i)]) for i in a] == [1, 1, 1]
    apart = torch.arange(163.0)[:, None] + torch.rand(163, 1, generator=torch.Generator().manual_seed(0)) / 10
    assert glyphs_biggan.homograph_ranks(apart).double().median() > 5


def test_the_generator_steers_every_stage_with_the_class_and_a_chunk_of_the_latents():
    torch.manual_seed(0)
    module = architectures.GlyphGenerator(5).eval()
    z, rows = torch.randn(3, 40), module.shared.weight[:3]
    images = module(z, rows)
    assert images.shape == (3, 1, 32, 32)
    for chunk in range(4):
        other = z.clone()
        other[:, 10 * chunk : 10 * chunk + 10] += 1
        assert not torch.allclose(module(other, rows), images)
    assert not torch.allclose(module(z, rows.roll(1, 0)), images)
