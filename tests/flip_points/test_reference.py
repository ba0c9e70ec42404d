"""The flip point of a linear classifier is a projection; on other networks, each solution proves itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from workbench.flip_points.problem import FlipPointError, Space, make_space
from workbench.flip_points.reference import Method, Solver, solve, solve_change
from workbench.models import Classifier, Erf, WorkbenchError

METHODS: list[Method] = ["slsqp", "lagrangian"]


def linear(
    weight: list[list[float]], bias: list[float], *, bounds: tuple[float, float] | None = None
) -> Classifier:
    module = nn.Linear(len(weight[0]), len(bias)).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight, dtype=torch.float64))
        module.bias.copy_(torch.tensor(bias, dtype=torch.float64))
    return Classifier(module, len(weight[0]), value_range=bounds, device="cpu")


def random_linear(inputs: int, classes: int, *, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(nn.Linear(inputs, classes).double(), inputs, value_range=None, device="cpu")


def erf_network(*, seed: int = 0, bounds: tuple[float, float] | None = None) -> Classifier:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(6, 16), Erf(0.5), nn.Linear(16, 16), Erf(0.7), nn.Linear(16, 4))
    return Classifier(module, 6, value_range=bounds, device="cpu")


def query(size: int, *, seed: int = 1) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def projection(classifier: Classifier, x: Tensor, i: int, j: int) -> Tensor:
    weight, bias = classifier.module.weight, classifier.module.bias
    normal = weight[i] - weight[j]
    return x - ((normal @ x + bias[i] - bias[j]) / (normal @ normal)) * normal


@pytest.mark.parametrize("method", METHODS)
def test_the_flip_point_of_a_linear_classifier_is_the_orthogonal_projection(method: Method) -> None:
    classifier, x = random_linear(8, 2), query(8)
    label = int(classifier.scores(x[None]).argmax())
    found = solve(classifier, x, 1 - label, solver=Solver(method))
    expected = projection(classifier, x, label, 1 - label)
    assert torch.allclose(found.point, expected, atol=1e-6)
    assert found.distance == pytest.approx(float((expected - x).norm()), abs=1e-6)
    assert found.feasible and found.converged and "minimiser" in found.reason
    assert found.angle < 1e-4 and found.gap < 1e-7 and found.violation == found.bound_violation == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_a_coordinate_that_reaches_its_bound_stays_there_and_the_others_go_on(method: Method) -> None:
    classifier = linear([[1.0, 1.0], [0.0, 0.0]], [0.0, 0.2], bounds=(0.0, 1.0))  # the boundary: x + y = 0.2
    found = solve(classifier, torch.tensor([0.1, 0.6]), 1, solver=Solver(method))
    assert torch.allclose(found.point, torch.tensor([0.0, 0.2], dtype=torch.float64), atol=1e-6)
    assert found.converged and found.angle < 1e-4 and found.bound_violation == 0.0


def test_what_the_mask_fixes_does_not_change() -> None:
    classifier = linear([[1.0, 1.0], [0.0, 0.0]], [0.0, 0.2], bounds=(0.0, 1.0))
    space = make_space(classifier, mask=[False, True])
    found = solve(classifier, torch.tensor([0.1, 0.6], dtype=torch.float64), 1, space=space)
    assert torch.allclose(found.point, torch.tensor([0.1, 0.1], dtype=torch.float64), atol=1e-7)
    assert found.point[0] == 0.1


def test_along_a_basis_the_flip_point_is_the_projection_within_its_span() -> None:
    classifier, x = random_linear(8, 2), query(8)
    label = int(classifier.scores(x[None]).argmax())
    space = make_space(classifier, basis=torch.randn(3, 8, generator=torch.Generator().manual_seed(3)))
    found = solve(classifier, x, 1 - label, space=space)
    assert space.basis is not None
    weight, bias = classifier.module.weight, classifier.module.bias
    normal, gap = weight[label] - weight[1 - label], bias[label] - bias[1 - label]
    within = space.basis @ normal
    expected = -(normal @ x + gap) / (within @ within) * within
    assert torch.allclose(found.v, expected, atol=1e-6)
    assert torch.allclose(found.point, x + expected @ space.basis, atol=1e-6)


def test_two_monotone_layers_have_the_boundary_of_their_first() -> None:
    # z_1 - z_0 = 2 erf(a x + b) - 0.6 is zero on the line a x + b = erfinv(0.3)
    first, last = nn.Linear(2, 1).double(), nn.Linear(1, 2).double()
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.5, -2.0]]))
        first.bias.fill_(0.1)
        last.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        last.bias.copy_(torch.tensor([0.6, 0.0]))
    classifier = Classifier(nn.Sequential(first, Erf(1.0).double(), last), 2, value_range=None, device="cpu")
    x = torch.tensor([1.0, 0.3], dtype=torch.float64)
    found = solve(classifier, x, 0)
    away = float(first(x).detach()) - float(torch.erfinv(torch.tensor(0.3, dtype=torch.float64)))
    assert found.distance == pytest.approx(abs(away) / math.hypot(1.5, 2.0), abs=1e-6)


def test_the_third_class_never_leads_even_where_the_projection_would_let_it() -> None:
    # at the projection (0, 2) onto z_0 = z_1, class 2 leads with 2 - 1 = 1; it ties from y = 1 down
    classifier = linear([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [0.0, 0.0, -1.0])
    found = solve(classifier, torch.tensor([3.5, 2.0]), 1)
    assert torch.allclose(found.point, torch.tensor([0.0, 1.0], dtype=torch.float64), atol=1e-6)
    assert found.violation < 1e-7 and found.converged
    assert found.angle < 1e-4  # to the cone of the two normals that meet there


def test_several_classes_meet_in_the_point_that_linear_algebra_gives() -> None:
    classifier, x = random_linear(8, 3), query(8)
    label = int(classifier.scores(x[None]).argmax())
    targets = [k for k in range(3) if k != label]
    found = solve(classifier, x, targets)
    weight, bias = classifier.module.weight, classifier.module.bias
    normals, gaps = weight[label] - weight[targets], bias[label] - bias[targets]
    expected = x - torch.linalg.pinv(normals) @ (normals @ x + gaps)
    assert torch.allclose(found.point, expected, atol=1e-6)
    assert found.gap < 1e-7 and found.angle < 1e-4


def test_an_output_changes_by_the_given_amount_with_the_least_change_of_the_input() -> None:
    classifier, x = random_linear(5, 3), query(5)
    found = solve_change(classifier, x, 2, -0.7)
    row = classifier.module.weight[2]
    assert torch.allclose(found.point, x - 0.7 * row / (row @ row), atol=1e-6)
    assert float(classifier.scores(found.point[None])[0, 2] - classifier.scores(x[None])[0, 2]) == pytest.approx(
        -0.7
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_two_solvers_agree_on_a_network_and_prove_it(seed: int) -> None:
    classifier, x = erf_network(seed=seed, bounds=(-1.0, 1.0)), query(6, seed=seed).clamp(-1, 1)
    order = classifier.scores(x[None].float())[0].argsort(descending=True)
    both = [solve(classifier, x, int(order[1]), solver=Solver(m)) for m in METHODS]
    for found in both:
        assert found.converged and found.angle < 1e-3
        scores = classifier.in_precision(torch.float64)(found.point[None])[0]
        assert abs(float(scores[order[0]] - scores[order[1]])) <= 1e-7
        assert float(scores.max() - scores[order[0]]) <= 1e-7
        assert found.passes.forward > 0 and found.passes.vjp > 0
    assert both[0].distance == pytest.approx(both[1].distance, rel=1e-4)


def label_of(classifier: Classifier, x: Tensor) -> int:
    return int(classifier.scores(x[None].float()).argmax())


def test_a_solver_that_is_cut_short_says_so() -> None:
    classifier = erf_network()
    target = (label_of(classifier, query(6)) + 1) % 4
    found = solve(classifier, query(6), target, solver=Solver(iterations=1))
    assert not found.converged and not found.feasible and "not on the boundary" in found.reason


def test_a_query_on_the_boundary_is_its_own_flip_point() -> None:
    classifier = linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    found = solve(classifier, torch.tensor([0.5, 0.5]), 1)
    assert found.converged and found.distance == 0.0 and found.iterations == 0
    assert "query itself" in found.reason


@pytest.mark.parametrize("method", METHODS)
def test_where_no_boundary_lies_within_the_bounds_the_solution_is_not_feasible(method: Method) -> None:
    classifier = linear([[1.0, 0.0], [0.0, 0.0]], [2.0, 0.0], bounds=(0.0, 1.0))
    found = solve(classifier, torch.tensor([0.5, 0.5]), 1, solver=Solver(method, 30))
    assert not found.feasible and not found.converged and found.gap >= 2.0 - 1e-6


@pytest.mark.parametrize(
    ("targets", "words"),
    [([0], "of this class already"), ([7], "classes 0 to 1"), ([-1], "class -1 was asked for"), ([], "no target")],
)
def test_impossible_targets_are_explained(targets: list[int], words: str) -> None:
    classifier = linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    with pytest.raises(WorkbenchError, match=words):
        solve(classifier, torch.tensor([0.9, 0.5]), targets)


def test_several_queries_a_change_of_no_output_and_a_query_outside_are_explained() -> None:
    classifier = linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], bounds=(0.0, 1.0))
    with pytest.raises(FlipPointError, match="takes one"):
        solve(classifier, torch.rand(2, 2), 1)
    with pytest.raises(FlipPointError, match="an output 0 to 1"):
        solve_change(classifier, torch.rand(2), 5, 1.0)
    with pytest.raises(FlipPointError, match="outside the bounds"):
        solve(classifier, torch.tensor([0.5, 3.0]), 1)


def test_the_users_network_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3)).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    classifier = Classifier(module, 6, value_range=None, device="cpu")
    label = label_of(classifier, query(6))
    solve(classifier, query(6), (label + 1) % 3)
    assert module.training and all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert isinstance(make_space(classifier), Space)
