"""Flip points for training: which training points shape a classifier, and flip points as training data."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import TensorDataset

from workbench.flip_points.problem import FlipPointError, check_truth
from workbench.flip_points.result import FlipPoints
from workbench.numerics.randomness import seeded


class Measured(Protocol):
    """Rows with distances, such as `FlipPoints` and `Trust`."""

    @property
    def distances(self) -> Float[Tensor, " rows"]:
        """To the closest flip point."""
        ...

    @property
    def found(self) -> Bool[Tensor, " rows"]:
        """Whether there is one."""
        ...


def nearest_rows(found: Measured, count: int) -> Int[Tensor, " count"]:
    """The rows nearest to their flip points, nearest first: the most influential in training (section 5).

    Raises:
        FlipPointError: fewer than `count` rows have a flip point, or `count` is less than 1.
    """
    rows = _with_flip_point(found, count)
    return rows[found.distances[rows].argsort(stable=True)[:count]]


def farthest_rows(found: Measured, count: int) -> Int[Tensor, " count"]:
    """The rows farthest from their flip points, farthest first; errors as of `nearest_rows`."""
    rows = _with_flip_point(found, count)
    return rows[found.distances[rows].argsort(descending=True, stable=True)[:count]]


def random_rows(found: Measured, count: int, *, seed: int = 0) -> Int[Tensor, " count"]:
    """As many of the rows with a flip point, drawn without replacement; errors as of `nearest_rows`."""
    rows = _with_flip_point(found, count)
    return rows[torch.randperm(len(rows), generator=seeded(seed))[:count]]


def _with_flip_point(found: Measured, count: int) -> Int[Tensor, " rows"]:
    rows = found.found.nonzero()[:, 0]
    if not 1 <= count <= len(rows):
        raise FlipPointError(f"{count} rows were asked for; expected 1 to {len(rows)}, the rows with a flip point")
    return rows


def training_data(
    found: FlipPoints, y: Any, of: Literal["mistakes", "correct", "all"] = "mistakes"
) -> TensorDataset:
    """Flip points as training data: each with the label that its query should have (sections 5 and 6.1).

    Of a mistake, that pulls the boundary over the query to the right side; of a correct query it pushes the
    boundary away.

    Args:
        found: flip points, of training images.
        y: (n,) the classes that the queries should have, by index.
        of: the queries whose flip points to take: those that the classifier misread (as the paper did to
            gain accuracy), those that it read correctly, or all.

    Returns:
        Pairs of points (float32) and labels (int64); rows without a flip point are left out.

    Raises:
        FlipPointError: labels that are not one a query or of no class, or another `of`.
    """
    truth = check_truth(y, len(found.inputs), len(found.class_names))
    if of not in ("mistakes", "correct", "all"):
        raise FlipPointError(f"of={of!r}; expected 'mistakes', 'correct' or 'all'")
    wanted = truth[found.query]
    chosen = found.found
    if of != "all":
        chosen = chosen & ((found.labels == wanted) == (of == "correct"))
    return TensorDataset(found.points[chosen].float(), wanted[chosen])
