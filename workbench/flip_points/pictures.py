"""What the inputs of a classifier look like: images and signals themselves, latents as the pictures they make."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models import Classifier, LatentClassifier


class Pictures:
    """From inputs to what is shown of them.

    Args:
        classifier: takes images, signals, or a generator's latents.

    Attributes:
        value_range: of the pictures.
        shape: of one picture: (1 or 3, H, W), or that of a signal.
        drawable: whether a person can draw an input, or paint on it: it is an image itself.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._generator = classifier.generator if isinstance(classifier, LatentClassifier) else None
        self.shape = classifier.input_shape if self._generator is None else self._generator.output_shape
        source = classifier if self._generator is None else self._generator
        self.value_range = source.value_range
        image = len(self.shape) == 3 and self.shape[0] in (1, 3)
        self.drawable = self._generator is None and image

    def __call__(self, x: Float[Tensor, "n *input"]) -> Float[Tensor, "n *picture"]:
        """The pictures of inputs, on the CPU in single precision; those of NaN are the range's lowest value."""
        low = self.value_range[0]
        if self._generator is None:
            shown = x
        else:
            shown = self._generator.render(torch.nan_to_num(x).to(self._generator.dtype))
            shown = torch.where(torch.isnan(x.flatten(1)).any(1).reshape(-1, *[1] * (shown.ndim - 1)), low, shown)
        return torch.nan_to_num(shown.detach().float().cpu(), nan=low)

    def way(
        self, start: Float[Tensor, " *input"], end: Float[Tensor, " *input"], positions: Float[Tensor, " frames"]
    ) -> Float[Tensor, "frames *input"]:
        """Inputs on the line from `start` (position 0) through `end` (position 1), images clipped to range."""
        t = positions.reshape(-1, *[1] * start.ndim).to(start)
        points = start + t * (end.to(start) - start)
        return points.clamp(*self.value_range) if self.drawable else points
