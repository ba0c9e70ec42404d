"""Classifiers: networks from images or signals to a score for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models import checks
from workbench.models.errors import ModelError
from workbench.models.layers import Layer
from workbench.models.model import Model, OutputChoice
from workbench.models.neurons import Neuron

if TYPE_CHECKING:
    from workbench.models.generator import Generator
    from workbench.models.latent import LatentClassifier


class Classifier(Model):
    """A classifier that you bring.

    Args:
        module: called as `module(x)`, returning scores (batch, classes) before softmax.
        input_shape: shape of one input, such as (1, 28, 28), or (length,) for a signal.
        class_names: names of the classes; by default their numbers.
        value_range: smallest and largest value of an input, or None where inputs have no bounds.
        output: which part of what the module returns holds the scores.
        device, name, batch_size: as for `Generator`.

    Raises:
        ModelError: the module cannot be run as declared, its output is not (batch, classes), or its
            weights or outputs hold NaN.
    """

    def __init__(
        self,
        module: nn.Module,
        input_shape: int | Sequence[int],
        *,
        class_names: Sequence[str] | None = None,
        value_range: tuple[float, float] | None = (0.0, 1.0),
        output: OutputChoice = None,
        device: str | torch.device = "auto",
        name: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(module, device=device, output=output, name=name, batch_size=batch_size)
        self.input_shape = checks.resolve_shape(input_shape, name="input_shape")
        #: Bounds of an input, None where there are none.
        self.input_bounds = None if value_range is None else checks.resolve_range(value_range)
        #: The range that inputs are drawn and shown in.
        self.value_range = self.input_bounds or (-1.0, 1.0)
        low, high = self.value_range
        drawn = torch.rand(2, *self.input_shape, generator=torch.Generator().manual_seed(0))
        scores = self._probe((low + (high - low) * drawn).to(device=self.device, dtype=self.dtype))
        if scores.ndim != 2:
            raise ModelError(
                f"{self.name} returns shape {tuple(scores.shape)}, expected scores (batch, classes); choose "
                "or reshape the part that holds them with output=…"
            )
        names = [str(n) for n in class_names] if class_names is not None else None
        if names is not None and len(names) != scores.shape[1]:
            raise ModelError(f"{len(names)} class names were given for {scores.shape[1]} scores")
        self.class_names = names or [str(i) for i in range(scores.shape[1])]

    def __repr__(self) -> str:
        return (
            f"Classifier({self.name}: {self.input_shape} -> {len(self.class_names)} classes, "
            f"{self.parameters:,} parameters, {self.device})"
        )

    def __call__(self, x: Any) -> Float[Tensor, "batch classes"]:
        """Scores for the inputs `x` (batch, *input_shape), differentiable in `x`."""
        return self._forward(checks.finite(self._as_inputs(x), name="x"))

    def scores(self, x: Any) -> Float[Tensor, "batch classes"]:
        """`self(x)` without gradients, in batches that fit the device's memory."""
        x = checks.finite(self._as_inputs(x), name="x")
        with torch.no_grad():
            return self.batches.map(self._forward, x)

    def probabilities(self, x: Any) -> Float[Tensor, "batch classes"]:
        """Softmax of the scores."""
        return self.scores(x).softmax(1)

    def on(self, generator: Generator) -> LatentClassifier:
        """This classifier as a function of a generator's latents.

        Raises:
            ModelError: the generator's pictures do not fit, or it has classes and none is fixed.
        """
        from workbench.models.latent import LatentClassifier

        return LatentClassifier(self, generator)

    def with_layers(
        self, x: Any, layers: Sequence[str | int | Layer]
    ) -> tuple[Float[Tensor, "batch classes"], dict[str, Tensor]]:
        """The scores, and the outputs of several layers by name, from one pass; differentiable in `x`."""
        names = [self.layers[layer].name for layer in layers]
        raw, outputs = self._access.run(self._as_inputs(x), record=names)
        return self._choose(raw), outputs

    def activations(self, x: Any, neurons: Sequence[Neuron]) -> Float[Tensor, "batch neurons"]:
        """The values of several neurons, in one pass, differentiable in `x`."""
        checked = [self.neuron(n) for n in neurons]
        outputs = self.read(x, list(dict.fromkeys(n.layer for n in checked)))
        return torch.stack([n.read(outputs[n.layer]) for n in checked], dim=1)

    def _given(self, x: Any, condition: Any) -> list[Tensor]:
        if condition is not None:
            raise ModelError(f"{self.name} takes inputs alone, but a class was given: {condition!r}")
        return [self._as_inputs(x)]

    def _as_inputs(self, x: Any) -> Tensor:
        return checks.as_batch(x, self.input_shape, name="x", device=self.device, dtype=self.dtype)


def as_classifier(model: Any) -> Classifier:
    """`model`, where it is a `Classifier`.

    Raises:
        ModelError: it is something else.
    """
    if not isinstance(model, Classifier):
        raise ModelError(
            f"a {type(model).__name__} was given, expected a Classifier: wb.Classifier(module, input_shape=…) "
            "around a network from images or signals to scores, or C.on(G) for the latents of a generator"
        )
    return model
