"""The batched solver: many queries and targets at once, by search, cutting planes, restarts and Newton steps.

Four stages, none of which is the paper's (whose homotopy is the reference that this is tested against):

1. a *search* toward each target by normalised gradient steps on a sphere around the query whose radius
   shrinks after a hit and grows after a miss, as in DDN (Rony et al., CVPR 2019);
2. *cutting planes* in a trust region (a bundle method): the nearest point of the polyhedron of the last
   linearisations is tried, which finds corners of piecewise linear networks as well as smooth optima;
3. *restarts* of the second stage from mixtures of the directions that were found;
4. *Newton steps* (sequential quadratic programming with Barzilai and Borwein's step) for the pair of
   classes in double precision, and a landing on the boundary itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.flip_points.problem import Scores, Space, margin, without
from workbench.numerics.projections import onto_polyhedron

#: From scores, labels and targets to the function whose sublevel set {h <= 0} is sought.
Height = Callable[[Tensor, Tensor, Tensor], Tensor]


def leaving(scores: Tensor, labels: Tensor, targets: Tensor) -> Float[Tensor, " rows"]:
    """z_i - max z_k: at most 0 where any class is at least level with the label."""
    return margin(scores, labels)


def toward(scores: Tensor, labels: Tensor, targets: Tensor) -> Float[Tensor, " rows"]:
    """z_i - z_j."""
    return (scores.gather(1, labels[:, None]) - scores.gather(1, targets[:, None]))[:, 0]


def pair(scores: Tensor, labels: Tensor, targets: Tensor) -> Float[Tensor, " rows"]:
    """max(z_i - z_j, z_k - z_i): at most 0 where z_j >= z_i >= all others."""
    own = scores.gather(1, labels[:, None])[:, 0]
    others = without(scores, labels, targets).amax(1) - own
    return torch.maximum(toward(scores, labels, targets), others)


@dataclass(frozen=True)
class Settings:
    """How hard the solver works.

    Attributes:
        search: steps of the search, a forward and a backward pass each.
        starts: targets whose search goes on, the nearest ones first (of an untargeted query).
        planes: steps of the cutting planes.
        cuts: linearisations that are kept.
        restarts: of the cutting planes, from mixtures of what was found.
        newton: steps in double precision.
    """

    search: int = 25
    starts: int = 4
    planes: int = 12
    cuts: int = 4
    restarts: int = 6
    newton: int = 30


EFFORTS = {
    "fast": Settings(search=16, starts=2, planes=8, restarts=0, newton=15),
    "accurate": Settings(),
    "thorough": Settings(search=40, starts=9, restarts=16, newton=60),
}


@dataclass
class Rows:
    """Pairs of a query and a target, and the passes that they need.

    Attributes:
        scores: single-precision (the classifier's own) or double-precision scores.
        space: the coordinates.
        x: (rows, *input) the queries; `origin` (rows, d) their coordinates.
        low, high: (rows, d).
        labels, targets: (rows,).
    """

    scores: Scores
    space: Space
    x: Float[Tensor, "rows *input"]
    origin: Float[Tensor, "rows d"]
    low: Float[Tensor, "rows d"]
    high: Float[Tensor, "rows d"]
    labels: Int[Tensor, " rows"]
    targets: Int[Tensor, " rows"]

    @classmethod
    def of(cls, scores: Scores, space: Space, x: Tensor, labels: Tensor, targets: Tensor) -> Rows:
        """Rows for queries `x`, in the precision of `scores`."""
        x = x.to(scores.dtype)
        space = space.to(x)
        origin = space.origin(x)
        low, high = space.limits(origin)
        return cls(scores, space, x, origin, low, high, labels, targets)

    def __getitem__(self, chosen: Tensor) -> Rows:
        """Some of the rows."""
        return Rows(
            self.scores, self.space, self.x[chosen], self.origin[chosen], self.low[chosen], self.high[chosen],
            self.labels[chosen], self.targets[chosen],
        )  # fmt: skip

    def within(self, scores: Scores) -> Rows:
        """The same rows in another precision."""
        return Rows.of(scores, self.space, self.x, self.labels, self.targets)

    def clip(self, v: Tensor) -> Tensor:
        """`v` within the bounds."""
        return torch.minimum(torch.maximum(v, self.low), self.high)

    def evaluate(self, v: Float[Tensor, "rows d"]) -> Float[Tensor, "rows classes"]:
        """Scores at `v`, no gradients."""
        return self.scores(self.space.inputs(v, self.x))

    def heights(self, v: Float[Tensor, "rows d"], *functions: Height) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, values (rows, functions) and gradients (rows, functions, d) at `v`."""

        def pick(scores: Tensor, rows: slice) -> Tensor:
            return torch.stack([f(scores, self.labels[rows], self.targets[rows]) for f in functions], 1)

        scores, values, gradients = self.scores.with_gradients(self.space.inputs(v, self.x), pick)
        gradients = gradients.flatten(2)
        if self.space.basis is not None:
            gradients = gradients @ self.space.basis.T
        return scores, values, gradients

    def value(self, v: Float[Tensor, "rows d"], height: Height) -> Float[Tensor, " rows"]:
        """One function's values at `v`, no gradients."""
        return height(self.evaluate(v), self.labels, self.targets)


def search(
    rows: Rows, height: Height, guide: Height, *, steps: int
) -> Iterator[tuple[Float[Tensor, " rows"], Float[Tensor, "rows d"]]]:
    """Stage 1: yields, after each step, the distance of the nearest hit so far (inf: none) and the hit.

    Args:
        height: at most 0 where a point counts as a hit.
        guide: what is descended.
    """
    origin = rows.origin
    reach = torch.maximum(origin - rows.low, rows.high - origin)
    reach = torch.where(torch.isfinite(reach), reach, 1e6).norm(dim=1, keepdim=True)
    best = torch.full_like(origin[:, 0], math.inf)
    hit = origin.clone()
    moved = torch.zeros_like(origin)
    radius = best[:, None].clone()
    for k in range(steps):
        scores, values, gradients = rows.heights(origin + moved, guide)
        downhill = -gradients[:, 0]
        slope = downhill.norm(dim=1, keepdim=True)
        if k == 0:  # the linear estimate is many times too far in deep networks: start well inside it
            radius = torch.minimum(values / slope.clamp_min(1e-12), reach / 4)
        inside = height(scores, rows.labels, rows.targets) <= 0
        length = moved.norm(dim=1)
        nearer = inside & (length < best)
        best = torch.where(nearer, length, best)
        hit = torch.where(nearer[:, None], origin + moved, hit)
        yield best, hit
        share = k / max(steps - 1, 1)
        turn = radius * (0.02 + 1.5 * (1 + math.cos(math.pi * share)) / 2)
        change = 0.3 * 0.1**share
        moved = moved + turn * downhill / slope.clamp_min(1e-12)
        radius = torch.where(inside[:, None], (1 - change) * radius, (1 + change) * radius)
        radius = torch.minimum(radius, reach)
        moved = moved * (radius / moved.norm(dim=1, keepdim=True).clamp_min(1e-12))
        moved = rows.clip(origin + moved) - origin


def crossing(rows: Rows, v: Float[Tensor, "rows d"], height: Height, *, steps: int) -> Float[Tensor, "rows d"]:
    """The point nearest to the query on the way to `v` that was seen to be a hit (`v` itself at worst)."""
    near, far = torch.zeros_like(v[:, :1]), torch.ones_like(v[:, :1])
    h_near, h_far = rows.value(rows.origin, height), rows.value(v, height)
    for _ in range(steps):  # regula falsi with the Illinois rule, kept away from the ends
        share = (h_near / (h_near - h_far).clamp_min(1e-30)).clamp(0.05, 0.95)[:, None]
        at = near + (far - near) * share
        h = rows.value(rows.origin + at * (v - rows.origin), height)
        hit = h <= 0
        far, near = torch.where(hit[:, None], at, far), torch.where(hit[:, None], near, at)
        h_near = torch.where(hit, h_near / 2, h)
        h_far = torch.where(hit, h, h_far / 2)
    return rows.origin + far * (v - rows.origin)


def cutting_planes(
    rows: Rows, v: Float[Tensor, "rows d"], height: Height, *, steps: int, cuts: int, radius: float = 0.2
) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows d"]]:
    """Stage 2, from points near the boundary: estimated distances of it, and the points there.

    A linearisation that a new value refutes (the function is not convex there) is dropped. The distance
    of the boundary itself is estimated from a point near it by one Newton step along the ray from the query.
    """
    count, d = v.shape

    def estimate(at: Tensor, h: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        away = at - rows.origin
        length = away.norm(dim=1)
        fall = -(gradient * away).sum(1) / length.clamp_min(1e-12)
        step = h / fall.clamp_min(1e-12)
        trusted = (fall > 1e-9) & (step.abs() <= 0.02 * length)
        return torch.where(trusted, length + step, torch.inf), length

    _, values, gradients = rows.heights(v, height)
    h, gradient = values[:, 0], gradients[:, 0]
    best, length = estimate(v, h, gradient)
    best = torch.where(torch.isinf(best) & (h <= 0), length, best)
    point = v.clone()
    normals = v.new_zeros(count, cuts, d)
    offsets = v.new_full((count, cuts), math.inf)
    age = torch.full((count, cuts), -1, device=v.device)
    every = torch.arange(count, device=v.device)
    normals[:, 0], offsets[:, 0], age[:, 0] = gradient, (gradient * v).sum(1) - h, 0
    lam = torch.zeros_like(offsets)
    trust = radius * length[:, None]
    for k in range(1, steps + 1):
        aim, lam = onto_polyhedron(
            rows.origin, normals, offsets, low=rows.low, high=rows.high, multipliers=lam, rounds=3
        )
        step = aim - point
        size = step.norm(dim=1, keepdim=True)
        cut_short = (trust / size.clamp_min(1e-12)).clamp_max(1)
        tried = point + step * cut_short
        _, values, gradients = rows.heights(tried, height)
        h, gradient = values[:, 0], gradients[:, 0]
        estimated, _ = estimate(tried, h, gradient)
        better = estimated < best
        refuted = (torch.einsum("nmd,nd->nm", normals, tried) - offsets > h[:, None] + 1e-5) & (age >= 0)
        best = torch.where(better, estimated, best)
        point = torch.where(better[:, None], tried, point)
        trust = torch.where(
            better[:, None], torch.maximum(trust, 2 * size * cut_short), 0.6 * torch.minimum(trust, size)
        )
        offsets = offsets.masked_fill(refuted, math.inf)
        age = age.masked_fill(refuted, -1)
        slot = (age + 10_000 * (lam > 1e-9)).argmin(1)  # an empty place, else the oldest cut that pulls nothing
        normals[every, slot], age[every, slot] = gradient, k
        offsets[every, slot] = (gradient * tried).sum(1) - h
        lam[every, slot] = 0
    return best, point


def mixtures(
    rows: Rows,
    found: Float[Tensor, "rows starts d"],
    best: Float[Tensor, "rows d"],
    *,
    count: int,
    generator: torch.Generator,
) -> Float[Tensor, "rows count d"]:
    """Points for the restarts: the best direction plus half its length along a random mixture of all found."""
    away = found - rows.origin[:, None]
    units = away / away.norm(dim=2, keepdim=True).clamp_min(1e-12)
    weights = torch.randn(len(found), count, found.shape[1], generator=generator).to(best)
    mixed = weights @ units
    mixed = mixed / mixed.norm(dim=2, keepdim=True).clamp_min(1e-12)
    direction = best - rows.origin
    return direction[:, None] + 0.5 * direction.norm(dim=1)[:, None, None] * mixed + rows.origin[:, None]


def newton(rows: Rows, v: Float[Tensor, "rows d"], *, steps: int) -> Float[Tensor, "rows d"]:
    """Stage 4: the nearest point with z_i = z_j >= z_k by linearising both, from a point near the boundary.

    The target point of the projection is v - t (v - x); t = 1 is the query itself, other t take the
    boundary's curvature into account (Barzilai and Borwein 1988, on the Lagrangian's gradient). Steps
    that do not lower the exact penalty |v - x|^2 / 2 + rho (|z_i - z_j| + max(z_k - z_i, 0)) are shortened.
    """
    several = rows.labels.numel() and rows.evaluate(v[:1]).shape[1] > 2
    functions: tuple[Height, ...] = (toward, _others) if several else (toward,)
    equality = torch.tensor([True, False][: len(functions)], device=v.device)

    def wrong(values: Tensor) -> Tensor:
        return values[:, 0].abs() + values[:, 1:].clamp_min(0).sum(1)

    _, values, gradients = rows.heights(v, *functions)
    t = torch.ones_like(v[:, :1])
    shorter = torch.ones_like(t)
    rho = torch.zeros_like(v[:, 0])
    for _ in range(steps):
        away = v - rows.origin
        offsets = torch.einsum("nmd,nd->nm", gradients, v) - values
        aim, lam = onto_polyhedron(
            v - t * away, gradients, offsets, low=rows.low, high=rows.high, equality=equality, rounds=6, sweeps=20
        )
        lam = lam / t
        rho = torch.maximum(rho, 1.5 * lam.abs().amax(1))
        tried = rows.clip(v + shorter * (aim - v))
        _, new_values, new_gradients = rows.heights(tried, *functions)
        before = away.square().sum(1) / 2 + rho * wrong(values)
        after = (tried - rows.origin).square().sum(1) / 2 + rho * wrong(new_values)
        fine = (after <= before * (1 + 1e-12))[:, None]
        change = tried - v
        bent = change + torch.einsum("nmd,nm->nd", new_gradients - gradients, lam)
        curvature = (change * bent).sum(1, keepdim=True)
        length = change.square().sum(1, keepdim=True)
        fitted = torch.where(curvature > 1e-300, length / curvature.clamp_min(1e-300), 2.0).clamp(0.05, 4.0)
        t = torch.where(fine & (length > 1e-24), fitted, t)
        shorter = torch.where(fine, 1.0, (shorter * 0.4).clamp_min(0.02))
        v = torch.where(fine, tried, v)
        values = torch.where(fine, new_values, values)
        gradients = torch.where(fine[..., None], new_gradients, gradients)
    return land(rows, v, functions, equality)


def _others(scores: Tensor, labels: Tensor, targets: Tensor) -> Float[Tensor, " rows"]:
    """max z_k - z_i over the classes that are neither label nor target."""
    return without(scores, labels, targets).amax(1) - scores.gather(1, labels[:, None])[:, 0]


def land(
    rows: Rows, v: Float[Tensor, "rows d"], functions: tuple[Height, ...], equality: Bool[Tensor, " m"]
) -> Float[Tensor, "rows d"]:
    """The nearest points that fulfil the constraints, by a few Newton steps from points almost there."""
    _, values, gradients = rows.heights(v, *functions)
    for _ in range(4):
        offsets = torch.einsum("nmd,nd->nm", gradients, v) - values
        tried, _ = onto_polyhedron(
            v, gradients, offsets, low=rows.low, high=rows.high, equality=equality, rounds=6, sweeps=40
        )
        _, new_values, new_gradients = rows.heights(tried, *functions)
        old = values[:, 0].abs() + values[:, 1:].clamp_min(0).sum(1)
        new = new_values[:, 0].abs() + new_values[:, 1:].clamp_min(0).sum(1)
        better = (new < old)[:, None]
        v = torch.where(better, tried, v)
        values = torch.where(better, new_values, values)
        gradients = torch.where(better[..., None], new_gradients, gradients)
    return v
