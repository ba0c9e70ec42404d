"""Coordinates of planes."""

from __future__ import annotations

import pytest
import torch

import workbench as wb
from tests.boundaries.networks import one_layer
from workbench.boundaries import BoundaryError, Plane


def test_a_plane_through_three_points_holds_them_inside_its_extent():
    points = torch.randn(3, 5, 1, 1, generator=torch.Generator().manual_seed(0))
    plane = Plane.through(*points)
    assert float(plane.distance(points).max()) < 1e-12
    xy = plane.coordinates(points)
    torch.testing.assert_close(plane.points(xy), points.double())
    x0, x1, y0, y1 = plane.extent
    assert bool(((xy[:, 0] > x0) & (xy[:, 0] < x1) & (xy[:, 1] > y0) & (xy[:, 1] < y1)).all())
    assert xy[0].tolist() == [0, 0] and abs(float(xy[1, 1])) < 1e-12


def test_directions_are_made_orthonormal_and_points_projected_at_right_angles():
    plane = Plane.spanned(torch.zeros(3), torch.tensor([[2.0, 0, 0], [1.0, 1, 0]]), 4.0)
    assert plane.directions.tolist() == [[1, 0, 0], [0, 1, 0]] and plane.extent == (-4, 4, -4, 4)
    assert plane.coordinates(torch.tensor([[1.0, 2, 3]])).tolist() == [[1, 2]]
    assert plane.distance(torch.tensor([[1.0, 2, 3]])).tolist() == [3]


def test_the_whole_plane_of_two_latents_is_as_large_as_its_prior():
    assert Plane.of(one_layer()).extent == (-3, 3, -3, 3)
    uniform = wb.Generator(torch.nn.Linear(2, 4), 2, prior="uniform", device="cpu")
    assert Plane.of(uniform).extent == (-1, 1, -1, 1)
    classifier = wb.Classifier(torch.nn.Linear(2, 3), 2, value_range=(0, 5), device="cpu")
    assert Plane.of(classifier).extent == (0, 5, 0, 5)


def test_zooming_keeps_the_plane():
    plane = Plane.of(one_layer()).zoomed((0, 1, -1, 0))
    assert plane.extent == (0, 1, -1, 0)
    assert plane.points([[0.5, -0.5]]).tolist() == [[0.5, -0.5]]


def test_what_is_no_plane_is_refused():
    with pytest.raises(BoundaryError, match="on one line"):
        Plane.through(torch.zeros(3), torch.ones(3), 2 * torch.ones(3))
    with pytest.raises(BoundaryError, match="expected one shape"):
        Plane.through(torch.zeros(3), torch.ones(3), torch.ones(4))
    with pytest.raises(BoundaryError, match="directions have shape"):
        Plane.spanned(torch.zeros(3), torch.ones(2, 4), 1.0)
    with pytest.raises(BoundaryError, match="three points"):
        Plane.of(one_layer(latents=3))
    with pytest.raises(BoundaryError, match="smaller ones first"):
        Plane.of(one_layer()).zoomed((1, 1, 0, 2))
