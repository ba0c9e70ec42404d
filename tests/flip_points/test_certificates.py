"""Certificates against closed forms, exact distances of small networks, and attacks inside the certified balls."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import nnls
from torch import Tensor, nn

import workbench as wb
from workbench.flip_points import FlipPointError, FlipPoints, certify, certify_steps, closest_change, figures
from workbench.flip_points.certificates import _Network, _Tracer
from workbench.models import Erf, LinearFeatures
from workbench.progress import Step


class Skip(nn.Module):
    """A residual network in functions, with everything that a step may be written as."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = 2 * (x - 0.25) / 0.5
        h = torch.relu(self.first(x)) + x
        h = nn.functional.leaky_relu(h @ self.second.weight, 0.2) - 0.1 * h
        return self.last(torch.cat([h, -x.view(len(x), -1)], 1))


class Opaque(nn.Module):
    """Dense layers with something in between that is no part of a certificate."""

    def __init__(self, between) -> None:
        super().__init__()
        self.first, self.last, self.between = nn.Linear(8, 8), nn.Linear(8, 3), between

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self.first(x)))


def picture_network(*activations: nn.Module) -> nn.Sequential:
    first, second = activations
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), first, nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 4, 2, bias=False), second, nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Dropout(), nn.Linear(4, 3)),
    )


NETWORKS = {
    "relu": (
        lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)),
        8,
    ),
    "erf": (
        lambda: nn.Sequential(
            LinearFeatures(torch.randn(6, 8)),
            nn.Linear(6, 12),
            Erf(0.5),
            nn.Linear(12, 10),
            Erf(),
            nn.Linear(10, 3),
        ),
        8,
    ),
    "tanh and sigmoid": (
        lambda: nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 12), nn.Sigmoid(), nn.Linear(12, 3)),
        8,
    ),
    "elu and prelu": (
        lambda: nn.Sequential(nn.Linear(8, 12), nn.ELU(), nn.Linear(12, 12), nn.PReLU(12), nn.Linear(12, 3)),
        8,
    ),
    "skip connections": (Skip, 8),
    "convolutions": (lambda: picture_network(nn.ReLU(), nn.PReLU(4, init=1.5)), (1, 7, 7)),
    "smooth convolutions": (lambda: picture_network(nn.Tanh(), nn.ELU()), (1, 7, 7)),
}


def network(kind: str, *, seed: int = 0, gain: float = 2.0) -> wb.Classifier:
    """A random one with weights large enough to bend, and batch normalisation that does something."""
    torch.manual_seed(seed)
    make, shape = NETWORKS[kind]
    module = make()
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d)):
            part.weight.data *= gain
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
    return wb.Classifier(module, shape, value_range=None, device="cpu", name=kind)


def queries(C: wb.Classifier, n: int = 6, *, seed: int = 1) -> Tensor:
    return torch.randn(n, *C.input_shape, generator=torch.Generator().manual_seed(seed))


def closest(C: wb.Classifier, x: Tensor, *args, effort="fast", **options) -> FlipPoints:
    return wb.flip_points.closest(C, x, *args, effort=effort, **options)


def linear(classes: int = 4, size: int = 6) -> wb.Classifier:
    torch.manual_seed(0)
    return wb.Classifier(nn.Linear(size, classes), size, value_range=None, device="cpu", name="linear")


# -- closed forms ----------------------------------------------------------------------------------


def test_the_certificate_of_a_linear_classifier_is_the_distance_itself():
    C = linear()
    found = certify(C, closest(C, queries(C, 20)), evaluations=1)
    torch.testing.assert_close(found.lower, found.distances, rtol=1e-6, atol=1e-9)
    assert bool((found.lower <= found.distances * (1 + 1e-9)).all())
    assert "CROWN" in found.certificate


def test_with_targets_each_row_has_the_hyperplane_of_its_own():
    C = linear()
    found = certify(C, closest(C, queries(C, 3), "all"), evaluations=12)
    w, b = C.module.weight.double(), C.module.bias.double()
    z = found.inputs.double() @ w.T + b
    i, j, q = found.labels, found.targets, found.query
    plane = (z[q, i] - z[q, j]) / (w[i] - w[j]).norm(dim=1)
    assert bool((found.lower <= plane * (1 + 1e-9)).all())
    torch.testing.assert_close(found.lower, plane, rtol=1e-3, atol=0)
    assert (found.distances > 1.01 * plane).any()  # where a third class is in the way


