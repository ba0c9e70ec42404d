"""The numbers that prove a flip point: how far its constraints are from holding, and its step from the normal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.flip_points.rows import Constraints, Rows
from workbench.numerics.cones import angle_to_cone

#: Relative size (of the largest score, or 1) up to which |z_i - z_j| and the violations count as zero.
TOLERANCE = 1e-6
#: Largest angle, in radians, between the step and the boundary's normal at a converged point.
STRAIGHT = 0.01


@dataclass(frozen=True)
class Proof:
    """What shows that points are flip points, and the closest ones nearby.

    Attributes:
        gap: (rows,) |z_i - z_j| in logits, the largest where several classes meet.
        violation: (rows,) how far another class lies above z_i, 0 where none does.
        outside: (rows,) largest distance of a coordinate outside its bounds.
        angle: (rows,) radians between the step from the query and the normal cone of the constraints
            that hold with equality, over the coordinates that are not at a bound; 0 for a step of
            length zero.
        scale: (rows,) the largest score's size, at least 1.
    """

    gap: Float[Tensor, " rows"]
    violation: Float[Tensor, " rows"]
    outside: Float[Tensor, " rows"]
    angle: Float[Tensor, " rows"]
    scale: Float[Tensor, " rows"]

    @property
    def on_boundary(self) -> Bool[Tensor, " rows"]:
        """Whether all constraints hold up to `TOLERANCE`."""
        allowed = TOLERANCE * self.scale
        return (self.gap <= allowed) & (self.violation <= allowed) & (self.outside <= 1e-9)


def prove(rows: Rows, v: Float[Tensor, "rows d"], constraints: Constraints) -> Proof:
    """Evaluate the constraints and their normals at `v`."""
    scores, values, gradients = rows.heights(v, *constraints.functions)
    scale = scores.abs().amax(1).clamp_min(1.0)
    free = (v > rows.low + 1e-9) & (v < rows.high - 1e-9)
    active = values >= -TOLERANCE * scale[:, None]
    lines = constraints.equalities
    active[:, :lines] = True
    step, normals = ((v - rows.origin) * free).cpu().numpy(), (-gradients * free[:, None]).cpu().numpy()
    angles = [
        angle_to_cone(s, n[a], lines=lines)[0] if np.isfinite(n).all() else np.nan
        for s, n, a in zip(step, normals, active.cpu().numpy(), strict=True)
    ]
    return Proof(
        gap=values[:, :lines].abs().amax(1),
        violation=values[:, lines:].clamp_min(0).sum(1),
        outside=torch.maximum(rows.low - v, v - rows.high).amax(1).clamp_min(0),
        angle=torch.tensor(angles, device=v.device, dtype=v.dtype),
        scale=scale,
    )
