"""The run of a question through the stages, chunk after chunk, into the columns of a result."""

from __future__ import annotations

import time
from collections.abc import Generator as Steps
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.flip_points.batched import Settings, crossing, cutting_planes, landed, mixed, search, turned
from workbench.flip_points.homotopy import homotopy_steps
from workbench.flip_points.newton import newton
from workbench.flip_points.problem import Scores, Space, other_classes, without
from workbench.flip_points.proof import STRAIGHT, prove
from workbench.flip_points.reference import PairSolution
from workbench.flip_points.result import CONVERGED, CORNER, MISSING, SKIPPED, FlipPoints
from workbench.flip_points.rows import Constraints, Height, Rows, between, leaving, reaching, tied, toward
from workbench.numerics.randomness import seeded
from workbench.progress import Cancelled, Step
from workbench.results import Provenance

T = TypeVar("T")

#: Queries that go through the stages together; a GPU wants more.
_CHUNK = {"cpu": 128}
_CHUNK_ELSEWHERE = 1024


@dataclass(frozen=True)
class Question:
    """What is asked of every row, and with what.

    Attributes:
        scores, exact: the network in its own and in double precision.
        x: (n, *input) the queries in double precision, and their classes.
        query: (rows,) which query a row belongs to, and the classes that it is to reach.
        targeted: toward given classes, else toward whichever is near.
        level, side: (n,) of a change of an output, see `Rows`.
        around: the rows are one query again and again, each from a random direction.
        one_by_one: by homotopy.
    """

    scores: Scores
    exact: Scores
    space: Space
    settings: Settings
    x: Float[Tensor, "n *input"]
    labels: Int[Tensor, " n"]
    query: Int[Tensor, " rows"]
    targets: Int[Tensor, "rows targets"]
    targeted: bool
    level: Float[Tensor, " n"] | None = None
    side: Float[Tensor, " n"] | None = None
    around: bool = False
    one_by_one: bool = False

    @property
    def change(self) -> bool:
        """Whether a change of an output is asked for, rather than another class."""
        return self.level is not None

    def rows(self, scores: Scores, part: Int[Tensor, " part"]) -> Rows:
        """Some of the rows, in the precision of `scores`."""
        query = self.query[part]
        level, side = (None if t is None else t[query] for t in (self.level, self.side))
        return Rows.of(
            scores, self.space, self.x[query], self.labels[query], self.targets[part], level=level, side=side
        )


@dataclass
class _Columns:
    """The result's columns, filled chunk by chunk."""

    points: Tensor
    distances: Tensor
    targets: Tensor
    numbers: dict[str, Tensor] = field(default_factory=dict)
    status: Tensor = field(default_factory=lambda: torch.empty(0))

    @classmethod
    def of(cls, question: Question) -> _Columns:
        count, dtype = len(question.query), question.exact.dtype
        nan = torch.full((count,), float("nan"), dtype=dtype)
        return cls(
            points=torch.full((count, *question.space.shape), float("nan"), dtype=dtype),
            distances=torch.full((count,), float("inf"), dtype=dtype),
            targets=question.targets[:, 0].cpu().clone(),
            numbers={name: nan.clone() for name in ("gap", "violation", "outside", "angle")},
            status=torch.full((count,), SKIPPED),
        )


def solve_steps(question: Question, *, call: str, seed: int) -> Steps[Step, None, FlipPoints]:
    """Run the question and gather the result; cancelled, with what there is."""
    started, classifier = time.perf_counter(), question.scores.classifier
    columns = _Columns.of(question)
    partial = False
    work = _by_homotopy(question, columns) if question.one_by_one else _in_chunks(question, columns, seed)
    try:
        yield from work
    except Cancelled:
        partial = True
    passes = {
        name: getattr(question.scores.passes, name) + getattr(question.exact.passes, name)
        for name in ("forward", "vjp")
    }
    return FlipPoints(
        provenance=Provenance.of(
            classifier,
            call=call,
            seed=seed,
            passes=passes,
            started=started,
            dtype=question.exact.dtype,
            partial=partial,
        ),
        inputs=question.x.cpu(),
        query=question.query.cpu(),
        labels=question.labels[question.query].cpu(),
        targets=columns.targets,
        points=columns.points,
        distances=columns.distances,
        status=columns.status,
        targeted=question.targeted,
        class_names=tuple(classifier.class_names),
        gap=columns.numbers["gap"],
        violation=columns.numbers["violation"],
        outside=columns.numbers["outside"],
        angle=columns.numbers["angle"],
    )


