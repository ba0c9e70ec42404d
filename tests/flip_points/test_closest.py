"""Closest flip points against closed forms, an independent solver, and fresh passes through real networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

import workbench as wb
from workbench.datasets import mnist
from workbench.flip_points import (
    FlipPointError,
    FlipPoints,
    boundary_points,
    closest,
    closest_change,
    closest_meeting,
    closest_steps,
    solve,
)
from workbench.models import ModelError
from workbench.progress import Step


def linear(classes: int = 4, size: int = 6, *, seed: int = 0, bounds=None) -> wb.Classifier:
    torch.manual_seed(seed)
    return wb.Classifier(nn.Linear(size, classes), size, value_range=bounds, device="cpu", name="linear")


def weights(classifier: wb.Classifier) -> tuple[Tensor, Tensor]:
    return classifier.module.weight.double(), classifier.module.bias.double()


class Ring(nn.Module):
    """Two classes with the sphere of radius 2 between them."""

    def forward(self, x: Tensor) -> Tensor:
        inside = 4 - x.square().sum(1)
        return torch.stack([inside, torch.zeros_like(inside)], 1)


@pytest.fixture(scope="module")
def cnn() -> wb.Classifier:
    return wb.load("mnist-cnn", device="cpu")


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return mnist.sample().tensor()[:8]


@pytest.fixture(scope="module")
def nearest(cnn: wb.Classifier, digits: Tensor) -> FlipPoints:
    return closest(cnn, digits, effort="accurate")


# -- closed forms ----------------------------------------------------------------------------------


def test_the_flip_point_of_a_linear_classifier_is_the_projection_on_the_nearest_hyperplane():
    C = linear()
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    w, b = weights(C)
    found = closest(C, x)
    for row in range(20):
        z = x[row].double() @ w.T + b
        i = int(z.argmax())
        distances = {j: float((z[i] - z[j]) / (w[i] - w[j]).norm()) for j in range(4) if j != i}
        j = min(distances, key=distances.get)
        assert (int(found.labels[row]), int(found.targets[row])) == (i, j)
        assert float(found.distances[row]) == pytest.approx(distances[j], rel=1e-6)
        step = (z[j] - z[i]) / (w[i] - w[j]).square().sum() * (w[i] - w[j])
        torch.testing.assert_close(found.points[row], x[row].double() + step, rtol=1e-6, atol=1e-6)
    assert found.converged.all()


def far_from_zero(bias: float = 1e6) -> wb.Classifier:
    """One output x + bias, whose single-precision values near 0 are a sixteenth apart."""
    module = nn.Linear(1, 1)
    nn.init.constant_(module.weight, 1.0)
    nn.init.constant_(module.bias, bias)
    return wb.Classifier(module, 1, value_range=None, device="cpu")


def test_a_change_is_measured_from_the_output_in_double_precision():
    found = closest_change(far_from_zero(), [[0.0]], 0.05)
    assert float(found.distances[0]) == pytest.approx(0.05, rel=1e-6)
    assert found.converged.all()


@pytest.mark.parametrize("basis", [None, torch.eye(6)])
def test_a_query_in_double_precision_is_not_rounded(basis):
    C = linear()
    x = 1e3 + torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    w, b = weights(C)
    found = closest(C, x, basis=basis)
    z = x @ w.T + b
    i, j = found.labels, found.targets
    exact = (z.gather(1, i[:, None]) - z.gather(1, j[:, None]))[:, 0] / (w[i] - w[j]).norm(dim=1)
    torch.testing.assert_close(found.distances, exact, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close((found.points - x).norm(dim=1), found.distances, rtol=1e-8, atol=1e-8)


def test_the_flip_point_of_a_sphere_lies_on_the_ray_through_its_centre():
    C = wb.Classifier(Ring(), 5, value_range=None, device="cpu")
    x = torch.randn(12, 5, generator=torch.Generator().manual_seed(2))
    found = closest(C, x)
    torch.testing.assert_close(found.distances, (x.double().norm(dim=1) - 2).abs(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.points, 2 * nn.functional.normalize(x.double(), dim=1), rtol=1e-5, atol=1e-5)
    assert found.converged.all()


def test_a_query_on_the_boundary_is_its_own_flip_point():
    C = wb.Classifier(Ring(), 2, value_range=None, device="cpu")
    found = closest(C, torch.tensor([[2.0, 0.0]]))
    assert float(found.distances[0]) == pytest.approx(0, abs=1e-6)
    assert found.converged.all()


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_every_target_of_a_linear_classifier_agrees_with_slsqp(bounds):
    C = linear(classes=4, size=5, seed=3, bounds=bounds)
    w, b = (t.numpy() for t in weights(C))
    x = torch.rand(8, 5, generator=torch.Generator().manual_seed(4))
    found = closest(C, x, "all")
    assert len(found) == 24
    for row in range(24):
        start = x[int(found.query[row])].double().numpy()
        i, j = int(found.labels[row]), int(found.targets[row])
        others = [k for k in range(4) if k not in (i, j)]
        constraints = [
            {"type": "eq", "fun": lambda v, i=i, j=j: (w[i] - w[j]) @ v + b[i] - b[j]},
            {"type": "ineq", "fun": lambda v, i=i, k=tuple(others): (w[i] - w[list(k)]) @ v + b[i] - b[list(k)]},
        ]  # fmt: skip
        best = minimize(
            lambda v, s=start: 0.5 * ((v - s) ** 2).sum(),
            start,
            bounds=None if bounds is None else [bounds] * 5,
            constraints=constraints,
            options={"maxiter": 300},
        )
        if best.success:
            assert bool(found.found[row])
            assert float(found.distances[row]) == pytest.approx(math.sqrt(2 * best.fun), rel=1e-3, abs=1e-4)
        else:
            assert not bool(found.found[row])


def test_a_given_change_of_a_linear_output_is_a_step_along_its_weights():
    C = linear(classes=1, size=6)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(5))
    w, _ = weights(C)
    amounts = torch.tensor([1.0, -1.0, 0.5, 2.0, -3.0])
    found = closest_change(C, x, amounts)
    torch.testing.assert_close(found.distances, amounts.double().abs() / w.norm(), rtol=1e-6, atol=1e-6)
    before, after = x.double() @ w[0], found.points @ w[0]
    torch.testing.assert_close(after - before, amounts.double(), rtol=1e-6, atol=1e-6)


def test_all_classes_of_a_linear_classifier_meet_in_the_point_that_linear_algebra_gives():
    C = linear(classes=3)
    x = torch.randn(90, 6, generator=torch.Generator().manual_seed(1))
    x = x[C.scores(x).argmax(1) == 0]
    w, b = weights(C)
    found = closest_meeting(C, x, [1, 2])
    normals, gaps = w[0] - w[1:], b[0] - b[1:]
    steps = -(x.double() @ normals.T + gaps) @ torch.linalg.pinv(normals).T
    assert len(x) > 3 and found.converged.all()
    torch.testing.assert_close(found.directions, steps, rtol=1e-6, atol=1e-6)


def test_where_three_of_five_classes_meet_the_others_stay_below_and_the_reference_is_no_nearer():
    torch.manual_seed(3)
    C = wb.Classifier(
        nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 5)), 6, value_range=(-2, 2), device="cpu"
    )
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(4)).clamp(-2, 2)
    x = x[~torch.isin(C.scores(x).argmax(1), torch.tensor([1, 3]))]
    found = closest_meeting(C, x, ["1", "3"])
    assert len(x) > 3 and found.found.all()
    scores = C.in_precision(torch.float64)(found.points)
    top = scores.amax(1)
    for j in (found.labels, torch.full_like(found.labels, 1), torch.full_like(found.labels, 3)):
        torch.testing.assert_close(scores.gather(1, j[:, None])[:, 0], top, rtol=0, atol=1e-6)
    for row in range(len(x)):
        reference = solve(C, x[row], [1, 3])
        assert not reference.feasible or float(found.distances[row]) <= 1.001 * reference.distance
    assert set(found.targets.tolist()) == {1}


def test_the_boundary_points_around_one_query_of_a_linear_classifier_are_its_projections():
    C = linear()
    x = torch.randn(6, generator=torch.Generator().manual_seed(1))
    around, every = boundary_points(C, x, 40), closest(C, x, "all")
    assert len(around) == 40 and around.converged.all() and not around.query.any()
    faces = [j for j in range(len(every)) if every.found[j]]
    nearest = torch.cdist(around.points, every.points[faces]).amin(1)
    assert float(nearest.max()) < 1e-6
    assert len(set(around.targets.tolist())) > 1
    assert torch.equal(around.points, boundary_points(C, x, 40).points)
    assert not torch.equal(around.points, boundary_points(C, x, 40, seed=2).points)


def test_the_latent_flip_point_of_a_linear_generator_is_a_projection_in_its_latents():
    torch.manual_seed(6)
    G = wb.Generator(nn.Linear(3, 6), 3, value_range=(-4, 4), device="cpu", name="linear generator")
    C = linear(classes=2, bounds=(-4.0, 4.0))
    z = G.latents(4, seed=0)
    found = closest(C.on(G), z)
    (w, b), (a, c) = weights(C), (G.module.weight.double(), G.module.bias.double())
    normal = (w[0] - w[1]) @ a
    level = z.double() @ normal + (w[0] - w[1]) @ c + b[0] - b[1]
    torch.testing.assert_close(found.distances, level.abs() / normal.norm(), rtol=1e-5, atol=1e-6)
    assert found.points.shape == (4, 3)


# -- what may change -------------------------------------------------------------------------------


def test_masked_features_stay_as_they_are(cnn, digits, nearest):
    mask = torch.zeros(1, 28, 28, dtype=torch.bool)
    mask[:, :, 14:] = True
    found = closest(cnn, digits[:3], mask=mask)
    assert found.found.all()
    assert torch.equal(found.points[:, :, :, :14], found.inputs[:, :, :, :14])
    assert (found.distances >= nearest.distances[:3] * 0.999).all()


def test_along_a_basis_inputs_move_in_its_span_only():
    C = linear(classes=3, size=8)
    basis = torch.randn(3, 8, generator=torch.Generator().manual_seed(7))
    found = closest(C, torch.randn(4, 8, generator=torch.Generator().manual_seed(8)), basis=basis)
    span = torch.linalg.qr(basis.double().T)[0]
    outside = found.directions - found.directions @ span @ span.T
    assert found.found.all()
    assert float(outside.abs().max()) < 1e-9
    torch.testing.assert_close(found.directions.norm(dim=1), found.distances)


def test_a_flip_out_of_reach_is_marked_and_not_dropped():
    module = nn.Linear(4, 2)
    module.weight.data = torch.tensor([[1.0, 0, 0, 0], [0.0, 0, 0, 0]])
    module.bias.data = torch.tensor([0.5, 0.0])
    C = wb.Classifier(module, 4, device="cpu")  # flips at x_0 = -1/2, below the bounds
    found = closest(C, torch.rand(3, 4, generator=torch.Generator().manual_seed(0)))
    assert len(found) == 3
    assert not found.found.any()
    assert torch.isinf(found.distances).all()
    assert "no flip point" in found.reasons[0]


# -- real networks ---------------------------------------------------------------------------------


def test_flip_points_of_a_real_network_prove_themselves_in_a_fresh_pass(cnn, digits, nearest):
    found = nearest
    assert found.found.all()
    exact = cnn.in_precision(torch.float64)
    scores = exact(found.points)
    rows = torch.arange(len(digits))
    assert float((scores[rows, found.labels] - scores[rows, found.targets]).abs().max()) < 1e-6
    assert float((scores.amax(1) - scores[rows, found.labels]).max()) < 1e-6
    assert float(found.points.min()) >= 0 and float(found.points.max()) <= 1
    torch.testing.assert_close(found.distances, found.directions.flatten(1).norm(dim=1))
    before, beyond = found.inputs + 0.99 * found.directions, found.inputs + 1.01 * found.directions
    assert torch.equal(exact(before).argmax(1), found.labels)
    assert not torch.equal(exact(beyond.clamp(0, 1)).argmax(1), found.labels)


def test_boundary_points_around_an_image_are_many_proved_and_none_nearer_than_the_closest(cnn, digits, nearest):
    around = boundary_points(cnn, digits[0], 16, seed=1)
    scores = cnn.in_precision(torch.float64)(around.points)
    rows = torch.arange(16)
    assert around.found.all() and len(set(around.targets.tolist())) > 2
    assert float((scores[rows, around.labels] - scores[rows, around.targets]).abs().max()) < 1e-6
    assert float((scores.amax(1) - scores[rows, around.labels]).max()) < 1e-6
    assert float(around.distances.min()) > 0.98 * float(nearest.distances[0])
    apart = torch.cdist(around.points.flatten(1), around.points.flatten(1)) > 1e-3 * around.distances
    assert float(apart.double().mean()) > 0.8


def test_the_nearest_of_all_targets_is_the_nearest_of_all_boundaries(cnn, digits, nearest):
    every = closest(cnn, digits[:2], "all")
    assert every.found.float().mean() > 0.95
    ratio = every.closest().distances / nearest.distances[:2]
    # both are local solutions of a problem that is not convex; the search for the nearest has more restarts
    assert ratio.min() > 0.97 and ratio.max() < 1.1
    assert every.closest().query.tolist() == [0, 1]


@pytest.mark.nightly
def test_the_homotopy_is_no_nearer_than_the_batched_solver_along_the_papers_wavelets(digits):
    C = wb.load("mnist-erf-1", device="cpu")
    basis = C.module[0].basis
    batched = closest(C, digits[:2], "all", basis=basis)
    homotopy = closest(C, digits[:2], "all", basis=basis, method="homotopy")
    assert homotopy.found.all() and batched.found.all()
    ratio = batched.distances / homotopy.distances
    assert float(ratio.median()) < 1.001
    assert "method='homotopy'" in homotopy.provenance.call


def test_the_homotopy_finds_the_nearest_boundary_too():
    C = linear()
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    batched, homotopy = closest(C, x), closest(C, x, method="homotopy")
    torch.testing.assert_close(batched.distances, homotopy.distances, rtol=1e-5, atol=1e-6)
    assert torch.equal(batched.targets, homotopy.targets)


def test_more_effort_is_never_further(cnn, digits, nearest):
    fast = closest(cnn, digits[:4], effort="fast")
    assert (nearest.distances[:4] <= fast.distances * 1.001).all()


def test_latent_flip_points_are_pictures_between_two_classes(cnn):
    G = wb.load("mnist-dcgan", device="cpu")
    L = cnn.on(G)
    z = G.latents(4, seed=1)
    found = closest(L, z, effort="fast")
    assert found.found.all()
    scores = cnn.scores((L.pictures(found.points) + 1) / 2)
    rows = torch.arange(4)
    gap = (scores[rows, found.labels] - scores[rows, found.targets]).abs()
    assert float(gap.max()) < 1e-3


# -- manners ---------------------------------------------------------------------------------------


def test_a_seed_fixes_the_result(cnn, digits):
    first, second = (
        closest(cnn, digits[:2], effort="fast", seed=3),
        closest(cnn, digits[:2], effort="fast", seed=3),
    )
    assert torch.equal(first.points, second.points)


def test_the_module_stays_as_it_was():
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.BatchNorm1d(8), nn.Linear(8, 3)).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    closest(wb.Classifier(module, 4, device="cpu"), torch.rand(3, 4), effort="fast")
    assert module.training and module[1].inplace
    assert all(p.requires_grad for p in module.parameters())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_a_result_saves_loads_and_tabulates(cnn, digits, tmp_path):
    found = closest(cnn, digits[:2], effort="fast")
    loaded = wb.load_result(found.save(tmp_path / "flips"))
    assert torch.equal(loaded.points, found.points)
    assert loaded.class_names == found.class_names
    assert loaded.provenance.passes == found.provenance.passes
    table = loaded.frame()
    assert list(table["query"]) == [0, 1]
    assert table["found"].all()
    assert table["label"][0] == found.class_names[int(found.labels[0])]


def test_a_cancelled_run_keeps_what_it_has(digits):
    C = linear(size=784)
    C = wb.Classifier(nn.Sequential(nn.Flatten(), C.module), (1, 28, 28), device="cpu")
    x = torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    seen: list[Step] = []

    def stop_after_the_first_chunk(step: Step) -> bool:
        seen.append(step)
        return step.done < 128

    found = closest(C, x, effort="fast", progress=stop_after_the_first_chunk)
    assert found.provenance.partial
    assert found.found[:128].all() and not found.found[128:].any()
    assert "not attempted" in found.reasons[-1]
    assert seen[-1].done == 128 and seen[-1].total == 200


def test_cancelled_boundary_points_keep_the_first_ones():
    x = torch.randn(6, generator=torch.Generator().manual_seed(1))
    found = boundary_points(linear(), x, 200, progress=lambda step: step.done < 128)
    assert found.provenance.partial
    assert found.found[:128].all() and not found.found[128:].any()


def test_progress_is_told_every_step(cnn, digits):
    steps = list(closest_steps(cnn, digits[:1], effort="fast"))
    assert {"search", "cutting planes", "double precision"} <= {s.text for s in steps}


def test_no_queries_give_no_rows(cnn):
    found = closest(cnn, torch.zeros(0, 1, 28, 28))
    assert len(found) == len(closest_meeting(cnn, torch.zeros(0, 1, 28, 28), [1, 2])) == 0
    assert len(found.frame()) == 0


@pytest.mark.parametrize("bounds", [np.array([-0.5, 1.5]), torch.tensor([-0.5, 1.5]), [-0.5, 1.5]])
def test_bounds_may_be_any_pair(bounds):
    C, x = linear(bounds=(0.0, 1.0)), torch.rand(3, 6, generator=torch.Generator().manual_seed(6))
    asked = closest(C, x, effort="fast", bounds=(-0.5, 1.5))
    found = closest(C, x, effort="fast", bounds=bounds)
    assert torch.equal(found.points, asked.points)
    assert found.provenance.call == asked.provenance.call


def test_a_target_may_be_an_integer_of_any_kind():
    C, x = linear(), torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    target = next(k for k in range(4) if k not in C.scores(x).argmax(1))
    asked = closest(C, x, target, effort="fast")
    for given in (np.int64(target), torch.tensor(target), np.full(3, target), torch.full((3,), target)):
        assert torch.equal(closest(C, x, given, effort="fast").points, asked.points)
    assert solve(C, x[0], np.int64(target)).feasible


def test_the_line_of_python_says_all_that_was_asked():
    C, x = linear(bounds=(0.0, 1.0)), torch.rand(3, 6, generator=torch.Generator().manual_seed(6))
    mask, basis = [True] * 5 + [False], torch.eye(6)[:4]
    first = closest(C, x, effort="fast", bounds=(-1.0, 2.0), mask=mask)
    second = closest_change(C, x, torch.tensor([0.1, 0.2, 0.3]), basis=basis, effort="fast", seed=2)
    third = boundary_points(C, x[:1], 3, bounds=None)
    given = {"wb": wb, "C": C, "mask": mask, "basis": basis}
    for found, query in ((first, x), (second, x), (third, x[:1])):
        again = eval(found.provenance.call, {**given, "x": query})
        assert torch.equal(again.points, found.points)


# -- bad input -------------------------------------------------------------------------------------


def constant() -> wb.Classifier:
    module = nn.Linear(4, 3)
    nn.init.zeros_(module.weight)
    return wb.Classifier(module, 4, device="cpu")


def test_wrong_questions_are_refused_with_what_to_do(cnn, digits):
    x = digits[:2]
    label = cnn.class_names[int(cnn.scores(x).argmax(1)[0])]
    cases = [
        (lambda: closest(cnn, x + 1), "outside the bounds 0 to 1"),
        (lambda: closest(cnn, x, label), "already"),
        (lambda: closest(cnn, x, [1, 2, 3]), "3 targets were given for 2 queries"),
        (lambda: closest(cnn, x, effort="huge"), "'accurate'"),
        (lambda: closest(cnn, x, method="magic"), "'homotopy'"),
        (lambda: closest(linear(classes=1), torch.zeros(1, 6)), "closest_change"),
        (lambda: closest(constant(), torch.rand(2, 4)), "constant"),
        (lambda: closest(cnn, x, mask=torch.zeros(1, 28, 28)), "no feature change"),
        (lambda: closest(cnn, x, mask=torch.ones(28, 28)), r"shape \(28, 28\)"),
        (lambda: closest(cnn, x, bounds=(1, 0)), "lower bounds"),
        (lambda: closest(cnn, x, basis=torch.ones(2, 784)), "linearly dependent"),
        (lambda: closest(cnn, x, basis=torch.ones(2, 100)), r"expected \(1 to 784, 784\)"),
        (lambda: closest(cnn, x, basis=torch.eye(784)[:3], bounds=(0, 1)), "choose one"),
        (lambda: closest_change(cnn, x, 0.0), "other than 0"),
        (lambda: closest_change(cnn, x, 1.0, output=10), "outputs 0 to 9"),
        (lambda: closest_meeting(cnn, x, []), "no target was given"),
        (lambda: closest_meeting(cnn, x, [label, 0]), "already"),
        (lambda: boundary_points(cnn, x), "takes one"),
        (lambda: boundary_points(cnn, x[0], 0), "expected 1 or more"),
    ]
    for ask, said in cases:
        with pytest.raises(FlipPointError, match=said):
            ask()
    for ask, said in [
        (lambda: closest(cnn, x, 10), "class 10 was asked for; mnist-cnn has classes 0 to 9"),
        (lambda: closest(cnn, x, "ten"), "mnist-cnn has no class 'ten'"),
        (lambda: closest_meeting(cnn, x, [-1]), "class -1 was asked for"),
        (lambda: boundary_points(cnn, x[0], 10**30), "boundary points were asked for, which take"),
    ]:
        with pytest.raises(ModelError, match=said):
            ask()
    spoilt = x.clone()
    spoilt[1, 0, 3, 3] = float("nan")
    with pytest.raises(ModelError, match="row 1"):
        closest(cnn, spoilt)
    with pytest.raises(ModelError, match="expected"):
        closest(cnn, np.zeros((2, 28, 28)))


def test_bounds_a_change_and_targets_that_mean_nothing_are_refused(cnn, digits):
    x = digits[:2]
    cases = [
        (lambda: closest(cnn, x, bounds="none"), "bounds='none'; expected 'range'"),
        (lambda: closest(cnn, x, bounds=5), r"bounds=5; expected .* \(low, high\)"),
        (lambda: closest(cnn, x, bounds=torch.tensor(5.0)), r"expected .* \(low, high\)"),
        (lambda: closest(cnn, x, bounds=(0, 1, 2)), r"expected .* \(low, high\)"),
        (lambda: closest_change(cnn, digits[:3], [1.0, 2.0]), r"change=\[1.0, 2.0\] for 3 queries"),
        (lambda: closest(cnn, x, [[1, 2], [3, 3]]), "closest_meeting"),
        (lambda: closest(cnn, x, torch.tensor([[1, 2], [3, 4]])), "closest_meeting"),
    ]
    for ask, said in cases:
        with pytest.raises(FlipPointError, match=said):
            ask()
    with pytest.raises(ModelError, match="basis holds NaN"):
        closest(cnn, x, basis=torch.full((2, 784), math.nan))


def test_a_generator_that_does_not_fit_is_refused(cnn):
    G = wb.Generator(nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4))), 2, device="cpu")
    with pytest.raises(ModelError, match="resizes first"):
        cnn.on(G)
