"""What is allowed to count as a change of the output: pixels, coarse pixels, or a layer of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from workbench.models import Classifier, Generator
from workbench.models.generator import Condition
from workbench.models.latent import pictures_for

#: A differentiable map (batch, *output) -> (batch, *features).
Features = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Pixels:
    """The output itself."""

    def __call__(self, x: Float[Tensor, "batch *output"]) -> Float[Tensor, "batch *output"]:
        """Features of a batch of outputs."""
        return x

    def __repr__(self) -> str:
        return "wb.subspaces.Pixels()"


@dataclass(frozen=True)
class Downsampled:
    """Means over squares (or runs, for signals) of `factor` pixels: changes of large areas only."""

    factor: int = 4

    def __call__(self, x: Float[Tensor, "batch *output"]) -> Float[Tensor, "batch *coarse"]:
        """Features of a batch of outputs."""
        smallest = min(x.shape[2:]) if x.ndim > 2 else x.shape[1]
        if not 1 <= self.factor <= smallest:
            raise ValueError(f"factor={self.factor} for an output of {smallest} pixels; use 1 to {smallest}")
        if x.ndim == 4:
            return F.avg_pool2d(x, self.factor)
        pooled = F.avg_pool1d(x if x.ndim == 3 else x[:, None], self.factor)
        return pooled if x.ndim == 3 else pooled[:, 0]

    def __repr__(self) -> str:
        return f"wb.subspaces.Downsampled({self.factor})"


class LayerFeatures:
    """The output of one layer of a classifier, fed with the generator's images.

    The images are moved from the generator's value range to the classifier's. Their shapes must
    agree.
    """

    def __init__(self, generator: Generator, classifier: Classifier, layer: str) -> None:
        self._fit = pictures_for(classifier, generator)
        self.layer = classifier.layers[layer].name
        self._read = classifier.until(self.layer)
        self.classifier = classifier

    def __call__(self, x: Float[Tensor, "batch *output"]) -> Float[Tensor, "batch *layer"]:
        """Features of a batch of outputs."""
        return self._read(self._fit(x))

    def __repr__(self) -> str:
        return f"wb.subspaces.LayerFeatures(G, C, {self.layer!r})"


def written(features: Features) -> str:
    """Features as Python writes them; some of one's own stand under the name `features`."""
    return repr(features) if isinstance(features, Pixels | Downsampled | LayerFeatures) else "features"


def composed(generator: Generator, features: Features, condition: Condition = None) -> Features:
    """phi o G: the batched function of the latents whose Jacobian is searched."""
    if isinstance(features, Pixels):
        return generator if condition is None else lambda z: generator(z, condition)
    return lambda z: features(generator(z, condition))


def distances(features: Features, outputs: Tensor, reference: Tensor) -> Float[Tensor, " batch"]:
    """Euclidean feature distance of each row of `outputs` from the row(s) of `reference`."""
    with torch.no_grad():
        return (features(outputs) - features(reference)).flatten(1).norm(dim=1)
