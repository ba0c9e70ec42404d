"""The batched solver: many queries and targets at once, by search, cutting planes, restarts and Newton steps.

Four stages, none of which is the paper's (whose homotopy is the reference that this is tested against):

1. a *search* toward each target by normalised gradient steps on a sphere around the query whose radius
   shrinks after a hit and grows after a miss, as in DDN (Rony et al., CVPR 2019): where there are too many
   targets for all of them, a short one toward all and a long one toward the nearest;
2. *cutting planes* in a trust region (a bundle method): the nearest point of the polyhedron of the last
   linearisations is tried, which finds corners of piecewise linear networks as well as smooth optima;
3. *restarts* of both in rounds, each from the best point so far with its direction turned at random, then of the
   cutting planes alone from mixtures of the directions that were found;
4. *Newton steps* (sequential quadratic programming with Barzilai and Borwein's step) for the pair of
   classes in double precision, and a landing on the boundary itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.flip_points.problem import Scores, Space, margin, of_class, without
from workbench.numerics.projections import onto_polyhedron

#: Newton's step of a row that rests: shorter than so much of the way from the query, or shortened so much in vain.
SETTLED, SHORTEST = 1e-7, 0.02

#: From scores, and the rows that they belong to, to the function whose sublevel set {h <= 0} is sought.
Height = Callable[[Float[Tensor, "rows classes"], "Rows"], Float[Tensor, " rows"]]


def leaving(scores: Tensor, rows: Rows) -> Float[Tensor, " rows"]:
    """z_i - max z_k: at most 0 where any class is at least level with the label."""
    return margin(scores, rows.labels)


def toward(scores: Tensor, rows: Rows) -> Float[Tensor, " rows"]:
    """max (z_i - z_j) over the targets j, of which a query has one, unless several classes are to meet."""
    return of_class(scores, rows.labels) - scores.gather(1, rows.targets).amin(1)


def lead(which: int) -> Height:
    """The function z_i - z_j for the target j in that column."""
    return lambda scores, rows: of_class(scores, rows.labels) - of_class(scores, rows.targets[:, which])


def rival(rank: int) -> Height:
    """The function z_k - z_i for the class k of that rank (0 the highest) that is neither label nor target."""

    def height(scores: Tensor, rows: Rows) -> Float[Tensor, " rows"]:
        ranked = without(scores, rows.labels[:, None], rows.targets).topk(rank + 1, dim=1).values
        return ranked[:, rank] - of_class(scores, rows.labels)

    return height


def tied(scores: Tensor, rows: Rows) -> Float[Tensor, " rows"]:
    """max(z_i - z_j, z_k - z_i): at most 0 where the targets z_j >= z_i >= all others z_k."""
    others = without(scores, rows.labels[:, None], rows.targets).amax(1) - of_class(scores, rows.labels)
    return torch.maximum(toward(scores, rows), others)


def between(scores: Tensor, rows: Rows) -> Float[Tensor, " rows"]:
    """Minus the mean of softmax's log p_i and all log p_j: smallest where they share the top, to search only."""
    both = torch.cat([rows.labels[:, None], rows.targets], 1)
    return torch.logsumexp(scores, 1) - scores.gather(1, both).mean(1)


def reaching(scores: Tensor, rows: Rows) -> Float[Tensor, " rows"]:
    """How far output i still is from the level that it is to reach, on the query's side (appendix E.3)."""
    return rows.side * (rows.level - of_class(scores, rows.labels))


@dataclass(frozen=True)
class Constraints:
    """What holds at a flip point: the first `equalities` functions are 0, the others at most 0."""

    functions: tuple[Height, ...]
    equalities: int = 1

    @classmethod
    def tie(cls, classes: int, targets: int = 1) -> Constraints:
        """z_i = z_j and the three highest others below: with one alone, two that alternate make steps zigzag."""
        rivals = map(rival, range(min(3, classes - 1 - targets)))
        return cls((*map(lead, range(targets)), *rivals), targets)

    def unmet(self, values: Float[Tensor, "rows functions"]) -> Float[Tensor, " rows"]:
        """The sum of the equalities' absolute and the others' positive values."""
        return values[:, : self.equalities].abs().sum(1) + values[:, self.equalities :].clamp_min(0).sum(1)


