"""Fréchet distance and Inception Score in features of one's choice: closed forms of normal and of sure classes."""

from __future__ import annotations

import pytest
import torch

from workbench.metrics import accuracy, frechet_distance, inception_score


def test_the_frechet_distance_of_two_normals_is_that_of_their_means_and_deviations():
    drawn = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = (drawn - drawn.mean(0)) / drawn.std(0)
    wide = drawn * torch.tensor([2.0, 3.0]) + torch.tensor([1.0, -1.0])
    # squared difference of the means, and (1 - 2)² + (1 - 3)² of the deviations, up to their sampled correlation
    assert frechet_distance(drawn, wide) == pytest.approx(2 + 1 + 4, abs=0.02)
    assert frechet_distance(drawn, drawn) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("real", "generated"),
    [(torch.zeros(1, 2), torch.zeros(3, 2)), (torch.zeros(3, 2), torch.zeros(3, 4))],
)
def test_features_that_do_not_fit_are_refused(real: torch.Tensor, generated: torch.Tensor):
    with pytest.raises(ValueError, match="expected two matrices of one width"):
        frechet_distance(real, generated)
    with pytest.raises(ValueError, match="NaN"):
        frechet_distance(torch.full((3, 2), torch.nan), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 3 rows, first in row 1"):
        frechet_distance(torch.zeros(3, 2), torch.tensor([[0.0, 1.0], [2.0, torch.inf], [0.0, 0.0]]))


def test_the_inception_score_is_the_number_of_classes_for_sure_and_even_ones_and_one_for_unsure_ones():
    sure = 100 * torch.eye(4).repeat(50, 1)
    assert inception_score(sure, splits=1) == pytest.approx(4, rel=1e-6)
    assert inception_score(1000 * sure, splits=1) == pytest.approx(4)
    assert inception_score(torch.zeros(40, 4)) == pytest.approx(1)
    assert inception_score(sure, splits=10) == inception_score(sure, splits=10)
    with pytest.raises(ValueError, match="splits"):
        inception_score(sure[:3])


def test_the_inception_score_leaves_torch_s_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    inception_score(torch.zeros(40, 4))
    assert torch.equal(torch.rand(1), expected)


def test_accuracy_is_the_share_of_rows_whose_largest_score_is_their_label():
    scores = torch.eye(4)
    assert accuracy(scores, torch.tensor([0, 1, 2, 0])) == 0.75
