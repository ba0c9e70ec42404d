"""The optimisation problem behind a flip point: where points may lie, and what must hold between the scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.models import Classifier, WorkbenchError, as_classifier, checks
from workbench.numerics.jacobians import Passes

#: `"range"`: the classifier's value range; None: no bounds; or a pair of numbers or tensors.
Bounds = Literal["range"] | tuple[Any, Any] | None


class FlipPointError(WorkbenchError, ValueError):
    """A question about flip points that has no answer: a wrong class, a point outside its bounds, …"""


@dataclass(frozen=True)
class Space:
    """Where flip points are looked for: inputs within bounds, or inputs moved along a linear basis.

    A point is a row of coordinates v. Without a basis these are the input's own numbers, and with one
    (orthonormal rows) the input is x + v @ basis. Either way the distance from x is Euclidean in v.

    Attributes:
        shape: (*input).
        low, high: (d,) bounds of the coordinates, ±inf where there are none.
        free: (d,) the coordinates that may change.
        basis: (d, inputs) or None.
    """

    shape: tuple[int, ...]
    low: Float[Tensor, " d"]
    high: Float[Tensor, " d"]
    free: Bool[Tensor, " d"]
    basis: Float[Tensor, "d inputs"] | None

    def origin(self, x: Float[Tensor, "rows *input"]) -> Float[Tensor, "rows d"]:
        """Coordinates of inputs themselves."""
        if self.basis is None:
            return x.flatten(1)
        return x.new_zeros(len(x), len(self.basis))

    def limits(self, origin: Float[Tensor, "rows d"]) -> tuple[Tensor, Tensor]:
        """Lowest and highest coordinates of each row: those that may not change have both at the origin."""
        low = torch.where(self.free, self.low, origin)
        return low, torch.where(self.free, self.high, origin)

    def inputs(self, v: Float[Tensor, "rows d"], x: Float[Tensor, "rows *input"]) -> Float[Tensor, "rows *input"]:
        """The inputs at coordinates `v`, where `x` are the queries that the rows belong to."""
        if self.basis is None:
            return v.reshape(len(v), *self.shape)
        return x + (v @ self.basis.to(v)).reshape(len(v), *self.shape)

    def to(self, like: Tensor) -> Space:
        """The same with the device and dtype of `like`."""
        basis = None if self.basis is None else self.basis.to(like)
        return Space(self.shape, self.low.to(like), self.high.to(like), self.free.to(like.device), basis)


def make_space(
    classifier: Classifier,
    *,
    bounds: Bounds = "range",
    mask: Any = None,
    basis: Any = None,
) -> Space:
    """The space of a query, checked.

    Args:
        bounds: of the inputs.
        mask: (*input) True where an input may change.
        basis: (k, inputs) or (k, *input) directions along which inputs may change; made orthonormal.

    Raises:
        FlipPointError: bounds, mask or basis of the wrong shape or content, or bounds with a basis.
    """
    as_classifier(classifier).check_differentiable()
    bounds = check_bounds(bounds)
    shape, size = classifier.input_shape, math.prod(classifier.input_shape)
    options: dict[str, Any] = {"device": classifier.device, "dtype": torch.float64}
    if classifier.device.type == "mps":
        options["dtype"] = torch.float32
    if basis is not None:
        if mask is not None or isinstance(bounds, tuple):
            raise FlipPointError(
                "a basis was given together with a mask or bounds of the inputs; along a basis every input "
                "changes at once, so choose one of them"
            )
        rows = as_array(basis, "basis", **options)
        rows = rows.reshape(len(rows), -1) if rows.numel() else rows.reshape(0, size)
        if rows.shape[1] != size or not 1 <= len(rows) <= size:
            raise FlipPointError(f"the basis has shape {tuple(rows.shape)}, expected (1 to {size}, {size})")
        checks.finite(rows, name="basis")
        q, r = torch.linalg.qr(rows.T)
        if float(r.diagonal().abs().min()) < 1e-9 * float(r.diagonal().abs().max()):
            raise FlipPointError("the basis has linearly dependent rows; leave out those that others span")
        infinite = torch.full((len(rows),), math.inf, **options)
        return Space(shape, -infinite, infinite, torch.ones_like(infinite, dtype=torch.bool), q.T.contiguous())
    ends: tuple[Any, Any] | None = classifier.input_bounds if isinstance(bounds, str) else bounds
    low, high = ends or (-math.inf, math.inf)
    low, high = (as_array(end, "bounds", **options) for end in (low, high))
    if any(end.ndim > len(shape) or not _broadcasts(end.shape, shape) for end in (low, high)):
        raise FlipPointError(
            f"the bounds have shapes {tuple(low.shape)} and {tuple(high.shape)}, expected two numbers, or arrays "
            f"of shape {shape}"
        )
    low, high = (end.broadcast_to(shape).flatten().clone() for end in (low, high))
    if not bool((low <= high).all()):
        raise FlipPointError("some lower bounds lie above the upper ones; expected bounds=(low, high)")
    free = torch.ones(size, dtype=torch.bool, device=classifier.device)
    if mask is not None:
        free = as_array(mask, "mask", device=classifier.device).bool()
        if tuple(free.shape) != shape:
            raise FlipPointError(f"the mask has shape {tuple(free.shape)}, expected {shape}")
        free = free.flatten()
        if not bool(free.any()):
            raise FlipPointError("the mask lets no feature change; set it True where a feature may change")
    return Space(shape, low, high, free, None)


def check_bounds(bounds: Any) -> Bounds:
    """`"range"`, None, or a pair (low, high) as a tuple, each a number or an array.

    Raises:
        FlipPointError: anything else.
    """
    if bounds is None or (isinstance(bounds, str) and bounds == "range"):
        return bounds  # type: ignore[return-value]
    try:
        ends = () if isinstance(bounds, str) else tuple(bounds)
    except TypeError:
        ends = ()
    if len(ends) != 2:
        raise FlipPointError(
            f"bounds={bounds!r}; expected 'range' (the classifier's value range), None (no bounds), or (low, high)"
        )
    return _number(ends[0]), _number(ends[1])


def _number(value: Any) -> Any:
    """An array of no dimensions as a plain number, anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def as_array(value: Any, name: str, **options: Any) -> Tensor:
    """`value` as a tensor.

    Raises:
        FlipPointError: it is no array.
    """
    try:
        return torch.as_tensor(value, **options)
    except Exception as error:  # sequences and arrays of any kind are converted, and raise what they like
        raise FlipPointError(f"{name} is {type(value).__name__}, which is no array: {error}") from error


