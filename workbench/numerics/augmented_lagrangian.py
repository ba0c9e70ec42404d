"""The augmented Lagrangian of inequality constraints, its slack variables minimised out.

Nocedal and Wright, "Numerical Optimization", second edition, section 17.4 (bound-constrained formulation).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def penalty(
    constraints: Float[Tensor, "*any"], multipliers: Float[Tensor, "*any"], weight: float
) -> Float[Tensor, ""]:
    """What the constraints `c >= 0` add to an objective that is minimised.

    With slack s >= 0, `-λ (c - s) + μ/2 (c - s)²` is smallest at `s = max(0, c - λ/μ)`; what is left is, up to a
    constant, `max(0, λ - μ c)² / 2μ`: nothing where the constraint holds with room to spare.

    Args:
        constraints: c, met where they are not negative.
        multipliers: λ >= 0, one a constraint.
        weight: μ > 0.
    """
    return (multipliers - weight * constraints).clamp_min(0).square().sum() / (2 * weight)


def updated(
    constraints: Float[Tensor, "*any"], multipliers: Float[Tensor, "*any"], weight: float
) -> Float[Tensor, "*any"]:
    """The multipliers of the next round: `max(0, λ - μ c)`."""
    return (multipliers - weight * constraints).clamp_min(0)
