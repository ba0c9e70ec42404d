"""The line through a latent along one direction, with ends that change the output by a comparable amount."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.models import Generator, as_generator
from workbench.models.generator import Condition
from workbench.results import Provenance, Result, call
from workbench.subspaces.features import Features, Pixels, distances, written

if TYPE_CHECKING:
    import pandas as pd

    from workbench.subspaces.subspace import Subspace

#: Half-length of the authors' sliders, in mean distances between two draws of the prior.
PAPER_SHARE = 0.2
#: Pairs of draws whose distance is measured.
_PAIRS = 32
#: Where the ends of a line are looked for, as shares of the mean distance between two draws.
_PROBES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)

Scale = Literal["output", "latent"]


@dataclass(frozen=True, kw_only=True)
class Line(Result):
    """A rendered line z + t v.

    Attributes:
        centre: (*latent) z.
        direction: (*latent) the unit vector v.
        positions: (steps,) t, ascending, 0 in the middle.
        latents: (steps, *latent) z + t v, brought back to the prior's typical set where it left it.
        outputs: (steps, *output).
        change: (steps,) feature distance from the middle frame.
        inside: (steps,) whether z + t v itself lies in the prior's typical set.
        singular_value: change of the features for a unit step, at the middle.
        target: feature change that the ends were to reach; NaN for lines scaled in the latent space.
    """

    centre: Float[Tensor, " *latent"]
    direction: Float[Tensor, " *latent"]
    positions: Float[Tensor, " steps"]
    latents: Float[Tensor, "steps *latent"]
    outputs: Float[Tensor, "steps *output"]
    change: Float[Tensor, " steps"]
    inside: Bool[Tensor, " steps"]
    singular_value: float
    target: float

    @property
    def middle(self) -> int:
        """Index of the frame at t = 0."""
        return len(self.positions) // 2

    def frame(self) -> pd.DataFrame:
        """One row a frame: t, change of the features, whether it lies in the typical set."""
        import pandas as pd

        return pd.DataFrame(
            {
                "t": self.positions.cpu().numpy(),
                "change": self.change.cpu().numpy(),
                "inside_typical_set": self.inside.cpu().numpy(),
            }
        )


def half_length(generator: Generator) -> float:
    """The authors' slider half-length: 0.2 times the mean distance between two draws of the prior."""
    return PAPER_SHARE * generator.prior.expected_distance(generator.latent_shape)


def typical_change(generator: Generator, features: Features, *, condition: Condition = None) -> float:
    """Median feature distance between the outputs of two draws of the prior: the unit of slider ends."""
    z = generator.latents(2 * _PAIRS, seed=0)
    outputs = generator.render(z, condition)
    return float(distances(features, outputs[:_PAIRS], outputs[_PAIRS:]).median())


