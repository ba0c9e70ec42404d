"""What E-GBAS is compared with: balls of the paper's radii, and two fairer controls.

Section 4 of Jeon, Jeong and Choi, AAAI 2020. Points that would leave the box of a classifier's inputs or of a
uniform prior are clipped to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.boundaries.explore import Exploration, box, limits_around
from workbench.boundaries.sign_layer import AnyModel, BoundaryError, limits
from workbench.boundaries.tree import Tree
from workbench.numerics.randomness import seeded
from workbench.results import Result

#: What E-GBAS is compared with: the paper's own two, and two fairer controls.
PAPER = ("epsilon-L2", "epsilon-Linf")
CONTROLS = ("same radii", "coin flip")


@dataclass(frozen=True, kw_only=True)
class Baseline(Result):
    """Points around a query that were not chosen by boundaries.

    Attributes:
        name: one of those in `PAPER` and `CONTROLS`.
        query: (*point).
        points: (n, *point).
        radius: of the ball; the mean distance from the query for the two controls.
    """

    name: str
    query: Float[Tensor, " *point"]
    points: Float[Tensor, "n *point"]
    radius: float

    @property
    def radii(self) -> Float[Tensor, " n"]:
        """Distance of each point from the query."""
        return (self.points - self.query).flatten(1).norm(dim=1)


def epsilon_radii(exploration: Exploration) -> tuple[float, float]:
    """The paper's radii: of the L2 ball and of the L-infinity ball of the same volume.

    The first is the mean of the largest and the smallest distance from the mean of the accepted points to a
    point that left the region (those rejected for being too near to the tree lie inside and do not count).

    Raises:
        BoundaryError: no point left the region, so that the radii are undefined.
    """
    left = exploration.rejected[exploration.left_region.to(exploration.rejected.device)]
    if not len(left):
        raise BoundaryError(
            f"none of the {exploration.tried} tries left the region, so the radius of an epsilon ball is "
            f"undefined; explore with a longer step than {exploration.step:.3g}, or with more samples"
        )
    centre = exploration.points.double().mean(0)
    distance = (left.double() - centre).flatten(1).norm(dim=1)
    epsilon = float(distance.max() + distance.min()) / 2
    d = exploration.query.numel()
    volume = 0.5 * d * math.log(math.pi) - math.lgamma(d / 2 + 1)  # log of the unit ball's
    return epsilon, epsilon * math.exp(volume / d) / 2


def epsilon_l2(
    model: AnyModel, exploration: Exploration, *, samples: int | None = None, seed: int = 0
) -> Baseline:
    """Uniform draws from the L2 ball around the query, as many as the exploration has by default.

    Raises:
        BoundaryError: the radius is undefined (see `epsilon_radii`).
    """
    radius, _ = epsilon_radii(exploration)
    generator, n, d = _drawing(exploration, samples, seed)
    lengths = torch.rand(n, generator=generator, dtype=torch.float64) ** (1 / d)
    moves = radius * lengths[:, None] * _directions(n, d, generator)
    return _made(model, exploration, PAPER[0], moves, radius, samples=n, seed=seed)


def epsilon_linf(
    model: AnyModel, exploration: Exploration, *, samples: int | None = None, seed: int = 0
) -> Baseline:
    """Uniform draws from the L-infinity ball (a cube) of the same volume.

    Raises:
        BoundaryError: the radius is undefined (see `epsilon_radii`).
    """
    _, radius = epsilon_radii(exploration)
    generator, n, d = _drawing(exploration, samples, seed)
    moves = radius * (2 * torch.rand(n, d, generator=generator, dtype=torch.float64) - 1)
    return _made(model, exploration, PAPER[1], moves, radius, samples=n, seed=seed)


def same_radii(
    model: AnyModel, exploration: Exploration, *, samples: int | None = None, seed: int = 0
) -> Baseline:
    """Random directions with the exploration's own distances from the query: the fair ball.

    What E-GBAS differs from it by is due to the shape of the region, not to how far its samples lie.

    Raises:
        BoundaryError: the exploration has no samples.
    """
    generator, n, d = _drawing(exploration, samples, seed)
    radii = exploration.radii.double().cpu()
    chosen = torch.cat([torch.randperm(len(radii), generator=generator) for _ in range(-(-n // len(radii)))])[:n]
    moves = radii[chosen, None] * _directions(n, d, generator)
    return _made(model, exploration, CONTROLS[0], moves, float(radii[chosen].mean()), samples=n, seed=seed)


def coin_flip(model: AnyModel, exploration: Exploration, *, seed: int = 0) -> Baseline:
    """A tree of the same step, size and box that accepts by a coin flip with E-GBAS's rate, not by the region.

    What E-GBAS differs from it by is due to the region, not to the tree.

    Raises:
        BoundaryError: the exploration has no samples.
    """
    _drawing(exploration, None, seed)
    coin = seeded(seed)
    rate = 1 - float(exploration.left_region.double().sum()) / exploration.tried

    def inside(rows: Tensor) -> Tensor:
        return torch.rand(len(rows), generator=coin) < rate

    low, high = box(exploration.query, exploration.interval)
    around = limits_around(model, exploration.query)
    tree = Tree(inside, step=exploration.step, low=low, high=high, limits=around, seed=seed)
    while len(tree) < len(exploration.points) and tree.tried < 100 * exploration.tried:
        tree.grow(_BATCHES, len(exploration.points))
    moves = tree.nodes[1:]
    return _made(model, exploration, CONTROLS[1], moves, float(moves.norm(dim=1).mean()), seed=seed)


#: By name, what makes each, the paper's own two first.
BASELINES: dict[str, Callable[..., Baseline]] = dict(
    zip((*PAPER, *CONTROLS), (epsilon_l2, epsilon_linf, same_radii, coin_flip), strict=True)
)


#: More tries than one batch takes.
_BATCHES = 1 << 20


def _drawing(exploration: Exploration, samples: int | None, seed: int) -> tuple[torch.Generator, int, int]:
    n = len(exploration.samples) if samples is None else samples
    if n < 1 or not len(exploration.samples):
        raise BoundaryError(
            f"{n} points were asked for beside an exploration of {len(exploration.samples)} samples; "
            f"both must have some. {exploration.reason}"
        )
    return seeded(seed), n, exploration.query.numel()


def _directions(n: int, d: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
    rows = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return rows / rows.norm(dim=1, keepdim=True)


def _made(
    model: AnyModel,
    exploration: Exploration,
    name: str,
    moves: Float[Tensor, "n d"],
    radius: float,
    **options: int,
) -> Baseline:
    """The baseline that its function made with these options."""
    query = exploration.query
    points = (query.double().cpu().flatten() + moves).clamp(*limits(model)).to(query).reshape(-1, *query.shape)
    function = name.replace("-", "_").replace(" ", "_").lower()
    written = ", ".join(f"{option}={value}" for option, value in options.items())
    call = f"wb.boundaries.{function}(G, exploration, {written})"
    provenance = replace(
        exploration.provenance, call=call, seed=options["seed"], passes={}, seconds=0.0, partial=False
    )
    return Baseline(provenance=provenance, name=name, query=query, points=points, radius=radius)
