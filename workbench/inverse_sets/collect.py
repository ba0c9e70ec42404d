"""Samples as they are found, and the result that they make."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.inverse_sets.bands import labels
from workbench.inverse_sets.problem import Problem, Seen
from workbench.inverse_sets.result import InverseSet
from workbench.inverse_sets.seeds import Seeds, Units
from workbench.metrics import mean_distance
from workbench.models.devices import check_fits
from workbench.results import Provenance

#: Features of so many samples are kept, to measure the diversity on.
_COMPARED = 1000


class Collector:
    """Takes samples, keeps them on the CPU, and makes the result of them at any time.

    Args:
        n: samples that are wanted; more are not taken.
        made: the line of Python that makes them.
        method: the result's.
        started: when, by `time.perf_counter()`.
        held: whether samples outside the bands are left out.
    """

    def __init__(
        self,
        problem: Problem,
        units: Units,
        n: int,
        *,
        made: str,
        method: str,
        seed: int,
        started: float,
        held: bool = True,
    ) -> None:
        self._problem, self._units, self._n, self._held = problem, units, n, held
        self._made, self._method, self._seed, self._started = made, method, seed, started
        self._every = math.ceil(n / _COMPARED)
        self._features: list[Tensor] = []
        self._steps = [0, 0]
        self._number = 0
        generator, bands = problem.generator, len(problem.bands)
        size = generator.latent_size + torch.Size(generator.output_shape).numel()
        check_fits("samples", n, size, torch.device("cpu"))
        nothing = (
            torch.empty(0, *generator.latent_shape),
            torch.empty(0, *generator.output_shape),
            torch.empty(0, bands),
        )
        self._parts = [(*nothing, torch.empty(0).long(), torch.empty(0).long())]
        self._nearest = nothing

    def __len__(self) -> int:
        return self._number

    def seeds(self, found: Seeds) -> None:
        """Take the seeds: those in the bands as samples, and the others as what came nearest."""
        self._steps[0] = found.steps
        missed = ~found.inside
        parts = (found.codes, found.seen.outputs, found.seen.values)
        self._nearest = tuple(part[missed].detach().cpu() for part in parts)  # type: ignore[assignment]
        rows = found.inside.nonzero()[:, 0]
        self.add(found.codes[rows], Seen(*(part[rows] for part in found.seen)), rows, 0)

    def add(
        self, codes: Float[Tensor, "new *latent"], seen: Seen, walkers: Int[Tensor, " new"], step: int
    ) -> None:
        """Take new samples of a step, as many as are still wanted."""
        self._steps[1] = step
        left = self._n - self._number
        codes, walkers, seen = codes[:left], walkers[:left], Seen(*(part[:left] for part in seen))
        if not len(codes):
            return
        numbers = torch.arange(self._number, self._number + len(codes))
        self._features.append(seen.features[(numbers % self._every == 0).to(seen.features.device)].detach().cpu())
        taken = (codes, seen.outputs, seen.values, walkers, torch.full((len(codes),), step))
        self._parts.append(tuple(part.detach().cpu() for part in taken))  # type: ignore[arg-type]
        self._number += len(codes)

    def so_far(self) -> InverseSet:
        """The samples as they stand, for whoever watches: no picture is looked at again, so no pass is counted."""
        return self._result(partial=True, again=False)

    def result(self, *, partial: bool) -> InverseSet:
        """The samples; those whose pictures say otherwise when they are looked at again are left out."""
        return self._result(partial=partial, again=self._held)

    def _result(self, *, partial: bool, again: bool) -> InverseSet:
        problem = self._problem
        codes, outputs, values, walkers, step = (torch.cat(part) for part in zip(*self._parts, strict=True))
        if len(codes) and again:
            values = problem.values_of(outputs).cpu()
            rows = ((values >= problem.low.cpu()) & (values <= problem.high.cpu())).all(1)
            codes, outputs, values, walkers, step = (
                part[rows] for part in (codes, outputs, values, walkers, step)
            )
        features = torch.cat(self._features) if self._features else torch.empty(0, 1)
        return InverseSet(
            provenance=Provenance.of(
                problem.generator,
                call=self._made,
                seed=self._seed,
                started=self._started,
                passes=problem.passes,
                partial=partial,
            ),
            method=self._method,
            neurons=labels(problem.bands),
            limits=torch.stack([problem.low, problem.high], dim=1).cpu(),
            distance=problem.space,
            codes=codes,
            outputs=outputs,
            values=values,
            walker=walkers,
            step=step,
            steps=torch.tensor(self._steps),
            diversity=mean_distance(features),
            reference=self._units.reference,
            nearest_codes=self._nearest[0],
            nearest_outputs=self._nearest[1],
            nearest_values=self._nearest[2],
            note="" if partial or not self._held else self._note(len(codes)),
        )

    def _note(self, found: int) -> str:
        """Why there are fewer samples than were asked for."""
        if found >= self._n:
            return ""
        taken = f"{self._steps[0]} gradient steps for the seeds and {self._steps[1]} for the rest"
        if found or not len(self._nearest[2]):
            return f"{found} of {self._n} samples after {taken}; give more steps, or a wider band"
        row = int(self._problem.outside_by(self._nearest[2].to(self._problem.low)).argmin())
        reached = ", ".join(
            f"{band.label} reached {float(value):.4g} for [{band.low:g}, {band.high:g}]"
            for band, value in zip(self._problem.bands, self._nearest[2][row], strict=True)
        )
        return (
            f"no seed reached the band in {self._steps[0]} gradient steps; the nearest: {reached}. Choose a band "
            "nearer to that, or give more seed_steps"
        )
