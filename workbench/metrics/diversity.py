"""How much the outputs of several samples differ."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def deviation_image(
    outputs: Float[Tensor, "n *output"], value_range: tuple[float, float] = (0.0, 1.0)
) -> Float[Tensor, " *output"]:
    """The standard deviation of each pixel over the samples, as a share of the value range, in [0, 0.5].

    Equation (3) of Jeon, Jeong and Choi, AAAI 2020, with the square that it lacks in print: as printed it is
    the root of a mean deviation from the mean, which is zero.

    Raises:
        ValueError: no samples.
    """
    if not len(outputs):
        raise ValueError("no samples were given; a deviation needs at least one, and says something from two on")
    low, high = value_range
    return outputs.double().var(0, correction=0).sqrt() / (high - low)


def pixel_deviation(outputs: Float[Tensor, "n *output"], value_range: tuple[float, float] = (0.0, 1.0)) -> float:
    """The mean of `deviation_image` over the pixels."""
    return float(deviation_image(outputs, value_range).mean())


def mean_distance(features: Float[Tensor, "n d"]) -> float:
    """The mean Euclidean distance over all pairs of rows; NaN for fewer than two.

    Table 1 of Hada and Carreira-Perpiñán, "Sampling the inverse set of a neuron", 2019.
    """
    return float(torch.pdist(features.double()).mean()) if len(features) > 1 else math.nan


def concentration(image: Float[Tensor, " *output"], share: float = 0.1) -> float:
    """How local a deviation image is: the part of its sum of squares that the largest `share` of its pixels hold.

    It lies between `share` (all pixels alike) and 1 (nothing but those); NaN where no pixel deviates.
    """
    energy = image.double().flatten().square().sort(descending=True).values
    return float(energy[: max(1, round(share * len(energy)))].sum() / energy.sum())
