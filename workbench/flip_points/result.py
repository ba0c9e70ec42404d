"""Flip points as a result: each with the numbers that prove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.flip_points.problem import FlipPointError
from workbench.results import Provenance, Result

if TYPE_CHECKING:
    import pandas as pd

REASONS = (
    "converged: on the boundary, and the step from the query is normal to it",
    "on the boundary, but the step is not normal to it: a corner of the network, or a step too few",
    "no flip point was found within the bounds",
    "not attempted: stopped before its turn",
)
CONVERGED, CORNER, MISSING, SKIPPED = range(len(REASONS))

_PER_ROW = (
    *("query", "labels", "targets", "points", "distances"),
    *("gap", "violation", "outside", "angle", "status", "lower"),
)


#: Why rows of `closest_change` have no class on the other side.
NO_TARGET = "the rows ask for a change of an output, not for another class"


@dataclass(frozen=True, kw_only=True)
class FlipPoints(Result):
    """The closest points on the boundaries of a classifier, one row a pair of a query and a target.

    Attributes:
        inputs: (n, *input) the queries.
        query: (rows,) which query a row belongs to.
        labels: (rows,) class of the query, i.
        targets: (rows,) class on the other side, j; of an untargeted query, the one that was met; -1 where a
            change of an output was asked for.
        points: (rows, *input) the flip points, float64; NaN where none was found.
        distances: (rows,) Euclidean, in the inputs' units (or along the basis); inf where none was found.
        gap: (rows,) |z_i - z_j|, in logits.
        violation: (rows,) by how much another class lies above both; 0 where none does.
        outside: (rows,) by how much a coordinate lies outside its bounds.
        angle: (rows,) radians between the step and the boundary's normal.
        status: (rows,) index into `REASONS`.
        targeted: whether each row has a target that was asked for.
        class_names: of the classifier.
        lower: (rows,) what `certify` adds: no point nearer than this to the query flips to the row's target
            (or, untargeted, to any class); NaN where that was not asked for, or no bound can be had.
        certificate: in words, how `lower` was found, or why it was not; empty where none was asked for.
    """

    inputs: Float[Tensor, "n *input"]
    query: Int[Tensor, " rows"]
    labels: Int[Tensor, " rows"]
    targets: Int[Tensor, " rows"]
    points: Float[Tensor, "rows *input"]
    distances: Float[Tensor, " rows"]
    gap: Float[Tensor, " rows"]
    violation: Float[Tensor, " rows"]
    outside: Float[Tensor, " rows"]
    angle: Float[Tensor, " rows"]
    status: Int[Tensor, " rows"]
    targeted: bool
    class_names: tuple[str, ...]
    lower: Float[Tensor, " rows"] = field(default_factory=lambda: torch.empty(0))
    certificate: str = ""

    def __post_init__(self) -> None:
        if not len(self.lower):
            object.__setattr__(self, "lower", torch.full_like(self.distances, torch.nan))

    def __len__(self) -> int:
        return len(self.query)

    @property
    def found(self) -> Bool[Tensor, " rows"]:
        """Whether a row holds a flip point: a point on the boundary, within the bounds."""
        return self.status <= CORNER

    @property
    def converged(self) -> Bool[Tensor, " rows"]:
        """Whether the step to it is normal to the boundary, too."""
        return self.status == CONVERGED

    @property
    def reasons(self) -> list[str]:
        """What is to be said of each row, in words."""
        return [REASONS[int(s)] for s in self.status]

    @property
    def certified(self) -> Float[Tensor, " rows"]:
        """Which share of its distance is certified: 1 for a flip point that is proved to be the nearest.

        NaN where there is no lower bound, or no distance.
        """
        return torch.where(self.found, self.lower / self.distances, torch.nan)

    @property
    def directions(self) -> Float[Tensor, "rows *input"]:
        """Flip point minus query."""
        return self.points - self.inputs[self.query].to(self.points)

    def closest(self) -> FlipPoints:
        """One row a query: its nearest flip point over all its targets."""
        order = sorted(range(len(self)), key=lambda r: (int(self.query[r]), float(self.distances[r])))
        first: dict[int, int] = {}
        for row in order:
            first.setdefault(int(self.query[row]), row)
        return self[torch.tensor(list(first.values()), dtype=torch.long)]

    def __getitem__(self, rows: Tensor) -> FlipPoints:
        """Some of the rows: indices or a mask."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _PER_ROW})

    @classmethod
    def concatenate(cls, parts: Sequence[FlipPoints], *, call: str, seed: int) -> FlipPoints:
        """The results of one question to one classifier about consecutive queries, as one.

        Args:
            parts: one or more, in the order of their queries.
            call, seed: what asks for all of them at once.
        """
        starts = [0, *accumulate(len(part.inputs) for part in parts)]
        shifted = [part.query + start for part, start in zip(parts, starts, strict=False)]
        columns: dict[str, Any] = {
            name: torch.cat([getattr(part, name) for part in parts]) for name in ("inputs", *_PER_ROW)
        }
        provenance = Provenance.together([part.provenance for part in parts], call=call, seed=seed)
        return replace(parts[0], **{**columns, "query": torch.cat(shifted)}, provenance=provenance)

    def frame(self) -> pd.DataFrame:
        """One row a pair: classes by name, distance, its lower bound, the proof, and what is to be said of it."""
        import pandas as pd

        return pd.DataFrame(
            {
                "query": self.query.cpu().numpy(),
                "label": [self.class_names[int(i)] for i in self.labels],
                "target": [self.class_names[int(j)] if j >= 0 else "" for j in self.targets],
                "distance": self.distances.cpu().numpy(),
                "lower": self.lower.cpu().numpy(),
                "certified": self.certified.cpu().numpy(),
                "gap": self.gap.cpu().numpy(),
                "violation": self.violation.cpu().numpy(),
                "outside": self.outside.cpu().numpy(),
                "angle": self.angle.cpu().numpy(),
                "found": self.found.cpu().numpy(),
                "converged": self.converged.cpu().numpy(),
                "reason": self.reasons,
            }
        )


def check_flips(found: FlipPoints) -> None:
    """Make sure that every row has a class on the other side.

    Raises:
        FlipPointError: rows of `closest_change` have none.
    """
    if bool((found.targets < 0).any()):
        raise FlipPointError(f"{NO_TARGET}; expected flip points such as wb.flip_points.closest gives")
