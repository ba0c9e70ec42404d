"""Drawing directions without replacement, each with probability proportional to its singular value."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor


class DirectionPool:
    """The directions at one point that have not been shown yet.

    Chiu et al. 2020: a direction is drawn with probability proportional to its singular value plus
    a small floor, so that even a direction that changes nothing keeps a chance (ergodicity). What
    was drawn is not drawn again until all were; then all are open again.

    Args:
        singular_values: (r,) non-negative, in any order.

    Attributes:
        floor: added to every singular value.

    Raises:
        ValueError: no singular values, or one that is negative or not finite.
    """

    floor: ClassVar[float] = 1e-6

    def __init__(self, singular_values: Float[Tensor, " r"]) -> None:
        weights = torch.as_tensor(singular_values).detach().double().cpu()
        if weights.ndim != 1 or not len(weights) or not bool((weights.isfinite() & (weights >= 0)).all()):
            raise ValueError(
                f"singular_values of shape {tuple(weights.shape)} hold no list of finite numbers >= 0; "
                "check the point for NaN before computing its spectrum"
            )
        self._weights = weights + self.floor
        self._open = torch.ones(len(weights), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._weights)

    @property
    def remaining(self) -> int:
        """How many directions have not been shown since all were last open."""
        return int(self._open.sum())

    def reset(self) -> None:
        """Open all directions again."""
        self._open[:] = True

    def draw(self, generator: torch.Generator, k: int = 1) -> Int[Tensor, " k"]:
        """Places of `k` distinct directions, drawn one after another.

        Raises:
            ValueError: `k` is not between 1 and the number of directions.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f"k={k} directions were asked for; the pool holds {len(self)}")
        drawn: list[int] = []
        for _ in range(k):
            if not self.remaining:
                self.reset()
            weights = self._weights * self._open
            weights[drawn] = 0  # a subspace needs distinct directions, also when the pool has just reopened
            drawn.append(int(torch.multinomial(weights, 1, generator=generator)))
            self._open[drawn[-1]] = False
        return torch.tensor(drawn)
