"""The batched solver: many queries and targets at once, by search, cutting planes, restarts and Newton steps.

Four stages, none of which is the paper's (whose homotopy is the reference that this is tested against):

1. a *search* toward each target by normalised gradient steps on a sphere around the query whose radius
   shrinks after a hit and grows after a miss, as in DDN (Rony et al., CVPR 2019): where there are too many
   targets for all of them, a short one toward all and a long one toward the nearest;
2. *cutting planes* in a trust region (a bundle method): the nearest point of the polyhedron of the last
   linearisations is tried, which finds corners of piecewise linear networks as well as smooth optima;
3. *restarts* of both in rounds, each from the best point so far with its direction turned at random, then of the
   cutting planes alone from mixtures of the directions that were found;
4. *Newton steps* (`workbench.flip_points.newton`: sequential quadratic programming with Barzilai and Borwein's
   step) for the pair of classes in double precision, and a landing on the boundary itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.flip_points.rows import Height, Rows, leaving
from workbench.numerics.projections import onto_polyhedron


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
