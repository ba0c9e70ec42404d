"""Sampling the inverse set of a neuron: seeds first, then new samples with every gradient step.

Sections 3.3 to 3.5 of Hada and Carreira-Perpiñán, "Sampling the inverse set of a neuron: an approach to
understanding neural nets", 2019.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from collections.abc import Generator as Steps
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.inverse_sets.bands import Band, InverseSetError
from workbench.inverse_sets.problem import Encoder, Problem, Seen
from workbench.inverse_sets.result import InverseSet
from workbench.inverse_sets.seeds import Seeds, Units, measure, search, starts
from workbench.inverse_sets.walk import LagrangianWalk, Walk
from workbench.models import Generator
from workbench.models.latent import Resize
from workbench.progress import Cancelled, Progress, Step, run, stop
from workbench.results import Provenance

Method = Literal["tangent", "lagrangian", "full"]
#: Features of so many samples are kept, to measure the diversity on.
_COMPARED = 1000
#: Steps that are granted beyond ten times the fewest that can do.
_LIMIT = 100


@dataclass(frozen=True)
class Sampled(Step):
    """A step that shows the samples as they stand.

    Attributes:
        so_far: the samples.
    """

    so_far: Callable[[], InverseSet] | None = field(default=None, compare=False)


def sample_steps(
    generator: Generator,
    neurons: Band | Sequence[Band],
    n: int = 500,
    *,
    encoder: Encoder | None = None,
    distance: str | None = None,
    seed: int = 0,
    walkers: int = 10,
    initial: Float[Tensor, "walkers *latent"] | None = None,
    method: Method = "tangent",
    length: float = 0.2,
    diversity: bool = True,
    clip: bool = False,
    resize: Resize | None = None,
    seed_steps: int = 400,
    steps: int | None = None,
) -> Steps[Step, None, InverseSet]:
    """`sample`, one gradient step at a time: yields a `Sampled` after each and returns the `InverseSet`."""
    started = time.perf_counter()
    problem = Problem(generator, neurons, encoder=encoder, distance=distance, resize=resize)
    _check(n, walkers, method, length, seed_steps, steps)
    units = measure(problem, seed=seed)
    count = n if method == "full" else min(walkers, n)
    spare = units.draws[:0]
    if initial is None:
        start, spare = starts(problem, units, count, seed=seed)
    else:
        start = torch.as_tensor(initial).to(units.draws)
        if tuple(start.shape[1:]) != generator.latent_shape or not len(start) or not torch.isfinite(start).all():
            raise InverseSetError(
                f"initial has shape {tuple(torch.as_tensor(initial).shape)}; expected finite codes (walkers, "
                f"{', '.join(map(str, generator.latent_shape))})"
            )
    kept = _Kept(problem, units, n)
    call = f"n={n}, seed={seed}, walkers={len(start)}, method={method!r}, length={length:g}, diversity={diversity}"
    call += f", clip={clip}, seed_steps={seed_steps}, distance={problem.distance!r}"
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
    seeds = None
    while seeds is None:
        try:
            at = next(hunt)
        except StopIteration as end:
            seeds = end.value
            break
        try:
            yield Sampled(len(kept), n, at.text, so_far=None)
        except Cancelled:
            seeds = stop(hunt, at)
    kept.seeds(seeds)

    def so_far(*, partial: bool = True) -> InverseSet:
        return kept.result(seed=seed, call=call, method=method, started=started, partial=partial)

    reached = int(seeds.inside.sum())
    if seeds.stopped or method == "full" or not reached or len(kept) >= n:
        return so_far(partial=seeds.stopped)
    limit = steps if steps is not None else _LIMIT + 10 * math.ceil(n / reached)
    make = LagrangianWalk if method == "lagrangian" else Walk
    walk = make(problem, units, seeds, length=length, seed=seed, diversity=diversity, clip=clip)
    for step in range(1, limit + 1):
        kept.add(*walk.advance(), step)
        if len(kept) >= n:
            break
        try:
            yield Sampled(len(kept), n, f"{len(kept)} samples", so_far=so_far)
        except Cancelled:
            return so_far()
    return so_far(partial=False)


def sample(
    generator: Generator,
    neurons: Band | Sequence[Band],
    n: int = 500,
    *,
    encoder: Encoder | None = None,
    distance: str | None = None,
    seed: int = 0,
    walkers: int = 10,
    initial: Float[Tensor, "walkers *latent"] | None = None,
    method: Method = "tangent",
    length: float = 0.2,
    diversity: bool = True,
    clip: bool = False,
    resize: Resize | None = None,
    seed_steps: int = 400,
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
        walkers: K, the seeds.
        initial: (walkers, *latent) codes to start from; by default draws of the prior that come near the bands.
        method: `tangent`, the sampler described at `walk.Walk`; `lagrangian`, the paper's (equation 11, its
            multipliers fixed); or `full`, which optimises equation (6) for all n at once and to the end.
        length: of a step at most, in deviations of the prior, for each number of a code.
        diversity: False leaves the distances out (equation 15).
        clip: bring codes back into the prior's typical set after each step; the paper does not.
        resize: of pictures for classifiers of another size.
        seed_steps: gradient steps for the seeds at most; for all of `full`.
        steps: gradient steps for the rest at most; by default ten times what they need at least, and 100.
        progress: told each step (a `Sampled`, which shows the samples as they stand); returning False stops, and
            what there is is returned, marked partial.

    Raises:
        InverseSetError: settings out of range, a dead neuron, no place to take distances in, or networks on
            different devices.
        ModelError, LayerError: pictures that do not fit a classifier, or an unknown layer.
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


def _check(n: int, walkers: int, method: str, length: float, seed_steps: int, steps: int | None) -> None:
    rules = (
        ("n", n, n >= 1, "at least one sample"),
        ("walkers", walkers, walkers >= 2, "at least two: one alone has nothing to be far from"),
        ("method", method, method in ("tangent", "lagrangian", "full"), "'tangent', 'lagrangian' or 'full'"),
        ("length", length, 0 < length < math.inf, "a finite number above 0"),
        ("seed_steps", seed_steps, seed_steps >= 0, "0 or more"),
        ("steps", steps, steps is None or steps >= 0, "0 or more, or None"),
    )
    for name, value, fine, expected in rules:
        if not fine:
            raise InverseSetError(f"{name}={value!r}; expected {expected}")


class _Kept:
    """The samples as they are found, on the CPU."""

    def __init__(self, problem: Problem, units: Units, n: int) -> None:
        self._problem, self._units, self._n = problem, units, n
        self._every = math.ceil(n / _COMPARED)
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []
        self._features: list[Tensor] = []
        self._steps = [0, 0]
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def seeds(self, found: Seeds) -> None:
        """Take the seeds: those in the bands as samples, and the others as what came nearest."""
        inside = found.inside
        rows = inside.nonzero()[:, 0]
        self._steps[0] = found.steps
        self._missed = found.codes[~inside].cpu(), Seen(*(part[~inside].cpu() for part in found.seen))
        self.add(found.codes[rows], Seen(*(part[rows] for part in found.seen)), rows, 0)

    def add(self, codes: Tensor, seen: Seen, walkers: Tensor, step: int) -> None:
        """Take new samples, as many as are still wanted."""
        self._steps[1] = step
        left = self._n - self._number
        codes, walkers, seen = codes[:left], walkers[:left], Seen(*(part[:left] for part in seen))
        if not len(codes):
            return
        numbers = torch.arange(self._number, self._number + len(codes))
        self._features.append(seen.features[(numbers % self._every == 0).to(seen.features.device)].cpu())
        taken = (codes, seen.outputs, seen.values, walkers, torch.full((len(codes),), step))
        self._parts.append(tuple(part.detach().cpu() for part in taken))  # type: ignore[arg-type]
        self._number += len(codes)

    def result(self, *, seed: int, call: str, method: str, started: float, partial: bool) -> InverseSet:
        """The samples, those left out whose activation is another when their picture is looked at again."""
        problem = self._problem
        bands = len(problem.bands)
        missed, nearest = self._missed
        if self._parts:
            codes, outputs, values, walkers, step = (torch.cat(part) for part in zip(*self._parts, strict=True))
            again = problem.values_of(outputs).cpu()
            fine = ((again >= problem.low.cpu()) & (again <= problem.high.cpu())).all(1)
            codes, outputs, values, walkers, step = (part[fine] for part in (codes, outputs, again, walkers, step))
        else:
            generator = problem.generator
            codes, outputs = torch.empty(0, *generator.latent_shape), torch.empty(0, *generator.output_shape)
            values, walkers, step = torch.empty(0, bands), torch.empty(0).long(), torch.empty(0).long()
        features = torch.cat(self._features) if self._features else torch.empty(0, 1)
        return InverseSet(
            provenance=Provenance.of(
                problem.generator,
                call=f"wb.inverse_sets.sample(G, [{', '.join(b.code for b in problem.bands)}], {call})",
                seed=seed,
                started=started,
                passes=problem.passes,
                partial=partial,
            ),
            method=method,
            neurons=tuple(b.label for b in problem.bands),
            limits=torch.stack([problem.low, problem.high], dim=1).cpu(),
            distance=problem.space,
            codes=codes,
            outputs=outputs,
            values=values,
            walker=walkers,
            step=step,
            steps=torch.tensor(self._steps),
            diversity=float(torch.pdist(features.float()).mean()) if len(features) > 1 else math.nan,
            reference=self._units.reference,
            nearest_codes=missed,
            nearest_outputs=nearest.outputs,
            nearest_values=nearest.values,
            note="" if partial else self._note(len(codes), nearest),
        )

    def _note(self, found: int, nearest: Seen) -> str:
        """Why there are fewer samples than were asked for."""
        if found >= self._n:
            return ""
        if found:
            return (
                f"{found} of {self._n} samples after {self._steps[0]} and {self._steps[1]} gradient steps; give "
                "more steps, or a wider band"
            )
        row = int(self._problem.outside_by(nearest.values.to(self._problem.low)).argmin())
        reached = ", ".join(
            f"{band.label} reached {float(value):.4g} for [{band.low:g}, {band.high:g}]"
            for band, value in zip(self._problem.bands, nearest.values[row], strict=True)
        )
        return (
            f"no seed reached the band in {self._steps[0]} gradient steps; the nearest: {reached}. Choose a band "
            "nearer to that, or give more seed_steps"
        )
