"""The angle between a direction and a cone, against cases that a ruler and a protractor decide."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.numerics.cones import angle_to_cone

X, Y, Z = np.eye(3)


def test_a_direction_within_the_cone_has_no_angle_and_its_weights_rebuild_it():
    step = 2 * X + 3 * (X + Y)
    angle, weights = angle_to_cone(step, np.stack([X, X + Y]))
    assert angle == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(weights, [2, 3])


def test_outside_the_cone_the_angle_is_to_its_nearest_edge_or_face():
    normals = np.stack([X, X + Y])
    assert angle_to_cone(X - Y, normals)[0] == pytest.approx(math.pi / 4)
    assert angle_to_cone(2 * X + Y + math.sqrt(5) * Z, normals)[0] == pytest.approx(math.pi / 4)
    assert angle_to_cone(-X, normals)[0] == pytest.approx(math.pi / 2)


def test_a_line_counts_in_both_directions():
    angle, weights = angle_to_cone(-4 * X + Y, np.stack([2 * X, Y]), lines=1)
    assert angle == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(weights, [-2, 1], atol=1e-12)
    assert angle_to_cone(-4 * X + Y, np.stack([2 * X, Y]))[0] > 1


def test_a_normal_of_length_zero_spans_nothing_and_a_step_of_length_zero_is_in_every_cone():
    assert angle_to_cone(X, np.zeros((1, 3)))[0] == pytest.approx(math.pi / 2)
    assert angle_to_cone(np.zeros(3), np.stack([X]))[0] == 0
