"""Layers whose units have a sign, and how their pre-activations are read, masked and cut down to few units."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.models import Classifier, Erf, Generator, LatentClassifier, Layer, Uniform, WorkbenchError, checks
from workbench.models.generator import Condition
from workbench.numerics.randomness import seeded
from workbench.numerics.tangents import BATCH_NORMS, DROPOUTS, computes

#: Modules that decide by the sign of their input, or pass smoothly from one side of it to the other.
ACTIVATIONS = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.ReLU6,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Tanh,
    nn.Softsign,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Hardsigmoid,
    nn.Softplus,
    Erf,
)
#: Points drawn to see whether a layer's units change their sign at all.
_DRAWS = 64

AnyModel = Generator | Classifier


class BoundaryError(WorkbenchError, ValueError):
    """A question about generative boundaries that has no answer: a layer without signs, an empty set, …"""


@dataclass(frozen=True)
class SignLayer:
    """A layer of a model, read before its non-linearity.

    The boundary of unit i is where its pre-activation is zero (Definition 1). The paper reads it after the
    activation; after a ReLU that is never negative, so that the definition makes sense on the pre-activation only.

    Attributes:
        model: the network.
        layer: the layer that gives the pre-activation or takes it.
        before: the pre-activation is the input of `layer`, else its output.
        mask_at: the layer whose output stands for the units behind the non-linearity; the pre-activation
            itself where the non-linearity is a function in the network's `forward`.
        shape: (*units) of the pre-activation.
    """

    model: AnyModel
    layer: Layer
    before: bool
    mask_at: Layer
    shape: tuple[int, ...]
    condition: Condition = None

    @property
    def units(self) -> int:
        """How many units the layer has."""
        return math.prod(self.shape)

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    def pre_activations(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch units"]:
        """Pre-activations at `points`, one batch, differentiable."""
        if isinstance(self.model, Generator):
            return self.model.until(self.layer, before=self.before)(points, self.condition).flatten(1)
        return self.model.until(self.layer, before=self.before)(points).flatten(1)

    def output(
        self, point: Float[Tensor, " *point"], activation: Float[Tensor, "batch *units"]
    ) -> Float[Tensor, "batch *output"]:
        """What the network makes of `point` when the units behind the non-linearity are `activation`."""
        points = point.expand(len(activation), *point.shape)
        if isinstance(self.model, Generator):
            return self.model.replay(points, self.mask_at, activation, self.condition)
        return self.model.replay(points, self.mask_at, activation)

    def activation(self, pre: Float[Tensor, "batch units"]) -> Float[Tensor, "batch *units"]:
        """The units behind the non-linearity; the pre-activation itself where the non-linearity is a function."""
        shaped = pre.reshape(len(pre), *self.shape)
        module = _submodule(self.model, self.mask_at)
        return module(shaped) if isinstance(module, ACTIVATIONS) else shaped

    def reader(
        self, units: Int[Tensor, " kept"]
    ) -> Callable[[Float[Tensor, "batch *point"]], Float[Tensor, "batch kept"]]:
        """The pre-activations of some units alone, without gradients.

        Where the layer is an affine step of a plain sequential network, only these units (of a convolution:
        their channels) are computed; the rounding may differ from `pre_activations` in the last digits.
        """
        steps = self.steps()
        shorter = None if steps is None else _cut_down(steps, units, self.shape)
        if shorter is None:
            whole = self.pre_activations
            return lambda points: whole(points)[:, units]
        return shorter

    def steps(self) -> list[nn.Module] | None:
        """The modules from the input to the pre-activation, in plain sequential networks."""
        steps = self.model.head(self.layer)
        if steps is None:
            return None
        return list(steps[:-1] if self.before else steps)


def check_settings(*rules: tuple[str, object, bool, str]) -> None:
    """Raise BoundaryError for the first setting that does not hold; see `checks.check_settings`."""
    checks.check_settings(BoundaryError, *rules)


def dimensions(model: AnyModel) -> tuple[int, ...]:
    """The shape of a point: of a latent for a generator, of an input for a classifier."""
    return model.latent_shape if isinstance(model, Generator) else model.input_shape


def point_of(model: AnyModel, z: Any, *, name: str = "z") -> Float[Tensor, " *point"]:
    """One point of the model's input space, checked: finite, of the right shape, where inputs are allowed.

    Raises:
        ModelError: another shape, or not finite.
        BoundaryError: outside the bounds of the classifier's inputs or of a uniform prior.
    """
    if not isinstance(model, (Generator, Classifier)):
        raise BoundaryError(
            f"a {type(model).__name__} was given, expected a workbench Generator or Classifier around your network"
        )
    point = checks.as_single(z, dimensions(model), name=name, device=model.device, dtype=model.dtype).detach()
    low, high = limits(model)
    slack = 1e-6 * max(1.0, high - low) if math.isfinite(high - low) else 0.0
    outside = (point < low - slack) | (point > high + slack)
    if bool(outside.any()):
        raise BoundaryError(
            f"{name} has values from {float(point.min()):.4g} to {float(point.max()):.4g}, outside the box "
            f"[{low:g}, {high:g}] that {model.name} was made for; clip or rescale it"
        )
    return point.clamp(low, high)


def limits(model: AnyModel) -> tuple[float, float]:
    """Lowest and highest value of a point's components: of a uniform prior or of a classifier's inputs."""
    if isinstance(model, LatentClassifier):
        return limits(model.generator)
    if isinstance(model, Generator):
        prior = model.prior
        return (prior.low, prior.high) if isinstance(prior, Uniform) else (-math.inf, math.inf)
    return model.input_bounds or (-math.inf, math.inf)


def draws(model: AnyModel, n: int, *, seed: int) -> Float[Tensor, "n *point"]:
    """`n` points: latents of the prior, or inputs that are uniform in the classifier's value range."""
    if isinstance(model, Generator):
        return model.latents(n, seed=seed)
    if isinstance(model, LatentClassifier):
        return model.generator.latents(n, seed=seed)
    low, high = model.value_range
    drawn = torch.rand(n, *model.input_shape, generator=seeded(seed))
    return (low + (high - low) * drawn).to(device=model.device, dtype=model.dtype)