def _broadcasts(given: Sequence[int], shape: Sequence[int]) -> bool:
    return all(a in (1, b) for a, b in zip(reversed(given), reversed(shape), strict=False))


def check_queries(classifier: Classifier, x: Any, space: Space) -> Float[Tensor, "n *input"]:
    """Queries as a batch, finite and within the bounds.

    Raises:
        ModelError: a wrong shape, NaN or infinity.
        FlipPointError: outside the bounds.
    """
    x = checks.as_tensor(x, name="x")
    if tuple(x.shape) == classifier.input_shape:
        x = x[None]
    x = checks.as_batch(x, classifier.input_shape, name="x", device=classifier.device, dtype=space.low.dtype)
    x = checks.finite(x, name="x")
    if space.basis is None:
        v = x.flatten(1)
        slack = 1e-6 * (space.high - space.low).clamp_max(1.0)
        outside = ((v < space.low - slack) | (v > space.high + slack)).any(1)
        if bool(outside.any()):
            row = int(outside.nonzero()[0])
            raise FlipPointError(
                f"row {row} of x runs from {float(v[row].min()):.4g} to {float(v[row].max()):.4g}, outside the "
                f"bounds {float(space.low.min()):g} to {float(space.high.max()):g}; scale it to the classifier's "
                "value range, or pass bounds=…"
            )
        x = v.clamp(space.low, space.high).reshape(x.shape)
    return x


def single_query(classifier: Classifier, x: Any, space: Space) -> Float[Tensor, "1 *input"]:
    """One query, checked.

    Raises:
        ModelError, FlipPointError: as in `check_queries`; several queries.
    """
    x = check_queries(classifier, x, space)
    if len(x) != 1:
        raise FlipPointError(f"{len(x)} queries were given; this takes one, such as x[0]")
    return x