@dataclass(frozen=True)
class Settings:
    """How hard the solver works.

    Attributes:
        scout: of an untargeted query, steps of the search toward every class, a forward and a backward pass each;
            none where all classes are searched anyway.
        starts: classes whose search begins anew, the nearest ones.
        search: steps of that search.
        heat: of that search, see `search`.
        aimed: steps of each search toward a given or a drawn target.
        planes: steps of the cutting planes; twice as many for the last one.
        cuts: linearisations that are kept.
        rounds: of restarts, each from the best point so far; `restarts` are how many a round, each a search of
            `again` steps.
        mixtures: restarts close to the best point, from mixtures of the directions found, without a search.
        newton: Newton steps from the end of every search toward a given target.
        exact: Newton steps in double precision, for all.
    """

    scout: int = 12
    starts: int = 9
    search: int = 40
    heat: float = 4.0
    aimed: int = 60
    planes: int = 12
    cuts: int = 5
    rounds: int = 2
    restarts: int = 3
    again: int = 60
    mixtures: int = 8
    newton: int = 50
    exact: int = 12


EFFORTS = {
    "fast": Settings(starts=4, search=30, aimed=30, planes=8, rounds=0, mixtures=0, newton=15, exact=8),
    "accurate": Settings(),
    "thorough": Settings(search=400, aimed=400, planes=20, cuts=8, rounds=10, mixtures=24, newton=100, exact=50),
}