def test_every_certificate_of_a_small_network_lies_below_the_exact_distance():
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 3)).double()
    C = wb.Classifier(module, 3, value_range=None, device="cpu")
    x = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    found = certify(C, wb.flip_points.closest(C, x), evaluations=12)
    exact = torch.tensor([exact_distance(module, point) for point in x], dtype=torch.float64)
    assert bool((found.lower <= exact * (1 + 1e-9)).all())
    assert float((found.lower / exact).median()) > 0.5
    assert bool((found.distances >= exact * (1 - 1e-9)).all()) and bool((found.distances <= 1.001 * exact).all())


def exact_distance(module: nn.Sequential, x: Tensor) -> float:
    """The nearest boundary of a ReLU network with one hidden layer: the nearest in any of its 2^k regions."""
    (w, b), (v, c) = ((m.weight.numpy(force=True), m.bias.numpy(force=True)) for m in (module[0], module[2]))
    point = x.numpy()
    label = int(module(x[None]).argmax())
    best = np.inf
    for signs in itertools.product((0.0, 1.0), repeat=len(b)):
        on = np.array(signs)
        region = (2 * on - 1)[:, None] * w, -(2 * on - 1) * (w @ point + b)
        slope, level = v @ (on[:, None] * w), v @ (on * (w @ point + b)) + c
        for j in set(range(len(c))) - {label}:
            others = [k for k in range(len(c)) if k not in (j, label)]
            rows = np.vstack([region[0], slope[j] - slope[label], slope[j] - slope[others]])
            bounds = np.concatenate([region[1], [level[label] - level[j]], level[others] - level[j]])
            best = min(best, least_distance(rows, bounds))
    return best


def least_distance(rows: np.ndarray, bounds: np.ndarray) -> float:
    """min |d| with rows @ d >= bounds, inf where there is none: Lawson and Hanson's LDP, by their NNLS."""
    stacked = np.vstack([rows.T, bounds])
    unit = np.zeros(len(stacked))
    unit[-1] = 1
    u, residual = nnls(stacked, unit)
    if residual < 1e-9:
        return np.inf
    rest = stacked @ u - unit
    return float(np.linalg.norm(rest[:-1] / rest[-1]))


# -- many neurons at once ---------------------------------------------------------------------------