def sign_layers(model: AnyModel) -> list[str]:
    """The names of the layers whose boundaries can be asked for, in execution order: the activations.

    In a network whose activations are functions in its `forward`, the layers that feed no other layer directly.
    """
    activations = [la.name for la in model.layers if isinstance(_submodule(model, la), ACTIVATIONS)]
    return activations or [la.name for la in model.layers if not la.feeds and not _has_children(model, la)]


def sign_layer(model: AnyModel, layer: str | int | Layer, *, condition: Condition = None) -> SignLayer:
    """`layer` with its pre-activation: an activation (its input is read), or what stands right before one.

    Raises:
        LayerError: no such layer.
        BoundaryError: its output goes into another affine layer, or no unit ever changes its sign, as behind
            a softmax.
    """
    found = known_layer(model, layer, condition=condition)
    with torch.no_grad():
        values = found.pre_activations(draws(model, _DRAWS, seed=0))
    if not bool(((values > 0).any(0) & (values < 0).any(0)).any()):
        raise BoundaryError(
            f"no unit of layer {found.name!r} ({found.layer.kind}) has both signs over {_DRAWS} draws, so it has "
            "no boundaries, as behind a ReLU or a softmax; choose one of "
            f"{', '.join(map(repr, sign_layers(model)))}"
        )
    return found


def known_layer(model: AnyModel, layer: str | int | Layer, *, condition: Condition = None) -> SignLayer:
    """`sign_layer` of a layer whose units are known to change their signs: nothing is run.

    Raises:
        LayerError: no such layer.
        BoundaryError: its output goes into another affine layer.
    """
    wanted: Layer = model.layers[layer]
    if isinstance(model, Generator) and condition is None and model.class_names is not None:
        condition = model.bound
    module = _submodule(model, wanted)
    behind = [
        model.layers[name]
        for name in wanted.feeds
        if isinstance(_submodule(model, model.layers[name]), ACTIVATIONS)
    ]
    if isinstance(module, ACTIVATIONS):
        before, mask_at = True, wanted
    elif behind:
        before, mask_at = False, behind[0]
    elif wanted.feeds and not _has_children(model, wanted):
        following = [name for name in sign_layers(model) if _place(model, name) > _place(model, wanted.name)]
        hint = f"; the next one is {following[0]!r}" if following else ""
        raise BoundaryError(
            f"layer {wanted.name!r} ({wanted.kind}) goes straight into {wanted.feeds[0]!r}, which does not depend "
            f"on its sign. Boundaries are read right before a non-linearity{hint}; "
            f"layers with boundaries: {', '.join(map(repr, sign_layers(model)))}"
        )
    else:
        before, mask_at = False, wanted
    return SignLayer(model, wanted, before, mask_at, wanted.shape, condition)


