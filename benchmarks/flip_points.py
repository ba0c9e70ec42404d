"""Closest flip points beside minimal-norm attacks, distance and cost: `python -m benchmarks.flip_points`.

The peers are not dependencies: `pip install foolbox numba` and `pip install --no-deps adv-lib`. Each attack's
points are brought back to the boundary by bisection, without counting the time, before they are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

import workbench as wb
from benchmarks.timing import write
from workbench.datasets import mnist
from workbench.zoo import load_module

#: What counts as equally near as the best of all.
NEAR = 1.001


def relu_network(images: Tensor, labels: Tensor) -> nn.Module:
    """A plain 784-256-256-10 network, eight epochs of Adam from seed 0."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)]
    module = nn.Sequential(*layers)
    optimiser = torch.optim.Adam(module.parameters(), 1e-3)
    for _ in range(8):
        for rows in torch.randperm(len(images)).split(128):
            loss = nn.functional.cross_entropy(module(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return module.eval()


def peers(module: nn.Module, x: Tensor, labels: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Attacks by name, as functions that return perturbed images; recommended and tuned settings."""
    visdom = types.ModuleType("visdom")  # adv-lib imports it for plots that are not asked for
    visdom.Visdom = object  # type: ignore[attr-defined]
    sys.modules.setdefault("visdom", visdom)
    import foolbox
    from adv_lib.attacks import alma, ddn, fab, fmn

    model = foolbox.PyTorchModel(module, bounds=(0, 1))

    def of_foolbox(attack: Any) -> Tensor:
        return attack(model, x, foolbox.criteria.Misclassification(labels), epsilons=None)[1]

    def each_class(steps: int) -> Tensor:
        best, nearest = x.clone(), torch.full((len(x),), torch.inf)
        for target in range(10):
            rows = (labels != target).nonzero()[:, 0]
            aims = torch.full((len(rows),), target)
            found = ddn(module, x[rows], aims, targeted=True, steps=steps, levels=None)
            distance = to_boundary(module, x[rows], found)[0]
            closer = distance < nearest[rows]
            nearest[rows[closer]], best[rows[closer]] = distance[closer], found[closer]
        return best

    attacks = foolbox.attacks
    return {
        "DeepFool": lambda: of_foolbox(attacks.L2DeepFoolAttack()),
        "C&W, 4 x 250 steps": lambda: of_foolbox(attacks.L2CarliniWagnerAttack(binary_search_steps=4, steps=250)),
        "DDN, 100 steps": lambda: ddn(module, x, labels, steps=100, levels=None),
        "DDN, 1,000 steps": lambda: ddn(module, x, labels, steps=1000, levels=None),
        "FMN, 100 steps": lambda: fmn(module, x, labels, norm=2, steps=100),
        "FMN, 1,000 steps of 0.1": lambda: fmn(module, x, labels, norm=2, steps=1000, α_init=0.1),
        "ALMA, 100 steps": lambda: alma(module, x, labels, distance="l2", num_steps=100),
        "ALMA, 1,000 steps": lambda: alma(module, x, labels, distance="l2", num_steps=1000),
        "FAB, 100 steps": lambda: fab(module, x, labels, norm=2, n_iter=100),
        "FAB, 100 steps toward each class": lambda: fab(
            module, x, labels, norm=2, n_iter=100, targeted_restarts=True
        ),
        "DDN, 100 steps toward each class": lambda: each_class(100),
        "Brendel-Bethge, 200 steps": lambda: of_foolbox(
            attacks.L2BrendelBethgeAttack(init_attack=attacks.DDNAttack(steps=50), steps=200)
        ),
    }


def to_boundary(module: nn.Module, x: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Distances of the points nearest to `x` on the way to `found` that flip (inf: none), and the points."""
    with torch.no_grad():
        own = module(x).argmax(1)
        stuck = module(found).argmax(1) == own  # ended on the boundary itself: a step beyond is fair
        found = torch.where(stuck.reshape(-1, 1, 1, 1), x + 1.01 * (found - x), found).clamp(0, 1)
        success = module(found).argmax(1) != own
        near, far = torch.zeros(len(x), 1, 1, 1), torch.ones(len(x), 1, 1, 1)
        for _ in range(40):
            middle = (near + far) / 2
            flips = (module(x + middle * (found - x)).argmax(1) != own).reshape(-1, 1, 1, 1)
            far, near = torch.where(flips, middle, far), torch.where(flips, near, middle)
    points = x + far * (found - x)
    return torch.where(success, (points - x).flatten(1).norm(dim=1), torch.inf), points


@contextmanager
def counted(module: nn.Module) -> Iterator[dict[str, int]]:
    """Single-image passes through `module` meanwhile; a pass with gradients on counts as one backward too."""
    passes = {"forward": 0, "backward": 0}

    def hook(_module: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        passes["forward"] += len(args[0])
        passes["backward"] += len(args[0]) * args[0].requires_grad

    handle = module.register_forward_hook(hook)
    try:
        yield passes
    finally:
        handle.remove()


def compare(name: str, module: nn.Module, x: Tensor, skip: list[str]) -> dict[str, Any]:
    """All methods on one network: distances side by side, seconds and passes an image."""
    module.requires_grad_(False)
    with torch.no_grad():
        labels = module(x).argmax(1)
    distances: dict[str, Tensor] = {}
    costs: dict[str, dict[str, float]] = {}
    for peer, attack in peers(module, x, labels).items():
        if any(word in peer for word in skip):
            continue
        began = time.perf_counter()
        with counted(module) as passes:
            try:
                found = attack().detach()
            except Exception as error:  # a peer that fails is reported, the rest goes on
                print(f"{name}: {peer} failed: {error}", flush=True)
                continue
        costs[peer] = {"milliseconds": 1000 * (time.perf_counter() - began) / len(x)}
        costs[peer] |= {kind: count / len(x) for kind, count in passes.items()}
        distances[peer] = to_boundary(module, x, found)[0].double()
        print(f"{name}: {peer}: median {distances[peer].median():.4f}", flush=True)
    best_peer = torch.stack(list(distances.values())).amin(0)
    classifier = wb.Classifier(module, (1, 28, 28), device="cpu", name=name)
    ours: dict[str, Any] = {}
    for effort in ("fast", "accurate", "thorough"):
        began = time.perf_counter()
        found = wb.flip_points.closest(classifier, x, effort=effort)
        key = f"workbench, {effort}"
        distances[key] = found.distances
        costs[key] = {"milliseconds": 1000 * (time.perf_counter() - began) / len(x)}
        costs[key] |= {
            "forward": found.provenance.passes["forward"] / len(x),
            "backward": found.provenance.passes["vjp"] / len(x),
        }
        ratio = found.distances / best_peer
        ours[key] = {
            "found": float(found.found.double().mean()),
            "largest gap": float(found.gap.max()),
            "largest violation": float(found.violation.max()),
            "share within 0.1 % of the best of all peers (at least 0.95)": float((ratio <= NEAR).double().mean()),
            "median ratio to the best of all peers (below 1)": float(ratio.median()),
        }
        print(f"{name}: {key}: {ours[key]}", flush=True)
    best = torch.stack(list(distances.values())).amin(0)
    rows = {
        method: {
            "median": float(d.median()),
            "mean": float(d[torch.isfinite(d)].mean()),
            "success": float(torch.isfinite(d).double().mean()),
            "share within 0.1 % of the best of all": float((d / best <= NEAR).double().mean()),
            **costs[method],
        }
        for method, d in distances.items()
    }
    return {"images": len(x), "methods": rows, "workbench": ours}


def main() -> None:
    """Measure everything and write `benchmarks/results/flip-points.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--networks", nargs="*", default=["relu-network", "mnist-erf-1", "mnist-cnn"])
    parser.add_argument("--skip", nargs="*", default=[], help="peers whose name holds one of these words")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    x = mnist.load("test").tensor()[: options.images]
    findings: dict[str, Any] = {"settings": vars(options)}
    for name in options.networks:
        if name == "relu-network":
            train = mnist.load("train")
            module = relu_network(train.tensor(), torch.from_numpy(train.labels).long())
        else:
            module = load_module(name)
        findings[name] = compare(name, module, x, options.skip)
        write("flip-points", " ".join(["python -m benchmarks.flip_points", *sys.argv[1:]]), findings)


if __name__ == "__main__":
    main()