def _in_chunks(question: Question, columns: _Columns, seed: int) -> Steps[Step, None, None]:
    """Chunk after chunk through the batched stages; fills `columns`."""
    count = len(question.query)
    size = _CHUNK.get(question.x.device.type, _CHUNK_ELSEWHERE)
    for first in range(0, count, size):
        part = torch.arange(first, min(first + size, count))
        for stage in _stages(question, columns, part, seeded(seed + first)):
            yield Step(first, count, stage)
        yield Step(first + len(part), count, "flip points")


def _by_homotopy(question: Question, columns: _Columns) -> Steps[Step, None, None]:
    """Pair after pair through the homotopy, in which nothing is random; fills `columns`."""
    classifier, count = question.scores.classifier, len(question.query)
    for row, (q, target) in enumerate(zip(question.query.tolist(), question.targets.tolist(), strict=True)):
        label = int(question.labels[q])
        steps = homotopy_steps(classifier, question.x[q], target, label=label, space=question.space)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                solution: PairSolution = end.value
                break
            yield Step(row, count, f"homotopy at {step.fraction:.0%}")
        question.exact.passes.forward += solution.passes.forward
        question.exact.passes.vjp += solution.passes.vjp
        straight = solution.angle <= STRAIGHT
        columns.status[row] = (CONVERGED if straight else CORNER) if solution.feasible else MISSING
        if solution.feasible:
            columns.points[row] = solution.point.cpu()
            columns.distances[row] = solution.distance
        numbers = (solution.gap, solution.violation, solution.bound_violation, solution.angle)
        for column, number in zip(columns.numbers.values(), numbers, strict=True):
            column[row] = number
        yield Step(row + 1, count, "flip points")


def _stages(
    question: Question, columns: _Columns, part: Int[Tensor, " part"], generator: torch.Generator
) -> Iterator[str]:
    """The stages of one chunk, the rows `part`; fills its place in `columns` and yields what is being done."""
    rows = question.rows(question.scores, part)
    classes = len(rows.scores.classifier.class_names)
    constraints = Constraints((reaching,)) if question.change else Constraints.tie(classes, rows.targets.shape[1])
    if question.targeted:
        point = hit = yield from _toward_target(question, rows, constraints)
    elif question.around:
        point = hit = yield from _from_afar(question.settings, rows, classes, generator)
    else:
        point, hit = yield from _nearest(question.settings, rows, classes, generator)
    final = replace(question.rows(question.exact, part), targets=rows.targets)
    point, hit = (final.clip(v.to(final.origin)) for v in (point, hit))
    if not question.targeted:
        final.targets = _met(final, point)
    exact = question.settings.exact
    solved = yield from _last(newton(final, point, constraints, steps=exact), "double precision")
    proof = prove(final, solved, constraints)
    lost = ~proof.on_boundary
    if not question.targeted:
        # at corners an estimate can mislead, and Newton's steps can fail; the way to a hit still ends
        lost |= (solved - final.origin).norm(dim=1) > 1.0001 * (hit - final.origin).norm(dim=1)
    if bool(lost.any()):
        again = lost.nonzero()[:, 0]
        some = final[again]
        if question.targeted:  # searches whose first steps are longer end elsewhere
            point = yield from _toward_target(question, rows[again], constraints, heat=question.settings.heat)
            steps = newton(some, some.clip(point.to(final.origin)), constraints, steps=exact)
            ended = yield from _last(steps, "double precision")
        else:
            ended = yield from _last(landed(some, hit[again], steps=120), "landing")
        solved = solved.index_copy(0, again, ended)
        if not question.targeted:
            final.targets = _met(final, solved)
        proof = prove(final, solved, constraints)
    on_boundary = proof.on_boundary
    status = torch.where(proof.angle <= STRAIGHT, CONVERGED, CORNER)
    status = torch.where(on_boundary, status, MISSING)
    inputs = final.space.inputs(solved, final.x)
    blank = on_boundary.reshape(-1, *[1] * (inputs.ndim - 1))
    columns.points[part] = torch.where(blank, inputs, torch.nan).cpu()
    length = (solved - final.origin).norm(dim=1)
    columns.distances[part] = torch.where(on_boundary, length, torch.inf).cpu()
    columns.status[part] = status.cpu()
    if not question.change:
        columns.targets[part] = final.targets[:, 0].cpu()
    for name, column in columns.numbers.items():
        column[part] = getattr(proof, name).cpu()