def check_truth(y: Any, count: int, classes: int) -> Int[Tensor, " count"]:
    """The classes that `count` queries should have, by index, on the CPU.

    Raises:
        FlipPointError: not one a query, or of no class.
    """
    truth = as_array(y, "y").cpu().long()
    if truth.shape != (count,):
        given = f"y has shape {tuple(truth.shape)}: {truth.numel()} right classes were given for {count} inputs"
        raise FlipPointError(f"{given}; expected ({count},), one class for each query")
    if count and not 0 <= int(truth.min()) <= int(truth.max()) < classes:
        raise FlipPointError(
            f"y holds classes {int(truth.min())} to {int(truth.max())}; the classifier has 0 to {classes - 1}"
        )
    return truth


def is_single(targets: Any) -> bool:
    """Whether `targets` is one class, an index (of any integer type) or a name, rather than several."""
    return isinstance(targets, (int, str)) or getattr(targets, "ndim", None) == 0


def check_targets(classifier: Classifier, label: int, targets: Any) -> tuple[int, ...]:
    """The classes (by index or name) that a query of class `label` is to reach, each once.

    Raises:
        ModelError: a class that does not exist.
        FlipPointError: no target, or one that is the label itself.
    """
    names = classifier.class_names
    wanted = [targets] if is_single(targets) else list(targets)
    chosen = [checks.class_index(one, names, of=classifier.name) for one in wanted]
    if not chosen:
        raise FlipPointError("no target was given; expected at least one other class to meet")
    if label in chosen:
        raise FlipPointError(
            f"class {names[label]!r} cannot be the target of a query that is of this class already; leave the "
            "query out, or choose another class"
        )
    return tuple(dict.fromkeys(chosen))


class Scores:
    """A classifier's scores in double precision (single on MPS), with every pass counted.

    Args:
        classifier: its network is copied once into that precision; the classifier stays as it is.
        run: what computes the scores in the classifier's place, in that precision.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        dtype: torch.dtype | None = None,
        run: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.classifier = classifier
        self.dtype = dtype or (torch.float32 if classifier.device.type == "mps" else torch.float64)
        self.passes = Passes()
        self._run = run or classifier.in_precision(self.dtype)

    def __call__(self, x: Float[Tensor, "rows *input"]) -> Float[Tensor, "rows classes"]:
        """Scores without gradients."""
        self.passes.forward += len(x)
        with torch.no_grad():
            return self.classifier.batches.map(self._run, x.to(self.dtype))

    def with_gradients(
        self,
        x: Float[Tensor, "rows *input"],
        pick: Callable[[Tensor, slice], Float[Tensor, "rows values"]],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, some values of them, and the values' gradients.

        Args:
            pick: from scores (batch, classes), and the rows that they belong to, to values.

        Returns:
            Scores (rows, classes), values (rows, v), gradients (rows, v, *input).
        """
        scores, values, gradients = [], [], []
        size = self.classifier.batches.size
        for start in range(0, len(x), size):
            rows = slice(start, min(start + size, len(x)))
            with torch.enable_grad():
                part = x[rows].to(self.dtype).detach().requires_grad_()
                found = self._run(part)
                picked = pick(found, rows)
                self.passes.forward += len(part)
                parts = []
                for k in range(picked.shape[1]):
                    last = k == picked.shape[1] - 1
                    parts.append(torch.autograd.grad(picked[:, k].sum(), part, retain_graph=not last)[0])
                    self.passes.vjp += len(part)
            scores.append(found.detach())
            values.append(picked.detach())
            gradients.append(torch.stack(parts, 1))
        return torch.cat(scores), torch.cat(values), torch.cat(gradients)


def margin(scores: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    """z_i - max z_k over the other classes k: positive while the label i leads, zero on the boundary."""
    return of_class(scores, labels) - without(scores, labels[:, None]).amax(1)


def of_class(scores: Float[Tensor, "rows classes"], classes: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    """Each row's score of its own class."""
    return scores.gather(1, classes[:, None])[:, 0]


def other_classes(labels: Int[Tensor, " n"], classes: int) -> Int[Tensor, "n others"]:
    """Each row's classes but its label, ascending."""
    every = torch.arange(classes, device=labels.device).expand(len(labels), classes)
    return every[every != labels[:, None]].reshape(len(labels), classes - 1)


def without(
    scores: Float[Tensor, "rows classes"], *classes: Int[Tensor, "rows hidden"]
) -> Float[Tensor, "rows classes"]:
    """The scores with some classes' own set to -inf."""
    return scores.scatter(1, torch.cat(classes, 1), -math.inf)