def along(generator: Generator, centre: Tensor, direction: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Latents at the positions `t` of a line, and which of them needed no bringing back.

    Where the centre itself lies outside the typical set, nothing is brought back: the middle frame
    must stay the point that was asked for.
    """
    straight = centre + t.reshape(-1, *[1] * centre.ndim) * direction
    inside = generator.prior.contains(straight)
    if not bool(generator.prior.contains(centre[None])):
        return straight, inside
    brought = generator.prior.project(straight)
    keep = (inside | (t == 0)).reshape(-1, *[1] * centre.ndim)
    return torch.where(keep, straight, brought), inside


def _reach(positions: Tensor, change: Tensor, target: float) -> float:
    """The first position, by linear interpolation, where `change` passes `target`; the last if nowhere."""
    previous_t, previous_c = 0.0, 0.0
    for t, c in zip(positions.tolist(), change.tolist(), strict=True):
        if c >= target:
            return previous_t + (t - previous_t) * (target - previous_c) / max(c - previous_c, 1e-12)
        previous_t, previous_c = t, max(c, previous_c)
    return positions[-1].item()


def ends(
    generator: Generator,
    centre: Tensor,
    output: Tensor,
    direction: Tensor,
    target: float,
    *,
    features: Features,
    condition: Condition = None,
) -> tuple[float, float]:
    """Where a line has changed the features by `target`, to the left (negative) and to the right.

    Found by rendering, six probes a side: the linear prediction is off by a third at a step of 0.2.
    A side that never changes so much ends one mean distance between two draws away.
    """
    furthest = generator.prior.expected_distance(generator.latent_shape)
    t = furthest * torch.tensor(_PROBES, device=centre.device, dtype=centre.dtype)
    latents, _ = along(generator, centre, direction, torch.cat([-t, t]))
    change = distances(features, generator.render(latents, condition), output[None])
    left, right = change.chunk(2)
    return -_reach(t, left, target), _reach(t, right, target)


def line_at(
    generator: Generator,
    centre: Float[Tensor, " *latent"],
    output: Float[Tensor, " *output"],
    direction: Float[Tensor, " *latent"],
    *,
    singular_value: float,
    target: float,
    steps: int,
    features: Features,
    condition: Condition,
    call: str,
    seed: int,
) -> Line:
    """Render a line, evenly spaced on each side of the middle; `target` NaN takes the authors' length."""
    started = time.perf_counter()
    if math.isnan(target):
        extent = -half_length(generator), half_length(generator)
    else:
        extent = ends(generator, centre, output, direction, target, features=features, condition=condition)
    half = steps // 2
    left, right = torch.linspace(extent[0], 0, half + 1)[:-1], torch.linspace(0, extent[1], half + 1)
    t = torch.cat([left, right]).to(centre)
    latents, inside = along(generator, centre, direction, t)
    outputs = generator.render(latents, condition)
    change = distances(features, outputs, outputs[half : half + 1])
    passes = {"forward": steps + (0 if math.isnan(target) else 2 * len(_PROBES))}
    return Line(
        provenance=Provenance.of(generator, call=call, seed=seed, passes=passes, started=started),
        centre=centre,
        direction=direction,
        positions=t,
        latents=latents,
        outputs=outputs,
        change=change,
        inside=inside,
        singular_value=singular_value,
        target=target,
    )


def target_change(
    generator: Generator, features: Features, *, scale: Scale, share: float, condition: Condition
) -> float:
    """The change that a line's ends are to reach; NaN where the line has the authors' length instead.

    Raises:
        ValueError: `scale` or `share` out of range.
    """
    if scale == "latent":
        return float("nan")
    if scale != "output":
        raise ValueError(f"scale={scale!r}; expected 'output' or 'latent'")
    if not share > 0:
        raise ValueError(f"share={share}; expected a positive share of the distance between two draws")
    return share * typical_change(generator, features, condition=condition)


def check_steps(steps: int) -> None:
    """Raise ValueError unless `steps` is odd and at least 3, so that one frame lies in the middle."""
    if steps < 3 or steps % 2 == 0:
        raise ValueError(f"steps={steps}; expected an odd number from 3, so that one frame is the middle")


def line(
    generator: Generator,
    subspace: Subspace,
    axis: int = 0,
    *,
    steps: int = 25,
    scale: Scale = "output",
    share: float = 0.5,
    target: float | None = None,
    features: Features | None = None,
    condition: Condition = None,
) -> Line:
    """Render the line along one direction of a subspace.

    Args:
        generator: the generator that the subspace belongs to.
        subspace: from `wb.subspaces.subspace`.
        axis: which of its directions.
        steps: frames, odd.
        scale: `"output"`: both ends change the features by the same amount on every line;
            `"latent"`: the authors' fixed half-length, 0.2 times the mean distance of two draws.
        share: that amount, as a share of the median feature distance between two draws.
        target: that amount itself, where it is known from before.
        features: as for `subspace`.
        condition: as for `subspace`.

    Raises:
        ValueError: `axis`, `steps` or `scale` out of range.
    """
    check_steps(steps)
    if not 0 <= axis < len(subspace.directions):
        raise ValueError(f"axis={axis}; the subspace has directions 0 to {len(subspace.directions) - 1}")
    phi = features or Pixels()
    centre = as_generator(generator).point(subspace.centre)
    given = target
    if target is None:
        target = target_change(generator, phi, scale=scale, share=share, condition=condition)
    return line_at(
        generator,
        centre,
        subspace.output.to(centre.device),
        subspace.directions[axis].to(centre),
        singular_value=float(subspace.singular_values[axis]),
        target=target,
        steps=steps,
        features=phi,
        condition=condition,
        call=call(
            "wb.subspaces.line",
            "G",
            subspace.provenance.call,
            f"features={written(phi)}",
            axis=axis,
            steps=steps,
            scale=scale,
            **({"share": share} if given is None else {"target": given}),
            **({} if condition is None else {"condition": condition}),
        ),
        seed=subspace.provenance.seed,
    )
