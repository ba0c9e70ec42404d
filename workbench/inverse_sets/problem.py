"""From codes to what the method asks about: pictures, features whose distances count, and activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.inverse_sets.bands import Band, InverseSetError, as_bands, gives_score
from workbench.models import Classifier, Generator, ModelError
from workbench.models.latent import Resize, check_together, pictures_for

#: A sample keeps this far from the ends of its band, as a share of its width: in a batch of another size the
#: last digits of an activation differ.
_INSIDE = 1e-3


@dataclass(frozen=True)
class Encoder:
    """E: from pictures to codes, by the first layers of a classifier (section 3.2).

    Args:
        classifier: of the pictures.
        layer: whose output is the code.
    """

    classifier: Classifier
    layer: str

    def __post_init__(self) -> None:
        if not isinstance(self.classifier, Classifier):
            raise InverseSetError(f"a {type(self.classifier).__name__} was given, expected a Classifier")
        object.__setattr__(self, "layer", self.classifier.layers[self.layer].name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a code."""
        return self.classifier.layers[self.layer].shape

    def __call__(self, pictures: Float[Tensor, "n *picture"]) -> Float[Tensor, "n *code"]:
        """The codes of pictures in the classifier's range, without gradients."""
        with torch.no_grad():
            return self.classifier.batches.map(self.classifier.until(self.layer), pictures)


class Seen(NamedTuple):
    """What one pass gives.

    Attributes:
        outputs: (n, *output) the generator's.
        features: (n, d) whose distances make the diversity.
        values: (n, bands) the activations.
    """

    outputs: Float[Tensor, "n *output"]
    features: Float[Tensor, "n d"]
    values: Float[Tensor, "n bands"]


