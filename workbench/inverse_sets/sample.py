"""Sampling the inverse set of a neuron: seeds first, then new samples with every gradient step.

Sections 3.3 to 3.5 of Hada and Carreira-Perpiñán, "Sampling the inverse set of a neuron: an approach to
understanding neural nets", 2019.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator as Steps
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.inverse_sets.bands import Band, InverseSetError, line
from workbench.inverse_sets.collect import Collector
from workbench.inverse_sets.problem import Encoder, Problem
from workbench.inverse_sets.result import InverseSet
from workbench.inverse_sets.seeds import measure_steps, search, starts
from workbench.inverse_sets.walk import LagrangianWalk, Walk
from workbench.models import Generator, checks
from workbench.models.latent import Resize
from workbench.progress import Cancelled, Progress, Snapshot, Step, run, stop
from workbench.results import differing

Method = Literal["tangent", "lagrangian", "full"]
#: Samples of one walker, and the fewest and most walkers, where their number is not given.
_EACH, _FEWEST, _MOST = 50, 10, 50
#: Gradient steps that the seeds are granted, and all samples at once.
_SEED_STEPS, _FULL_STEPS = 400, 20_000
#: Steps that are granted beyond ten times the fewest that can do.
_LIMIT = 100


@dataclass(frozen=True)
class Sampled(Snapshot[InverseSet]):
    """A step that shows the samples as they stand."""


def sample_steps(
    generator: Generator,
    neurons: Band | Sequence[Band],
    n: int = 500,
    *,
    encoder: Encoder | None = None,
    distance: str | None = None,
    seed: int = 0,
    walkers: int | None = None,
    initial: Float[Tensor, "walkers *latent"] | None = None,
    method: Method = "tangent",
    length: float = 0.2,
    diversity: bool = True,
    clip: bool = False,
    resize: Resize | None = None,
    seed_steps: int | None = None,
    steps: int | None = None,
) -> Steps[Step, None, InverseSet]:
    """`sample`, one gradient step at a time: yields a `Sampled` after each and returns the `InverseSet`."""
    started = time.perf_counter()
    check(n=n, walkers=walkers, method=method, length=length, seed_steps=seed_steps, steps=steps)
    problem = Problem(generator, neurons, encoder=encoder, distance=distance, resize=resize)
    generator.check_differentiable()
    given = differing(
        sample,
        n=n,
        encoder=encoder,
        distance=distance,
        seed=seed,
        walkers=walkers,
        initial=initial,
        method=method,
        length=length,
        diversity=diversity,
        clip=clip,
        resize=resize,
        seed_steps=seed_steps,
        steps=steps,
    )
    if seed_steps is None:
        seed_steps = _FULL_STEPS if method == "full" else _SEED_STEPS
    if walkers is None:
        walkers = min(max(math.ceil(n / _EACH), _FEWEST), _MOST)
    count = n if method == "full" else min(walkers, n)
    units = yield from measure_steps(problem, seed=seed, seeds=count)
    spare = units.draws[:0]
    if initial is None:
        start, spare = starts(problem, units, count)
    else:
        start = torch.as_tensor(initial).to(units.draws)
        if tuple(start.shape[1:]) != generator.latent_shape or not len(start) or not torch.isfinite(start).all():
            raise InverseSetError(
                f"initial has shape {tuple(torch.as_tensor(initial).shape)}; expected finite codes (walkers, "
                f"{', '.join(map(str, generator.latent_shape))})"
            )
    made = line("sample", problem.bands, **given)
    kept = Collector(problem, units, n, made=made, method=method, seed=seed, started=started)
    hunt = search(
        problem,
        units,
        start,
        spare=spare,
        steps=seed_steps,
        to_the_end=method == "full",
        diversity=diversity,
        clip=clip,
    )
    while True:
        try:
            at = next(hunt)
        except StopIteration as end:
            seeds = end.value
            break
        try:
            yield Sampled(len(kept), n, at.text, so_far=None)
        except Cancelled:
            seeds = stop(hunt, at)
            break
    kept.seeds(seeds)

    reached = int(seeds.inside.sum())
    if seeds.stopped or method == "full" or not reached or len(kept) >= n:
        return kept.result(partial=seeds.stopped)
    limit = steps if steps is not None else _LIMIT + 10 * math.ceil(n / reached)
    make = LagrangianWalk if method == "lagrangian" else Walk
    walk = make(problem, units, seeds, length=length, seed=seed, diversity=diversity, clip=clip)
    for step in range(1, limit + 1):
        kept.add(*walk.advance(), step)
        if len(kept) >= n:
            break
        try:
            yield Sampled(len(kept), n, f"{len(kept)} samples", so_far=kept.so_far)
        except Cancelled:
            return kept.result(partial=True)
    return kept.result(partial=False)


def sample(
    generator: Generator,
    neurons: Band | Sequence[Band],
    n: int = 500,
    *,
    encoder: Encoder | None = None,
    distance: str | None = None,
    seed: int = 0,
    walkers: int | None = None,
    initial: Float[Tensor, "walkers *latent"] | None = None,
    method: Method = "tangent",
    length: float = 0.2,
    diversity: bool = True,
    clip: bool = False,
    resize: Resize | None = None,
    seed_steps: int | None = None,
    steps: int | None = None,
    progress: Progress | None = None,
) -> InverseSet:
    """Pictures that excite neurons to the levels asked for, far apart from one another.

    The seeds are found by the augmented Lagrangian of equation (6), both ends of each band enforced; after that
    every gradient step gives one sample more for each of them (equation 7). Where a band cannot be reached, the
    result says what came nearest, and how near.

    Args:
        generator: G; one with classes has its class fixed by `generator.of_class(…)`.
        neurons: a band, `band(C, layer, channel, low, high)`, or several for the intersection of their inverse
            sets (section 3.5), in any layers of any classifiers.
        n: samples.
        encoder: E, `Encoder(C, layer)`: distances are taken between the codes that it gives to pictures.
        distance: elsewhere instead: `pixel`, `latent` (between the generator's codes, equation 14) or a layer of
            the first band's classifier. Needed where there is no encoder.
        seed: of the starts and the levels.
        walkers: K, the seeds; by default one for every 50 samples as in the paper, between 10 and 50. The longer
            a walk, the further it leads from what the generator was trained on; more walkers take more memory.
        initial: (walkers, *latent) codes to start from; by default draws of the prior that come near the bands.
        method: `tangent`, the sampler described at `walk.Walk`; `lagrangian`, the paper's (equation 11, its
            multipliers fixed); or `full`, which optimises equation (6) for all n at once and to the end.
        length: of a step at most, in deviations of the prior, for each number of a code.
        diversity: False leaves the distances out (equation 15).
        clip: bring codes back into the prior's typical set after each step; the paper does not.
        resize: of pictures for classifiers of another size.
        seed_steps: gradient steps for the seeds at most, by default 400; for all of `full`, by default 20,000.
        steps: gradient steps for the rest at most; by default ten times what they need at least, and 100.
        progress: told each step (a `Sampled`, which shows the samples as they stand); returning False stops, and
            what there is is returned, marked partial.

    Raises:
        InverseSetError: settings out of range, a dead neuron, no place to take distances in, or networks on
            different devices.
        ModelError, LayerError: pictures that do not fit a classifier, or an unknown layer.
        Cancelled: `progress` returned False before the draws that the neuron is measured on were looked at.
    """
    steps_ = sample_steps(
        generator,
        neurons,
        n,
        encoder=encoder,
        distance=distance,
        seed=seed,
        walkers=walkers,
        initial=initial,
        method=method,
        length=length,
        diversity=diversity,
        clip=clip,
        resize=resize,
        seed_steps=seed_steps,
        steps=steps,
    )
    return run(steps_, progress)


def check(
    *,
    n: int,
    walkers: int | None = None,
    method: str = "tangent",
    length: float = 0.2,
    seed_steps: int | None = None,
    steps: int | None = None,
) -> None:
    """Raise InverseSetError for the first of `sample`'s settings that is out of range."""
    alone = "at least two: one alone has nothing to be far from"
    checks.check_settings(
        InverseSetError,
        ("n", n, n >= 1, "at least one sample"),
        ("walkers", walkers, walkers is None or walkers >= 2, alone),
        ("method", method, method in ("tangent", "lagrangian", "full"), "'tangent', 'lagrangian' or 'full'"),
        ("length", length, 0 < length < math.inf, "a finite number above 0"),
        ("seed_steps", seed_steps, seed_steps is None or seed_steps >= 0, "0 or more, or None"),
        ("steps", steps, steps is None or steps >= 0, "0 or more, or None"),
    )
