"""Principal components of flip directions, where a linear classifier or a made set tells them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

import workbench as wb
from workbench.flip_points import Directions, FlipPointError, FlipPoints, closest, directions
from workbench.flip_points.result import CONVERGED, MISSING
from workbench.results import Provenance


def flips(points: Tensor, *, labels: Tensor | None = None) -> FlipPoints:
    """Flip points at these places, of queries at zero."""
    n = len(points)
    zero = torch.zeros(n, dtype=torch.float64)
    return FlipPoints(
        provenance=Provenance(call="", seed=0, model="", fingerprint="", device="cpu", dtype="torch.float64"),
        inputs=torch.zeros_like(points),
        query=torch.arange(n),
        labels=torch.zeros(n, dtype=torch.long) if labels is None else labels,
        targets=torch.ones(n, dtype=torch.long),
        points=points.double(),
        distances=points.double().flatten(1).norm(dim=1),
        **dict.fromkeys(("gap", "violation", "outside", "angle"), zero),
        status=torch.full((n,), CONVERGED),
        targeted=False,
        class_names=("0", "1"),
    )


def test_two_classes_of_a_linear_classifier_flip_along_its_normal():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    C = wb.Classifier(module, (1, 3, 4), value_range=None, device="cpu")
    x = torch.randn(20, 1, 3, 4)
    found = directions(closest(C, x, effort="fast"), 2)
    weight = module[1].weight.detach().double()
    normal = (weight[0] - weight[1]) / (weight[0] - weight[1]).norm()
    assert float((found.components[0].flatten() @ normal).abs()) == pytest.approx(1, abs=1e-6)
    assert found.components.shape == (2, 1, 3, 4)
    assert float(found.explained[0]) == pytest.approx(1, abs=1e-9)


def test_components_explain_as_much_as_the_set_was_made_with():
    random = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(12, 12, generator=random).double()).Q.T
    made = torch.randn(4000, 12, generator=random).double() * torch.tensor([5.0, 2.0] + [0.01] * 10).double()
    found = directions(flips((made @ axes).reshape(-1, 1, 3, 4)), 2)
    agreement = (found.components.flatten(1) @ axes[:2].T).abs()
    torch.testing.assert_close(agreement, torch.eye(2).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(found.explained, torch.tensor([25.0, 4.0]).double() / 29, atol=0.01, rtol=0)


def test_it_is_the_principal_component_analysis_of_flip_point_minus_query():
    points = torch.randn(30, 2, 5, generator=torch.Generator().manual_seed(1)) + 3
    moved = replace(flips(points), inputs=torch.ones(30, 2, 5))
    found = directions(moved, 10)
    rows = (points.double() - 1).flatten(1).numpy()
    pca = PCA(10).fit(rows)
    torch.testing.assert_close(found.explained, torch.from_numpy(pca.explained_variance_ratio_))
    back = found.mean.flatten() + found.scores @ found.components.flatten(1)
    torch.testing.assert_close(back, torch.from_numpy(rows))  # all ten components say all
    torch.testing.assert_close(found.singular_values, torch.linalg.svdvals(torch.from_numpy(rows)))


def test_rank_and_condition_are_of_the_directions_themselves():
    basis = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).double()).Q
    rows = torch.diag(torch.tensor([8.0, 4.0, 2.0]).double()) @ basis[:3]
    found = directions(flips(rows), 5)
    assert found.rank == 3
    assert found.condition == pytest.approx(4)
    assert len(found.explained) == 3  # three rows have no more components


def test_rows_without_a_flip_point_are_left_out_and_counted():
    points = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    points[2] = math.nan
    lost = replace(flips(points), status=torch.tensor([CONVERGED] * 2 + [MISSING] + [CONVERGED] * 3))
    found = directions(lost, 2)
    assert found.left_out == 1
    assert found.rows.tolist() == [0, 1, 3, 4, 5]
    assert not bool(found.scores.isnan().any())
    assert found.frame()["row"].tolist() == [0, 1, 3, 4, 5]


def test_a_subset_is_some_of_the_rows():
    labels = torch.tensor([0, 1] * 10)
    points = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    found = flips(points, labels=labels)
    part = directions(found[found.labels == 1], 2)
    torch.testing.assert_close(part.mean, points[1::2].double().mean(0))
    assert set(part.frame()["label"]) == {"1"}


def test_too_little_to_analyse_is_refused():
    points = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(FlipPointError, match="at least 2"):
        directions(flips(points[:1]))
    with pytest.raises(FlipPointError, match="at least 1 component"):
        directions(flips(points), 0)
    with pytest.raises(FlipPointError, match="all the same"):
        directions(flips(points[:1].expand(3, 4)))


def test_it_saves_and_loads(tmp_path):
    found = directions(flips(torch.randn(6, 4, generator=torch.Generator().manual_seed(0))), 2)
    loaded = wb.load_result(found.save(tmp_path))
    assert isinstance(loaded, Directions)
    assert loaded.frame().equals(found.frame())
    assert loaded.condition == found.condition
