"""What the points of a model look like: images and signals themselves, latents as the pictures they make."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models.checks import is_image
from workbench.models.classifier import Classifier, as_classifier
from workbench.models.generator import Generator
from workbench.models.latent import LatentClassifier


class Pictures:
    """From points, a generator's latents or a classifier's inputs, to what is shown of them.

    Args:
        model: a generator, or a classifier of images, signals or a generator's latents.

    Attributes:
        value_range: of the pictures.
        shape: of one picture: (1 or 3, H, W), or that of a signal.
        drawable: whether a person can draw a point, or paint on it: it is an image itself.

    Raises:
        ModelError: no model of the workbench.
    """

    def __init__(self, model: Generator | Classifier) -> None:
        self._generator: Generator | None = None
        if isinstance(model, Generator):
            self._generator = model
        elif isinstance(model, LatentClassifier):
            self._generator = model.generator
        if self._generator is not None:
            self.shape, self.value_range = self._generator.output_shape, self._generator.value_range
        else:
            model = as_classifier(model)
            self.shape, self.value_range = model.input_shape, model.value_range
        self.drawable = self._generator is None and is_image(self.shape)

    def __call__(self, x: Float[Tensor, "n *point"]) -> Float[Tensor, "n *picture"]:
        """The pictures of points, on the CPU in single precision; those of NaN are the range's lowest value."""
        low = self.value_range[0]
        if self._generator is None:
            shown = x
        else:
            shown = self._generator.render(torch.nan_to_num(x).to(self._generator.dtype))
            shown = torch.where(torch.isnan(x.flatten(1)).any(1).reshape(-1, *[1] * (shown.ndim - 1)), low, shown)
        return torch.nan_to_num(shown.detach().float().cpu(), nan=low)
