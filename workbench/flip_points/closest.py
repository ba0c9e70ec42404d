"""`wb.flip_points.closest`: the closest flip points of many queries, each with its proof."""

from __future__ import annotations

import time
from collections.abc import Generator as Steps
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.flip_points.batched import (
    EFFORTS,
    Height,
    Rows,
    Settings,
    between,
    constraints,
    crossing,
    cutting_planes,
    leaving,
    mixtures,
    newton,
    pair,
    reaching,
    search,
    toward,
    unmet,
)
from workbench.flip_points.homotopy import homotopy_steps
from workbench.flip_points.problem import (
    Bounds,
    FlipPointError,
    Scores,
    Space,
    check_queries,
    make_space,
    without,
)
from workbench.flip_points.reference import PairSolution
from workbench.flip_points.result import CONVERGED, CORNER, MISSING, SKIPPED, STRAIGHT, FlipPoints, prove
from workbench.models import Classifier
from workbench.models.errors import nearest_names
from workbench.progress import Cancelled, Progress, Step, run
from workbench.results import Provenance, synchronise

#: None: the nearest of all boundaries; "all": each other class in turn; or a class, for all or for each query.
Targets = None | Literal["all"] | int | str | Sequence[int] | Sequence[str] | Tensor
Effort = Literal["fast", "accurate", "thorough"]
Method = Literal["batched", "homotopy"]

#: Queries that go through the stages together; a GPU wants more.
_CHUNK = {"cpu": 128}
_CHUNK_ELSEWHERE = 1024


def closest_steps(
    classifier: Classifier,
    x: Any,
    targets: Targets = None,
    *,
    method: Method = "batched",
    effort: Effort = "accurate",
    bounds: Bounds = "range",
    mask: Any = None,
    basis: Any = None,
    seed: int = 0,
) -> Steps[Step, None, FlipPoints]:
    """The steps of `closest`, one a pass through the network; cancelled, it returns what it has."""
    settings = _settings(effort)
    if method not in ("batched", "homotopy"):
        raise FlipPointError(f"method={method!r}; expected 'batched' or 'homotopy'")
    space = make_space(classifier, bounds=bounds, mask=mask, basis=basis)
    x = check_queries(classifier, x, space)
    scores = Scores(classifier, dtype=classifier.dtype)
    labels = _labels(classifier, scores, x)
    one_by_one = method == "homotopy"
    query, wanted = _pairs(classifier, "all" if one_by_one and targets is None else targets, labels)
    question = _Question(
        scores, Scores(classifier), space, settings, targeted=targets is not None, one_by_one=one_by_one
    )
    how = "method='homotopy'" if one_by_one else f"effort={effort!r}, seed={seed}"
    call = f"wb.flip_points.closest(C, x, targets={_brief(targets)}, {how})"
    found = yield from _solve(question, classifier, x, labels, query, wanted, call=call, seed=seed)
    return found.closest() if one_by_one and targets is None else found


