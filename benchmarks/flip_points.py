"""Closest flip points beside minimal-norm attacks, distance and cost: `python -m benchmarks.flip_points`.

Each network and method is one measurement, kept in `benchmarks/results/flip-points/NETWORK.safetensors`, so that a
second run goes on where the first one stopped. The table is made of all that is there; a row says on how
many images, and by which command it was measured (those without one are older than this record). The attacks'
points are brought back to the boundary by bisection before they are compared, without counting the time. At one
thread the time of the process, unlike that of the clock, is hardly disturbed by what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import workbench as wb
from benchmarks.minimal_norm_attacks import Attack, Boundary, attacks
from benchmarks.timing import RESULTS, command, write
from workbench.datasets import mnist
from workbench.flip_points import EFFORTS
from workbench.zoo import load_module

NETWORKS = ("relu-network", "mnist-erf-1", "mnist-cnn")
#: What counts as equally near as the best of all.
NEAR = 1.001
#: Images that an attack gets at once, the fastest of 25, 50, 100, 250 and 500: larger batches of the CNN fall out
#: of the processor's cache.
BATCH = {"relu-network": 500, "mnist-erf-1": 500, "mnist-cnn": 100}
OURS = "workbench, "
EACH = " toward each class"


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


def network(name: str) -> wb.Classifier:
    """One of `NETWORKS`."""
    if name == "relu-network":
        train = mnist.load("train")
        module = relu_network(train.tensor(), torch.from_numpy(train.labels).long())
    else:
        module = load_module(name)
    return wb.Classifier(module.requires_grad_(False), (1, 28, 28), device="cpu", name=name)


@dataclass(frozen=True)
class Cost:
    """What a method took for all images: seconds of the clock and of the process, single-image passes."""

    seconds: float
    process_seconds: float
    forward: int
    backward: int


@dataclass(frozen=True)
class Measured:
    """One method on one network.

    Attributes:
        distances: (n,) to the nearest boundary, inf where none was found.
        classes: (n, 10) to the boundary with each class, of methods that take a target.
        command: that measured it, empty where that is not known.
    """

    distances: Float[Tensor, " n"]
    classes: Float[Tensor, "n classes"] | None
    cost: Cost
    command: str = ""


class Store:
    """The measurements of one network."""

    def __init__(self, name: str, fingerprint: str) -> None:
        self._path, self._fingerprint = RESULTS / "flip-points" / f"{name}.safetensors", fingerprint

    def read(self) -> dict[str, Measured]:
        """All that there is."""
        if not self._path.exists():
            return {}
        with safe_open(self._path, "pt") as file:
            about = file.metadata()
            if about["fingerprint"] != self._fingerprint:
                raise SystemExit(f"{self._path} was measured on other weights; move it away to begin anew")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        commands = json.loads(about.get("commands", "{}"))
        return {
            method: Measured(
                tensors[method], tensors.get(f"{method}/classes"), Cost(**cost), commands.get(method, "")
            )
            for method, cost in json.loads(about["costs"]).items()
        }

    def add(self, method: str, measured: Measured) -> None:
        """Keep one more; another process may have written meanwhile."""
        every = self.read() | {method: measured}
        tensors = {name: one.distances for name, one in every.items()}
        tensors |= {f"{name}/classes": one.classes for name, one in every.items() if one.classes is not None}
        costs = json.dumps({name: asdict(one.cost) for name, one in every.items()})
        commands = json.dumps({name: one.command for name, one in every.items() if one.command})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(f"{self._path}.{os.getpid()}")
        save_file(tensors, part, {"fingerprint": self._fingerprint, "costs": costs, "commands": commands})
        part.replace(self._path)


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


def measure_attack(attack: Attack, classifier: wb.Classifier, x: Tensor) -> Measured:
    """An attack in batches, its points brought back to the boundary."""
    module = classifier.module
    labels = classifier(x).argmax(1)
    parts, clock, process = [], 0.0, 0.0
    attack(module, x[:2], labels[:2])  # Brendel-Bethge compiles its optimiser at first
    with counted(module) as passes:
        for rows in torch.arange(len(x)).split(BATCH[classifier.name]):
            began = time.perf_counter(), time.process_time()
            parts.append(attack(module, x[rows], labels[rows]).detach())
            clock, process = clock + time.perf_counter() - began[0], process + time.process_time() - began[1]
    boundary = Boundary(module, x, labels)
    found = torch.cat(parts, -4)
    cost = Cost(clock, process, **passes)
    if found.ndim == x.ndim:
        return Measured(boundary.distances(found), None, cost)
    nearest = torch.stack([boundary.distances(points) for points in found]).amin(0)
    return Measured(nearest, boundary.distances_to(found), cost)


def measure_ours(effort: str, classifier: wb.Classifier, x: Tensor, *, each: bool) -> Measured:
    """`wb.flip_points.closest`, toward the nearest class or toward each."""
    began = time.perf_counter(), time.process_time()
    found = wb.flip_points.closest(classifier, x, "all" if each else None, effort=effort)  # type: ignore[arg-type]
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    passes = found.provenance.passes
    cost = Cost(*seconds, forward=passes["forward"], backward=passes["vjp"])
    if not each:
        return Measured(found.distances, None, cost)
    classes = torch.full((len(x), len(classifier.class_names)), torch.inf, dtype=torch.float64)
    classes[found.query, found.targets] = found.distances
    return Measured(classes.amin(1), classes, cost)


def methods() -> dict[str, Callable[[wb.Classifier, Tensor], Measured]]:
    """All by name: ours, then the attacks."""
    ours = {
        f"{OURS}{effort}{EACH * each}": lambda c, x, e=effort, each=each: measure_ours(e, c, x, each=each)
        for each in (False, True)
        for effort in EFFORTS
    }
    return ours | {
        name: lambda c, x, attack=attack: measure_attack(attack, c, x) for name, attack in attacks().items()
    }


def table(measured: dict[str, Measured]) -> dict[str, Any]:
    """Distances and costs side by side, and how ours stand to the best of all peers.

    A method that was given fewer images than the peers is compared on those.
    """
    peers = {name: one for name, one in measured.items() if not name.startswith(OURS)}
    if not peers:
        return {}
    best_peer = torch.stack([one.distances for one in peers.values()]).amin(0)
    best_median = min(float(one.distances.median()) for one in peers.values())
    close = {name: one.cost for name, one in peers.items() if float(one.distances.median()) <= 1.02 * best_median}
    solved = [one.classes.isfinite() for one in peers.values() if one.classes is not None]
    rows: dict[str, Any] = {}
    for name, one in measured.items():
        n, d = len(one.distances), one.distances
        ratio = d / best_peer[:n]
        rows[name] = {
            "images": n,
            "success": float(d.isfinite().double().mean()),
            "median": float(d.median()),
            "mean": float(d[d.isfinite()].mean()),
            "share within 0.1 % of the best of all peers": float((ratio <= NEAR).double().mean()),
            "median ratio to the best of all peers": float(ratio.median()),
            "share more than 0.1 % nearer than all peers": float((ratio < 1 / NEAR).double().mean()),
            "milliseconds": 1000 * one.cost.seconds / n,
            "milliseconds of the process": 1000 * one.cost.process_seconds / n,
            "forward": one.cost.forward / n,
            "backward": one.cost.backward / n,
        }
        if one.classes is not None and solved:
            any_peer = torch.stack(solved).any(0)[:n]
            rows[name]["share of the pairs that any peer solves"] = float(
                one.classes.isfinite()[any_peer].double().mean()
            )
        if one.command:
            rows[name]["command"] = one.command
    fastest = min(close, key=lambda name: close[name].process_seconds)
    return {
        "images": len(best_peer),
        "median of the best of all peers": float(best_peer.median()),
        "fastest peer whose median is within 2 % of the best median": fastest,
        "methods": rows,
    }


def main() -> None:
    """Measure what is missing and write `benchmarks/results/flip-points.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--networks", nargs="*", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--methods", nargs="*", default=[""], help="by name, or all that hold this word")
    parser.add_argument("--again", action="store_true", help="measure anew what is there already")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    every = methods()
    words = [word for word in options.methods if word not in every]
    x = mnist.load("test").tensor()[: options.images]
    findings: dict[str, Any] = {"images at once": BATCH}
    for name in NETWORKS:
        classifier = network(name)
        store = Store(name, classifier.fingerprint)
        for method, measure in every.items() if name in options.networks else ():
            wanted = method in options.methods or any(word in method for word in words)
            if not wanted or (method in store.read() and not options.again):
                continue
            try:
                measured = measure(classifier, x)
            except Exception as error:  # a peer that fails is reported, the rest goes on
                print(f"{name}: {method} failed: {error!r}", flush=True)
                continue
            store.add(method, replace(measured, command=command()))
            print(f"{name}: {method}: median {measured.distances.median():.4f}, {measured.cost}", flush=True)
        findings[name] = table(store.read())
    write("flip-points", findings)


if __name__ == "__main__":
    main()
