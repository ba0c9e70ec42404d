"""Rows of queries and targets that are solved together, and what is to be zero or below at their flip points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.flip_points.problem import Scores, Space, margin, of_class, without

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