def closest(
    classifier: Classifier,
    x: Any,
    targets: Targets = None,
    *,
    method: Method = "batched",
    effort: Effort = "accurate",
    bounds: Bounds = "range",
    mask: Any = None,
    basis: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FlipPoints:
    """The closest inputs at which a classifier changes its mind.

    Yousefzadeh and O'Leary, "Deep learning interpretation: flip points and homotopy methods", MSML 2020,
    equations (1) to (5): min |x_hat - x| with z_i = z_j >= z_k, within bounds, where i is the class of x.
    On logits, in double precision. The problem is not convex: what comes back is a local solution, with
    the batched method the best of many, and each with its proof.

    Args:
        classifier: the classifier.
        x: (n, *input) queries, or one.
        targets: None for the nearest of all boundaries; a class (index or name), or one a query, for the
            boundary with that class; `"all"` for every other class in turn.
        method: `"batched"`: all queries and targets together by the stages of
            `workbench.flip_points.batched`; `"homotopy"`: the paper's Algorithms 1 and 2 (or F2 and F3),
            one pair after another, around a reference solver.
        effort: of the batched method, `"fast"`, `"accurate"` or `"thorough"`: how many starts and steps.
        bounds: of the inputs: `"range"` (the classifier's value range), None, or (low, high) numbers or
            arrays.
        mask: (*input) True where an input may change.
        basis: (k, *input) directions along which inputs may change, such as wavelets; without bounds.
        seed: of the restarts.
        progress: told each step; when it returns False, what is there comes back, marked as partial.

    Returns:
        One row a query, or with `targets="all"` one row a query and other class, queries first.

    Raises:
        FlipPointError: a wrong class or target, a query outside the bounds, a classifier with one output
            or one that is constant.
        ModelError: a query of another shape, NaN or infinity.
    """
    steps = closest_steps(
        classifier, x, targets, method=method, effort=effort, bounds=bounds, mask=mask, basis=basis, seed=seed
    )
    return run(steps, progress)


def closest_change(
    classifier: Classifier,
    x: Any,
    change: float | Sequence[float] | Tensor,
    *,
    output: int = 0,
    effort: Effort = "accurate",
    bounds: Bounds = "range",
    mask: Any = None,
    basis: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FlipPoints:
    """The closest inputs at which one output has changed by a given amount (the paper's appendix E.3).

    Args:
        change: how much output `output` is to change, up (positive) or down, for all queries or for each.
        output: which output; the network may have just one.
        others: as for `closest`.

    Returns:
        One row a query; `targets` are -1, and `gap` is how far the output is from the value asked for.

    Raises:
        FlipPointError: no such output, or a change of zero.
        ModelError: as for `closest`.
    """
    return run(
        _change_steps(
            classifier, x, change, output=output, effort=effort, bounds=bounds, mask=mask, basis=basis, seed=seed
        ),
        progress,
    )


def _change_steps(
    classifier: Classifier, x: Any, change: Any, *, output: int, effort: Effort, seed: int, **space_options: Any
) -> Steps[Step, None, FlipPoints]:
    settings = _settings(effort)
    space = make_space(classifier, **space_options)
    x = check_queries(classifier, x, space)
    count = len(classifier.class_names)
    if not 0 <= output < count:
        raise FlipPointError(f"output {output} was asked for; the network has outputs 0 to {count - 1}")
    amounts = torch.as_tensor(change, dtype=x.dtype, device=x.device).broadcast_to(len(x))
    if not bool((torch.isfinite(amounts) & (amounts != 0)).all()):
        raise FlipPointError(f"change={change!r}; expected finite numbers other than 0, one or one a query")
    exact = Scores(classifier)
    level = exact(x)[:, output] + amounts
    scores = Scores(classifier, dtype=classifier.dtype)
    question = _Question(
        scores, exact, space, settings, targeted=True, level=level, side=amounts.sign(), change=True
    )
    rows = torch.arange(len(x), device=x.device)
    labels = torch.full_like(rows, output)
    call = (
        f"wb.flip_points.closest_change(C, x, {_brief(change)}, output={output}, effort={effort!r}, seed={seed})"
    )
    none = torch.full_like(rows, -1)
    return (yield from _solve(question, classifier, x, labels, rows, none, call=call, seed=seed))


@dataclass(frozen=True)
class _Question:
    """What is asked of every row, and with what."""

    scores: Scores
    exact: Scores
    space: Space
    settings: Settings
    targeted: bool
    level: Tensor | None = None
    side: Tensor | None = None
    change: bool = False
    one_by_one: bool = False

    def rows(self, scores: Scores, x: Tensor, labels: Tensor, targets: Tensor, query: Tensor) -> Rows:
        level, side = (None if t is None else t[query] for t in (self.level, self.side))
        return Rows.of(scores, self.space, x[query], labels[query], targets, level=level, side=side)

    def exactly(self, rows: Rows) -> Rows:
        """The same rows in double precision."""
        return Rows.of(self.exact, self.space, rows.x, rows.labels, rows.targets, level=rows.level, side=rows.side)


@dataclass
class _Columns:
    """The result's columns, filled chunk by chunk."""

    points: Tensor
    distances: Tensor
    targets: Tensor
    numbers: dict[str, Tensor] = field(default_factory=dict)
    status: Tensor = field(default_factory=lambda: torch.empty(0))

    @classmethod
    def of(cls, count: int, shape: tuple[int, ...], targets: Tensor, dtype: torch.dtype) -> _Columns:
        nan = torch.full((count,), float("nan"), dtype=dtype)
        return cls(
            points=torch.full((count, *shape), float("nan"), dtype=dtype),
            distances=torch.full((count,), float("inf"), dtype=dtype),
            targets=targets.cpu().clone(),
            numbers={name: nan.clone() for name in ("gap", "violation", "outside", "angle")},
            status=torch.full((count,), SKIPPED),
        )


def _solve(
    question: _Question,
    classifier: Classifier,
    x: Float[Tensor, "n *input"],
    labels: Int[Tensor, " n"],
    query: Int[Tensor, " rows"],
    targets: Int[Tensor, " rows"],
    *,
    call: str,
    seed: int,
) -> Steps[Step, None, FlipPoints]:
    """Chunk after chunk through all stages."""
    started = time.perf_counter()
    columns = _Columns.of(len(query), classifier.input_shape, targets, question.exact.dtype)
    partial = False
    done = 0
    try:
        if question.one_by_one:
            yield from _by_homotopy(question, classifier, x, labels, query, targets, columns)
        size = _CHUNK.get(classifier.device.type, _CHUNK_ELSEWHERE)
        for first in range(0, 0 if question.one_by_one else len(query), size):
            part = torch.arange(first, min(first + size, len(query)))
            generator = torch.Generator().manual_seed(seed + first)
            rows = question.rows(question.scores, x, labels, targets[part], query[part])
            for stage in _stages(question, rows, columns, part, generator):
                yield Step(done, len(query), stage)
            done += len(part)
            yield Step(done, len(query), "flip points")
    except Cancelled:
        partial = True
    synchronise(classifier.device)
    passes = {
        name: getattr(question.scores.passes, name) + getattr(question.exact.passes, name)
        for name in ("forward", "vjp")
    }
    return FlipPoints(
        provenance=Provenance(
            call=call,
            seed=seed,
            model=classifier.name,
            fingerprint=classifier.fingerprint,
            device=str(classifier.device),
            dtype=str(question.exact.dtype),
            passes=passes,
            seconds=time.perf_counter() - started,
            partial=partial,
        ),
        inputs=x.cpu(),
        query=query.cpu(),
        labels=labels[query].cpu(),
        targets=columns.targets,
        points=columns.points,
        distances=columns.distances,
        status=columns.status,
        targeted=question.targeted,
        class_names=tuple(classifier.class_names),
        **columns.numbers,
    )


def _by_homotopy(
    question: _Question,
    classifier: Classifier,
    x: Tensor,
    labels: Tensor,
    query: Tensor,
    targets: Tensor,
    columns: _Columns,
) -> Steps[Step, None, None]:
    """Pair after pair through the homotopy; fills `columns`."""
    for row, (q, target) in enumerate(zip(query.tolist(), targets.tolist(), strict=True)):
        steps = homotopy_steps(classifier, x[q], target, label=int(labels[q]), space=question.space)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                solution: PairSolution = end.value
                break
            yield Step(row, len(query), f"homotopy at {step.fraction:.0%}")
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
        yield Step(row + 1, len(query), "flip points")


def _stages(
    question: _Question, rows: Rows, columns: _Columns, part: Tensor, generator: torch.Generator
) -> Iterator[str]:
    """One chunk's stages; fills its place in `columns` and yields what is being done."""
    classes = rows.evaluate(rows.origin[:1]).shape[1]
    if question.targeted:
        functions = (reaching,) if question.change else constraints(classes)
        point = yield from _toward_target(question, rows, functions)
    else:
        functions = constraints(classes)
        point = yield from _nearest(question.settings, rows, classes, generator)
    final = question.exactly(rows)
    point = point.to(final.origin)
    if not question.targeted:
        final.targets = without(final.evaluate(point), final.labels).argmax(1)
    solved = point
    for landed in newton(final, point, functions, steps=question.settings.newton):
        solved = landed
        yield "double precision"
    proof = prove(final, solved, functions)
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
        columns.targets[part] = final.targets.cpu()
    for name, column in columns.numbers.items():
        column[part] = getattr(proof, name).cpu()


def _nearest(
    settings: Settings, rows: Rows, classes: int, generator: torch.Generator
) -> Steps[str, None, Float[Tensor, "rows d"]]:
    """Stages 1 to 3 for the nearest of all boundaries: a search toward every class, and what is near goes on."""
    n = len(rows.x)
    every = torch.arange(classes, device=rows.labels.device)
    many = rows[torch.arange(n, device=rows.labels.device).repeat_interleave(classes - 1)]
    many.targets = torch.stack([every[every != label] for label in rows.labels]).flatten()
    distance, hit = rows.origin[:, 0], rows.origin
    for reached in search(many, leaving, toward, steps=settings.search):
        distance, hit = reached
        yield "search"
    kept = min(settings.starts, classes - 1)
    chosen = distance.view(n, -1).topk(kept, dim=1, largest=False).indices
    chosen = (torch.arange(n, device=chosen.device)[:, None] * (classes - 1) + chosen).flatten()
    some = many[chosen]
    start = crossing(some, hit[chosen], leaving, steps=5)
    estimates, points = cutting_planes(some, start, leaving, steps=settings.planes, cuts=settings.cuts)
    yield "cutting planes"
    best, point = _least(estimates.view(n, kept), points.view(n, kept, -1))
    if settings.restarts:
        found = points.view(n, kept, -1)
        again, start = mixtures(rows, found, point, leaving, count=settings.restarts, generator=generator)
        yield "restarts"
        start = crossing(again, start, leaving, steps=4)
        estimates, points = cutting_planes(again, start, leaving, steps=settings.planes, cuts=settings.cuts)
        yield "restarts"
        fresh, where = _least(estimates.view(n, -1), points.view(n, settings.restarts, -1))
        point = torch.where((fresh < best)[:, None], where, point)
        best = torch.minimum(fresh, best)
    fresh, where = cutting_planes(rows, point, leaving, steps=2 * settings.planes, cuts=settings.cuts, radius=0.05)
    yield "cutting planes"
    return torch.where((fresh < best)[:, None], where, point)


def _toward_target(
    question: _Question, rows: Rows, functions: tuple[Height, ...]
) -> Steps[str, None, Float[Tensor, "rows d"]]:
    """For the boundary with one class: Newton steps from where several searches ended, and the best of them."""
    settings, change = question.settings, question.change
    height: Height = reaching if change else pair
    guides: tuple[Height, ...] = (reaching,) if change else (pair, between, toward)
    best = torch.full_like(rows.origin[:, 0], torch.inf)
    point = rows.origin
    for guide in guides:
        start = rows.origin
        for _, hit in search(rows, height, guide, steps=settings.search):
            start = hit
            yield "search"
        ended = start
        for moved in newton(rows, start, functions, steps=settings.newton):
            ended = moved
            yield "Newton steps"
        scores, values, _ = rows.heights(ended, *functions)
        wrong = unmet(values) / scores.abs().amax(1).clamp_min(1)
        length = (ended - rows.origin).norm(dim=1)
        rank = torch.where(wrong <= 1e-4, length, 1e6 * (1 + wrong))  # any that holds before any that does not
        point = torch.where((rank < best)[:, None], ended, point)
        best = torch.minimum(rank, best)
    return point


def _least(estimates: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest of each row's estimates (rows, k), and its point of (rows, k, d)."""
    best, where = estimates.min(1)
    return best, points[torch.arange(len(points), device=points.device), where]


# -- checking the question ---------------------------------------------------------------------------


def _settings(effort: str) -> Settings:
    if effort not in EFFORTS:
        raise FlipPointError(f"effort={effort!r}; expected one of {', '.join(map(repr, EFFORTS))}")
    return EFFORTS[effort]


def _labels(classifier: Classifier, scores: Scores, x: Tensor) -> Int[Tensor, " n"]:
    """The queries' classes, once it is clear that there is something to flip."""
    if len(classifier.class_names) < 2:
        raise FlipPointError(
            f"{classifier.name} has one output, so there is no second class to flip to; for a given change of "
            "an output use wb.flip_points.closest_change(C, x, change)"
        )
    found = scores(x)
    low, high = classifier.value_range
    noise = torch.rand(8, *classifier.input_shape, generator=torch.Generator().manual_seed(0)).to(x)
    elsewhere = scores(low + (high - low) * noise)
    together = torch.cat([found[:64], elsewhere])
    if not bool((together != together[:1]).any()):
        raise FlipPointError(
            f"{classifier.name} gives the same scores for every input that was tried: it is constant, and has no "
            "boundary. Check that its weights were loaded"
        )
    return found.argmax(1)


def _pairs(classifier: Classifier, targets: Targets, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of (query, target); the target of an untargeted row is its own label until one is met."""
    n, count = len(labels), len(classifier.class_names)
    query = torch.arange(n, device=labels.device)
    if targets is None:
        return query, labels.clone()
    if isinstance(targets, str) and targets == "all":
        every = torch.arange(count, device=labels.device)
        wanted = torch.stack([every[every != label] for label in labels]) if n else labels.new_empty(0, count - 1)
        return query.repeat_interleave(count - 1), wanted.flatten()
    given: list[Any] = [targets] * n if isinstance(targets, (int, str)) else list(targets)
    if len(given) != n:
        raise FlipPointError(f"{len(given)} targets were given for {n} queries; give one for all, or one for each")
    wanted = torch.tensor([_class(classifier, t) for t in given], dtype=torch.long, device=labels.device)
    same = wanted == labels
    if bool(same.any()):
        row = int(same.nonzero()[0])
        raise FlipPointError(
            f"row {row} is of class {classifier.class_names[int(labels[row])]!r} already, so that class cannot be "
            "its target; leave the row out, or give it another"
        )
    return query, wanted


def _class(classifier: Classifier, target: Any) -> int:
    names = classifier.class_names
    if isinstance(target, str):
        if target not in names:
            raise FlipPointError(f"{classifier.name} has no class {target!r}: {nearest_names(target, names)}")
        return names.index(target)
    if not 0 <= int(target) < len(names):
        raise FlipPointError(f"class {int(target)} was asked for; {classifier.name} has 0 to {len(names) - 1}")
    return int(target)


def _brief(value: Any) -> str:
    """`value` for the line of Python that made a result."""
    if isinstance(value, Tensor):
        value = value.tolist()
    text = repr(value)
    return text if len(text) < 80 else "…"
