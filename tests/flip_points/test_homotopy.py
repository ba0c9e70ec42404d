"""After algorithms 1 and F2 the query is a flip point and gradients flow; at the end is the trained network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from tests.models.networks import small_classifier
from workbench.datasets import mnist
from workbench.flip_points.homotopy import (
    Activations,
    HomotopyStep,
    TransformedNetwork,
    bias_shift,
    gentle_sigma,
    homotopy,
    homotopy_steps,
)
from workbench.flip_points.problem import FlipPointError, Scores, make_space
from workbench.flip_points.reference import PairSolution, Solver, solve
from workbench.models import Classifier, Erf, ModelError
from workbench.progress import Cancelled
from workbench.zoo import load_module

DOUBLE = torch.float64


def network(activation: nn.Module | Sequence[nn.Module], *, seed: int = 0, scale: float = 2.0) -> Classifier:
    one, two = activation if isinstance(activation, Sequence) else (activation, activation)
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(6, 16), one, nn.Linear(16, 12), two, nn.Linear(12, 4)).double()
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(scale)
    return Classifier(module, 6, value_range=None, device="cpu")


def query(seed: int = 1, size: int = 6) -> Tensor:
    return torch.randn(1, size, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def transformed(
    classifier: Classifier, x: Tensor, *, tau: float, activations: Activations = "auto", margin: float = 0.01
) -> tuple[TransformedNetwork, int, int]:
    order = classifier.scores(x)[0].argsort(descending=True)
    label, target = int(order[0]), int(order[-1])
    found = TransformedNetwork(classifier, tau=tau, activations=activations, dtype=DOUBLE)
    found.transform(x, label, [target], margin=margin)
    return found, label, target


def slopes(net: TransformedNetwork, x: Tensor) -> list[Tensor]:
    """The slope of every transformed neuron at an input, by autograd, one tensor for each call."""
    calls: list[tuple[Tensor, Tensor]] = []
    hooks = [s.register_forward_hook(lambda _, args, out: calls.append((args[0], out))) for s in net.stand_ins]
    net(x.clone().requires_grad_())
    for hook in hooks:
        hook.remove()
    return [torch.autograd.grad(out.sum(), c, retain_graph=True)[0] for c, out in calls]


ACTIVATIONS = {
    "erf": lambda: [Erf(0.3), Erf(0.2)],
    "relu": lambda: [nn.ReLU(), nn.ReLU()],
    "one relu twice": lambda: nn.ReLU(),
    "one erf twice": lambda: Erf(0.3),
    "leaky": lambda: [nn.LeakyReLU(1e-4), nn.LeakyReLU(0.2)],
    "prelu": lambda: [nn.PReLU(16, init=1e-3), nn.PReLU()],
    "elu": lambda: [nn.ELU(0.5), nn.ELU(0.01)],
    "tanh": lambda: [nn.Tanh(), nn.Tanh()],
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_the_query_is_a_feasible_flip_point_of_the_transformed_network(kind: str) -> None:
    x = query()
    net, label, target = transformed(network(ACTIVATIONS[kind]()), x, tau=1e-3, margin=0.05)
    scores = net(x)[0]
    assert abs(float(scores[label] - scores[target])) < 1e-12
    others = [float(s) for k, s in enumerate(scores) if k not in (label, target)]
    assert max(others) <= float(scores[label]) - 0.05 + 1e-12


@pytest.mark.parametrize("kind", ["erf", "one erf twice", "relu", "one relu twice", "leaky", "prelu"])
@pytest.mark.parametrize("tau", [1e-5, 1e-2, 0.2])
def test_every_neurons_slope_at_the_query_is_at_least_tau_and_at_most_1(kind: str, tau: float) -> None:
    x = query()
    net, _, _ = transformed(network(ACTIVATIONS[kind]()), x, tau=tau)
    found = slopes(net, x)
    assert len(found) == 2
    for slope in found:
        assert tau - 1e-12 <= float(slope.min()) and float(slope.max()) <= 1 + 1e-12


@pytest.mark.parametrize("kind", ["relu", "elu"])
def test_by_way_of_elu_slopes_are_at_least_tau_down_to_log_tau(kind: str) -> None:
    x, tau = query(), 1e-3
    net, _, _ = transformed(network(ACTIVATIONS[kind](), scale=9.0), x, tau=tau, activations="elu")
    calls: list[Tensor] = []
    for stand_in in net.stand_ins:
        stand_in.register_forward_hook(lambda _, args, out: calls.append(args[0].detach()))
    found = slopes(net, x)
    assert min(float(c.min()) for c in calls) < math.log(tau)
    for c, slope in zip(calls[-2:], found, strict=True):
        assert bool((slope >= c.exp().clamp_max(tau) - 1e-12).all())
        assert float(slope.max()) <= 1 + 1e-12


def test_an_untransformed_network_lets_gradients_vanish_where_the_transformed_one_does_not() -> None:
    x = query()
    net, _, _ = transformed(network(ACTIVATIONS["erf"](), scale=8.0), x, tau=1e-2)
    after = min(float(s.min()) for s in slopes(net, x))
    net.fraction = 1.0
    before = min(float(s.min()) for s in slopes(net, x))
    assert before < 1e-12 < 1e-2 <= after + 1e-12


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("activations", ["auto", "elu", "keep"])
def test_at_the_end_of_the_way_the_network_is_the_trained_one_bit_for_bit(
    kind: str, activations: Activations
) -> None:
    classifier, x = network(ACTIVATIONS[kind]()), query()
    net, _, _ = transformed(classifier, x, tau=1e-2, activations=activations)
    batch = torch.randn(20, 6, generator=torch.Generator().manual_seed(5), dtype=DOUBLE)
    trained = classifier.scores(batch)
    assert not torch.equal(net(batch), trained)
    net.fraction = 1.0
    assert torch.equal(net(batch), trained)
    net.fraction = 1 - 1e-9
    assert torch.allclose(net(batch), trained, atol=1e-6)
    assert torch.equal(classifier.scores(batch), trained)


@pytest.mark.parametrize("tau", [1e-5, 1e-2, 0.3])
def test_sigma_is_the_smallest_that_gives_the_slope(tau: float) -> None:
    def slope(c: Tensor, sigma: Tensor) -> Tensor:
        return 2 / (sigma * math.sqrt(math.pi)) * (-((c / sigma) ** 2)).exp()

    for largest in (0.0, 1e-12, 0.5, 1.0, 1.5):
        c = torch.linspace(-largest, largest, 7, dtype=DOUBLE)
        sigma = gentle_sigma(c, tau)
        assert sigma.ndim == 0 and float(sigma) >= 2 / math.sqrt(math.pi)
        assert float(slope(c, sigma).min()) >= tau
        if float(sigma) > 2 / math.sqrt(math.pi):
            assert float(slope(c, 0.999 * sigma).min()) < tau


def test_where_no_sigma_serves_a_whole_layer_each_neuron_gets_its_own() -> None:
    tau = 0.1
    c = torch.tensor([0.1, -3.0, 4.8, -40.0], dtype=DOUBLE)  # the last is beyond √(2 / (π e)) / tau = 4.84
    sigma = gentle_sigma(c, tau)
    slope = 2 / (sigma * math.sqrt(math.pi)) * (-((c / sigma) ** 2)).exp()
    assert sigma.shape == (4,) and bool((slope[:3] >= tau).all())
    assert float(slope[3]) == pytest.approx(math.sqrt(2 / (math.pi * math.e)) / 40)
    wider = 2 / (1.01 * sigma[3] * math.sqrt(math.pi)) * math.exp(-((40 / (1.01 * float(sigma[3]))) ** 2))
    assert float(wider) < float(slope[3])  # it is the best that there is


def test_the_papers_gamma_falls_short_of_tau() -> None:
    """Line 1 read as it stands: the slope it gives is tau / sigma, not tau."""
    tau, c = 1e-2, 5.0
    gamma = math.sqrt(math.log(2 / (tau * math.sqrt(math.pi))))
    papers = max(2 / math.sqrt(math.pi), c / gamma)
    slope = 2 / (papers * math.sqrt(math.pi)) * math.exp(-((c / papers) ** 2))
    assert slope == pytest.approx(tau / papers) and slope < tau
    assert float(gentle_sigma(torch.tensor([c], dtype=DOUBLE), tau)) > papers


@pytest.mark.parametrize("seed", range(12))
def test_the_bias_step_is_the_solution_of_its_quadratic_programme(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    classes, margin = 3 + seed % 6, 0.05
    y = 3 * torch.randn(classes, generator=rng, dtype=DOUBLE) - 2
    label, *targets = torch.randperm(classes, generator=rng)[: 2 + seed % 2].tolist()
    shift = bias_shift(y, label, targets, margin=margin)
    others = [k for k in range(classes) if k not in (label, *targets)]
    scores = y.numpy()
    peer = minimize(
        lambda d: d @ d,
        np.zeros(classes),
        jac=lambda d: 2 * d,
        method="SLSQP",
        constraints=[
            {"type": "eq", "fun": lambda d: (scores + d)[targets] - (scores + d)[label]},
            {"type": "ineq", "fun": lambda d: (scores + d)[label] - margin - (scores + d)[others]},
        ],
        options={"ftol": 1e-14},
    )
    assert np.allclose(shift.numpy(), peer.x, atol=1e-6)


def test_a_pair_that_leads_already_is_moved_only_to_its_mean() -> None:
    shift = bias_shift(torch.tensor([3.0, 1.0, -5.0, -6.0]), 0, [1], margin=0.01)
    assert shift.tolist() == [-1.0, 1.0, 0.0, 0.0]


def test_a_sigma_that_training_made_negative_is_reached_without_passing_zero() -> None:
    one = Erf(0.3)
    with torch.no_grad():
        one.sigma.neg_()
    x = query()
    net, _, _ = transformed(network([one, Erf(0.4)]), x, tau=1e-2)
    for fraction in torch.linspace(0, 1, 50).tolist():
        net.fraction = fraction
        assert bool(torch.isfinite(net(x)).all())
    net.fraction = 0.0
    assert float(slopes(net, x)[0].max()) <= -1e-2 + 1e-12


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_the_homotopy_ends_on_the_trained_networks_boundary(kind: str) -> None:
    classifier, x = network(ACTIVATIONS[kind](), scale=1.5), query()
    target = int(classifier.scores(x)[0].argsort(descending=True)[1])
    found = homotopy(classifier, x, target, progress=lambda _: True)
    scores = classifier.scores(found.point[None])[0]
    assert found.feasible, found.reason
    assert abs(float(scores[target] - scores.max())) <= 1e-7
    assert found.distance == pytest.approx(float((found.point - x[0]).norm()))


def test_on_a_linear_classifier_every_step_is_the_projection_onto_a_parallel_boundary() -> None:
    torch.manual_seed(0)
    classifier = Classifier(nn.Linear(6, 2).double(), 6, value_range=None, device="cpu")
    x = query()
    label = int(classifier.scores(x).argmax())
    steps = list(homotopy_steps(classifier, x, 1 - label, steps=4, adaptive=False))
    distances = [s.solution.distance for s in steps]
    assert [s.fraction for s in steps] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert distances == pytest.approx([d * distances[-1] for d in (0.25, 0.5, 0.75, 1.0)], abs=1e-6)
    assert distances[-1] == pytest.approx(solve(classifier, x, 1 - label).distance, abs=1e-7)


def test_where_neurons_saturate_it_finds_the_boundary_that_the_solver_alone_misses() -> None:
    pairs, alone, followed = 0, 0, 0
    for seed in range(4):
        classifier, x = network(ACTIVATIONS["erf"](), seed=seed, scale=4.0), query(seed)
        for target in classifier.scores(x)[0].argsort(descending=True)[1:].tolist():
            pairs += 1
            alone += solve(classifier, x, target).feasible
            followed += homotopy(classifier, x, target, progress=lambda _: True).feasible
    assert followed == pairs == 12
    assert alone <= pairs / 2


def test_in_pixels_with_bounds_and_a_mask_the_other_solver_follows_the_homotopy_too() -> None:
    classifier = Classifier(small_classifier(), (1, 8, 8), device="cpu")
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    mask[:, :2] = False
    target = int(classifier.scores(x)[0].argsort(descending=True)[1])
    space = make_space(classifier, mask=mask)
    found = [
        homotopy(classifier, x, target, space=space, steps=3, solver=Solver(method, 100), progress=lambda _: True)
        for method in ("slsqp", "lagrangian")
    ]
    for one in found:
        assert one.feasible and one.bound_violation == 0.0, one.reason
        assert torch.equal(one.point[:, :2], x[0, :, :2])
        assert float(one.point.min()) >= 0.0 and float(one.point.max()) <= 1.0
    assert found[0].distance == pytest.approx(found[1].distance, rel=0.02)


def finish(steps: object) -> tuple[list[HomotopyStep], PairSolution]:
    taken = []
    while True:
        try:
            taken.append(next(steps))  # type: ignore[call-overload]
        except StopIteration as end:
            return taken, end.value


def test_one_step_is_the_solver_alone_with_three_times_the_iterations() -> None:
    classifier, x = network(ACTIVATIONS["erf"]()), query()
    target = int(classifier.scores(x)[0].argsort(descending=True)[1])
    taken, found = finish(homotopy_steps(classifier, x, target, steps=1, solver=Solver(iterations=40)))
    alone = solve(classifier, x, target, solver=Solver(iterations=120))
    assert [s.fraction for s in taken] == [1.0]
    assert torch.equal(found.v, alone.v) and found.iterations == alone.iterations


def test_adaptive_steps_grow_with_success_and_are_taken_back_on_failure() -> None:
    easy, x = network(ACTIVATIONS["erf"](), scale=1.0), query()
    target = int(easy.scores(x)[0].argsort(descending=True)[1])
    taken, found = finish(homotopy_steps(easy, x, target, steps=10))
    assert found.feasible and len(taken) < 10 and all(s.accepted for s in taken)
    hard = network(ACTIVATIONS["erf"](), scale=3.0)
    target = int(hard.scores(x)[0].argsort()[0])
    taken, _ = finish(homotopy_steps(hard, x, target, steps=2, solver=Solver(iterations=4)))
    failed = [k for k, s in enumerate(taken) if not s.accepted]
    assert failed and all(taken[k + 1].fraction < taken[k].fraction or taken[k + 1].fraction == 1 for k in failed)
    assert taken[-1].fraction == 1.0 and taken[-1].accepted


def test_it_can_be_cancelled_and_leaves_gradients_and_the_module_alone() -> None:
    module = nn.Sequential(nn.Linear(6, 16), Erf(0.3), nn.Linear(16, 3))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    classifier = Classifier(module, 6, value_range=None, device="cpu")
    x = query().float()
    target = int(classifier.scores(x)[0].argmin())
    steps = homotopy_steps(classifier, x, target)
    first = next(steps)
    assert torch.is_grad_enabled() and first.fraction == pytest.approx(0.1)
    with pytest.raises(Cancelled):
        homotopy(classifier, x, target, progress=lambda _: False)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(type(m).__module__ != "workbench.flip_points.homotopy" for m in classifier.module.modules())


def test_bad_questions_are_explained_and_a_query_on_the_boundary_is_its_own_answer() -> None:
    module = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.eye(2))
    classifier = Classifier(module, 2, device="cpu")
    with pytest.raises(FlipPointError, match="of this class already"):
        homotopy(classifier, torch.tensor([0.9, 0.1]), 0)
    with pytest.raises(ModelError, match="classes 0 to 1"):
        homotopy(classifier, torch.tensor([0.9, 0.1]), 2)
    with pytest.raises(FlipPointError, match="tau=0"):
        homotopy(classifier, torch.tensor([0.9, 0.1]), 1, tau=0)
    with pytest.raises(FlipPointError, match="activations='selu'"):
        homotopy(classifier, torch.tensor([0.9, 0.1]), 1, activations="selu")  # type: ignore[arg-type]
    with pytest.raises(FlipPointError, match="method"):
        Solver("ipopt")  # type: ignore[arg-type]
    found = homotopy(classifier, torch.tensor([0.5, 0.5]), 1)
    assert found.converged and found.distance == 0.0


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return Classifier(load_module("mnist-erf-1"), (1, 28, 28), device="cpu")


def test_on_the_shipped_erf_network_it_finds_flip_points_near_those_of_the_plain_solver(
    shipped: Classifier,
) -> None:
    space, scores = make_space(shipped, basis=shipped.module[0].basis), Scores(shipped)
    for row, target in ((0, 3), (1, 8)):
        x = mnist.sample().tensor()[row : row + 1]
        if int(shipped.scores(x).argmax()) == target:
            target = 9 - target
        found = homotopy(shipped, x, target, space=space, progress=lambda _: True)
        plain = solve(shipped, x, target, space=space, scores=scores)
        assert found.feasible and found.gap < 1e-6, found.reason
        assert plain.feasible and found.distance <= 1.1 * plain.distance
