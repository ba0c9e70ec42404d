"""Walking through the feasible set: K new samples a gradient step (section 3.4)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.inverse_sets.problem import Problem, Seen
from workbench.inverse_sets.seeds import Seeds, Units, lagrangian_slope
from workbench.numerics.randomness import seeded

#: A step's length is halved where it left the bands, and grows slowly again.
_SHORTER, _LONGER = 0.5, 1.1
#: Steps in a row that left the bands, after which a walker goes on from another sample.
_MISSES = 8
#: How fast a walker learns by how much its steps miss the level that they aim at.
_LEARNING = 0.3


class Walk:
    """K codes that move through the feasible set; every position inside is a sample.

    The step along the gradient of the diversity is taken within the surface on which the activations stay as they
    are, and a second part brings each activation to a level of its own in the band. This is the gradient of the
    Lagrangian with the multipliers that fit the place (least squares; Nocedal and Wright, equation 18.21), where
    the paper keeps those that the search for seeds ended with. A walker that leaves the band goes back, and steps
    more shortly; the paper's goes on, and waits for the penalty to bring it back.

    Equation (7) wants new samples far from one another and from the K before; here they are far from all samples
    so far. The sum of squared distances has the gradient of that from the mean, so that it costs nothing.

    Args:
        seeds: of which those in the bands walk.
        length: of a step at most, in deviations of the prior for each number of a code.
        seed: of the levels.
        diversity: whether distances count at all.
        clip: bring codes back into the prior's typical set.
    """

    def __init__(
        self,
        problem: Problem,
        units: Units,
        seeds: Seeds,
        *,
        length: float,
        seed: int,
        diversity: bool = True,
        clip: bool = False,
    ) -> None:
        codes, self._whose = _walkers(seeds)
        self._problem, self._units, self._clip, self._diversity = problem, units, clip, diversity
        self._random = seeded(seed)
        count, bands = len(codes), len(problem.bands)
        self._longest = length
        exact = torch.promote_types(codes.dtype, torch.float32)  # half a precision has no inverses
        self._exact = torch.zeros((), device=codes.device, dtype=exact)
        self._lengths = self._exact.new_full((count,), length)
        self._base = codes.detach().clone()
        self._moves = torch.zeros_like(self._base)
        self._fresh = torch.ones(count, dtype=torch.bool, device=codes.device)
        self._misses = torch.zeros(count, dtype=torch.long, device=codes.device)
        self._aim = self._exact.new_zeros(count, bands)
        self._error = self._exact.new_zeros(count, bands)
        # a slice of each band for each walker, in another order for each band
        orders = [torch.randperm(count, generator=self._random) for _ in range(bands)]
        self._slice = torch.stack(orders, dim=1).to(self._exact)
        flat = codes.flatten(1).shape[1]
        self._tangent = self._exact.new_zeros(count, flat)
        self._normals = self._exact.new_zeros(count, bands, flat)
        self._levels = self._exact.new_zeros(count, bands)
        self._sum = seeds.seen.features[seeds.inside].to(self._exact).sum(0)
        self._number = int(seeds.inside.sum())
        self._samples = [codes.detach()]

    def advance(self) -> tuple[Float[Tensor, "new *latent"], Seen, Int[Tensor, " new"]]:
        """One gradient step of all walkers: the new samples, what is seen of them, and whose they are."""
        problem = self._problem
        codes = self._base + self._moves
        if self._clip:
            codes = problem.generator.prior.project(codes)
        seen, slope, normals = self._look(codes)
        inside = problem.inside(seen.values)
        moved = ~self._fresh
        new = inside & moved
        level = problem.levels(seen.values).to(self._exact)
        self._learn(level, inside, moved)
        taken = (inside | self._fresh)[:, None]
        self._base = torch.where(taken.reshape(-1, *[1] * (codes.ndim - 1)), codes, self._base)
        self._tangent = torch.where(taken, slope, self._tangent)
        self._normals = torch.where(taken[..., None], normals, self._normals)
        self._levels = torch.where(taken, level, self._levels)
        if bool(new.any()):
            self._sum = self._sum + seen.features[new].to(self._sum).sum(0)
            self._number += int(new.sum())
            self._samples.append(codes[new])
        self._fresh = torch.zeros_like(self._fresh)
        self._go_on_elsewhere()
        self._moves = self._next()
        rows = new.nonzero()[:, 0]
        return codes[rows], Seen(*(part[rows] for part in seen)), self._whose[rows]

    def _look(self, codes: Tensor) -> tuple[Seen, Tensor, Tensor]:
        """What is seen of codes, and in units of the prior the gradients of their distance from the mean of all
        samples and, one band a row, of their levels."""
        problem, scale = self._problem, self._units.codes
        centre = self._sum / self._number
        parts: list[tuple[Tensor, ...]] = []

        def go(rows: Tensor) -> Tensor:
            given = rows.detach().requires_grad_(True)
            seen = problem(given)
            level = problem.levels(seen.values)
            normals = [
                torch.autograd.grad(column.sum(), given, retain_graph=True)[0] * scale
                for column in level.unbind(1)
            ]
            slope = torch.zeros_like(given)
            if self._diversity:
                apart = (seen.features - centre.to(seen.features)).square().sum()
                slope = torch.autograd.grad(apart, given)[0] * scale
            problem.passes["vjp"] += len(rows) * (len(normals) + self._diversity)
            slopes = (slope.flatten(1), torch.stack(normals, dim=1).flatten(2))
            parts.append((*(part.detach() for part in seen), *(part.to(self._exact) for part in slopes)))
            return rows

        problem.generator.batches.map(go, codes)
        outputs, features, values, slope, normals = (torch.cat(part) for part in zip(*parts, strict=True))
        return Seen(outputs, features, values), slope, normals

    def _learn(self, level: Tensor, inside: Bool[Tensor, " k"], moved: Bool[Tensor, " k"]) -> None:
        """Change the lengths of the steps, and how far their levels are from those that they aimed at."""
        changed = torch.where(inside, self._lengths * _LONGER, self._lengths * _SHORTER)
        self._lengths = torch.where(moved, changed, self._lengths).clamp_max(self._longest)
        missed = (level - self._aim).clamp(-1, 1)
        learned = self._error + _LEARNING * (missed - self._error)
        self._error = torch.where(moved[:, None], learned, self._error)
        self._misses = torch.where(inside | ~moved, 0, self._misses + 1)

    def _go_on_elsewhere(self) -> None:
        """Put walkers that found nothing for long on a sample, chosen at random; they look around there first."""
        lost = (self._misses >= _MISSES).nonzero()[:, 0]
        if not len(lost):
            return
        choice = torch.cat(self._samples)
        rows = torch.randint(len(choice), (len(lost),), generator=self._random)
        self._base[lost] = choice[rows.to(choice.device)]
        self._fresh[lost] = True
        self._misses[lost] = 0
        self._error[lost] = 0
        self._lengths[lost] = self._longest / 4

    def _next(self) -> Tensor:
        """The step of each walker, in the units of the codes; none for those that look around."""
        drawn = torch.rand(self._slice.shape, generator=self._random).to(self._slice)
        self._aim = 2 * (self._slice + drawn) / len(self._slice) - 1
        gram = self._normals @ self._normals.mT
        ridge = 1e-6 * gram.diagonal(dim1=1, dim2=2).amax(1)[:, None, None].clamp_min(1e-12)
        inverse = torch.linalg.inv(gram + ridge * torch.eye(gram.shape[1]).to(gram))
        along = (self._normals @ self._tangent[..., None]).squeeze(2)
        within = self._tangent - self._combined(inverse, along)
        size = within.square().mean(1, keepdim=True).sqrt()
        within = within / size.clamp_min(torch.finfo(within.dtype).tiny)
        wanted = self._aim - self._error - self._levels
        across = self._combined(inverse, wanted)
        # a neuron that hardly answers would be followed beyond all codes
        across = across / across.square().mean(1, keepdim=True).sqrt().clamp_min(1)
        steps = self._lengths[:, None] * within + across
        steps[self._fresh] = 0
        return steps.reshape(self._base.shape).to(self._base) * self._units.codes

    def _combined(self, inverse: Tensor, along: Tensor) -> Tensor:
        """The combination of the normals whose products with them are `along`."""
        return ((inverse @ along[..., None]).mT @ self._normals).squeeze(1)


def _walkers(seeds: Seeds) -> tuple[Float[Tensor, "k *latent"], Int[Tensor, " k"]]:
    """A code to start from for each seed, and whose it is: for one that is not in the bands, that of another."""
    reached = seeds.inside.nonzero()[:, 0]
    rows = torch.arange(len(seeds.codes), device=reached.device)
    rows[~seeds.inside] = reached[rows[: int((~seeds.inside).sum())] % len(reached)]
    return seeds.codes[rows].detach().clone(), rows


class LagrangianWalk:
    """The paper's sampler: gradient steps on the augmented Lagrangian (11), its multipliers and weight fixed.

    The paper does not give the length of a step; here it is the same for every row, `length` deviations of the
    prior for each number of a code in the mean.

    Args:
        seeds, length, seed, diversity, clip: as for `Walk`; nothing is drawn here.
    """

    def __init__(
        self,
        problem: Problem,
        units: Units,
        seeds: Seeds,
        *,
        length: float,
        seed: int,
        diversity: bool = True,
        clip: bool = False,
    ) -> None:
        self._problem, self._units, self._seeds = problem, units, seeds
        self._length, self._diversity, self._clip = length, diversity, clip
        self._codes, self._whose = _walkers(seeds)
        self._before = seeds.seen.features[seeds.inside]

    def advance(self) -> tuple[Float[Tensor, "new *latent"], Seen, Int[Tensor, " new"]]:
        """One gradient step of all walkers: the new samples, what is seen of them, and whose they are."""
        problem, seeds = self._problem, self._seeds
        _, slope = lagrangian_slope(
            problem,
            self._codes,
            self._units,
            seeds.lower,
            seeds.upper,
            seeds.weight,
            diversity=self._diversity,
            before=self._before,
        )
        rows = (slope * self._units.codes).flatten(1)
        size = rows.square().mean(1).sqrt().clamp_min(torch.finfo(rows.dtype).tiny)
        step = (rows / size[:, None] * self._length).reshape(slope.shape) * self._units.codes
        self._codes = self._codes - step
        if self._clip:
            self._codes = problem.generator.prior.project(self._codes)
        seen = problem.look(self._codes)
        new = problem.inside(seen.values).nonzero()[:, 0]
        if len(new):
            self._before = seen.features[new]
        return self._codes[new], Seen(*(part[new] for part in seen)), self._whose[new]
