"""The way from a query through its flip point and beyond: what lies there, and what the classifier says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.flip_points.problem import FlipPointError
from workbench.flip_points.result import FlipPoints, check_flips
from workbench.models import Classifier
from workbench.models.pictures import Pictures
from workbench.results import Result

#: Frames from the query to the flip point, and of the part beyond, where the other class decides.
FRAMES, BEYOND = 32, 8


@dataclass(frozen=True, kw_only=True)
class Way(Result):
    """Pictures from a query to a flip point and beyond.

    Attributes:
        label, target: the class of the query, and that beyond the flip point.
        positions: (frames,) float64, distance from the query in the units of `FlipPoints.distances`.
        pictures: (frames, *picture) of a classifier's inputs themselves, or those that latents make.
        value_range: of the pictures.
        probabilities: (frames, classes) what the classifier gives.
        at: index of the flip point's frame.
        class_names: of the classifier.
    """

    label: int
    target: int
    positions: Float[Tensor, " frames"]
    pictures: Float[Tensor, "frames *picture"]
    value_range: tuple[float, float]
    probabilities: Float[Tensor, "frames classes"]
    at: int
    class_names: tuple[str, ...]


def way(classifier: Classifier, found: FlipPoints, row: int = 0) -> Way:
    """The straight way from a row's query through its flip point and a quarter beyond.

    Args:
        classifier: that the flip points are of.
        found: flip points.
        row: one where a flip point was found.

    Raises:
        FlipPointError: no such row, none was found in it, or it asks for a change of an output.
    """
    if not -len(found) <= row < len(found):
        raise FlipPointError(f"row {row} was asked for; the flip points have rows 0 to {len(found) - 1}")
    check_flips(found)
    if not bool(found.found[row]):
        raise FlipPointError(f"row {row} has no flip point: {found.reasons[row]}")
    shown = Pictures(classifier)
    share = torch.arange(FRAMES + BEYOND + 1, dtype=torch.float64) / FRAMES
    points = _line(found.inputs[found.query[row]], found.points[row], share)
    if shown.drawable:  # beyond the flip point pixels would leave the range that the ends keep to
        low, high = torch.aminmax(points[[0, FRAMES]], dim=0)
        points = points.clamp(low.clamp_max(shown.value_range[0]), high.clamp_min(shown.value_range[1]))
    return Way(
        provenance=replace(found.provenance, call=f"wb.flip_points.way(C, {found.provenance.call}, {row})"),
        label=int(found.labels[row]),
        target=int(found.targets[row]),
        positions=share * float(found.distances[row]),
        pictures=shown(points),
        value_range=shown.value_range,
        probabilities=classifier.probabilities(points.to(classifier.dtype)).cpu(),
        at=FRAMES,
        class_names=found.class_names,
    )


def _line(
    start: Float[Tensor, " *input"], end: Float[Tensor, " *input"], share: Float[Tensor, " frames"]
) -> Float[Tensor, "frames *input"]:
    """Points on the line from `start` (share 0) through `end` (share 1)."""
    t = share.reshape(-1, *[1] * start.ndim).to(start)
    return start + t * (end.to(start) - start)
