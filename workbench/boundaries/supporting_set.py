"""BerOpt: the few boundaries of a layer that carry an image, by Bernoulli masks with a price on every unit.

Section 3.3 of Jeon, Jeong and Choi, "An efficient explorative sampling considering the generative boundaries of
deep generative neural networks", AAAI 2020.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator as Steps
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.boundaries.sign_layer import (
    AnyModel,
    BoundaryError,
    SignLayer,
    check_settings,
    dimensions,
    known_layer,
    point_of,
    sign_layer,
)
from workbench.models import Layer
from workbench.models.devices import check_fits
from workbench.models.generator import Condition
from workbench.numerics.randomness import seeded
from workbench.progress import Cancelled, Progress, Step, run
from workbench.results import Provenance, Result, call

if TYPE_CHECKING:
    import pandas as pd

#: `"active"`: units that the masks can take something from; `"both"`: silent units too.
Sides = Literal["active", "both"]
#: Steps over which the loss is averaged to see whether it still falls.
_WINDOW = 25


@dataclass(frozen=True, kw_only=True)
class SupportingSet(Result):
    """The smallest supporting set of boundaries that was found for a query, with all that it was chosen by.

    Attributes:
        layer: name of the layer.
        shape: (*units) of it.
        query: (*point).
        theta: (units,) in [0, 1] the optimised Bernoulli parameters; 0 for units that could not matter.
        pre_activations: (units,) of the query.
        threshold: p; the units with theta above it are kept.
        output: (*output) of the query.
        masked: (*output) with only the kept units.
        error: ‖masked − output‖ as a share of `scale`.
        scale: ‖output with nothing kept − output‖, the unit of errors and losses.
        losses: (steps,) equation (1) over `scale`, averaged over each step's masks.
        sparsity: price of keeping all candidates, in the same unit: λ = sparsity · scale / candidates.
        candidates: how many units could be kept.
        sides: `"active"` or `"both"`.
        converged: whether the loss had stopped to fall.
    """

    layer: str
    shape: tuple[int, ...]
    query: Float[Tensor, " *point"]
    theta: Float[Tensor, " units"]
    pre_activations: Float[Tensor, " units"]
    threshold: float
    output: Float[Tensor, " *output"]
    masked: Float[Tensor, " *output"]
    error: float
    scale: float
    losses: Float[Tensor, " steps"]
    sparsity: float
    candidates: int
    sides: Sides
    converged: bool

    @property
    def kept(self) -> Bool[Tensor, " units"]:
        """Which units are kept."""
        return self.theta > self.threshold

    @property
    def units(self) -> Int[Tensor, " kept"]:
        """Flat indices of the kept units."""
        return self.kept.nonzero()[:, 0]

    @property
    def indicator(self) -> Int[Tensor, " units"]:
        """The halfspace indicator V (Definition 2): +1 or -1 for a kept unit, 0 for any other."""
        return torch.where(self.kept, self.pre_activations.sign(), 0).to(torch.int8)

    @property
    def signs(self) -> Float[Tensor, " kept"]:
        """+1 or -1 for each kept unit."""
        return self.pre_activations[self.kept].sign()

    def frame(self) -> pd.DataFrame:
        """One row a kept unit, the surest first: unit, channel, position, theta, pre-activation."""
        import numpy as np
        import pandas as pd

        order = self.units[self.theta[self.units].argsort(descending=True)]
        places = np.unravel_index(order.cpu().numpy(), self.shape)
        rest = list(zip(*(p.tolist() for p in places[1:]), strict=True)) if len(places) > 1 else [()] * len(order)
        return pd.DataFrame(
            {
                "unit": order.tolist(),
                "channel": places[0],
                "position": rest,
                "theta": self.theta[order].tolist(),
                "pre_activation": self.pre_activations[order].tolist(),
            }
        )


@dataclass(frozen=True)
class _Masking:
    """What the network shows of a query with some units of a layer switched off."""

    at: SignLayer
    query: Tensor
    pre: Tensor
    on: Tensor  # (1, *units) what a kept unit gives
    off: Tensor  # (1, *units) what a dropped one gives

    @classmethod
    def of(cls, at: SignLayer, query: Tensor, sides: Sides) -> _Masking:
        with torch.no_grad():
            pre = at.pre_activations(query[None])
            on = at.activation(pre)
            off = torch.zeros_like(on)
            if sides == "both":  # a unit below its boundary is dropped by being as far above it
                off = torch.where(pre.view_as(on) < 0, at.activation(pre.abs()), off)
        return cls(at, query, pre[0], on, off)

    @property
    def candidates(self) -> Bool[Tensor, " units"]:
        """Units whose dropping changes what the layer gives."""
        return (self.on != self.off).flatten()

    def show(self, masks: Float[Tensor, "batch units"]) -> Float[Tensor, "batch *output"]:
        shaped = masks.reshape(len(masks), *self.on.shape[1:])
        return self.at.output(self.query, self.off + shaped * (self.on - self.off))


def supporting_set_steps(
    model: AnyModel,
    z: Any,
    layer: str | int | Layer,
    *,
    seed: int = 0,
    threshold: float = 0.5,
    sparsity: float = 0.5,
    sides: Sides = "active",
    most_steps: int = 300,
    masks: int = 8,
    rate: float = 0.1,
    temperature: float = 0.1,
    tolerance: float = 0.001,
    condition: Condition = None,
) -> Steps[Step, None, SupportingSet]:
    """The steps of `supporting_set`, one an update of theta; cancelled, it returns the set so far."""
    _check_threshold(threshold)
    check_settings(
        ("sparsity", sparsity, 0 <= sparsity < math.inf, "0 or more, such as 0.5"),
        ("most_steps", most_steps, most_steps >= 1, "at least one"),
        ("masks", masks, masks >= 1, "at least one for each step"),
        ("rate", rate, 0 < rate < 1e30, "a positive number, such as 0.1"),
        ("temperature", temperature, 0 < temperature < math.inf, "a positive number, such as 0.1"),
        ("tolerance", tolerance, -math.inf < tolerance < 1, "a share below 1, such as 0.001"),
        ("sides", sides, sides in ("active", "both"), "'active' or 'both'"),
    )
    started = time.perf_counter()
    query = point_of(model, z)
    model.check_differentiable()
    at = sign_layer(model, layer, condition=condition)
    masking = _Masking.of(at, query, sides)
    rows = masking.candidates.nonzero()[:, 0]
    count = len(rows)
    if not count:
        raise BoundaryError(
            f"every unit of layer {at.name!r} is silent at the query; choose another layer or query"
        )
    with torch.no_grad():
        ends = masking.show(torch.stack([torch.ones_like(masking.pre), torch.zeros_like(masking.pre)]))
    output, scale = ends[0], float((ends[0] - ends[1]).float().norm())
    if not scale > 0:
        raise BoundaryError(
            f"the output does not change when all units of layer {at.name!r} are dropped, so none carries it; "
            "choose another layer"
        )
    check_fits("masks for each step", masks, at.units + output.numel(), query.device)
    generator = seeded(seed)
    # a half-precision draw rounds to 0 or 1, whose logit is infinite
    wide = torch.float32 if query.dtype.itemsize < 4 else query.dtype
    logits = torch.zeros(count, device=query.device, dtype=wide, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=rate)
    none = torch.zeros(masks, at.units, device=query.device, dtype=query.dtype)
    losses: list[Tensor] = []
    converged = cancelled = False
    while len(losses) < most_steps and not converged:
        noise = torch.rand(masks, count, generator=generator).clamp_(1e-6, 1 - 1e-6).to(logits).logit_()
        with torch.enable_grad():
            # the concrete distribution: a Bernoulli draw made differentiable (Chang et al. 2018, appendix)
            relaxed = torch.sigmoid((logits + noise) / temperature)
            shown = masking.show(none.index_copy(1, rows, relaxed.to(query.dtype)))
            distortion = (shown - output).to(wide).flatten(1).norm(dim=1).mean() / scale
            loss = distortion + sparsity * torch.sigmoid(logits).mean()
            (logits.grad,) = torch.autograd.grad(loss, logits)
        optimiser.step()
        losses.append(loss.detach())
        converged = _settled(losses, tolerance)
        try:
            yield Step(len(losses), most_steps, "masks")
        except Cancelled:
            cancelled = True
            break
    theta = torch.zeros(at.units, device=query.device, dtype=wide)
    theta[rows] = torch.sigmoid(logits.detach())
    passes = {"forward": 3 + masks * len(losses), "vjp": masks * len(losses)}
    options: dict[str, Any] = {
        "seed": seed,
        "threshold": threshold,
        "sparsity": sparsity,
        "sides": sides,
        "most_steps": most_steps,
        "masks": masks,
        "rate": rate,
        "temperature": temperature,
        "tolerance": tolerance,
        **({} if condition is None else {"condition": condition}),
    }
    found = SupportingSet(
        provenance=Provenance.of(
            model,
            call=call("wb.boundaries.supporting_set", "G", "z", repr(at.name), **options),
            seed=seed,
            passes=passes,
            started=started,
            partial=cancelled,
        ),
        layer=at.name,
        shape=at.shape,
        query=query,
        theta=theta,
        pre_activations=masking.pre,
        threshold=threshold,
        output=output,
        masked=output,
        error=math.nan,
        scale=scale,
        losses=torch.stack(losses).cpu(),
        sparsity=sparsity,
        candidates=count,
        sides=sides,
        converged=converged,
    )
    try:
        return _kept_above(model, found, threshold, condition)
    except BoundaryError as error:
        if cancelled:
            raise Cancelled(f"stopped after step {len(losses)} of {most_steps}, where {error}") from error
        raise


def supporting_set(
    model: AnyModel,
    z: Any,
    layer: str | int | Layer,
    *,
    seed: int = 0,
    threshold: float = 0.5,
    sparsity: float = 0.5,
    sides: Sides = "active",
    most_steps: int = 300,
    masks: int = 8,
    rate: float = 0.1,
    temperature: float = 0.1,
    tolerance: float = 0.001,
    condition: Condition = None,
    progress: Progress | None = None,
) -> SupportingSet:
    """The units of `layer` that carry what a model makes of `z`: BerOpt (Algorithm 1) and a threshold.

    Minimises ‖f(h ∘ m) − G(z)‖ + λ ‖θ‖₁ with m ~ Ber(θ) (equation 1). Draws of m are relaxed (the concrete
    distribution) to be differentiable; θ keeps its bounds by being a sigmoid. What the paper leaves open, it
    takes from Chang et al. 2018, whom it cites for the masks: the temperature and the start at θ = 0.5.
    The loss is measured in units of ‖f(0) − G(z)‖, so that its settings fit any network.

    Args:
        model: a generator, or a classifier (then `z` is an input, and the output its scores).
        z: one point, (*point) or (1, *point).
        layer: an activation, or the layer right before one.
        seed: of the masks.
        threshold: p in [0, 1); units with θ above it are kept.
        sparsity: price of keeping all candidates, as a share of what dropping all of them costs; 0 keeps
            all, and the larger it is, the fewer stay.
        sides: `"active"` keeps only units that the masks can take something from: behind a ReLU, those above
            zero at the query. `"both"` asks of a unit below zero, too, what would change if it were as far
            above.
        most_steps: of the optimisation; it ends earlier when the loss no longer falls.
        masks: drawn for each step.
        rate: of Adam, on the logits of θ.
        temperature: of the relaxation.
        tolerance: the loss has settled when it falls by less than this share over 25 steps.
        condition: class or embedding of a class-conditional generator.
        progress: told each step; returning False stops, and what there is is returned, marked partial.

    Raises:
        BoundaryError: a layer without boundaries, settings out of range, an output that does not depend on
            the layer, or a threshold that keeps nothing.
        ModelError, LayerError: `z` of another shape, no such layer.
        Cancelled: `progress` returned False while the threshold kept nothing.
    """
    steps = supporting_set_steps(
        model,
        z,
        layer,
        seed=seed,
        threshold=threshold,
        sparsity=sparsity,
        sides=sides,
        most_steps=most_steps,
        masks=masks,
        rate=rate,
        temperature=temperature,
        tolerance=tolerance,
        condition=condition,
    )
    return run(steps, progress)


def at_threshold(
    model: AnyModel, found: SupportingSet, threshold: float, *, condition: Condition = None
) -> SupportingSet:
    """The supporting set of the same θ with another threshold; one pass.

    Args:
        threshold: p in [0, 1); units with θ above it are kept.

    Raises:
        BoundaryError: the threshold is out of range or keeps nothing, or the set is of another network.
    """
    _check_threshold(threshold)
    named = {} if condition is None else {"condition": condition}
    line = call("wb.boundaries.at_threshold", "G", found.provenance.call, f"{threshold}", **named)
    kept = _kept_above(model, found, threshold, condition)
    return replace(kept, provenance=replace(found.provenance, call=line))


def _check_threshold(threshold: float) -> None:
    check_settings(("threshold", threshold, 0 <= threshold < 1, "a probability below 1, such as 0.5"))


def _kept_above(model: AnyModel, found: SupportingSet, threshold: float, condition: Condition) -> SupportingSet:
    """`found` with only the units above a threshold kept; its provenance is as it was."""
    kept = found.theta > threshold
    if not bool(kept.any()):
        raise BoundaryError(
            f"threshold={threshold:g} keeps no unit: the largest theta is {float(found.theta.max()):.3g}. Give a "
            f"threshold below it, or a smaller sparsity than {found.sparsity:g}"
        )
    masked = masked_outputs(model, found, [threshold], condition=condition)[0]
    error = float((masked - found.output).float().norm()) / found.scale
    return replace(found, threshold=float(threshold), masked=masked, error=error)


def masked_outputs(
    model: AnyModel, found: SupportingSet, thresholds: Any, *, condition: Condition = None
) -> Float[Tensor, "thresholds *output"]:
    """What stays of the query's output at each of several thresholds: only units with theta above it are kept.

    Raises:
        BoundaryError: the set is of another network.
    """
    at = layer_of(model, found, condition=condition)
    masking = _Masking.of(at, found.query.to(model.device), found.sides)
    levels = torch.as_tensor(thresholds, dtype=found.theta.dtype, device=found.theta.device)
    masks = (found.theta > levels[:, None]).to(masking.on)
    with torch.no_grad():
        return model.batches.map(masking.show, masks)


def layer_of(model: AnyModel, supporting_set: SupportingSet, *, condition: Condition = None) -> SignLayer:
    """The layer that a supporting set is of, in the network that it was made for.

    Raises:
        LayerError: no such layer.
        BoundaryError: the layer or the points have other shapes.
    """
    at = known_layer(model, supporting_set.layer, condition=condition)
    units, point = tuple(supporting_set.shape), tuple(supporting_set.query.shape)
    if (units, point) != (tuple(at.shape), tuple(dimensions(model))):
        raise BoundaryError(
            f"the supporting set is of {units} units and points of shape {point}, but {model.name} has "
            f"{tuple(at.shape)} in layer {at.name!r} and points of shape {tuple(dimensions(model))}; "
            "make a set for this network"
        )
    return at


def _settled(losses: list[Tensor], tolerance: float) -> bool:
    """Whether the mean of the last steps' losses is hardly below that of the steps before them."""
    if len(losses) < 2 * _WINDOW or len(losses) % 5:
        return False
    before, last = torch.stack(losses[-2 * _WINDOW :]).view(2, _WINDOW).mean(1).tolist()
    return last > (1 - tolerance) * before
