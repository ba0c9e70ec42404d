"""Equation (2) of E-GBAS."""

from __future__ import annotations

import pytest
import torch

from workbench.metrics import cosine_similarity


def test_it_is_the_mean_cosine_to_the_reference_whatever_the_lengths():
    features = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    assert cosine_similarity(features, torch.tensor([3.0, 0.0])) == pytest.approx(0.0)
    assert cosine_similarity(features[:2], torch.tensor([1.0, 1.0])) == pytest.approx(0.5**0.5)


def test_features_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="with a reference of"):
        cosine_similarity(torch.zeros(3, 2, 2), torch.zeros(4))
