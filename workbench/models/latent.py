"""A classifier on a generator's latents: what it says of the picture that a latent makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.checks import is_image
from workbench.models.classifier import Classifier
from workbench.models.errors import ModelError
from workbench.models.generator import Generator
from workbench.models.model import choose

#: How pictures are resized for a classifier of another size, as in `torch.nn.functional.interpolate`.
Resize = Literal["nearest", "bilinear"]


def pictures_for(
    classifier: Classifier, generator: Generator, *, resize: Resize | None = None
) -> Callable[[Tensor], Tensor]:
    """The map of a generator's outputs to what a classifier takes: its value range, and with `resize` its shape.

    Args:
        resize: images are resized in this way, and grey ones repeated where the classifier takes three channels;
            None takes no other shape than the classifier's.

    Raises:
        ModelError: the generator's pictures do not fit the classifier's inputs.
    """
    made, taken = generator.output_shape, classifier.input_shape
    images = is_image(made) and len(taken) == 3 and taken[0] in (made[0], 3)
    if made != taken and not (images and resize):
        raise ModelError(
            f"{generator.name} makes {made}, {classifier.name} takes {taken}; wrap the classifier in a module "
            + ("that turns the one into the other" if resize else "that resizes first")
        )
    (a, b), (low, high) = generator.value_range, classifier.value_range
    scale = (high - low) / (b - a)

    def fit(outputs: Tensor) -> Tensor:
        given = outputs * scale + (low - a * scale)
        if made[0] != taken[0]:
            given = given.expand(-1, *taken[:1], *made[1:])
        if made[1:] != taken[1:] and resize is not None:
            given = nn.functional.interpolate(given, taken[1:], mode=resize)
        return given

    return fit


def check_together(
    classifier: Classifier, generator: Generator, *, alike: Sequence[str] = ("device", "dtype")
) -> None:
    """Raise ModelError where the two differ in their device or precision, or in what of these has to be alike."""
    for what in alike:
        ours, theirs = getattr(classifier, what), getattr(generator, what)
        if ours != theirs:
            raise ModelError(
                f"{classifier.name} has {what} {ours}, {generator.name} has {theirs}; load both with the same"
            )


class LatentClassifier(Classifier):
    """`classifier.on(generator)`: the classifier of the generator's pictures, as a function of their latents.

    Its inputs are latents (batch, *latent), without bounds; its classes are the classifier's.

    Args:
        classifier: takes pictures.
        generator: makes them; one with classes has its class fixed by `generator.of_class(…)` first.

    Attributes:
        classifier, generator: the two.

    Raises:
        ModelError: the shapes do not fit, or the two are on different devices or in different precisions.
    """

    def __init__(self, classifier: Classifier, generator: Generator) -> None:
        check_together(classifier, generator)
        self.classifier, self.generator = classifier, generator
        super().__init__(
            _Composed(classifier, generator),
            generator.latent_shape,
            class_names=classifier.class_names,
            value_range=None,
            device=classifier.device,
            name=f"{classifier.name} on {generator.name}",
            batch_size=min(classifier.batches.size, generator.batches.size),
        )

    def to(self, device: str | torch.device) -> Self:
        """This classifier itself, moved to another device, and `classifier` and `generator` with it."""
        super().to(device)
        for part in (self.classifier, self.generator):
            part.to(self.device)
        return self

    def pictures(self, z: Any) -> Float[Tensor, "batch *output"]:
        """The generator's pictures of latents `z`, without gradients."""
        return self.generator.render(z)


class _Composed(nn.Module):
    """The generator's network, the map between the value ranges, then the classifier's network."""

    def __init__(self, classifier: Classifier, generator: Generator) -> None:
        super().__init__()
        self.generator, self.classifier = generator.module, classifier.module
        self._bound: Tensor | None
        self.register_buffer("_bound", generator.bound, persistent=False)
        self._picture, self._score = generator.output_choice, classifier.output_choice
        self._fit = pictures_for(classifier, generator)

    def forward(self, z: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch classes"]:
        """Scores of the pictures of a batch of latents."""
        given = [] if self._bound is None else [self._bound.expand(len(z), *self._bound.shape)]
        given = [g.to(z.dtype) if g.is_floating_point() else g for g in given]
        picture = choose(self.generator(z, *given), self._picture, name="the generator")
        fitted = self._fit(picture)
        if fitted.dtype != z.dtype:
            fitted = fitted.to(z.dtype)
        return choose(self.classifier(fitted), self._score, name="the classifier")
