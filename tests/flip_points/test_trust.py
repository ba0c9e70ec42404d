"""Distance and softmax as measures of trust, against closed forms and counts by hand."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.flip_points import FlipPointError, Trust, closest, closest_change, trust, within
from workbench.flip_points.result import CONVERGED, MISSING, SKIPPED
from workbench.results import Provenance


def scaled_axes() -> wb.Classifier:
    """Three classes with scores x_k * (1, 1, 1): boundaries are the planes x_i = x_j."""
    return wb.Classifier(nn.Identity(), (3,), class_names=["a", "b", "c"], value_range=(-1, 1), device="cpu")


def made(
    distances: list[float], confidence: list[float], correct: list[bool], status: list[int] | None = None
) -> Trust:
    """A trust of two classes with these columns; what is correct is of class 0."""
    n = len(distances)
    provenance = Provenance(call="", seed=0, model="", fingerprint="", device="cpu", dtype="torch.float64")
    return Trust(
        provenance=provenance,
        distances=torch.tensor(distances),
        confidence=torch.tensor(confidence),
        labels=torch.zeros(n, dtype=torch.long),
        truth=(~torch.tensor(correct)).long(),
        closest=torch.ones(n, dtype=torch.long),
        status=torch.tensor(status or [CONVERGED] * n),
        class_names=("no", "yes"),
    )


def queries(n: int = 12, *, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


def test_distances_are_those_to_the_nearest_plane_and_confidence_is_softmax():
    x = queries()
    found = trust(scaled_axes(), x, x.argmax(1))
    top = x.double().topk(2, dim=1)
    torch.testing.assert_close(
        found.distances, (top.values[:, 0] - top.values[:, 1]) / math.sqrt(2), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(found.confidence, x.softmax(1).amax(1))
    assert torch.equal(found.closest, top.indices[:, 1])
    assert bool(found.correct.all())


def test_flip_points_that_are_there_are_not_computed_again(monkeypatch):
    x = queries()
    C = scaled_axes()
    given = closest(C, x, targets="all", effort="fast").closest()
    monkeypatch.setattr(sys.modules["workbench.flip_points.trust"], "closest", None)
    found = trust(C, x, [0] * len(x), given)
    assert torch.equal(found.distances, given.distances)
    assert torch.equal(found.labels, x.argmax(1))


def test_the_alternative_counts_mistakes_whose_closest_class_is_the_right_one():
    x = queries(30)
    order = x.argsort(1, descending=True)
    truth = torch.cat([order[:10, 0], order[10:16, 1], order[16:, 2]])  # correct, second best, third best
    found = trust(scaled_axes(), x, truth)
    assert int(found.correct.sum()) == 10
    assert float(found.alternative) == pytest.approx(6 / 20)


def test_the_curve_finds_mistakes_from_the_smallest_distance_up():
    found = made([0.1, 0.2, 0.3, 0.4], [0.9, 0.6, 0.7, 0.8], [False, True, False, True])
    false, true, limits = found.roc("distance")
    assert list(zip(false.tolist(), true.tolist(), strict=True)) == [
        (0, 0),
        (0, 0.5),
        (0.5, 0.5),
        (0.5, 1),
        (1, 1),
    ]
    assert limits.tolist() == pytest.approx([-math.inf, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(("measure", "area"), [("distance", 3 / 4), ("softmax", 1 / 4)])
def test_the_area_is_how_often_a_mistake_has_less_than_a_correct_row(measure, area):
    found = made([0.1, 0.2, 0.3, 0.4], [0.9, 0.6, 0.7, 0.8], [False, True, False, True])
    less = [
        getattr(found, {"distance": "distances", "softmax": "confidence"}[measure])[r]
        < getattr(found, {"distance": "distances", "softmax": "confidence"}[measure])[s]
        for r in (0, 2)
        for s in (1, 3)
    ]
    assert sum(map(bool, less)) / 4 == area
    assert found.auc(measure) == pytest.approx(area)


def test_a_row_without_a_flip_point_counts_as_the_farthest_and_is_said():
    missing = made([0.1, math.inf, 0.3], [0.5, 0.6, 0.7], [False, True, True], [CONVERGED, MISSING, CONVERGED])
    assert missing.auc("distance") == 1
    assert math.isinf(missing.roc("distance")[2][-1])
    assert "3 inputs, 1 mistakes; 1: no flip point was found" in str(missing)
    assert missing.frame()["closest"].tolist() == ["yes", "", "yes"]
    assert float(replace(missing, truth=torch.tensor([0, 1, 0])).alternative.isnan())  # its flip point is unknown


def test_rows_that_were_not_attempted_say_nothing_about_either_measure():
    tried = made([0.1, 0.2], [0.9, 0.6], [False, True])
    more = made([0.1, 0.2, math.inf], [0.9, 0.6, 0.1], [False, True, False], [CONVERGED, CONVERGED, SKIPPED])
    for measure in ("distance", "softmax"):
        assert more.auc(measure) == tried.auc(measure)
    assert "1: not attempted" in str(more)


@pytest.mark.parametrize("correct", [[True, True], [False, False]])
def test_without_both_kinds_there_is_no_curve(correct):
    with pytest.raises(FlipPointError, match="needs mistakes and correct ones"):
        made([0.1, 0.2], [0.9, 0.6], correct).roc("distance")


def test_another_measure_is_refused():
    with pytest.raises(FlipPointError, match="'distance' or 'softmax'"):
        made([0.1, 0.2], [0.9, 0.6], [True, False]).roc("entropy")


@pytest.mark.parametrize(
    ("y", "said"), [([0], "one class for each"), ([0, 3], "has 0 to 2"), ([0, -1], "has 0 to 2")]
)
def test_labels_that_fit_no_input_or_no_class_are_refused(y, said):
    with pytest.raises(FlipPointError, match=said):
        trust(scaled_axes(), queries(2), y)


def test_flip_points_of_other_inputs_are_refused():
    C, x = scaled_axes(), queries(4)
    with pytest.raises(FlipPointError, match="of other inputs"):
        trust(C, queries(4, seed=1), [0] * 4, closest(C, x, effort="fast"))
    with pytest.raises(FlipPointError, match="of other inputs"):
        trust(C, x[:, :2], [0] * 4, closest(C, x, effort="fast"))
    with pytest.raises(FlipPointError, match="a change of an output"):
        trust(C, x, [0] * 4, closest_change(C, x, 0.01, effort="fast"))
    with pytest.raises(FlipPointError, match=r"found\.closest\(\)"):
        trust(C, x, [0] * 4, closest(C, x, targets="all", effort="fast"))


def test_it_saves_and_loads(tmp_path):
    found = trust(scaled_axes(), queries(), [0] * 12)
    loaded = wb.load_result(found.save(tmp_path))
    assert isinstance(loaded, Trust)
    assert loaded.frame().equals(found.frame())


def test_within_keeps_the_boundaries_nearer_than_the_tolerance_and_their_classes():
    x = torch.tensor([[0.5, 0.4, 0.1], [0.5, -0.5, -0.6]])
    found = closest(scaled_axes(), x, targets="all", effort="fast")
    near = within(found, 0.3)  # distances (0.1, 0.4) and (1, 1.1) over the root of two
    assert near.frame()[["query", "target"]].values.tolist() == [[0, "b"], [0, "c"]]
    each = within(found, torch.tensor([0.1, 0.75]))
    assert each.frame()[["query", "target"]].values.tolist() == [[0, "b"], [1, "b"]]


def test_a_row_without_a_flip_point_is_within_no_tolerance():
    found = closest(scaled_axes(), queries(3), effort="fast")
    lost = replace(found, distances=torch.full_like(found.distances, math.inf), status=torch.full((3,), MISSING))
    assert len(within(lost, 1e9)) == 0 and len(within(found, 1e9)) == 3


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, torch.tensor([0.1, 0.1])])
def test_a_tolerance_is_a_length_for_all_or_for_each(tolerance):
    with pytest.raises(FlipPointError, match="tolerance="):
        within(closest(scaled_axes(), queries(3), effort="fast"), tolerance)
