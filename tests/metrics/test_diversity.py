"""Equation (3) of E-GBAS, with its square; the mean distance of two samples."""

from __future__ import annotations

import pytest
import torch

from workbench.metrics import concentration, deviation_image, mean_distance, pixel_deviation


def test_it_is_the_standard_deviation_of_each_pixel_as_a_share_of_the_range():
    outputs = torch.stack([torch.full((1, 2, 2), v) for v in (-1.0, 1.0)])
    outputs[:, 0, 0, 0] = 0.25
    assert deviation_image(outputs, (-1, 1)).tolist() == [[[0, 0.5], [0.5, 0.5]]]
    assert pixel_deviation(outputs, (-1, 1)) == pytest.approx(0.375)


def test_it_agrees_with_numpy():
    outputs = torch.rand(50, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert pixel_deviation(outputs) == pytest.approx(float(outputs.numpy().std(0).mean()), rel=1e-5)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        pixel_deviation(torch.zeros(0, 1, 2, 2))


def test_concentration_is_the_largest_pixels_share_of_the_squares():
    image = torch.zeros(1, 2, 5)
    image[0, 0, 1] = 0.3
    assert concentration(image) == 1
    assert concentration(torch.ones(1, 2, 5)) == pytest.approx(0.1)
    assert concentration(torch.tensor([3.0, 1.0, 1.0, 1.0]), share=0.25) == pytest.approx(9 / 12)


def test_the_mean_distance_of_two_points_is_their_distance():
    assert mean_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]])) == 5
    assert torch.tensor(mean_distance(torch.zeros(1, 2))).isnan()
