"""Cutting a box: counts, areas and outlines with closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.boundaries.complexes import Complex, joined, polylines


def lines(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Normals (2, count) and offsets of lines in general position, most of which cross the box."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, count)), rng.normal(size=count)


def crossings_inside(normals: np.ndarray, offsets: np.ndarray, reach: float) -> int:
    found = 0
    for i in range(len(offsets)):
        for j in range(i):
            place = np.linalg.solve(normals[:, [i, j]].T, -offsets[[i, j]])
            found += bool((np.abs(place) < reach).all())
    return found


@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_lines_in_general_position_make_one_cell_and_one_for_each_line_and_crossing(count):
    normals, offsets = lines(count, seed=count)
    cells = Complex.box(-3, 3, -3, 3)
    corners = cells.vertices @ normals + offsets
    crossing = int(((corners >= 0).any(0) & (corners < 0).any(0)).sum())
    expected = 1 + crossing + crossings_inside(normals, offsets, 3)
    assert cells.pieces(corners) == expected
    values = cells.cut(corners)
    assert cells.cells == expected
    assert len(cells.vertices) - len(cells.edges) + cells.cells == 1  # Euler: the box is a disc
    np.testing.assert_allclose(values, cells.vertices @ normals + offsets, atol=1e-12)
    assert cells.areas().sum() == pytest.approx(36) and (cells.areas() > 0).all()


def test_parallel_and_repeated_lines_and_lines_through_vertices_do_no_harm():
    functions = np.array(
        [[1, 0, 0], [1, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 0], [1, -1, 0], [1, 1, 6], [0, 0, 0]], float
    )
    cells = Complex.box(-3, 3, -3, 3)
    cells.cut(cells.vertices @ functions[:, :2].T + functions[:, 2])
    assert cells.areas().sum() == pytest.approx(36)
    # x = 0 twice, x = -1, y = 0, both diagonals: 8 sectors around the middle, of which x = -1 cuts four
    assert (cells.areas() > 1e-9).sum() == 12


def test_in_parts_a_complex_has_the_same_area_segments_and_crossings():
    normals, offsets = lines(30, seed=2)
    cells = Complex.box(-3, 3, -3, 3)
    cells.cut(cells.vertices @ normals + offsets)
    across = (np.array([0.3, -1.0]), 0.2)
    values = [(part, (part.vertices @ across[0] + across[1])[:, None]) for part in [cells, *cells.parts(25)]]
    (whole, height), parts = values[0], values[1:]
    assert len(parts) > 5 and all(len(part.vertices) < len(whole.vertices) / 2 for part, _ in parts)
    assert sum(part.areas() for part, _ in parts) == pytest.approx(whole.areas())
    found = np.concatenate([part.segments(heights)[0] for part, heights in parts])
    expected = whole.segments(height)[0]
    assert len(found) == len(expected) == int(whole.crossed(height)[0])
    assert sum(int(part.crossed(heights)[0]) for part, heights in parts) == len(expected)
    np.testing.assert_allclose(np.sort(found.mean(1), 0), np.sort(expected.mean(1), 0))


def test_a_cut_that_needs_too_much_room_says_how_far_it_came():
    normals, offsets = lines(40, seed=3)
    at_once, in_turns = Complex.box(-3, 3, -3, 3), Complex.box(-3, 3, -3, 3)
    at_once.cut(at_once.vertices @ normals + offsets)
    done = turns = 0
    while done < 40:
        done += in_turns.cut(in_turns.vertices @ normals[:, done:] + offsets[done:], room=2000).shape[1]
        turns += 1
    assert turns > 2 and in_turns.cells == at_once.cells
    assert in_turns.areas().sum() == pytest.approx(36)


def test_keeping_one_side_leaves_the_polygon_of_the_half_planes():
    angles = 2 * np.pi * np.arange(6) / 6
    normals = -np.stack([np.cos(angles), np.sin(angles)])
    cells = Complex.box(-3, 3, -3, 3)
    cells.cut(cells.vertices @ normals + 1.0, keep=np.ones(6))
    assert cells.areas().sum() == pytest.approx(2 * np.sqrt(3))  # a hexagon around the unit circle
    (outline,) = cells.outline()
    assert len(outline) == 7 and np.allclose(outline[0], outline[-1])
    cells.tidy()
    assert cells.cells == 1 and len(cells.vertices) == 6


def test_of_several_parts_the_one_that_holds_a_point_is_found():
    x, y = np.linspace(0, 4, 5), np.linspace(0, 1, 2)
    cells = Complex.squares(x, y, np.array([[True, True, False, True]]))
    assert cells.cells == 3 and len(cells.edges) == 11
    assert cells.part_with(np.array([0.2, 0.5])).areas().sum() == pytest.approx(2)
    assert cells.part_with(np.array([3.2, 0.5])).areas().sum() == pytest.approx(1)
    assert len(cells.part_with(np.array([2.5, 0.5])).edges) == 0


def test_segments_of_a_circle_on_a_grid_have_its_length():
    ticks = np.linspace(-2, 2, 201)
    cells = Complex.squares(ticks, ticks, np.ones((200, 200), bool))
    segments, function = cells.segments((cells.vertices**2).sum(1)[:, None] - 1)
    assert (function == 0).all()
    lengths = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1)
    assert lengths.sum() == pytest.approx(2 * np.pi, rel=1e-3)


def test_edges_are_joined_to_loops_even_where_two_meet_at_a_corner():
    bow = np.array([[0, 1], [1, 2], [2, 0], [2, 3], [3, 4], [4, 2]])
    loops = joined(bow)
    assert sum(len(loop) - 1 for loop in loops) == 6
    assert all(loop[0] == loop[-1] for loop in loops)


def test_pieces_are_joined_to_lines_of_one_owner():
    ticks = np.linspace(-2, 2, 41)
    cells = Complex.squares(ticks, ticks, np.ones((40, 40), bool))
    x, y = cells.vertices.T
    segments, owner = cells.segments(np.stack([x**2 + y**2 - 1.01, x + 0.03], 1))
    lines = polylines(segments, owner)
    assert len(lines) == 2
    straight, circle = sorted(lines, key=len)
    assert len(straight) == 41 and straight[[0, -1], 1].tolist() in ([-2, 2], [2, -2])
    assert np.allclose(circle[0], circle[-1]) and len(circle) > 70
    assert polylines(np.zeros((0, 2, 2)), np.zeros(0)) == []
