"""The five panels over networks that can be held up, and what their workers have begun."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import workbench as wb
from tests.finished import PATIENCE, finished
from workbench.ui.jobs import Jobs

#: Calls of a network between two looks at `progress`, at most.
LONGEST = 15
NAMES = ["ant", "bee", "cat"]
ROW = 12


class Gate:
    """Holds up every pass through its networks while it is closed, whatever thread it is in."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._opened.set()
        self.reached = threading.Event()
        self.passes = 0
        self.by_thread: Counter[int | None] = Counter()

    def __deepcopy__(self, memo: dict[int, Any]) -> Gate:
        return self  # the workbench works on copies of networks, all of which this is to hold up

    def close(self) -> None:
        self.reached.clear()
        self._opened.clear()

    def open(self) -> None:
        self._opened.set()

    def __call__(self) -> None:
        self.passes += 1
        self.by_thread[threading.get_ident()] += 1
        if not self._opened.is_set():
            self.reached.set()
            assert self._opened.wait(PATIENCE)


class Gated(nn.Module):
    """A layer that hands on what it is given, when the gate lets it."""

    def __init__(self, gate: Callable[[], object]) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        self.gate()
        return x.clone()


class Conditional(nn.Module):
    """Pictures (n, 1, 4, 4) of a latent and a class embedding."""

    def __init__(self, gate: Callable[[], object]) -> None:
        super().__init__()
        self.gate = gate
        self.shared, self.z, self.e = nn.Embedding(len(NAMES), 4), nn.Linear(3, 16), nn.Linear(4, 16)

    def forward(self, z: Tensor, rows: Tensor) -> Tensor:
        self.gate()
        return torch.tanh(self.z(z) + self.e(rows)).unflatten(1, (1, 4, 4))


class Computations:
    """What the workers of panels have begun, by what is written beside the bar."""

    def __init__(self) -> None:
        self.jobs: list[Jobs] = []
        self.begun: Counter[tuple[int, str]] = Counter()

    def finish(self) -> None:
        """Wait until no panel works any more; none may have failed."""
        while not all(jobs.wait(0) for jobs in self.jobs):
            for jobs in self.jobs:
                assert jobs.wait(PATIENCE)
        finished(*self.jobs)


def layered_generator(gate: Callable[[], object], latents: int = 3) -> wb.Generator:
    torch.manual_seed(0)
    layers = nn.Linear(latents, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 16)
    module = nn.Sequential(Gated(gate), *layers, nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))
    return wb.Generator(module, latents, device="cpu", name="layered")


def conditional_generator(gate: Callable[[], object]) -> wb.Generator:
    torch.manual_seed(1)
    return wb.Generator(
        Conditional(gate), 3, class_embeddings="shared.weight", class_names=NAMES, device="cpu", name="conditional"
    )


def small_classifier(gate: Callable[[], object], value_range: tuple[float, float] = (-1, 1)) -> wb.Classifier:
    torch.manual_seed(2)
    module = nn.Sequential(Gated(gate), nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, len(NAMES)))
    return wb.Classifier(module, (1, 4, 4), value_range=value_range, class_names=NAMES, device="cpu", name="small")


def inputs(count: int = ROW) -> Tensor:
    return 2 * torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(3)) - 1


def subspaces(generator: wb.Generator, classifier: wb.Classifier, seed: int = 0) -> Any:
    return wb.subspaces.Panel(generator, seed=seed, steps=9)


def boundaries(generator: wb.Generator, classifier: wb.Classifier, seed: int = 0) -> Any:
    return wb.boundaries.Panel(generator, seed=seed, samples=20)


def inverse_sets(generator: wb.Generator, classifier: wb.Classifier, seed: int = 0) -> Any:
    band = wb.inverse_sets.band(classifier, "4", 0, -0.5, 0.5)
    return wb.inverse_sets.Panel(generator, classifier, neurons=band, n=12, walkers=3, seed=seed)


def embeddings(generator: wb.Generator, classifier: wb.Classifier, seed: int = 0) -> Any:
    return wb.embeddings.Panel(generator, classifier, trials=2, steps=6, seed=seed)


def flip_points(generator: wb.Generator, classifier: wb.Classifier, seed: int = 0) -> Any:
    return wb.flip_points.Panel(classifier, inputs(), effort="fast", seed=seed)


#: By the name of the method: the networks that its panel is about, and the panel of such networks.
PANELS: dict[str, tuple[Callable[[Callable[[], object]], wb.Generator], Callable[..., Any]]] = {
    "subspaces": (layered_generator, subspaces),
    "boundaries": (layered_generator, boundaries),
    "inverse_sets": (layered_generator, inverse_sets),
    "embeddings": (conditional_generator, embeddings),
    "flip_points": (layered_generator, flip_points),
}


def panel_of(method: str, gate: Gate, seed: int = 0) -> Any:
    """The panel of a method over networks of its own behind a gate."""
    generator, make = PANELS[method]
    return make(generator(gate), small_classifier(gate), seed)