class Problem:
    """A generator, the bands, and the space that distances are taken in.

    Args:
        generator: G; one with classes has its class fixed.
        neurons: the bands, in any layers of any classifiers.
        encoder: E, or None.
        distance: `encoder`, `latent` (the codes themselves, equation 14), `pixel`, or a layer of the first band's
            classifier; by default the encoder.
        resize: of the pictures for classifiers of another size.

    Raises:
        InverseSetError: no encoder and no distance, or networks on different devices or in different precisions.
        ModelError, LayerError: the pictures do not fit, or there is no such layer.
    """

    def __init__(
        self,
        generator: Generator,
        neurons: Band | Sequence[Band],
        *,
        encoder: Encoder | None = None,
        distance: str | None = None,
        resize: Resize | None = None,
    ) -> None:
        if not isinstance(generator, Generator):
            raise InverseSetError(
                f"a {type(generator).__name__} was given, expected a Generator; wrap yours: "
                "wb.Generator(module, latent_shape=…)"
            )
        if encoder is not None and not isinstance(encoder, Encoder):
            raise InverseSetError(
                f"encoder is a {type(encoder).__name__}; expected wb.inverse_sets.Encoder(classifier, layer)"
            )
        self.generator, self.bands, self.encoder = generator, as_bands(neurons), encoder
        self._resize = resize
        _ = generator.bound  # fails where a class has to be fixed
        first = self.bands[0].classifier
        if distance is None and encoder is None:
            raise InverseSetError(
                "without an encoder, say where distances are taken: distance='pixel', 'latent', or a layer of "
                f"{first.name}: {', '.join(first.layers.names)}"
            )
        self.distance = distance or "encoder"
        if self.distance == "encoder" and encoder is None:
            raise InverseSetError("distance='encoder' needs an encoder: encoder=Encoder(classifier, layer)")
        where = None
        if encoder is not None and self.distance == "encoder":
            where = (encoder.classifier, encoder.layer)
        elif self.distance not in ("pixel", "latent"):
            where = (first, first.layers[self.distance].name)
        self._where = where
        self._layers: dict[Classifier, list[str]] = {}
        for b in self.bands:
            self._layers.setdefault(b.classifier, []).append(b.neuron.layer)
        self._asked = {classifier: list(layers) for classifier, layers in self._layers.items()}
        if where is not None:
            self._layers.setdefault(where[0], []).append(where[1])
        self._fit: dict[Classifier, Callable[[Tensor], Tensor]] = {}
        for classifier in self._layers:
            try:
                check_together(classifier, generator)
            except ModelError as error:
                raise InverseSetError(str(error)) from None
            self._fit[classifier] = pictures_for(classifier, generator, resize=resize)
        self.low = torch.tensor([b.low for b in self.bands], device=generator.device, dtype=generator.dtype)
        self.high = torch.tensor([b.high for b in self.bands], device=generator.device, dtype=generator.dtype)
        #: Rows that went through the networks, forward and backward.
        self.passes = {"forward": 0, "vjp": 0}

    def __call__(self, codes: Float[Tensor, "n *latent"]) -> Seen:
        """Pictures, features and activations of codes, differentiable in them."""
        return self.see(self.generator(codes), codes)

    def see(self, outputs: Float[Tensor, "n *output"], codes: Float[Tensor, "n *latent"]) -> Seen:
        """The same of pictures that are there already, in the generator's range, and their codes."""
        self.passes["forward"] += len(codes)
        read = self._read(self._layers, outputs)
        if self._where is not None:
            features = read[self._where[0]][self._where[1]]
        else:
            features = codes if self.distance == "latent" else outputs
        return Seen(outputs, features.flatten(1), self._values(read))

    def _read(
        self, layers: dict[Classifier, list[str]], outputs: Float[Tensor, "n *output"]
    ) -> dict[Classifier, dict[str, Tensor]]:
        """The outputs of layers for pictures, one pass a classifier."""
        return {
            classifier: classifier.read(self._fit[classifier](outputs), list(dict.fromkeys(names)))
            for classifier, names in layers.items()
        }

    def _values(self, read: dict[Classifier, dict[str, Tensor]]) -> Float[Tensor, "n bands"]:
        """The activations in what was read."""
        return torch.stack([b.neuron.read(read[b.classifier][b.neuron.layer]) for b in self.bands], dim=1)

    def look(self, codes: Float[Tensor, "n *latent"]) -> Seen:
        """The same without gradients, in batches that fit the device's memory."""
        parts: list[Seen] = []

        def run(rows: Tensor) -> Tensor:
            parts.append(self(rows))
            return rows

        with torch.no_grad():
            self.generator.batches.map(run, codes)
        return Seen(*(torch.cat(part) for part in zip(*parts, strict=True)))

    @property
    def space(self) -> str:
        """Where distances are taken, in words."""
        if self._where is None:
            return self.distance
        return f"layer {self._where[1]} of {self._where[0].name}"

    def values_of(self, outputs: Float[Tensor, "n *output"]) -> Float[Tensor, "n bands"]:
        """The activations that the classifiers give to pictures, without gradients, in batches that fit."""
        self.passes["forward"] += len(outputs)
        generator = self.generator

        def look(rows: Tensor) -> Tensor:
            return self._values(self._read(self._asked, rows.to(generator.device, generator.dtype)))

        with torch.no_grad():
            return generator.batches.map(look, outputs)

    def encode(self, outputs: Float[Tensor, "n *output"]) -> Float[Tensor, "n *code"]:
        """The encoder's codes of pictures in the generator's range, without gradients.

        Raises:
            InverseSetError: no encoder.
        """
        if self.encoder is None:
            raise InverseSetError("an encoder is needed here: encoder=Encoder(classifier, layer)")
        self.passes["forward"] += len(outputs)
        fit = pictures_for(self.encoder.classifier, self.generator, resize=self._resize)
        return self.encoder(fit(outputs))

    def log_probability(self, codes: Float[Tensor, "n *latent"]) -> tuple[Tensor, Float[Tensor, " n"]]:
        """Pictures, and for the first neuron the log of its share in its layer's softmax where that gives the
        scores, or its activation; differentiable in the codes."""
        self.passes["forward"] += len(codes)
        neuron, classifier = self.bands[0].neuron, self.bands[0].classifier
        outputs = self.generator(codes)
        read = classifier.read(self._fit[classifier](outputs), [neuron.layer])[neuron.layer]
        if gives_score(classifier, neuron):
            return outputs, read.log_softmax(1)[:, neuron.channel]
        return outputs, neuron.read(read)

    def levels(self, values: Float[Tensor, "n bands"]) -> Float[Tensor, "n bands"]:
        """Activations from the middle of their bands, in half widths: -1 and 1 at the ends."""
        return (values - (self.low + self.high) / 2) / ((self.high - self.low) / 2)

    def inside(self, values: Float[Tensor, "n bands"]) -> Bool[Tensor, " n"]:
        """Whether all of a row's activations lie in their bands, by a thousandth of the width at least."""
        margin = _INSIDE * (self.high - self.low)
        return ((values >= self.low + margin) & (values <= self.high - margin)).all(1)

    def outside_by(self, values: Float[Tensor, "n bands"]) -> Float[Tensor, " n"]:
        """How far a row is from its bands, in widths, the worst of them; 0 inside."""
        beyond = torch.maximum(self.low - values, values - self.high).clamp_min(0) / (self.high - self.low)
        return beyond.amax(1)
