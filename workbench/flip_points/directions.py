"""Principal components of the directions that flip a classifier: the influential features of a set of inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.flip_points.problem import FlipPointError
from workbench.flip_points.result import FlipPoints
from workbench.results import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Directions(Result):
    """Principal components of flip points minus queries; rows without a flip point are left out.

    Attributes:
        rows: (n,) which rows of the flip points these are.
        labels, targets: (n,) classes on the two sides.
        mean: (*input) the mean direction.
        components: (k, *input) orthonormal, the most variance first.
        explained: (k,) share of the variance about the mean that each explains.
        scores: (n, k) coordinates of the directions less their mean.
        singular_values: (min(n, inputs),) of the matrix with one direction a row, its mean not taken off.
        rank: how many of them are above rounding.
        left_out: rows that had no flip point.
        class_names: of the classifier.
    """

    rows: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    targets: Int[Tensor, " n"]
    mean: Float[Tensor, " *input"]
    components: Float[Tensor, "k *input"]
    explained: Float[Tensor, " k"]
    scores: Float[Tensor, "n k"]
    singular_values: Float[Tensor, " m"]
    rank: int
    left_out: int
    class_names: tuple[str, ...]

    @property
    def condition(self) -> float:
        """Largest over smallest singular value among those above rounding."""
        return float(self.singular_values[0] / self.singular_values[self.rank - 1])

    def frame(self) -> pd.DataFrame:
        """One row a direction: its row among the flip points, classes by name, scores."""
        import pandas as pd

        table = pd.DataFrame(
            {
                "row": self.rows.numpy(),
                "label": [self.class_names[int(k)] for k in self.labels],
                "target": [self.class_names[int(k)] if k >= 0 else "" for k in self.targets],
            }
        )
        for k, column in enumerate(self.scores.T, start=1):
            table[f"component {k}"] = column.numpy()
        return table


def directions(found: FlipPoints, components: int = 3) -> Directions:
    """Principal component analysis of the directions to the flip points (section 4).

    For part of a set, give part of the rows: `directions(found[found.labels == 3])`. Components have an
    input's shape, so that they are pictures, whatever basis the flip points were computed along.

    Args:
        found: flip points of a set, or many boundary points around one input.
        components: how many; fewer come back where there are fewer rows or inputs.

    Raises:
        FlipPointError: fewer than two rows have a flip point, fewer than one component, or directions that are all
            the same.
    """
    from sklearn.decomposition import PCA

    rows = found.found.nonzero()[:, 0]
    if len(rows) < 2 or components < 1:
        raise FlipPointError(
            f"{len(rows)} rows have a flip point and {components} components were asked for; expected at least 2 "
            "rows and at least 1 component"
        )
    some = found[rows]
    flips = some.directions.double()
    matrix = flips.flatten(1)
    if bool((matrix == matrix[0]).all()):
        raise FlipPointError(
            f"the {len(rows)} directions are all the same, so they have no principal components; the mean says all"
        )
    pca = PCA(n_components=min(components, *matrix.shape)).fit(matrix.numpy())
    singular_values = torch.linalg.svdvals(matrix)
    rounding = singular_values[0] * max(matrix.shape) * torch.finfo(matrix.dtype).eps
    return Directions(
        provenance=found.provenance,
        rows=rows,
        labels=some.labels,
        targets=some.targets,
        mean=flips.mean(0),
        components=torch.from_numpy(pca.components_).reshape(-1, *flips.shape[1:]),
        explained=torch.from_numpy(pca.explained_variance_ratio_),
        scores=torch.from_numpy(pca.transform(matrix.numpy())),
        singular_values=singular_values,
        rank=int((singular_values > rounding).sum()),
        left_out=len(found) - len(rows),
        class_names=found.class_names,
    )
