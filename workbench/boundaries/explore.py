"""GB-RRT: a tree that grows from a query and never leaves the region of its supporting set.

Section 3.4 (Algorithms 2 and 3) of Jeon, Jeong and Choi, AAAI 2020. The tree is that of the paper's loop, which
tries one target at a time, whatever the batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator as Steps
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.boundaries.sign_layer import AnyModel, BoundaryError, check_settings, limits, point_of
from workbench.boundaries.supporting_set import SupportingSet, layer_of
from workbench.boundaries.tree import MOST, Tree
from workbench.models.generator import Condition
from workbench.numerics.randomness import seeded
from workbench.progress import Cancelled, Progress, Snapshot, run
from workbench.results import Provenance, Result, call

if TYPE_CHECKING:
    import pandas as pd

#: On a CPU, batches beyond this size leave the cache and are slower by the sample.
CACHED = 128
#: Lengths beyond this have squares that single precision cannot hold.
_LONGEST = 1e18
#: The default step in few dimensions, as a share of what so many nodes a step apart take up.
_FILL = 1.8
#: Ways from the query on which the default step looks for the boundary.
_WAYS = 32
#: The least share of the way to the box's points at which the default step looks for the boundary.
_NEAREST = 1e-6


@dataclass(frozen=True, kw_only=True)
class Exploration(Result):
    """The tree of accepted points, and what was rejected.

    Attributes:
        layer: name of the layer.
        query: (*point) the root.
        units, signs: (kept,) the boundaries that were respected.
        points: (n, *point) accepted, in the order in which they were; the first is the query.
        parents: (n,) index of the point that each was extended from; -1 for the query.
        tries: (n,) which try (from 1) each came from; 0 for the query.
        rejected: (r, *point) in the order of the tries.
        left_region: (r,) whether each lay outside the region; the others were too near to the tree.
        step, interval: the settings δ and I.
        tried: number of tries.
        reason: why the tree ended.
    """

    layer: str
    query: Float[Tensor, " *point"]
    units: Int[Tensor, " kept"]
    signs: Float[Tensor, " kept"]
    points: Float[Tensor, "n *point"]
    parents: Int[Tensor, " n"]
    tries: Int[Tensor, " n"]
    rejected: Float[Tensor, "r *point"]
    left_region: Bool[Tensor, " r"]
    step: float
    interval: float
    tried: int
    reason: str

    @property
    def acceptance(self) -> float:
        """Share of the tries that were accepted."""
        return (len(self.points) - 1) / self.tried if self.tried else math.nan

    @property
    def samples(self) -> Float[Tensor, "n *point"]:
        """The accepted points without the query."""
        return self.points[1:]

    @property
    def radii(self) -> Float[Tensor, " n"]:
        """Distance of each sample from the query."""
        return (self.samples - self.query).flatten(1).norm(dim=1)

    def frame(self) -> pd.DataFrame:
        """One row a point: parent, try, distance from the query, depth in the tree."""
        import pandas as pd

        parents = self.parents.tolist()
        depth = [0] * len(parents)
        for i, parent in enumerate(parents[1:], 1):
            depth[i] = depth[parent] + 1
        return pd.DataFrame(
            {
                "parent": pd.array([None if p < 0 else p for p in parents], dtype="Int64"),
                "try": self.tries.tolist(),
                "distance": [0.0, *self.radii.tolist()],
                "depth": depth,
            }
        )


@dataclass(frozen=True)
class Growth(Snapshot[Exploration]):
    """A step that shows the tree as it stands."""


def explore_steps(
    model: AnyModel,
    z: Any,
    supporting_set: SupportingSet,
    *,
    seed: int = 0,
    samples: int = 500,
    tries: int | None = None,
    step: float | None = None,
    interval: float = 2.0,
    batch: int | None = None,
    condition: Condition = None,
) -> Steps[Growth, None, Exploration]:
    """The steps of `explore`, one a batch of points; cancelled, it returns the tree so far, once there is one."""
    started = time.perf_counter()
    query = point_of(model, z)
    region = Membership(model, supporting_set, query, condition=condition)
    most_tries = 20 * samples if tries is None else tries
    check_settings(
        ("samples", samples, samples >= 1, "at least one"),
        ("tries", most_tries, most_tries >= 1, "at least one"),
        ("step", step, step is None or 0 < step < _LONGEST, "a positive length in latent units, or None"),
        ("interval", interval, 0 < interval < _LONGEST, "a positive length in latent units, such as 2"),
        ("batch", batch, batch is None or batch >= 1, "at least one, or None"),
    )
    options: dict[str, Any] = {
        "seed": seed,
        "samples": samples,
        "tries": most_tries,
        "step": step,
        "interval": interval,
        **({} if condition is None else {"condition": condition}),
    }
    low, high = box(query, interval)
    if step is None:
        scale = yield from region.scale(low, high, seed=seed)
        step = scale * min(0.5, _FILL * samples ** (-1 / query.numel()))
    tree = Tree(
        region.holds,
        step=step,
        low=low,
        high=high,
        limits=limits_around(model, query),
        seed=seed,
        most=min(batch or MOST, model.batches.size),
    )
    spent = region.passes

    def so_far(reason: str = "", partial: bool = True) -> Exploration:
        return Exploration(
            provenance=Provenance.of(
                model,
                call=call("wb.boundaries.explore", "G", "z", "supporting_set", **options),
                seed=seed,
                passes={"forward to the layer": spent + tree.evaluated},
                started=started,
                partial=partial,
            ),
            layer=supporting_set.layer,
            query=query,
            units=supporting_set.units,
            signs=supporting_set.signs,
            points=region.points(tree.nodes),
            parents=torch.tensor(tree.parents),
            tries=torch.tensor(tree.tries),
            rejected=region.points(tree.rejected),
            left_region=torch.tensor(tree.left_region, dtype=torch.bool),
            step=step,
            interval=interval,
            tried=tree.tried,
            reason=reason,
        )

    while len(tree) <= samples and tree.tried < most_tries:
        tree.grow(most_tries - tree.tried, samples + 1)
        try:
            yield Growth(len(tree) - 1, samples, f"samples of {tree.tried} tries,", so_far=so_far)
        except Cancelled:
            return so_far(f"stopped after {tree.tried} tries")
    return so_far(_reason(tree, samples, interval), partial=False)


def explore(
    model: AnyModel,
    z: Any,
    supporting_set: SupportingSet,
    *,
    seed: int = 0,
    samples: int = 500,
    tries: int | None = None,
    step: float | None = None,
    interval: float = 2.0,
    batch: int | None = None,
    condition: Condition = None,
    progress: Progress | None = None,
) -> Exploration:
    """Samples inside the region of a supporting set, by a rapidly exploring random tree (Algorithm 2, GB-RRT).

    Targets are drawn uniformly from the box z ± I. Each extends the nearest node by one step toward it, and
    the point is kept if the signs of all kept units are the query's there and no node is nearer than a step.
    A step that would leave the box is clipped to it. The tree is the same for every batch size.

    Args:
        model: a generator, or a classifier (then `z` is an input).
        z: the query, (*point) or (1, *point); the supporting set's own, or another point of its region.
        supporting_set: whose boundaries bound the region.
        seed: of the targets.
        samples: accepted points that are wanted.
        tries: N, at most; by default 20 times `samples`.
        step: δ; by default the median distance from the query to the region's boundary, on the way to random
            points of the box, times 1.8 samples^(-1/d), but no more than half of it: in a plane so many nodes
            about fill the region, and in many dimensions d some steps leave it.
        interval: I, half the side of the box; what leaves the limits of latents or inputs stays there. In many
            dimensions targets are far away whatever it is, and `step` and `samples` set the radius.
        batch: targets that are tried together, at most; 256 by default, and no more than fit in memory.
        condition: class or embedding of a class-conditional generator.
        progress: told each batch (a `Growth`, which shows the tree as it stands); returning False stops, and
            what there is is returned, marked partial.

    Returns:
        The tree. Where no step could be made it holds the query alone, and `reason` says why.

    Raises:
        BoundaryError: settings out of range, or a query outside the region or the box.
        ModelError: `z` of another shape.
        Cancelled: `progress` returned False before the default `step` was found.
    """
    steps = explore_steps(
        model,
        z,
        supporting_set,
        seed=seed,
        samples=samples,
        tries=tries,
        step=step,
        interval=interval,
        batch=batch,
        condition=condition,
    )
    return run(steps, progress)


def box(query: Float[Tensor, " *point"], interval: float) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """The box query ± interval, relative to the query; on the CPU in double precision, as all of the tree."""
    high = torch.full((query.numel(),), interval, dtype=torch.float64)
    return -high, high


def limits_around(
    model: AnyModel, query: Float[Tensor, " *point"]
) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]] | None:
    """The lowest and highest values of a point relative to the query; None where there are none."""
    low, high = limits(model)
    if math.isinf(low) and math.isinf(high):
        return None
    centre = query.flatten().cpu().double()
    return low - centre, high - centre


class Membership:
    """Which points lie in the region of a supporting set: flat points, relative to a query.

    Raises:
        BoundaryError: the set is of another network, or the query lies outside its region.
    """

    def __init__(
        self,
        model: AnyModel,
        supporting_set: SupportingSet,
        query: Float[Tensor, " *point"],
        *,
        condition: Condition,
    ) -> None:
        self.model, self.query = model, query
        at = layer_of(model, supporting_set, condition=condition)
        self._read = at.reader(supporting_set.units.to(model.device))
        self._signs = supporting_set.signs.to(query)
        self._centre = query.flatten().cpu().double()
        self.passes = 1
        if not torch.equal(query, supporting_set.query.to(query)) and not bool(self._agree(query[None])):
            raise BoundaryError(
                "z lies outside the region of the supporting set, which was made for another query; make a set "
                "for z, or start at supporting_set.query"
            )

    def points(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n *point"]:
        """The points that flat relative rows stand for, in the network's precision."""
        return (self._centre + rows).to(self.query).reshape(len(rows), *self.query.shape)

    def holds(self, rows: Float[Tensor, "n d"]) -> Bool[Tensor, " n"]:
        """Whether each row lies in the region."""
        points = self.points(rows)
        most = CACHED if points.device.type == "cpu" else len(points)
        return torch.cat([self.model.batches.map(self._agree, part) for part in points.split(max(1, most))])

    def _agree(self, points: Tensor) -> Tensor:
        with torch.no_grad():
            return (self._read(points) * self._signs >= 0).all(1)

    def scale(
        self, low: Float[Tensor, " d"], high: Float[Tensor, " d"], *, seed: int
    ) -> Steps[Growth, None, float]:
        """How far from the query the region ends on half the ways to random points of a box, within a fifth.

        Where it does not end within the box on most ways, the mean distance to those points.
        """
        generator = seeded(seed)
        drawn = torch.rand(_WAYS, len(low), generator=generator, dtype=torch.float64)
        ends = low + drawn * (high - low)
        allowed = limits_around(self.model, self.query)
        if allowed is not None:
            ends = ends.clamp(*allowed)
        inside, outside = _NEAREST, 1.0
        share = 1.0
        while outside > 1.2 * inside:
            within = float(self.holds(share * ends).double().mean()) > 0.5
            self.passes += _WAYS
            yield Growth(0, None, "size of the region")
            inside, outside = (share, outside) if within else (inside, share)
            share = math.sqrt(inside * outside) if inside > _NEAREST else max(outside / 2, 1.1 * inside)
        return inside * float(ends.norm(dim=1).mean())


def _reason(tree: Tree, samples: int, interval: float) -> str:
    if len(tree) > samples:
        return f"{samples} samples were wanted and found"
    if len(tree) > 1:
        return f"{len(tree) - 1} of {samples} samples after {tree.tried} tries; give more tries or a smaller step"
    left = sum(tree.left_region)
    if 2 * left >= tree.tried:
        return (
            f"no step of {tree.step:.3g} stays in the region: {left} of {tree.tried} tries left it. Give a "
            f"smaller step, such as {tree.step / 10:.2g}, or keep fewer boundaries by a higher threshold"
        )
    return (
        f"no point of the box is a step of {tree.step:.3g} away from the query: give a smaller step, or a larger "
        f"interval than {interval:.3g}"
    )
