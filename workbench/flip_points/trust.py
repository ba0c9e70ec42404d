"""How far to trust a classification: distances to the closest flip points beside softmax, over labelled inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.flip_points.closest import Effort, closest
from workbench.flip_points.problem import Bounds, FlipPointError, check_truth
from workbench.flip_points.result import CORNER, REASONS, SKIPPED, FlipPoints, check_flips
from workbench.models import Classifier
from workbench.progress import Progress
from workbench.results import Result

if TYPE_CHECKING:
    import pandas as pd

#: The columns of a `Trust`, one entry a row.
COLUMNS = ("distances", "confidence", "labels", "truth", "closest", "status")
#: What a classification is judged by.
Measure = Literal["distance", "softmax"]


@dataclass(frozen=True, kw_only=True)
class Trust(Result):
    """Labelled inputs with their distance to the closest flip point and the softmax of their class, one row each.

    Attributes:
        distances: (n,) to the closest flip point; inf where none was found.
        confidence: (n,) largest softmax output, in [1 / classes, 1].
        labels: (n,) class that the classifier gives.
        truth: (n,) class that it should give.
        closest: (n,) class on the other side of the closest flip point.
        status: (n,) index into `REASONS`, as of `FlipPoints`.
        class_names: of the classifier.
    """

    distances: Float[Tensor, " n"]
    confidence: Float[Tensor, " n"]
    labels: Int[Tensor, " n"]
    truth: Int[Tensor, " n"]
    closest: Int[Tensor, " n"]
    status: Int[Tensor, " n"]
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, found: FlipPoints, confidence: Float[Tensor, " n"], truth: Int[Tensor, " n"]) -> Trust:
        """Flip points, one row a query, beside softmax and the right classes."""
        return cls(
            provenance=found.provenance,
            distances=found.distances,
            confidence=confidence,
            labels=found.labels,
            truth=truth,
            closest=found.targets,
            status=found.status,
            class_names=found.class_names,
        )

    def __len__(self) -> int:
        return len(self.distances)

    def __str__(self) -> str:
        """How many of what, those without a flip point too."""
        text = f"{len(self)} inputs, {int((~self.correct).sum())} mistakes"
        for status in range(CORNER + 1, len(REASONS)):
            count = int((self.status == status).sum())
            if count:
                text += f"; {count}: {REASONS[status]}"
        return text

    @property
    def correct(self) -> Bool[Tensor, " n"]:
        """Whether the classifier gives the label that it should."""
        return self.labels == self.truth

    @property
    def found(self) -> Bool[Tensor, " n"]:
        """Whether a row has a flip point."""
        return self.status <= CORNER

    @property
    def alternative(self) -> Float[Tensor, ""]:
        """Share of the mistakes with a flip point whose closest class is the right one; NaN without any."""
        wrong = ~self.correct & self.found
        return (self.closest == self.truth)[wrong].float().mean()

    def roc(self, measure: Measure) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"], Float[Tensor, " k"]]:
        """The curve of finding mistakes by taking all rows up to a threshold of the measure for one.

        Rows in which no flip point was found count as the farthest; rows that were not attempted are left out.

        Returns:
            Share of the correct rows taken for mistakes, share of the mistakes found, and thresholds (ascending;
            the first is -inf, below which there is nothing).

        Raises:
            FlipPointError: another measure, or no mistakes, or nothing else.
        """
        from sklearn.metrics import roc_curve

        if measure not in ("distance", "softmax"):
            raise FlipPointError(f"measure={measure!r}; expected 'distance' or 'softmax'")
        tried = self.status != SKIPPED
        mistakes = ~self.correct[tried]
        if not 0 < int(mistakes.sum()) < len(mistakes):
            raise FlipPointError(
                f"{int(mistakes.sum())} of {len(mistakes)} inputs are mistakes; a curve of finding them needs "
                "mistakes and correct ones, so give more inputs"
            )
        values = (self.distances if measure == "distance" else self.confidence)[tried].double()
        # scikit-learn wants finite scores that are high for what is sought
        scores = -values.nan_to_num(posinf=torch.finfo(torch.float64).max)
        false, true, thresholds = roc_curve(mistakes.numpy(), scores.numpy())
        limits = -torch.from_numpy(thresholds)
        limits[limits == torch.finfo(torch.float64).max] = torch.inf
        return torch.from_numpy(false), torch.from_numpy(true), limits

    def auc(self, measure: Measure) -> float:
        """Area under `roc`: how often a mistake has less of the measure than a correct row."""
        from sklearn.metrics import auc

        false, true, _ = self.roc(measure)
        return float(auc(false.numpy(), true.numpy()))

    def __getitem__(self, rows: Tensor) -> Trust:
        """Some of the rows: indices or a mask."""
        return replace(self, **{name: getattr(self, name)[rows] for name in COLUMNS})

    def frame(self) -> pd.DataFrame:
        """One row an input: classes by name, distance and softmax, and what is to be said of it."""
        import pandas as pd

        def named(classes: Tensor) -> list[str]:
            return [self.class_names[int(k)] for k in classes]

        return pd.DataFrame(
            {
                "label": named(self.labels),
                "truth": named(self.truth),
                "closest": [n if f else "" for n, f in zip(named(self.closest), self.found, strict=True)],
                "correct": self.correct.numpy(),
                "distance": self.distances.numpy(),
                "softmax": self.confidence.numpy(),
                "found": self.found.numpy(),
                "reason": [REASONS[int(s)] for s in self.status],
            }
        )


def trust(
    classifier: Classifier,
    x: Any,
    y: Any,
    found: FlipPoints | None = None,
    *,
    effort: Effort = "fast",
    bounds: Bounds = "range",
    mask: Any = None,
    basis: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trust:
    """Distances to the closest flip points beside softmax over a labelled set (section 4, figure 3).

    Args:
        classifier: the classifier.
        x: (n, *input).
        y: (n,) the classes that it should give, by index.
        found: flip points of `x`, one row a query (such as `found.closest()`); None computes them.
        effort, bounds, mask, basis, seed, progress: of `closest`, where they are computed.

    Raises:
        FlipPointError: labels that are not (n,) or of no class, or flip points of other inputs or of a change of
            an output.
    """
    x = torch.as_tensor(x)
    truth = check_truth(y, len(x), len(classifier.class_names))
    if found is None:
        found = closest(
            classifier, x, effort=effort, bounds=bounds, mask=mask, basis=basis, seed=seed, progress=progress
        )
    if not torch.equal(found.query, torch.arange(len(x))):
        raise FlipPointError(
            f"the flip points have {len(found)} rows, expected one for each of the {len(x)} inputs, in their "
            "order; of several targets take found.closest()"
        )
    if found.inputs.shape != x.shape or not torch.allclose(found.inputs.double(), x.cpu().double(), atol=1e-5):
        raise FlipPointError(
            f"the flip points are of other inputs than x, {tuple(found.inputs.shape)} and {tuple(x.shape)}; give "
            "the x that they were computed for"
        )
    check_flips(found)
    return Trust.of(found, classifier.probabilities(x).amax(1).cpu(), truth)


def within(found: FlipPoints, tolerance: float | Float[Tensor, " n"]) -> FlipPoints:
    """The rows whose flip point is no farther than the measurement of its query is uncertain (section 4).

    What comes back is proved: the point lies on the boundary. What does not is not proved to be farther, as
    a nearer point may have been missed. With flip points toward all targets, the rows say every class
    that a query may belong to.

    Args:
        tolerance: one for all, or one a query (n,), in the units of the distances.

    Raises:
        FlipPointError: negative or NaN, or neither one nor one a query.
    """
    limits = torch.as_tensor(tolerance, dtype=found.distances.dtype)
    if not bool((limits >= 0).all()) or limits.shape not in ((), found.inputs.shape[:1]):
        raise FlipPointError(
            f"tolerance={tolerance!r}; expected a number of at least 0, or one for each of the "
            f"{len(found.inputs)} queries"
        )
    return found[found.distances <= limits.expand(len(found.inputs))[found.query]]
