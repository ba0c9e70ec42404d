"""How real pictures look to a network: Fréchet distance and Inception Score in the features of one's choice.

Both are torchmetrics' own. With Inception v3 as the network they are the FID and IS of the papers; with another
network they are the same formulas in that network's features, and a report has to name it.
"""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class _Given(nn.Module):
    """Hands torchmetrics features that were computed already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Float[Tensor, "n d"], generated: Float[Tensor, "m d"]) -> float:
    """The Fréchet distance of two sets of features, taken as normal: FID, where they are Inception's.

    Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017. It is biased upwards for
    few samples.

    Raises:
        ValueError: fewer than two rows, rows of different widths, or NaN.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    for features in (real, generated):
        if features.ndim != 2 or len(features) < 2 or features.shape[1] != real.shape[1]:
            raise ValueError(
                f"features of shape {tuple(real.shape)} and {tuple(generated.shape)} were given; expected two "
                "matrices of one width with two rows at least"
            )
        bad = (~torch.isfinite(features)).any(1).nonzero()[:, 0].tolist()
        if bad:
            raise ValueError(
                f"the features hold NaN or infinity in {len(bad)} of {len(features)} rows, first in row {bad[0]}; "
                "expected finite numbers: look at the pictures of these rows, and at the network"
            )
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1])).set_dtype(torch.float64)
    metric.update(real.double().cpu(), real=True)
    metric.update(generated.double().cpu(), real=False)
    return float(metric.compute())


def inception_score(scores: Float[Tensor, "n classes"], *, splits: int = 10, seed: int = 0) -> float:
    """The Inception Score of pictures, from a classifier's scores before softmax: mean over splits.

    Salimans et al., "Improved techniques for training GANs", NeurIPS 2016. Between 1 and the number of classes.

    Args:
        scores: of the pictures, Inception's where it is to be called IS without more.
        splits: parts whose scores are averaged.
        seed: of the order in which the pictures are split.

    Raises:
        ValueError: fewer rows than splits.
    """
    from torchmetrics.image.inception import InceptionScore

    if scores.ndim != 2 or splits < 1 or len(scores) < splits:
        raise ValueError(
            f"scores of shape {tuple(scores.shape)} for {splits} splits; expected a row for each at least"
        )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the memory for the scores, and of the deviation over one split
        metric = InceptionScore(feature=_Given(scores.shape[1]), splits=splits)
        # beyond this a probability is 0 in double precision, and 0 times its logarithm not a number
        metric.update(scores.double().cpu().sub(scores.amax(1, keepdim=True).cpu()).clamp_min(-700))
        torch.manual_seed(seed)
        return float(metric.compute()[0])


def accuracy(scores: Float[Tensor, "n classes"], labels: Int[Tensor, " n"]) -> float:
    """Share of pictures that a classifier takes for their class: Inception Accuracy, where it is Inception."""
    return float((scores.argmax(1) == labels.to(scores.device)).double().mean())
