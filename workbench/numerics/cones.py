"""How far a direction is from the cone of some normals: what shows a point to be the closest one nearby."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls


def angle_to_cone(
    step: Float[np.ndarray, " d"], normals: Float[np.ndarray, "m d"], *, lines: int = 0
) -> tuple[float, Float[np.ndarray, " m"]]:
    """The angle between `step` and the cone {sum of w_k normals[k], w >= 0}, and the w that comes closest.

    Args:
        lines: the first so many normals count in both directions, and their w may be negative.

    Returns:
        Radians, 0 to pi/2, 0 for a step of length zero; and w, such that w @ normals is the point of the cone
        nearest to `step`.
    """
    weights = np.zeros(len(normals))
    if (length := float(np.linalg.norm(step))) == 0:
        return 0.0, weights
    signed = np.concatenate([normals[:lines], -normals[:lines], normals[lines:]])
    lengths = np.linalg.norm(signed, axis=1)
    lengths[lengths < 1e-100] = np.inf  # a vanished gradient has no direction
    found, rest = nnls((signed / lengths[:, None]).T, step / length)
    found *= length / lengths
    weights[:lines], weights[lines:] = found[:lines] - found[lines : 2 * lines], found[2 * lines :]
    return math.asin(min(rest, 1.0)), weights
