"""`wb.flip_points.closest`: the closest flip points of many queries, each with its proof."""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.flip_points.batched import EFFORTS, Settings
from workbench.flip_points.problem import (
    Bounds,
    FlipPointError,
    Scores,
    as_array,
    check_bounds,
    check_queries,
    check_targets,
    is_single,
    make_space,
    other_classes,
    single_query,
)
from workbench.flip_points.result import FlipPoints
from workbench.flip_points.stages import Question, solve_steps
from workbench.models import Classifier
from workbench.models.devices import check_fits
from workbench.progress import Progress, Step, run
from workbench.results import call

#: None: the nearest of all boundaries; "all": each other class in turn; or a class, for all or for each query.
Targets = None | Literal["all"] | int | str | Sequence[int] | Sequence[str] | Tensor
Effort = Literal["fast", "accurate", "thorough"]
Method = Literal["batched", "homotopy"]


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
    """The steps of `closest`: each of the search's and of Newton's, and one a stage between.

    Cancelled, it returns what it has.
    """
    settings = _settings(effort)
    if method not in ("batched", "homotopy"):
        raise FlipPointError(f"method={method!r}; expected 'batched' or 'homotopy'")
    space = make_space(classifier, bounds=bounds, mask=mask, basis=basis)
    x = check_queries(classifier, x, space)
    scores = Scores(classifier, dtype=classifier.dtype)
    labels = _labels(classifier, scores, x)
    one_by_one = method == "homotopy"
    query, wanted = _pairs(classifier, "all" if one_by_one and targets is None else targets, labels)
    question = Question(
        scores,
        Scores(classifier),
        space,
        settings,
        x,
        labels,
        query,
        wanted,
        targeted=targets is not None,
        one_by_one=one_by_one,
    )
    how: dict[str, Any] = {"method": method} if one_by_one else {"effort": effort, "seed": seed}
    line = _line("closest", {"targets": targets, **how}, bounds=bounds, mask=mask, basis=basis)
    found = yield from solve_steps(question, call=line, seed=seed)
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
        FlipPointError: a target that is the query's class already, a query outside the bounds, a classifier
            with one output or one that is constant.
        ModelError: a class that does not exist, a query of another shape, NaN or infinity.
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
    amounts = as_array(change, "change", dtype=x.dtype, device=x.device)
    if amounts.shape not in ((), (1,), (len(x),)) or not bool((torch.isfinite(amounts) & (amounts != 0)).all()):
        raise FlipPointError(
            f"change={change!r} for {len(x)} queries; expected finite numbers other than 0, one or one a query"
        )
    amounts = amounts.broadcast_to(len(x))
    exact = Scores(classifier)
    level = exact(x)[:, output] + amounts
    scores = Scores(classifier, dtype=classifier.dtype)
    rows = torch.arange(len(x), device=x.device)
    labels, none = torch.full_like(rows, output), torch.full_like(rows, -1)[:, None]
    side = amounts.sign()
    question = Question(
        scores, exact, space, settings, x, labels, rows, none, targeted=True, level=level, side=side
    )
    asked = {"change": change, "output": output, "effort": effort, "seed": seed}
    line = _line("closest_change", asked, **space_options)
    return (yield from solve_steps(question, call=line, seed=seed))


