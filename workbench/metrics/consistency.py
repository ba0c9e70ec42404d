"""How like a reference samples are."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


def cosine_similarity(features: Float[Tensor, "n *features"], reference: Float[Tensor, " *features"]) -> float:
    """The mean cosine between the features of the samples and those of a reference, in [-1, 1].

    Equation (2) of Jeon, Jeong and Choi, AAAI 2020, where the features are a layer of the discriminator's.

    Raises:
        ValueError: no samples, or features of another shape than the reference's.
    """
    if not len(features) or features.shape[1:] != reference.shape:
        raise ValueError(
            f"features of shape {tuple(features.shape)} were given with a reference of {tuple(reference.shape)}; "
            "expected at least one row of the reference's shape"
        )
    rows, one = features.double().flatten(1), reference.double().flatten()
    return float(nn.functional.cosine_similarity(rows, one[None]).mean())