def _place(model: AnyModel, name: str) -> int:
    return model.layers.names.index(name)


def _submodule(model: AnyModel, layer: Layer) -> nn.Module:
    return model.module.get_submodule(layer.name.partition("#")[0])


def _has_children(model: AnyModel, layer: Layer) -> bool:
    return any(True for _ in _submodule(model, layer).children())


#: Steps behind an affine one that act on each unit or channel alone, or only change the shape.
_UNITWISE = (*BATCH_NORMS, *DROPOUTS, nn.Flatten, nn.Unflatten, nn.Identity)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


def _cut_down(
    steps: list[nn.Module], units: Int[Tensor, " kept"], shape: tuple[int, ...]
) -> Callable[[Tensor], Tensor] | None:
    """The network up to the pre-activation with its last affine module cut down to what `units` need.

    None where the last steps are not an affine module, perhaps with a batch norm, or where nothing is saved.
    """
    last = max((i for i, step in enumerate(steps) if not computes(step, _UNITWISE)), default=None)
    if last is None:
        return None
    head, affine, rest = steps[:last], steps[last], steps[last + 1 :]
    norms: list[Any] = [m for m in rest if computes(m, BATCH_NORMS)]
    if len(norms) > 1 or any(n.running_mean is None for n in norms):
        return None
    norm = _as_scale(norms[0]) if norms else None
    reshaped = any(isinstance(m, (nn.Flatten, nn.Unflatten)) for m in rest)
    with torch.no_grad():
        if computes(affine, (nn.Linear,)) and affine.out_features == math.prod(shape):
            # the norm may stand before a reshape or behind it, so that its channels are not those of `shape`
            positions = math.prod(shape) // norms[0].num_features if norms else 1
            tail = _some_rows(affine, units, units // positions, norm)
        elif type(affine) in _CONVOLUTIONS and affine.groups == 1 and not reshaped:
            tail = _some_channels(affine, units, shape, norm)
        else:
            return None

    def run(points: Tensor) -> Tensor:
        for step in head:
            points = step(points)
        return tail(points)

    return run


def _as_scale(norm: Any) -> tuple[Tensor, Tensor]:
    """A batch norm in eval mode as a scale and a shift a channel."""
    scale = 1 / torch.sqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias


def _some_rows(
    affine: nn.Linear, units: Tensor, channel: Tensor, norm: tuple[Tensor, Tensor] | None
) -> Callable[[Tensor], Tensor]:
    rows = affine.weight[units]
    bias = rows.new_zeros(len(units)) if affine.bias is None else affine.bias[units]
    if norm is not None:
        scale, shift = (part[channel] for part in norm)
        rows, bias = rows * scale[:, None], bias * scale + shift
    return lambda values: nn.functional.linear(values, rows, bias).flatten(1)


def _some_channels(
    affine: Any, units: Tensor, shape: tuple[int, ...], norm: tuple[Tensor, Tensor] | None
) -> Callable[[Tensor], Tensor]:
    positions = math.prod(shape[1:])
    channels, place = torch.unique(units // positions, return_inverse=True)
    cut = copy.deepcopy(affine)
    along = 1 if isinstance(affine, (nn.ConvTranspose1d, nn.ConvTranspose2d)) else 0
    cut.weight = nn.Parameter(affine.weight.index_select(along, channels), requires_grad=False)
    if affine.bias is not None:
        cut.bias = nn.Parameter(affine.bias[channels], requires_grad=False)
    cut.out_channels = len(channels)
    flat = place * positions + units % positions
    scale, shift = (None, None) if norm is None else (part[channels][place] for part in norm)

    def run(values: Tensor) -> Tensor:
        kept = cut(values).flatten(1)[:, flat]
        return kept if scale is None or shift is None else kept * scale + shift

    return run
