"""Directions are drawn by their singular values, each once before any comes again."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from workbench.subspaces.drawing import DirectionPool

VALUES = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.0])


def test_the_first_draw_follows_the_singular_values():
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(5)
    for _ in range(6000):
        counts[int(DirectionPool(VALUES).draw(generator))] += 1
    assert counts[4] == 0  # its chance is 1e-6 / 7.5
    expected = 6000 * VALUES[:4] / 7.5
    assert chisquare(counts[:4].numpy(), expected.numpy(), sum_check=False).pvalue > 0.001


def test_the_second_draw_follows_what_is_left():
    generator = torch.Generator().manual_seed(1)
    counts = torch.zeros(5)
    for _ in range(8000):
        pool = DirectionPool(VALUES)
        if int(pool.draw(generator)) == 0:
            counts[int(pool.draw(generator))] += 1
    expected = counts.sum() * VALUES[1:4] / 3.5
    assert counts[0] == 0
    assert chisquare(counts[1:4].numpy(), expected.numpy(), sum_check=False).pvalue > 0.001


def test_all_are_shown_once_before_any_comes_again():
    pool, generator = DirectionPool(VALUES), torch.Generator().manual_seed(2)
    for _ in range(3):
        assert sorted(int(pool.draw(generator)) for _ in range(5)) == [0, 1, 2, 3, 4]


def test_a_direction_without_effect_is_shown_too():
    pool, generator = DirectionPool(torch.tensor([1.0, 0.0])), torch.Generator().manual_seed(0)
    assert {int(pool.draw(generator)), int(pool.draw(generator))} == {0, 1}


def test_reset_opens_all():
    pool, generator = DirectionPool(VALUES), torch.Generator().manual_seed(3)
    pool.draw(generator, 3)
    assert pool.remaining == 2
    pool.reset()
    assert pool.remaining == len(pool) == 5


def test_a_subspace_has_distinct_directions_also_across_a_reopening():
    generator = torch.Generator().manual_seed(4)
    for _ in range(50):
        pool = DirectionPool(VALUES)
        first, second = pool.draw(generator, 4), pool.draw(generator, 4)
        assert len(set(first.tolist())) == len(set(second.tolist())) == 4


def test_the_same_seed_draws_the_same():
    a, b = (DirectionPool(VALUES).draw(torch.Generator().manual_seed(7), 5) for _ in range(2))
    assert torch.equal(a, b)


@pytest.mark.parametrize("values", [torch.tensor([]), torch.tensor([1.0, -1.0]), torch.tensor([float("nan")])])
def test_what_is_no_spectrum_is_refused(values):
    with pytest.raises(ValueError, match="singular_values"):
        DirectionPool(values)


def test_more_directions_than_there_are_cannot_be_drawn():
    with pytest.raises(ValueError, match="k=6"):
        DirectionPool(VALUES).draw(torch.Generator(), 6)