def _met(rows: Rows, v: Float[Tensor, "rows d"]) -> Int[Tensor, "rows 1"]:
    """The class with the highest score at `v` besides each row's own."""
    return without(rows.evaluate(v), rows.labels[:, None]).argmax(1, keepdim=True)


def _nearest(
    settings: Settings, rows: Rows, classes: int, generator: torch.Generator
) -> Steps[str, None, tuple[Float[Tensor, "rows d"], Float[Tensor, "rows d"]]]:
    """Stages 1 to 3 for the nearest of all boundaries: the point, and the nearest hit that was seen for sure."""
    n, kept = len(rows.x), min(settings.starts, classes - 1)
    at_query = rows.value(rows.origin, leaving)
    many = rows.repeated(classes - 1)
    many.targets = other_classes(rows.labels, classes).reshape(-1, 1)
    scouted, first = torch.full_like(many.origin[:, 0], torch.inf), many.origin
    if kept < classes - 1:
        scouted, first = yield from _last(search(many, leaving, toward, steps=settings.scout))
        chosen = scouted.view(n, -1).topk(kept, dim=1, largest=False).indices
        chosen = (torch.arange(n, device=chosen.device)[:, None] * (classes - 1) + chosen).flatten()
        many, scouted, first = many[chosen], scouted[chosen], first[chosen]
    reached, hit = yield from _last(search(many, leaving, toward, steps=settings.search, heat=settings.heat))
    hit = torch.where((scouted < reached)[:, None], first, hit)
    near_hits = crossing(many, hit, leaving, at_query=at_query.repeat_interleave(kept), steps=5)
    start = yield from _last(near_hits)
    planes = cutting_planes(many, start, leaving, steps=settings.planes, cuts=settings.cuts)
    estimates, points = yield from _last(planes, "cutting planes")
    found = points.view(n, kept, -1)
    best, point = _least(estimates.view(n, kept), found)
    length = torch.where(torch.minimum(scouted, reached).isinf(), torch.inf, (start - many.origin).norm(dim=1))
    near, sure = _least(length.view(n, kept), start.view(n, kept, -1))
    for _ in range(settings.rounds):
        again, start = turned(rows, point, count=settings.restarts, generator=generator)
        _, hit = yield from _last(search(again, leaving, leaving, steps=settings.again, heat=2.0, start=start))
        known = at_query.repeat_interleave(settings.restarts)
        best, point, more = yield from _restarted(settings, again, hit, known, best, point)
        found = torch.cat([found, more], 1)
    if settings.mixtures:
        again, start = mixed(rows, found, point, leaving, count=settings.mixtures, generator=generator)
        known = at_query.repeat_interleave(settings.mixtures)
        best, point, _ = yield from _restarted(settings, again, start, known, best, point)
    planes = cutting_planes(rows, point, leaving, steps=2 * settings.planes, cuts=settings.cuts, radius=0.05)
    fresh, where = yield from _last(planes, "cutting planes")
    point = torch.where((fresh < best)[:, None], where, point)
    end = yield from _last(landed(rows, point, steps=20), "landing")  # to compare lengths with
    nearer = ((end - rows.origin).norm(dim=1) < near) & (rows.value(end, leaving) <= 0)
    return point, torch.where(nearer[:, None], end, sure)