def closest_meeting(
    classifier: Classifier,
    x: Any,
    classes: Sequence[int] | Sequence[str],
    *,
    effort: Effort = "accurate",
    bounds: Bounds = "range",
    mask: Any = None,
    basis: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FlipPoints:
    """The closest inputs at which the class of each query and several others all share the highest score.

    Flip points between multiple classes (section 2 of the paper): z_i = z_j for every j of `classes`, and
    no other class above them.

    Args:
        classes: the classes j, by index or name, for all queries.
        others: as for `closest`.

    Returns:
        One row a query; `targets` holds the first of `classes`, `gap` the largest |z_i - z_j|.

    Raises:
        FlipPointError: no class, or that of a query, and as for `closest`.
        ModelError: as for `closest`.
    """
    return run(
        _meeting_steps(classifier, x, classes, effort=effort, bounds=bounds, mask=mask, basis=basis, seed=seed),
        progress,
    )


def _meeting_steps(
    classifier: Classifier, x: Any, classes: Any, *, effort: Effort, seed: int, **space_options: Any
) -> Steps[Step, None, FlipPoints]:
    settings = _settings(effort)
    space = make_space(classifier, **space_options)
    x = check_queries(classifier, x, space)
    scores = Scores(classifier, dtype=classifier.dtype)
    labels = _labels(classifier, scores, x)
    wanted = _indices(classifier, labels, [classes] * len(labels))
    rows = torch.arange(len(x), device=x.device)
    question = Question(scores, Scores(classifier), space, settings, x, labels, rows, wanted, targeted=True)
    asked = {"classes": classes, "effort": effort, "seed": seed}
    line = _line("closest_meeting", asked, **space_options)
    return (yield from solve_steps(question, call=line, seed=seed))


def boundary_points_steps(
    classifier: Classifier,
    x: Any,
    n: int = 200,
    *,
    effort: Effort = "fast",
    bounds: Bounds = "range",
    mask: Any = None,
    basis: Any = None,
    seed: int = 0,
) -> Steps[Step, None, FlipPoints]:
    """The steps of `boundary_points`. Cancelled, it returns what it has."""
    settings = _settings(effort)
    if n < 1:
        raise FlipPointError(f"{n} boundary points were asked for; expected 1 or more")
    space = make_space(classifier, bounds=bounds, mask=mask, basis=basis)
    x = single_query(classifier, x, space)
    scores = Scores(classifier, dtype=classifier.dtype)
    labels = _labels(classifier, scores, x)
    check_fits("boundary points", n, x[0].numel(), x.device)
    query = torch.zeros(n, dtype=torch.long, device=x.device)
    wanted = labels[query, None]
    question = Question(
        scores, Scores(classifier), space, settings, x, labels, query, wanted, targeted=False, around=True
    )
    asked = {"n": n, "effort": effort, "seed": seed}
    line = _line("boundary_points", asked, bounds=bounds, mask=mask, basis=basis)
    return (yield from solve_steps(question, call=line, seed=seed))


def boundary_points(
    classifier: Classifier,
    x: Any,
    n: int = 200,
    *,
    effort: Effort = "fast",
    bounds: Bounds = "range",
    mask: Any = None,
    basis: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FlipPoints:
    """Many boundary points around one query, each the closest one nearby.

    The collection that the paper analyses for a single data point by PCA (section 3). A search toward a random
    class begins in a random direction, and the point that it ends at is brought to a local minimum of the
    distance and proved, as in `closest`.

    Args:
        x: one query, (*input) or (1, *input).
        n: how many.
        others: as for `closest`.

    Returns:
        n rows in the order in which they were drawn, `query` 0, `targets` the classes that were met. Several
        starts may end in one point: rows whose points are less than a thousandth of their distance apart are to
        be taken for the same.

    Raises:
        FlipPointError: several queries, n below 1, and as for `closest`.
        ModelError: as for `closest`.
    """
    steps = boundary_points_steps(
        classifier, x, n, effort=effort, bounds=bounds, mask=mask, basis=basis, seed=seed
    )
    return run(steps, progress)


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


def _pairs(
    classifier: Classifier, targets: Targets, labels: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " rows"], Int[Tensor, "rows 1"]]:
    """Rows of (query, target); the target of an untargeted row is its own label until one is met."""
    n, count = len(labels), len(classifier.class_names)
    query = torch.arange(n, device=labels.device)
    if targets is None:
        return query, labels[:, None].clone()
    if isinstance(targets, str) and targets == "all":
        return query.repeat_interleave(count - 1), other_classes(labels, count).reshape(-1, 1)
    given: list[Any] = [targets] * n if is_single(targets) else list(cast("Sequence[Any]", targets))
    if len(given) != n:
        raise FlipPointError(f"{len(given)} targets were given for {n} queries; give one for all, or one for each")
    if not all(map(is_single, given)):
        raise FlipPointError(
            f"targets={targets!r} holds several classes for one query; expected one each. For points where several"
            " classes meet use wb.flip_points.closest_meeting(C, x, classes)"
        )
    return query, _indices(classifier, labels, given)


def _indices(classifier: Classifier, labels: Tensor, given: list[Any]) -> Int[Tensor, "n targets"]:
    """The classes of each query, none of them its own."""
    found = [check_targets(classifier, label, own) for label, own in zip(labels.tolist(), given, strict=True)]
    if not found:
        return labels.new_empty(0, 1)
    return torch.tensor(found, dtype=torch.long, device=labels.device).reshape(len(found), -1)


def _line(function: str, options: Mapping[str, Any], *, bounds: Bounds, mask: Any, basis: Any) -> str:
    """The line of Python that makes a result; of the space, what is not as it is by default."""
    where: dict[str, Any] = {} if isinstance(bounds, str) else {"bounds": check_bounds(bounds)}
    where |= {name: value for name, value in (("mask", mask), ("basis", basis)) if value is not None}
    plain = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in options.items()}
    return call(f"wb.flip_points.{function}", "C", "x", **plain, **where)
