"""Whatever takes `progress` looks at it again before it has called a network more than a few times."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.ui.gated import LONGEST, Gate, conditional_generator, inputs, layered_generator, small_classifier
from workbench.progress import Cancelled, Step
from workbench.results import Result

#: Makes networks behind a gate, and is to give a function of `progress` alone.
Made = Callable[[Gate], Callable[..., Any]]
FUNCTIONS: dict[str, Made] = {}
#: Those whose steps are reports and shards: the tests of reports and sweeps stop them.
OF_PARTS = {"reports.run", "reports.verify", "sweeps.over", "sweeps.reports"}


def function(name: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def listed(make: Callable[..., Any]) -> Callable[..., Any]:
        words = ", ".join(str(getattr(value, "__name__", value)) for value in options.values())
        FUNCTIONS[f"{name} ({words})" if words else name] = partial(make, **options)
        return make

    return listed


def band(classifier: wb.Classifier, low: float = -0.5, high: float = 0.5) -> wb.inverse_sets.Band:
    return wb.inverse_sets.band(classifier, "4", 0, low, high)


def curved_generator(gate: Gate) -> wb.Generator:
    """One whose boundaries are looked for on a grid."""
    module = layered_generator(gate).module
    module[2] = nn.Tanh()
    return wb.Generator(module, 3, device="cpu", name="curved")


@function("subspaces.subspace")
def _(gate: Gate) -> Callable[..., Any]:
    generator = layered_generator(gate, 40)
    return partial(wb.subspaces.subspace, generator, generator.latents(1), route="matrix-free", rank=4)


@function("subspaces.Search.line")
def _(gate: Gate) -> Callable[..., Any]:
    return wb.subspaces.Search(layered_generator(gate, 40), route="matrix-free").line


@function("subspaces.Search.walk")
def _(gate: Gate) -> Callable[..., Any]:
    search = wb.subspaces.Search(layered_generator(gate, 40))
    for _ in range(3):
        search.accept(search.line(), 0.5, draw=0)
    return search.walk


@function("boundaries.supporting_set")
def _(gate: Gate) -> Callable[..., Any]:
    generator = layered_generator(gate)
    return partial(wb.boundaries.supporting_set, generator, generator.latents(1)[0], "4")


@function("boundaries.explore")
def _(gate: Gate) -> Callable[..., Any]:
    generator = layered_generator(gate)
    found = wb.boundaries.supporting_set(generator, generator.latents(1)[0], "4")
    return partial(wb.boundaries.explore, generator, found.query, found)


@function("boundaries.arrangement", make=layered_generator)
@function("boundaries.arrangement", make=curved_generator)
def _(gate: Gate, make: Callable[[Gate], wb.Generator]) -> Callable[..., Any]:
    generator = make(gate)
    return partial(wb.boundaries.arrangement, generator, "4", wb.boundaries.Plane.through(*generator.latents(3)))


@function("boundaries.region", make=layered_generator)
@function("boundaries.region", make=curved_generator)
def _(gate: Gate, make: Callable[[Gate], wb.Generator]) -> Callable[..., Any]:
    generator = make(gate)
    points = generator.latents(3)
    found = wb.boundaries.supporting_set(generator, points[0], "4")
    return partial(wb.boundaries.region, generator, found, wb.boundaries.Plane.through(*points))


@function("inverse_sets.sample", method="tangent")
@function("inverse_sets.sample", method="lagrangian")
@function("inverse_sets.sample", method="full")
def _(gate: Gate, method: Any) -> Callable[..., Any]:
    given = band(small_classifier(gate))
    asked: dict[str, Any] = {"method": method, "seed_steps": 60, "distance": "latent"}
    return partial(wb.inverse_sets.sample, layered_generator(gate), given, 100, **asked)


@function("inverse_sets.rejection")
def _(gate: Gate) -> Callable[..., Any]:
    given = band(small_classifier(gate), 5.0, 6.0)
    return partial(wb.inverse_sets.rejection, layered_generator(gate), given, 10, draws=20_000, distance="latent")


@function("inverse_sets.maximise_activation")
def _(gate: Gate) -> Callable[..., Any]:
    given = band(small_classifier(gate))
    return partial(
        wb.inverse_sets.maximise_activation, layered_generator(gate), given, 10, steps=20, distance="latent"
    )


@function("inverse_sets.ppgn_chains")
def _(gate: Gate) -> Callable[..., Any]:
    classifier = small_classifier(gate)
    encoder = wb.inverse_sets.Encoder(classifier, "2")
    asked = {"encoder": encoder, "chains": 2, "steps": 50}
    return partial(wb.inverse_sets.ppgn_chains, layered_generator(gate, 8), band(classifier), 10, **asked)


@function("embeddings.maximize", variant="AM-S")
@function("embeddings.maximize", variant="AM-D-L")
def _(gate: Gate, variant: Any) -> Callable[..., Any]:
    networks = conditional_generator(gate), small_classifier(gate)
    return partial(wb.embeddings.maximize, *networks, 0, variant, trials=2, steps=20)


@function("embeddings.class_map")
def _(gate: Gate) -> Callable[..., Any]:
    rows = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    return partial(wb.embeddings.class_map, rows, [str(i) for i in range(40)])


@function("flip_points.closest", effort="fast")
@function("flip_points.closest", effort="accurate")
@function("flip_points.closest", effort="thorough")
@function("flip_points.closest", method="homotopy")
def _(gate: Gate, **options: Any) -> Callable[..., Any]:
    return partial(wb.flip_points.closest, small_classifier(gate), inputs(2), **options)


@function("flip_points.closest_change")
def _(gate: Gate) -> Callable[..., Any]:
    return partial(wb.flip_points.closest_change, small_classifier(gate), inputs(2), 0.1)


@function("flip_points.closest_meeting")
def _(gate: Gate) -> Callable[..., Any]:
    classifier = small_classifier(gate)
    x = inputs()
    label = int(classifier.scores(x)[0].argmax())
    others = tuple(i for i in range(3) if i != label)
    return partial(wb.flip_points.closest_meeting, classifier, x[:1], others)


@function("flip_points.boundary_points")
def _(gate: Gate) -> Callable[..., Any]:
    return partial(wb.flip_points.boundary_points, small_classifier(gate), inputs(1)[0], 100)


@function("flip_points.certify")
def _(gate: Gate) -> Callable[..., Any]:
    classifier = small_classifier(gate)
    return partial(wb.flip_points.certify, classifier, wb.flip_points.closest(classifier, inputs(), effort="fast"))


@function("flip_points.trust")
def _(gate: Gate) -> Callable[..., Any]:
    classifier = small_classifier(gate)
    return partial(wb.flip_points.trust, classifier, inputs(), classifier.scores(inputs()).argmax(1))


@function("flip_points.homotopy")
def _(gate: Gate) -> Callable[..., Any]:
    return partial(wb.flip_points.homotopy, small_classifier(gate), inputs(1), 1)


SLOW = {
    "boundaries.region (curved_generator)",
    "flip_points.closest (accurate)",
    "flip_points.closest (thorough)",
    "flip_points.closest_meeting",
}


class Looks:
    """A `progress` that notes how often a network had been called at each look, and stops at one of them."""

    def __init__(self, gate: Gate, stop_at: int | None = None) -> None:
        self._gate, self._stop_at = gate, stop_at
        self.at = [gate.passes]

    def __call__(self, step: Step) -> bool:
        self.at.append(self._gate.passes)
        return len(self.at) - 1 != self._stop_at


def calls_between(at: list[int], end: int) -> list[int]:
    return [after - before for before, after in zip(at, [*at[1:], end], strict=True)]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.nightly] if name in SLOW else []) for name in FUNCTIONS],
)
def test_cancel_takes_effect_within_a_step(name: str) -> None:
    gate = Gate()
    call = FUNCTIONS[name](gate)
    looks = Looks(gate)
    whole = call(progress=looks)
    calls = calls_between(looks.at, gate.passes)
    count = len(looks.at) - 1
    assert count > 2 and max(calls) <= LONGEST, calls
    for stop_at in sorted({1, count // 2, count - 1}):
        gate = Gate()
        call = FUNCTIONS[name](gate)
        looks = Looks(gate, stop_at)
        try:
            found = call(progress=looks)
        except Cancelled as error:
            assert "stopped after step" in str(error)
        else:
            assert isinstance(found, Result) and type(found) is type(whole)
            assert found.provenance.partial
        assert len(looks.at) - 1 == stop_at  # it was not asked again
        assert gate.passes - looks.at[-1] <= LONGEST


def test_every_function_that_takes_progress_is_among_them() -> None:
    known = {name.split(" ")[0] for name in FUNCTIONS} | OF_PARTS
    found = set()
    for module in ("subspaces", "boundaries", "inverse_sets", "embeddings", "flip_points", "reports", "sweeps"):
        for name, value in vars(getattr(wb, module)).items():
            members = inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else [("", value)]
            for inner, member in members:
                if inspect.isfunction(member) and "progress" in inspect.signature(member).parameters:
                    found.add(".".join(filter(None, (module, name, inner))))
    panels = {name for name in found if name.endswith("Panel.export")}  # the tests of exports stop them
    assert found - panels == known
