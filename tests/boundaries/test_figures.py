"""What the figure of an arrangement draws is what the results hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.boundaries.networks import one_layer
from workbench.boundaries import Plane, arrangement, explore, figures, region, supporting_set


@pytest.fixture(scope="module")
def shown():
    network = one_layer(units=30)
    z, plane = torch.tensor([0.4, 0.3]).double(), Plane.of(network)
    kept = supporting_set(network, z, "1", most_steps=60)
    return {
        "plane": plane,
        "drawn": arrangement(network, "1", plane),
        "kept": kept,
        "region": region(network, kept, plane),
        "exploration": explore(network, z, kept, samples=150, step=0.3),
    }


def figure(shown):
    return figures.arrangement(**{name: value for name, value in shown.items() if name != "plane"})


def length(trace) -> float:
    """Of the lines of a trace; gaps are NaN."""
    steps = np.hypot(np.diff(np.asarray(trace.x, float)), np.diff(np.asarray(trace.y, float)))
    return float(np.nansum(steps))


def test_kept_boundaries_are_highlighted_and_the_others_pale(shown):
    drawn = {trace.name: trace for trace in figure(shown).data}
    held = torch.isin(shown["drawn"].unit, shown["kept"].units)
    lengths = (shown["drawn"].segments[:, 1] - shown["drawn"].segments[:, 0]).norm(dim=1)
    assert 0 < int(held.sum()) < len(held)
    assert length(drawn["kept boundaries"]) == pytest.approx(float(lengths[held].sum()))
    assert length(drawn["boundaries"]) == pytest.approx(float(lengths[~held].sum()))
    assert drawn["kept boundaries"].line.width > drawn["boundaries"].line.width


def test_tree_samples_query_and_region_are_where_the_results_have_them(shown):
    drawn = {trace.name: trace for trace in figure(shown).data}
    found, plane = shown["exploration"], shown["plane"]
    assert len(found.points) > 20 and len(found.rejected) > 5
    for name, points in (("accepted", found.points[1:]), ("rejected", found.rejected)):
        assert np.allclose(np.stack([drawn[name].x, drawn[name].y], 1), plane.coordinates(points))
    branches = (found.points[1:] - found.points[found.parents[1:]]).norm(dim=1)
    assert length(drawn["tree"]) == pytest.approx(float(branches.sum()))
    assert (drawn["query"].x[0], drawn["query"].y[0]) == pytest.approx((0.4, 0.3))
    (outline,) = shown["region"].outlines
    assert length(drawn["region"]) == pytest.approx(np.linalg.norm(np.diff(outline, axis=0), axis=1).sum())


def test_both_axes_have_one_scale_and_show_the_extent(shown):
    layout = figures.arrangement(shown["drawn"]).layout
    assert layout.yaxis.scaleanchor == "x"
    assert (*layout.xaxis.range, *layout.yaxis.range) == shown["plane"].extent
    assert [trace.name for trace in figures.arrangement(shown["drawn"]).data] == ["boundaries"]


def test_thousands_of_boundaries_are_drawn_with_less_ink_each():
    few, many = (
        figures.arrangement(arrangement(n, "1", Plane.of(n))) for n in (one_layer(units=k) for k in (30, 3000))
    )
    ink = [float(f.data[0].line.color.rpartition(",")[2].rstrip(")")) for f in (few, many)]
    assert ink[0] == 0.6 and 0.1 < ink[1] < 0.2
