"""Codes in the feasible set, far apart: equation (6) by the augmented Lagrangian (sections 3.3 and 3.4).

The paper's constraint (8) bounds an activation from below only; here both ends of the band are enforced.
Activations are measured from the middle of the band in half widths, distances in those of the prior's draws, and
codes in the deviations of their numbers over the prior, so that one setting serves every network.
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.inverse_sets.bands import InverseSetError
from workbench.inverse_sets.problem import Problem, Seen
from workbench.numerics.augmented_lagrangian import penalty, updated
from workbench.progress import Cancelled, Step, run

#: Draws of the prior, at least, on which units are measured, and among which the seeds start.
MEASURED = 256
#: Starts are chosen among so many times as many draws, those that come nearest to the bands.
_CHOICE = 4
#: μ at the start, what it grows by, and the gradient steps between (the paper: 10, 10 and 100).
_WEIGHT, _GROWTH, _INNER = 10.0, 10.0, 25
_HEAVIEST = 1e6
#: The same where the objective is followed to the end: a heavier weight leaves it no room to move.
_INNER_TO_THE_END, _HEAVIEST_TO_THE_END = 100, 1e3
#: Rate of Adam, in deviations of the prior.
_RATE = 0.05
#: Steps over which the objective's gain is judged, once all are in the bands.
_SETTLING = 250
#: Seeds aim at the inner half of the band (ε0 = ε / 2 in section 3.4).
INNER_HALF = 0.5


@dataclass(frozen=True)
class Units:
    """What codes, features and activations are measured in.

    Attributes:
        codes: (latent,) deviation of each number over the prior's draws; 0 for one that never varies.
        spread: mean squared distance of two draws' features.
        reference: mean distance of two draws' features.
        draws, seen: the draws, and what was seen of them.
    """

    codes: Float[Tensor, " *latent"]
    spread: float
    reference: float
    draws: Float[Tensor, "m *latent"]
    seen: Seen


def measure(problem: Problem, *, seed: int) -> Units:
    """The units of a problem, from draws of the prior.

    Raises:
        InverseSetError: a neuron that gives the same on all draws and has no gradient, or features that never
            vary.
    """
    return run(measure_steps(problem, seed=seed))


def measure_steps(problem: Problem, *, seed: int, seeds: int = 0) -> Steps[Step, None, Units]:
    """The steps of `measure`, one between two batches of draws: enough that so many seeds have a choice of starts.

    Cancelled, it has nothing to return.
    """
    draws = problem.generator.latents(max(MEASURED, _CHOICE * seeds), seed=seed)
    parts: list[Seen] = []
    while (done := sum(len(part.values) for part in parts)) < len(draws):
        if parts:
            yield Step(done, len(draws), "draws of the prior")
        parts.append(problem.look(draws[done : done + problem.generator.batches.size]))
    seen = Seen(*(torch.cat(part) for part in zip(*parts, strict=True)))
    for index, band in enumerate(problem.bands):
        values = seen.values[:, index]
        if not torch.isfinite(values).all():
            raise InverseSetError(
                f"{band.label} gives NaN or infinity on draws of {problem.generator.name}; look at what its layer "
                "is fed with"
            )
        if values.amax() == values.amin() and not _gradient_of(problem, draws[:32], index):
            raise InverseSetError(
                f"{band.label} is dead here: it gives {float(values[0]):g} for all of {len(draws)} draws of "
                f"{problem.generator.name}, and nothing changes it. Choose another channel, or the layer before "
                "its activation"
            )
    spread = 2 * float(seen.features.cpu().double().var(0).sum())
    if not spread > 0:
        raise InverseSetError(
            f"the features ({problem.distance}) are the same for all draws of {problem.generator.name}; take "
            "distances elsewhere"
        )
    half = len(draws) // 2
    reference = float((seen.features[:half] - seen.features[half : 2 * half]).norm(dim=1).mean())
    return Units(draws.std(0), spread, reference, draws, seen)


def _gradient_of(problem: Problem, codes: Tensor, index: int) -> bool:
    given = codes.detach().requires_grad_(True)
    values = problem(given).values[:, index]
    problem.passes["vjp"] += len(codes)
    return bool(torch.autograd.grad(values.sum(), given)[0].any())


def starts(
    problem: Problem, units: Units, count: int
) -> tuple[Float[Tensor, "count *latent"], Float[Tensor, "rest *latent"]]:
    """Draws to start from: of those that come nearest to the bands, `count` that lie far apart; and the others."""
    order = problem.outside_by(units.seen.values).argsort(stable=True)
    near = order[: min(len(order), _CHOICE * count)]
    features = units.seen.features[near]
    chosen = [0]
    apart = (features - features[0]).norm(dim=1)
    for _ in range(count - 1):
        apart[chosen] = -1
        chosen.append(int(apart.argmax()))
        apart = torch.minimum(apart, (features - features[chosen[-1]]).norm(dim=1))
    rows = near[torch.tensor(chosen, device=near.device)]
    others = order[~torch.isin(order, rows)]
    return units.draws[rows], units.draws[others]


@dataclass(frozen=True)
class Seeds:
    """What the search for seeds found.

    Attributes:
        codes: (k, *latent) in the bands, or as near as they came.
        inside: (k,) whether they are.
        seen: of the codes.
        steps: gradient steps.
        lower, upper: (k, bands) multipliers of the two ends at the end.
        weight: μ at the end.
        stopped: the search was cancelled.
    """

    codes: Float[Tensor, "k *latent"]
    inside: Bool[Tensor, " k"]
    seen: Seen
    steps: int
    lower: Float[Tensor, "k bands"]
    upper: Float[Tensor, "k bands"]
    weight: float
    stopped: bool = False


def search(
    problem: Problem,
    units: Units,
    start: Float[Tensor, "k *latent"],
    *,
    spare: Float[Tensor, "m *latent"] | None = None,
    steps: int,
    to_the_end: bool = False,
    diversity: bool = True,
    clip: bool = False,
) -> Steps[Step, None, Seeds]:
    """Equation (6): codes far apart in their features, by gradient descent on the augmented Lagrangian (9).

    A seed is kept where it last was in the bands, and the search stops as soon as there is one for each row. A row
    whose activations do not answer at all (a ReLU that is off) starts again from a spare draw.

    Args:
        start: the codes that it starts from.
        spare: further draws, nearest first.
        steps: gradient steps at most.
        to_the_end: go on until the objective gains no more (equation 16, section 4.3).
        diversity: whether distances count at all (equation 15, section 4.2).
        clip: bring codes back into the prior's typical set after each step.
    """
    spare = start[:0] if spare is None else spare
    start = start.detach().clone()
    scale = units.codes
    moved = nn.Parameter(torch.zeros_like(start))
    adam = torch.optim.Adam([moved], _RATE)
    lower = start.new_zeros(len(start), len(problem.bands))
    upper = lower.clone()
    weight = _WEIGHT
    inner, heaviest = (_INNER_TO_THE_END, _HEAVIEST_TO_THE_END) if to_the_end else (_INNER, _HEAVIEST)
    kept, inside = start.clone(), torch.zeros(len(start), dtype=torch.bool, device=start.device)
    nearest = torch.full((len(start),), torch.inf, device=start.device, dtype=start.dtype)
    before: Tensor | None = None
    objective: list[float] = []
    reached: int | None = None
    stopped = False
    while True:
        codes = (start + scale * moved).detach()
        if clip:
            codes = problem.generator.prior.project(codes)
            moved.data = torch.where(scale > 0, (codes - start) / scale.clamp_min(1e-12), 0)
        seen, slope = lagrangian_slope(problem, codes, units, lower, upper, weight, diversity=diversity)
        now, beyond = problem.inside(seen.values), problem.outside_by(seen.values)
        better = now | (~inside & (beyond < nearest))
        kept[better], nearest[better] = codes[better], beyond[better]
        inside = inside | now
        features = seen.features
        objective.append(float(2 * (features - features.mean(0)).square().sum(1).mean()) / units.spread)
        taken = len(objective) - 1
        if inside.all() and reached is None:
            reached = taken
        done = reached is not None and (not to_the_end or _settled(objective[reached:]))
        if done or taken >= steps:
            break
        try:
            yield Step(taken, steps, f"{int(inside.sum())} of {len(start)} seeds")
        except Cancelled:
            stopped = True
            break
        if before is not None:
            stuck = (seen.values == before).all(1) & ~inside
            for row in stuck.nonzero()[:, 0].tolist()[: len(spare)]:
                start[row], spare = spare[0], spare[1:]
                moved.data[row] = 0
                for name in ("exp_avg", "exp_avg_sq"):
                    adam.state[moved][name][row] = 0
        before = seen.values
        moved.grad = slope * scale
        adam.step()
        if (taken + 1) % inner == 0:
            level = problem.levels(seen.values)
            lower, upper = updated(level + INNER_HALF, lower, weight), updated(INNER_HALF - level, upper, weight)
            weight = min(weight * _GROWTH, heaviest)
    return Seeds(kept, inside, problem.look(kept), len(objective) - 1, lower, upper, weight, stopped)


def lagrangian_slope(
    problem: Problem,
    codes: Float[Tensor, "k *latent"],
    units: Units,
    lower: Float[Tensor, "k bands"],
    upper: Float[Tensor, "k bands"],
    weight: float,
    *,
    diversity: bool,
    before: Float[Tensor, "m d"] | None = None,
) -> tuple[Seen, Float[Tensor, "k *latent"]]:
    """What is seen of codes, and the gradient of the augmented Lagrangian, in batches that fit the memory.

    The sum over all pairs has the gradient of the sum of squared distances from the mean, held fixed: it costs no
    pair. Where the codes go in one batch, the mean is that of the same pass.

    Args:
        lower, upper: multipliers of the two ends of each band.
        weight: μ.
        diversity: whether distances count at all.
        before: features of the samples before, that these are to be far from too (equation 11).
    """
    batches = problem.generator.batches
    centre = None if len(codes) <= batches.size else problem.look(codes).features.mean(0)
    parts: list[Seen] = []

    def run(rows: Tensor, low: Tensor, high: Tensor) -> Tensor:
        nonlocal centre
        if centre is None and len(rows) < len(codes):  # the memory did not hold them all at once
            centre = problem.look(codes).features.mean(0)
        given = rows.detach().requires_grad_(True)
        seen = problem(given)
        level = problem.levels(seen.values)
        loss = penalty(level + INNER_HALF, low, weight) + penalty(INNER_HALF - level, high, weight)
        if diversity:
            around = seen.features.detach().mean(0) if centre is None else centre
            loss = loss - (seen.features - around).square().sum() / units.spread
            if before is not None:  # the sum over the m before: that from their mean, m times
                apart = (seen.features - before.mean(0)).square().sum() / units.spread
                loss = loss - len(before) / len(codes) * apart
        slope = torch.autograd.grad(loss, given)[0]
        problem.passes["vjp"] += len(rows)
        parts.append(Seen(*(part.detach() for part in seen)))
        return slope

    slope = batches.map(run, codes, lower, upper)
    return Seen(*(torch.cat(part) for part in zip(*parts, strict=True))), slope


def _settled(objective: list[float]) -> bool:
    """Whether the last steps gained less than a hundredth on as many before."""
    if len(objective) <= 2 * _SETTLING:
        return False
    last, before = objective[-_SETTLING:], objective[-2 * _SETTLING : -_SETTLING]
    return sum(last) <= 1.01 * sum(before)