@dataclass
class Rows:
    """Pairs of a query and a target, and the passes that they need.

    Attributes:
        scores: the network, in single (the classifier's own) or double precision.
        space: the coordinates, in that precision.
        x: (rows, *input) the queries; `origin` (rows, d) their coordinates.
        low, high: (rows, d).
        labels: (rows,) the classes i; `targets` (rows, targets) the classes j, one unless several are to meet.
        level, side: (rows,) of `reaching`: the value that output i is to take, and whether that is up (1) or
            down (-1).
    """

    scores: Scores
    space: Space
    x: Float[Tensor, "rows *input"]
    origin: Float[Tensor, "rows d"]
    low: Float[Tensor, "rows d"]
    high: Float[Tensor, "rows d"]
    labels: Int[Tensor, " rows"]
    targets: Int[Tensor, "rows targets"]
    level: Float[Tensor, " rows"]
    side: Float[Tensor, " rows"]

    @classmethod
    def of(
        cls,
        scores: Scores,
        space: Space,
        x: Float[Tensor, "rows *input"],
        labels: Int[Tensor, " rows"],
        targets: Int[Tensor, "rows targets"],
        *,
        level: Float[Tensor, " rows"] | None = None,
        side: Float[Tensor, " rows"] | None = None,
    ) -> Rows:
        """Rows for queries `x`, in the precision of `scores`."""
        x = x.to(scores.dtype)
        space = space.to(x)
        origin = space.origin(x)
        low, high = space.limits(origin)
        none = origin.new_zeros(len(x))
        level, side = (none if t is None else t.to(none) for t in (level, side))
        return cls(scores, space, x, origin, low, high, labels, targets, level, side)

    def __getitem__(self, chosen: Any) -> Rows:
        """Some of the rows: indices, a mask or a slice."""
        per_row = {
            name: getattr(self, name)[chosen]
            for name in ("x", "origin", "low", "high", "labels", "targets", "level", "side")
        }
        return replace(self, **per_row)

    def repeated(self, times: int) -> Rows:
        """Each row so many times in turn."""
        return self[torch.arange(len(self.x), device=self.x.device).repeat_interleave(times)]

    def clip(self, v: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
        """`v` within the bounds."""
        return torch.minimum(torch.maximum(v, self.low), self.high)

    def evaluate(self, v: Float[Tensor, "rows d"]) -> Float[Tensor, "rows classes"]:
        """Scores at `v`, no gradients."""
        return self.scores(self.space.inputs(v, self.x))

    def value(self, v: Float[Tensor, "rows d"], height: Height) -> Float[Tensor, " rows"]:
        """One function's values at `v`, no gradients."""
        return height(self.evaluate(v), self)

    def heights(self, v: Float[Tensor, "rows d"], *functions: Height) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, values (rows, functions) and gradients (rows, functions, d) at `v`."""

        def pick(scores: Tensor, part: slice) -> Tensor:
            return torch.stack([f(scores, self[part]) for f in functions], 1)

        scores, values, gradients = self.scores.with_gradients(self.space.inputs(v, self.x), pick)
        gradients = gradients.flatten(2)
        if self.space.basis is not None:
            gradients = gradients @ self.space.basis.T
        return scores, values, gradients


def search(
    rows: Rows,
    height: Height,
    guide: Height,
    *,
    steps: int,
    heat: float = 1.5,
    start: Float[Tensor, "rows d"] | None = None,
) -> Iterator[tuple[Float[Tensor, " rows"], Float[Tensor, "rows d"]]]:
    """Stage 1: yields, after each step, the distance of the nearest hit so far (inf: none) and the hit.

    Args:
        height: at most 0 where a point counts as a hit.
        guide: what is descended.
        heat: length of the first steps, in radii; the last ones are a fiftieth. Long ones jump across many
            regions of a piecewise linear network, and so out of poor local solutions.
        start: points to begin from, by default the queries and their gradients' first hit.
    """
    origin = rows.origin
    reach = torch.maximum(origin - rows.low, rows.high - origin)
    reach = torch.where(torch.isfinite(reach), reach, 1e6).norm(dim=1, keepdim=True)
    best = torch.full_like(origin[:, 0], math.inf)
    hit = origin if start is None else start
    moved = torch.zeros_like(origin) if start is None else start - origin
    radius = moved.norm(dim=1, keepdim=True)
    growth = 0.3 if start is None else 0.1  # an estimate by one gradient may be far off
    for k in range(steps):
        scores, _, gradients = rows.heights(origin + moved, guide)
        downhill = -gradients[:, 0]
        slope = downhill.norm(dim=1, keepdim=True)
        if k == 0 and start is None:
            away = height(scores, rows).clamp_min(0)[:, None]
            estimate = torch.minimum(away / slope.clamp_min(1e-12), reach / 2)
            radius = _first_hit(rows, estimate, downhill / slope.clamp_min(1e-12), height)
            hit = rows.clip(origin + radius * downhill / slope.clamp_min(1e-12))  # until there is a real one
        inside = height(scores, rows) <= 0
        length = moved.norm(dim=1)
        nearer = inside & (length < best)
        best = torch.where(nearer, length, best)
        hit = torch.where(nearer[:, None], origin + moved, hit)
        yield best, hit
        share = k / max(steps - 1, 1)
        turn = radius * (0.02 + heat * (1 - share))
        change = growth * (0.03 / growth) ** share
        moved = moved + turn * downhill / slope.clamp_min(1e-12)
        radius = torch.where(inside[:, None], (1 - change) * radius, (1 + change) * radius)
        radius = torch.minimum(radius, reach)
        moved = moved * (radius / moved.norm(dim=1, keepdim=True).clamp_min(1e-12))
        moved = rows.clip(origin + moved) - origin


def _first_hit(rows: Rows, estimate: Tensor, direction: Tensor, height: Height) -> Float[Tensor, "rows 1"]:
    """How far down the gradient the first hit lies: the linear estimate can be many times too far."""
    radius = estimate
    for share in (1.0, 0.5, 0.25, 0.125, 0.0625):
        hit = rows.value(rows.clip(rows.origin + share * estimate * direction), height) <= 0
        radius = torch.where(hit[:, None], share * estimate / 2, radius)  # a bent way hits sooner
    return radius


def crossing(
    rows: Rows, v: Float[Tensor, "rows d"], height: Height, *, at_query: Float[Tensor, " rows"], steps: int
) -> Iterator[Float[Tensor, "rows d"]]:
    """Yields, after each step, the point nearest to the query on the way to `v` that was seen to be a hit (`v`
    itself at worst).

    Args:
        at_query: the function's values there.
    """
    near, far = torch.zeros_like(v[:, :1]), torch.ones_like(v[:, :1])
    h_near, h_far = at_query, rows.value(v, height)
    for _ in range(steps):  # regula falsi with the Illinois rule, kept away from the ends
        share = (h_near / (h_near - h_far).clamp_min(1e-30)).clamp(0.05, 0.95)[:, None]
        at = near + (far - near) * share
        h = rows.value(rows.origin + at * (v - rows.origin), height)
        hit = h <= 0
        far, near = torch.where(hit[:, None], at, far), torch.where(hit[:, None], near, at)
        h_near = torch.where(hit, h_near / 2, h)
        h_far = torch.where(hit, h, h_far / 2)
        yield rows.origin + far * (v - rows.origin)


def landed(rows: Rows, v: Float[Tensor, "rows d"], *, steps: int) -> Iterator[Float[Tensor, "rows d"]]:
    """Yields hits on the way from the query to `v` or somewhat beyond it: with enough steps, the boundary itself.

    `v` itself where there is none.
    """
    hit = v
    for share in (2.0, 1.3, 1.1, 1.02, 1.0):
        at = rows.clip(rows.origin + share * (v - rows.origin))
        hit = torch.where((rows.value(at, leaving) <= 0)[:, None], at, hit)
    yield from crossing(rows, hit, leaving, at_query=rows.value(rows.origin, leaving), steps=steps)


def cutting_planes(
    rows: Rows, v: Float[Tensor, "rows d"], height: Height, *, steps: int, cuts: int, radius: float = 0.2
) -> Iterator[tuple[Float[Tensor, " rows"], Float[Tensor, "rows d"]]]:
    """Stage 2, from points near the boundary: yields, after each step, estimated distances of it, and the points.

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
        yield best, point


def turned(
    rows: Rows, best: Float[Tensor, "rows d"], *, count: int, generator: torch.Generator
) -> tuple[Rows, Float[Tensor, "rows*count d"]]:
    """Where restarts begin: as far from the query as the best point, its direction turned half a right angle."""
    many = rows.repeated(count)
    away = (best - rows.origin).repeat_interleave(count, 0)
    length = away.norm(dim=1, keepdim=True)
    aside = torch.randn(away.shape, generator=generator).to(away)
    away = away + length * aside / aside.norm(dim=1, keepdim=True)
    return many, many.clip(many.origin + length * away / away.norm(dim=1, keepdim=True).clamp_min(1e-12))


def mixed(
    rows: Rows,
    found: Float[Tensor, "rows starts d"],
    best: Float[Tensor, "rows d"],
    height: Height,
    *,
    count: int,
    generator: torch.Generator,
) -> tuple[Rows, Float[Tensor, "rows*count d"]]:
    """Where close restarts begin: the best direction and half its length along random mixtures of all found.

    Each is followed outward until it is a hit; where it never is, the best one stands in.
    """
    away = found - rows.origin[:, None]
    units = away / away.norm(dim=2, keepdim=True).clamp_min(1e-12)
    weights = torch.randn(len(found), count, found.shape[1], generator=generator).to(best)
    aside = weights @ units
    direction = (best - rows.origin)[:, None]
    turn = direction + 0.5 * direction.norm(dim=2, keepdim=True) * aside / aside.norm(dim=2, keepdim=True)
    many, turn = rows.repeated(count), turn.flatten(0, 1)
    hit = many.clip(many.origin + 1.02 * direction.expand(-1, count, -1).flatten(0, 1))
    for share in (2.2, 1.7, 1.3, 1.0):
        at = many.clip(many.origin + share * turn)
        hit = torch.where((many.value(at, height) <= 0)[:, None], at, hit)
    return many, hit


def newton(
    rows: Rows, v: Float[Tensor, "rows d"], constraints: Constraints, *, steps: int
) -> Iterator[Float[Tensor, "rows d"]]:
    """Stage 4, from points near the boundary: the nearest point where the constraints hold.

    Each step projects v - t (v - x) on the linearised constraints; t = 1 is the query itself, and other t
    take the boundary's curvature into account (Barzilai and Borwein 1988, on the Lagrangian's gradient).
    A step that raises the exact penalty |v - x|^2 / 2 + rho (|h_0| + sum max(h_k, 0)) by more than a
    twentieth is shortened; a little is allowed, as curved boundaries need it (the Maratos effect). A row rests
    when its step is negligible, or when no step is short enough, as at a kink.
    Yields v after every step; the last one has been landed on the boundary.
    """
    every = rows
    landed = v.clone()
    going = torch.arange(len(v), device=v.device)
    _, values, gradients = rows.heights(v, *constraints.functions)
    t = torch.ones_like(v[:, :1])
    shorter = torch.ones_like(t)
    rho = torch.zeros_like(v[:, 0])
    best, kept = torch.full_like(rho, torch.inf), v
    for _ in range(steps + 1):
        away = v - rows.origin
        off = constraints.unmet(values) / gradients[:, 0].norm(dim=1).clamp_min(1e-12)
        length = away.norm(dim=1)
        reach = torch.where(off <= 0.02 * length, length + 2 * off, torch.inf)  # about where landing would end
        kept = torch.where((reach < best)[:, None], v, kept)
        best = torch.minimum(reach, best)
        aim, lam = _linearised(rows, v, v - t * away, values, gradients, constraints, sweeps=20)
        lam = lam / t
        rho = torch.maximum(0.7 * rho, 1.5 * lam.abs().amax(1))
        tried = rows.clip(v + shorter * (aim - v))
        _, new_values, new_gradients = rows.heights(tried, *constraints.functions)
        before = away.square().sum(1) / 2 + rho * constraints.unmet(values)
        after = (tried - rows.origin).square().sum(1) / 2 + rho * constraints.unmet(new_values)
        fine = (after <= 1.05 * before + 0.05 * rho * constraints.unmet(values))[:, None]
        change = tried - v
        bent = change + torch.einsum("nmd,nm->nd", new_gradients - gradients, lam)
        curvature = (change * bent).sum(1, keepdim=True)
        size = change.square().sum(1, keepdim=True)
        fitted = torch.where(curvature > 1e-300, size / curvature.clamp_min(1e-300), 2.0).clamp(0.05, 4.0)
        rests = (size[:, 0].sqrt() <= SETTLED * length) | (~fine & (shorter <= SHORTEST))[:, 0]
        t = torch.where(fine & (size > 1e-24), fitted, t)
        shorter = torch.where(fine, 1.0, (shorter * 0.4).clamp_min(SHORTEST))
        v = torch.where(fine, tried, v)
        values = torch.where(fine, new_values, values)
        gradients = torch.where(fine[..., None], new_gradients, gradients)
        landed[going] = torch.where(torch.isinf(best)[:, None], v, kept)
        if bool(rests.any()):
            on = ~rests
            rows, going = rows[on], going[on]
            v, values, gradients, t, shorter, rho, best, kept = (
                part[on] for part in (v, values, gradients, t, shorter, rho, best, kept)
            )
        yield landed
        if not len(going):
            break
    yield restored(every, landed, constraints, steps=4)


def restored(
    rows: Rows, v: Float[Tensor, "rows d"], constraints: Constraints, *, steps: int
) -> Float[Tensor, "rows d"]:
    """A point close to `v` where the constraints hold better, by Gauss-Newton steps, halved where they fail."""
    _, values, gradients = rows.heights(v, *constraints.functions)
    share = torch.ones_like(v[:, :1])
    for _ in range(steps):
        aim, _ = _linearised(rows, v, v, values, gradients, constraints, sweeps=40)
        tried = v + share * (aim - v)
        _, new_values, new_gradients = rows.heights(tried, *constraints.functions)
        better = (constraints.unmet(new_values) < constraints.unmet(values))[:, None]
        v = torch.where(better, tried, v)
        values = torch.where(better, new_values, values)
        gradients = torch.where(better[..., None], new_gradients, gradients)
        share = torch.where(better, 1.0, share / 2)
    return v


def _linearised(
    rows: Rows,
    v: Tensor,
    near: Tensor,
    values: Tensor,
    gradients: Tensor,
    constraints: Constraints,
    *,
    sweeps: int,
) -> tuple[Tensor, Tensor]:
    """The point nearest to `near` where the constraints, linearised at `v`, hold; and their multipliers."""
    return onto_polyhedron(
        near,
        gradients,
        torch.einsum("nmd,nd->nm", gradients, v) - values,
        low=rows.low,
        high=rows.high,
        equality=torch.arange(gradients.shape[1], device=v.device) < constraints.equalities,
        rounds=6,
        sweeps=sweeps,
    )