class Ladder(nn.Module):
    """Convolutions of all kinds with pooling and a skip connection, on pictures that few neurons see whole."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            [
                nn.Conv2d(1, 2, 3, padding=1),
                nn.Conv2d(2, 2, 2, stride=2),
                nn.Conv2d(2, 2, 3, padding=1, groups=2),
                nn.Conv2d(2, 2, 2, dilation=2, padding=1),
            ]
        )
        self.pool, self.last = nn.MaxPool2d(2, stride=1), nn.Linear(220, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.steps[1](torch.relu(self.steps[0](x))))
        h = torch.relu(self.steps[2](h)) + h
        return self.last(torch.relu(self.pool(self.steps[3](h))).flatten(1))


def test_neurons_followed_back_together_get_the_bounds_of_each_alone(monkeypatch):
    torch.manual_seed(2)
    C = wb.Classifier(Ladder(), (1, 22, 24), value_range=None, device="cpu")
    network, x = _Network.of(C), queries(C, 3).double()
    labels, radii = C.scores(x).argmax(1), torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64)
    together: list[tuple[int, ...]] = []
    side_by_side = _Tracer._side_by_side

    def noted(self: _Tracer, u: Tensor, side: Tensor, sign: float) -> None:
        together.append(tuple(u.shape[1:]))
        side_by_side(self, u, side, sign)

    monkeypatch.setattr(_Tracer, "_side_by_side", noted)
    quick = network.reach(x, labels, radii)
    # of the first one side is enough, the other mirrors it; of four in a pool three are compared with the rest
    assert together == [(2, 22, 24), *[(2, 11, 12)] * 4, *[(2, 10, 11)] * 8]
    monkeypatch.setattr(_Tracer, "_side_by_side", _Tracer._one_by_one)
    torch.testing.assert_close(quick, network.reach(x, labels, radii), rtol=1e-9, atol=0)
    assert bool((quick > 0).all())


# -- nothing flips inside ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORKS)
def test_no_attack_inside_a_certified_ball_flips_a_class(kind):
    C = network(kind)
    found = certify(C, closest(C, queries(C)), evaluations=10)
    assert "CROWN" in found.certificate
    assert float(found.certified.median()) > 0.15  # no vacuous ball
    assert float(worst_margin(C, found, found.lower).min()) > 0
    assert float(worst_margin(C, found, 1.2 * found.distances).min()) < 0  # the attack does flip what can be
    assert bool((found.lower <= found.distances).all())


def worst_margin(C: wb.Classifier, found: FlipPoints, radii: Tensor) -> Tensor:
    """The smallest lead of each label that 40 projected gradient steps from 8 starts find in a ball."""
    run = C.in_precision(torch.float64)
    x, labels, radii = (t.repeat_interleave(8, 0) for t in (found.inputs.double(), found.labels, radii))
    size = radii.reshape(-1, *[1] * (x.ndim - 1))

    def onto(step: Tensor) -> Tensor:
        return size * step / step.flatten(1).norm(dim=1).reshape(size.shape).clamp_min(1e-30)

    step = onto(torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0)))
    worst = torch.full((len(x),), torch.inf, dtype=x.dtype)
    for turn in range(40):
        step.requires_grad_()
        z = run(x + step)
        lead = z.gather(1, labels[:, None])[:, 0] - z.scatter(1, labels[:, None], -torch.inf).amax(1)
        worst = torch.minimum(worst, lead.detach())
        (slope,) = torch.autograd.grad(lead.sum(), step)
        moved = step.detach() - (0.5 if turn < 20 else 0.1) * onto(slope)
        length = moved.flatten(1).norm(dim=1).reshape(size.shape)
        step = moved * (size / length.clamp_min(1e-30)).clamp_max(1)
    return worst


def test_a_ball_without_targets_is_the_smallest_of_those_with():
    C = network("relu")
    x = queries(C, 2)
    nearest, every = (certify(C, closest(C, x, targets), evaluations=12) for targets in (None, "all"))
    smallest = every.lower.view(2, 2).amin(1)
    torch.testing.assert_close(nearest.lower, smallest, rtol=0.02, atol=0)


def test_more_radii_only_raise_the_bound():
    C = network("erf")
    found = closest(C, queries(C, 4))
    few, many = (certify(C, found, evaluations=k).lower for k in (3, 10))
    assert bool((many >= few).all()) and bool((many > few).any())


def test_the_bound_holds_under_masks_bounds_and_bases_and_for_latents():
    C = network("relu")
    x = queries(C, 2)
    mask = torch.tensor([True, False] * 4)
    for options in ({"mask": mask}, {"bounds": (-3.0, 3.0)}, {"basis": torch.eye(8)[:5]}):
        found = certify(C, closest(C, x.clamp(-3, 3), **options))
        assert bool((found.lower > 0).all()) and bool((found.lower <= found.distances).all())
    torch.manual_seed(5)
    G = wb.Generator(
        nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 8)), 3, value_range=(-1, 1), device="cpu"
    )
    on = C.on(G)
    found = certify(on, closest(on, G.latents(2, seed=0)))
    assert bool((found.lower > 0).all()) and bool((found.lower <= found.distances).all())


def test_a_query_without_a_flip_in_its_bounds_has_a_lower_bound_all_the_same():
    C = linear(classes=2)
    found = certify(C, closest(C, torch.zeros(1, 6), bounds=(-1e-3, 1e-3)))
    w, b = C.module.weight.double(), C.module.bias.double()
    assert not found.found.any() and torch.isnan(found.certified).all()
    exact = (b[0] - b[1]).abs() / (w[0] - w[1]).norm()
    assert float(found.lower[0]) == pytest.approx(float(exact), rel=1e-6)


# -- what cannot be certified ------------------------------------------------------------------------


TRACED = torch.jit.trace(lambda x: x.sin(), torch.zeros(2, 8))


def without_gradients(x: Tensor) -> Tensor:
    with torch.no_grad():
        aside = 2 * x
    return x + aside


@pytest.mark.parametrize(
    ("between", "named"),
    [
        (nn.GELU(), "gelu"),
        (nn.LayerNorm(8), "layer_norm"),
        (lambda x: x * x, "mul"),
        (lambda x: 1 / (3 + torch.relu(x)), "div"),
        (without_gradients, "without gradients"),
        (lambda x: x + x.detach().sign(), "detach"),
        (lambda x: x + x.data.sign(), "__get__"),
        (lambda x: x + torch.from_numpy(np.sign(x.detach().numpy())), "detach"),
        (lambda x: x if bool(x.sum() > 0) else -x, "gt"),
        (lambda x: x.add_(1), "add_"),
        (lambda x: nn.functional.relu(x, inplace=True), "relu"),
        (lambda x: nn.functional.elu(x, 2.0), "alpha=2"),
        (lambda x: TRACED(x), "cannot look"),
    ],
)  # fmt: skip
def test_a_network_with_anything_else_gets_a_reason_and_no_bound(between, named, some_found):
    torch.manual_seed(0)
    C = wb.Classifier(Opaque(between), 8, value_range=None, device="cpu")
    made = replace(some_found.provenance, fingerprint=C.fingerprint)
    marked = certify(C, replace(some_found, provenance=made))
    assert torch.isnan(marked.lower).all()
    assert marked.certificate.startswith("none: ") and named in marked.certificate


@pytest.fixture(scope="module")
def some_found() -> FlipPoints:
    """Flip points that pass for those of any network of this shape: where they lie does not matter."""
    C = wb.Classifier(nn.Linear(8, 3), 8, value_range=None, device="cpu")
    return closest(C, torch.zeros(1, 8))


def test_a_change_of_an_output_has_no_certificate():
    C = linear()
    marked = certify(C, closest_change(C, queries(C, 2), 1.0))
    assert torch.isnan(marked.lower).all() and "change of an output" in marked.certificate


def test_flip_points_of_another_network_are_refused(some_found):
    C = linear()
    with pytest.raises(FlipPointError, match="other weights"):
        certify(C, some_found)
    of_it = replace(some_found, provenance=replace(some_found.provenance, fingerprint=C.fingerprint))
    with pytest.raises(FlipPointError, match="at least 1"):
        certify(C, of_it, evaluations=0)


# -- the result --------------------------------------------------------------------------------------


def test_without_certify_there_is_no_bound(some_found):
    assert torch.isnan(some_found.lower).all() and torch.isnan(some_found.certified).all()
    assert some_found.certificate == ""


def test_the_table_shows_the_bound_and_the_share_of_the_distance(tmp_path):
    C = network("relu")
    found = certify(C, closest(C, queries(C, 3)))
    frame = found.frame()
    np.testing.assert_allclose(frame["lower"] / frame["distance"], frame["certified"])
    assert {"lower", "certified"} <= set(figures.table(found))
    loaded = wb.load_result(found.save(tmp_path / "certified"))
    assert torch.equal(loaded.lower, found.lower) and loaded.certificate == found.certificate
    assert torch.equal(found[torch.tensor([2, 0])].lower, found.lower[[2, 0]])
    assert found.provenance.call.startswith("wb.flip_points.certify(C, wb.flip_points.closest(")


def test_a_result_saved_before_there_were_certificates_loads_without(tmp_path, some_found):
    folder = some_found.save(tmp_path / "old")
    tensors = load_file(folder / "result.safetensors")
    del tensors["lower"]
    save_file(tensors, folder / "result.safetensors")
    assert torch.isnan(wb.load_result(folder).lower).all()


def test_stopped_it_keeps_the_bounds_that_it_has():
    C = network("relu")
    found = closest(C, queries(C, 40))
    seen: list[Step] = []

    def stop_late(step: Step) -> bool:
        seen.append(step)
        return step.done < 40 * 8 - 8 * 8 + 4

    some = certify(C, found, progress=stop_late)
    assert some.provenance.partial and not found.provenance.partial
    assert bool((some.lower[:32] > 0).all()) and not torch.isnan(some.lower).any()
    assert seen[-1].total == 40 * 8 and [s.done for s in seen] == sorted(s.done for s in seen)
    first = certify(C, found, progress=lambda step: False)
    assert torch.isnan(first.lower[32:]).all() and not torch.isnan(first.lower[:32]).any()


def test_the_module_is_left_as_it_was():
    C = network("convolutions")
    before = C.fingerprint
    steps = certify_steps(C, closest(C, queries(C, 1)))
    next(steps)
    assert torch.is_grad_enabled() and not any(p.requires_grad for p in C.module.parameters())
    steps.close()
    C._fingerprint = None
    assert C.fingerprint == before