def _restarted(
    settings: Settings, again: Rows, hit: Tensor, at_query: Tensor, best: Tensor, point: Tensor
) -> Steps[str, None, tuple[Tensor, Tensor, Float[Tensor, "rows restarts d"]]]:
    """Cutting planes from the hits of several restarts a row: the new best, its points, and all found."""
    start = yield from _last(crossing(again, hit, leaving, at_query=at_query, steps=5), "restarts")
    planes = cutting_planes(again, start, leaving, steps=settings.planes, cuts=settings.cuts)
    estimates, points = yield from _last(planes, "restarts")
    points = points.view(len(best), -1, points.shape[1])
    fresh, where = _least(estimates.view(len(best), -1), points)
    return torch.minimum(fresh, best), torch.where((fresh < best)[:, None], where, point), points


def _from_afar(
    settings: Settings, rows: Rows, classes: int, generator: torch.Generator
) -> Steps[str, None, Float[Tensor, "rows d"]]:
    """Some boundary point for each row: from a random direction toward a random class, and down from there."""
    n = len(rows.x)
    others = other_classes(rows.labels, classes)
    drawn = torch.randint(classes - 1, (n, 1), generator=generator).to(others.device)
    rows.targets = others.gather(1, drawn)
    # the first hit down the gradient says how far away "afar" is
    _, first = next(search(rows, leaving, toward, steps=1))
    radius = (first - rows.origin).norm(dim=1, keepdim=True)
    direction = torch.randn(rows.origin.shape, generator=generator).to(rows.origin)
    direction = torch.where(rows.low < rows.high, direction, 0)
    start = rows.clip(rows.origin + 2 * radius * direction / direction.norm(dim=1, keepdim=True))
    _, hit = yield from _last(search(rows, leaving, toward, steps=settings.aimed, heat=1.0, start=start))
    at_query = rows.value(rows.origin, leaving)
    hit = yield from _last(crossing(rows, hit, leaving, at_query=at_query, steps=5))
    planes = cutting_planes(rows, hit, leaving, steps=2 * settings.planes, cuts=settings.cuts)
    _, point = yield from _last(planes, "cutting planes")
    return point


def _toward_target(
    question: Question, rows: Rows, constraints: Constraints, *, heat: float = 1.5
) -> Steps[str, None, Float[Tensor, "rows d"]]:
    """For the boundary with given classes: Newton steps from where several searches ended, the best of them."""
    settings, change = question.settings, question.change
    height: Height = reaching if change else tied
    guides: tuple[Height, ...] = (reaching,) if change else (tied, between, toward)
    best = torch.full_like(rows.origin[:, 0], torch.inf)
    point = rows.origin
    for guide in guides:
        _, start = yield from _last(search(rows, height, guide, steps=settings.aimed, heat=heat))
        ended = yield from _last(newton(rows, start, constraints, steps=settings.newton), "Newton steps")
        scores, values, _ = rows.heights(ended, *constraints.functions)
        wrong = constraints.unmet(values) / scores.abs().amax(1).clamp_min(1)
        length = (ended - rows.origin).norm(dim=1)
        rank = torch.where(wrong <= 1e-4, length, 1e6 * (1 + wrong))  # any that holds before any that does not
        point = torch.where((rank < best)[:, None], ended, point)
        best = torch.minimum(rank, best)
    return point


def _last(states: Iterator[T], text: str = "search") -> Steps[str, None, T]:
    """The last state of some steps, each of which is told."""
    state = next(states)
    yield text
    for state in states:  # noqa: B007
        yield text
    return state


def _least(estimates: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest of each row's estimates (rows, k), and its point of (rows, k, d)."""
    best, where = estimates.min(1)
    return best, points[torch.arange(len(points), device=points.device), where]
