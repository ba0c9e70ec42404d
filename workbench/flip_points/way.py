"""The way from a query through its flip point and beyond: what lies there, and what the classifier says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.flip_points.result import FlipPoints
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
        ValueError: none was found in that row.
    """
    if not bool(found.found[row]):
        raise ValueError(f"row {row} has no flip point: {found.reasons[row]}")
    shown = Pictures(classifier)
    share = torch.arange(FRAMES + BEYOND + 1, dtype=torch.float64) / FRAMES
    points = shown.way(found.inputs[found.query[row]], found.points[row], share)
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
