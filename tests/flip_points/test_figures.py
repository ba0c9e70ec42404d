"""What the figures of flip points draw is what the results hold."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.flip_points import (
    FlipPointError,
    FlipPoints,
    Trust,
    closest,
    closest_change,
    directions,
    figures,
    trust,
    way,
)
from workbench.flip_points.result import MISSING

NAMES = ["<b>a</b>", "b %{x}", "c"]
PLAIN = ["&lt;b&gt;a&lt;/b&gt;", "b %&#123;x}", "c"]


@pytest.fixture(scope="module")
def classifier() -> wb.Classifier:
    return wb.Classifier(nn.Identity(), (3,), class_names=NAMES, value_range=(-1, 1), device="cpu")


@pytest.fixture(scope="module")
def found(classifier) -> FlipPoints:
    x = torch.rand(15, 3, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    return closest(classifier, x, targets="all", effort="fast")


@pytest.fixture(scope="module")
def trusted(classifier, found) -> Trust:
    truth = torch.tensor([0, 1, 2] * 5)
    return trust(classifier, found.inputs.float(), truth, found.closest())


def test_distances_are_one_bar_a_class_in_the_order_of_the_rows_and_the_nearest_is_marked(found):
    own = found[found.query == 3]
    bars, _ = figures.distances(found, query=3).data
    assert list(bars.y) == own.distances.tolist()
    assert list(bars.x) == [PLAIN[int(t)] for t in own.targets]
    nearest = int(own.distances.argmin())
    assert bars.marker.color[nearest] != bars.marker.color[1 - nearest]
    other = figures.distances(found, query=3, shown=int(own.targets[1 - nearest])).data[0]
    assert other.marker.color == bars.marker.color[::-1]


def test_a_class_without_a_flip_point_says_so_and_has_no_bar(found):
    status = found.status.clone()
    row = int((found.query == 2).nonzero()[0])
    status[row] = MISSING
    figure = figures.distances(replace(found, status=status), query=2)
    assert list(figure.data[0].y) == [None, float(found.distances[row + 1])]
    assert [(a.text, a.x) for a in figure.layout.annotations] == [("none found", PLAIN[int(found.targets[row])])]


def test_lower_bounds_are_drawn_where_there_are_any(found):
    own = (found.query == 3).nonzero()[:, 0]
    lower = torch.full_like(found.distances, math.nan)
    lower[own[1]] = 0.01
    bars, bounds = figures.distances(replace(found, lower=lower), query=3).data
    assert list(bounds.y) == [None, 0.01] and list(bounds.x) == list(bars.x)


def test_a_change_of_an_output_has_no_class_to_draw(classifier):
    changed = closest_change(classifier, torch.zeros(2, 3), 0.1, effort="fast")
    with pytest.raises(FlipPointError, match="a change of an output"):
        figures.distances(changed)
    with pytest.raises(FlipPointError, match="a change of an output"):
        way(classifier, changed)


def test_a_way_needs_a_row_with_a_flip_point(classifier, found):
    with pytest.raises(FlipPointError, match="rows 0 to 29"):
        way(classifier, found, 30)
    with pytest.raises(FlipPointError, match="row 1 has no flip point"):
        way(classifier, replace(found, status=torch.full_like(found.status, MISSING)), 1)


@pytest.mark.parametrize("asked", [{"bounds": None}, {"bounds": (-3.0, 3.0)}, {"basis": torch.eye(4)}])
def test_a_way_out_of_the_value_range_passes_the_flip_point_itself(asked):
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.constant_(module[1].weight[0].detach(), 1.0)
    nn.init.constant_(module[1].weight[1].detach(), -1.0)
    nn.init.constant_(module[1].bias[0].detach(), 10.0)
    C = wb.Classifier(module, (1, 2, 2), device="cpu")
    x = torch.full((1, 1, 2, 2), 0.5)
    found = closest(C, x, effort="fast", **asked)
    assert float(found.points.min()) < 0
    there = way(C, found)
    torch.testing.assert_close(there.pictures[there.at], found.points[0].float())
    assert float(there.probabilities[there.at, 0]) == pytest.approx(0.5, abs=1e-4)


def test_a_query_that_is_not_there_is_refused(found):
    with pytest.raises(IndexError, match="0 to 14"):
        figures.distances(found, query=15)


def test_the_trust_figure_has_every_input_once_and_mistakes_apart(trusted):
    correct, mistakes = figures.trust(trusted).data
    assert sorted(row[0] for trace in (correct, mistakes) for row in trace.customdata) == list(range(15))
    rows = [row[0] for row in mistakes.customdata]
    assert rows == (~trusted.correct).nonzero()[:, 0].tolist()
    assert list(mistakes.x) == trusted.distances[rows].tolist()
    assert list(mistakes.y) == trusted.confidence[rows].tolist()


def test_figures_say_how_many_inputs_they_cannot_show(trusted):
    status = trusted.status.clone()
    status[:2] = MISSING
    lost = replace(trusted, status=status)
    for figure in (figures.trust(lost), figures.distance_histogram(lost)):
        assert "2 of 15 without a flip point" in figure.layout.title.text
        assert sum(len(trace.x) for trace in figure.data) == 13


def test_the_histogram_splits_the_distances_by_correctness(trusted):
    correct, mistakes = figures.distance_histogram(trusted).data
    assert sorted(correct.x) == sorted(trusted.distances[trusted.correct].tolist())
    assert sorted(mistakes.x) == sorted(trusted.distances[~trusted.correct].tolist())
    assert correct.xbins == mistakes.xbins


def test_the_curves_are_those_of_the_result_with_their_areas(trusted):
    distance, softmax, _ = figures.roc(trusted).data
    false, true, _ = trusted.roc("distance")
    assert (list(distance.x), list(distance.y)) == (false.tolist(), true.tolist())
    assert f"{trusted.auc('distance'):.3f}" in distance.name and f"{trusted.auc('softmax'):.3f}" in softmax.name


def test_the_scatter_has_a_trace_a_class_and_keeps_the_rows(found):
    principal = directions(found, 3)
    figure = figures.pca_scatter(principal, 1, 2)
    assert {trace.name for trace in figure.data} == set(PLAIN)
    dots = {row[0]: (x, y) for t in figure.data for row, x, y in zip(t.customdata, t.x, t.y, strict=True)}
    assert set(dots) == set(range(len(found)))
    assert dots[5] == pytest.approx(principal.scores[5, 1:].tolist())
    with pytest.raises(IndexError, match="0 to 2"):
        figures.pca_scatter(principal, 0, 3)


def test_explained_variance_adds_up(found):
    each, together = figures.explained_variance(directions(found, 3)).data
    assert sum(each.y) == pytest.approx(together.y[-1]) == pytest.approx(1)


def test_the_pictures_are_the_mean_and_the_components_in_pixel_space():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    C = wb.Classifier(module, (1, 3, 4), value_range=None, device="cpu")
    x = torch.randn(8, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    principal = directions(closest(C, x, effort="fast"), 2)
    mean, first, second = figures.pictures(principal).data
    for drawn, picture in (
        (mean, principal.mean),
        (first, principal.components[0]),
        (second, principal.components[1]),
    ):
        torch.testing.assert_close(torch.tensor(drawn.z).double(), picture[0])
        assert drawn.zmax == -drawn.zmin == float(picture.abs().max())


def test_what_is_no_picture_is_not_drawn_as_one(found):
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        figures.pictures(directions(found, 2))


def test_subsets_show_every_network_and_the_means():
    rows = [("nearest", 0, 0.9), ("nearest", 1, 0.8), ("random", 0, 0.7), ("farthest", 0, 0.5)]
    table = pd.DataFrame(rows, columns=["arm", "seed", "test_accuracy"]).assign(images=100)
    figure = figures.subsets(table)
    dots = {trace.name: list(trace.y) for trace in figure.data if trace.mode == "markers"}
    assert dots == {"nearest": [0.9, 0.8], "random": [0.7], "farthest": [0.5]}
    means = [trace.y[0] for trace in figure.data if trace.mode != "markers"]
    assert means == pytest.approx([0.85, 0.7, 0.5])


def test_class_names_are_text_and_never_markup(found, trusted):
    drawn = [
        figures.distances(found),
        figures.trust(trusted),
        figures.pca_scatter(directions(found, 2)),
    ]
    for figure in drawn:
        document = figure.to_json()
        assert "<b>a" not in document and "\\u003cb\\u003ea" not in document
        assert "&lt;b&gt;a" in document


def test_without_any_flip_point_the_figures_still_draw(found, trusted):
    none = torch.full_like(trusted.status, MISSING)
    lost = replace(trusted, status=none, distances=torch.full_like(trusted.distances, math.inf))
    assert all(len(trace.x) == 0 for trace in figures.distance_histogram(lost).data)
    assert all(len(trace.x) == 0 for trace in figures.trust(lost).data)
    rows = torch.full_like(found.status, MISSING)
    assert set(figures.distances(replace(found, status=rows)).data[0].y) == {None}
