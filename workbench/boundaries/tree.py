"""The tree of GB-RRT, grown by batches of targets, the same as one target at a time.

A batch is extended as if the outcome of each of its targets were known, and what turns out to rest on a wrong
guess is extended again before it is kept. Only the points that the network is asked about leave NumPy, whose
operations on so few rows cost less than a tensor's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.numerics.randomness import seeded

Array = np.ndarray

#: Points count as `step` apart down to this share of it: a step of that length is rounded, and as printed, with
#: "more than" a step, the paper's test would be decided by the rounding.
SPACING = 1 - 1e-4
#: Targets are drawn in blocks of this size, so that the sequence does not depend on the batches.
_BLOCK = 1024
#: Targets tried together: at the start, and at most.
_FIRST, MOST = 32, 256
#: Times that a step is lengthened whose components stay at a limit.
_SLIDES = 12
#: From this share of points in the region on, it pays to ask about points that rest on unknown ones.
_SURE = 0.95


class Tree:
    """The tree of Algorithm 2 over points relative to the query, grown by batches of targets.

    Args:
        inside: whether each row (batch, d) lies in the region.
        step: δ.
        low, high: (d,) the box that targets are drawn from and that no point leaves.
        limits: (d,) the lowest and highest values of a point, where there are some.
        seed: of the targets.
        most: targets tried together.

    Attributes:
        parents, tries: of each node, as in `Exploration`.
        left_region: of each rejected point.
        tried: number of targets so far.
        evaluated: number of points that `inside` was asked about.
    """

    def __init__(
        self,
        inside: Callable[[Float[Tensor, "batch d"]], Bool[Tensor, " batch"]],
        *,
        step: float,
        low: Float[Tensor, " d"],
        high: Float[Tensor, " d"],
        limits: tuple[Float[Tensor, " d"], Float[Tensor, " d"]] | None = None,
        seed: int,
        most: int = MOST,
    ) -> None:
        self._inside, self.step = inside, step
        self._low, self._high = (end.double().cpu().numpy() for end in (low, high))
        self._limits = None if limits is None else tuple(end.double().cpu().numpy() for end in limits)
        self._generator = seeded(seed)
        self._targets = np.zeros((0, len(low)))
        self._nodes, self._rejected = _Rows(len(low)), _Rows(len(low))
        self._nodes.append(np.zeros((1, len(low))))
        self.parents, self.tries, self.left_region = [-1], [0], list[bool]()
        self.tried = self.evaluated = self._in_region = 0
        self._most = max(1, most)
        self._batch = min(_FIRST, self._most)

    def __len__(self) -> int:
        return len(self.parents)

    @property
    def nodes(self) -> Float[Tensor, "n d"]:
        """The accepted points; the first is the origin."""
        return torch.from_numpy(self._nodes.rows)

    @property
    def rejected(self) -> Float[Tensor, "r d"]:
        """The rejected points."""
        return torch.from_numpy(self._rejected.rows)

    @property
    def rows(self) -> Array:
        """The accepted points as an array (n, d)."""
        return self._nodes.rows

    def grow(self, tries: int, nodes: int) -> None:
        """Try the next targets: at most `tries`, and none after the tree has `nodes` nodes."""
        count = min(self._batch, tries)
        batch = _Batch(self, self._next_targets(count))
        batch.settle()
        self._keep(batch, nodes)
        # the more nodes a batch may add to those that there are, the more of it rests on guesses
        adding = 1.0 if self.optimistic else max(self.rate, 0.02)
        self._batch = min(self._most, max(_FIRST, int(len(self) / (4 * adding))))

    @property
    def rate(self) -> float:
        """Share of the points asked about so far that lie in the region; 1 before the first."""
        return self._in_region / self.evaluated if self.evaluated else 1.0

    @property
    def optimistic(self) -> bool:
        """Whether points that were not asked about are taken to be accepted."""
        return self.rate >= 0.2

    def inside(self, rows: Float[Array, "batch d"]) -> Bool[Array, " batch"]:
        """Whether each row lies in the region; counted."""
        found = self._inside(torch.from_numpy(rows)).cpu().numpy()
        self.evaluated += len(rows)
        self._in_region += int(found.sum())
        return found

    def extend(
        self, origins: Float[Array, "batch d"], targets: Float[Array, "batch d"]
    ) -> tuple[Float[Array, "batch d"], Bool[Array, " batch"]]:
        """A step from each origin toward its target, kept in the box, and whether it was bent by that.

        Components that reach the model's limits stay there, and the others go on until the step has its length:
        where most components lie at a limit, as the black pixels of a digit do, no other step would be long
        enough to keep.
        """
        way = targets - origins
        share = self.step / _length(way)
        straight = origins + way * share
        points = straight
        if self._limits is not None:
            for _ in range(_SLIDES):
                points = (origins + way * share).clip(*self._limits)
                share = share * (self.step / _length(points - origins))
        points = points.clip(self._low, self._high)
        return points, (points != straight).any(1)

    def _next_targets(self, count: int) -> Array:
        while len(self._targets) < count:
            drawn = torch.rand(_BLOCK, len(self._low), generator=self._generator, dtype=torch.float64)
            block = self._low + drawn.numpy() * (self._high - self._low)
            self._targets = np.concatenate([self._targets, block])
        taken, self._targets = self._targets[:count], self._targets[count:]
        return taken

    def _keep(self, batch: _Batch, nodes: int) -> None:
        accepted = batch.accepted.tolist()
        end, total = 0, len(self)
        while end < len(accepted) and total < nodes:
            total += accepted[end]
            end += 1
        place: dict[int, int] = {}
        for j, parent in enumerate(batch.parent[:end].tolist()):
            if accepted[j]:
                place[j] = len(self.parents)
                self.parents.append(parent if parent < batch.nodes else place[parent - batch.nodes])
                self.tries.append(self.tried + j + 1)
        chosen = batch.accepted[:end]
        self._nodes.append(batch.points[:end][chosen])
        self._rejected.append(batch.points[:end][~chosen])
        self.left_region.extend((batch.region[:end][~chosen] == 0).tolist())
        self.tried += end


class _Batch:
    """Targets that are tried together and come out as if they had been tried one after another.

    Each target's nearest node may be a point that an earlier target of the batch adds, or not, which only the
    network can tell. Points that were not asked about are taken to be added, unless few are; the pass over
    the batch is repeated until it agrees with itself, and the network is asked about all that is unknown and
    rests on nothing unknown, at once. A target depends on earlier ones alone, so that what is left in the
    end is what trying them in turn would give.

    Attributes:
        nodes: number of nodes in the tree before.
        parent: (w,) for each target the node it extends, or nodes + i for the point of target i.
        points: (w, d) where it leads.
        region: (w,) 1 in the region, 0 outside, -1 not asked.
        accepted: (w,).
    """

    def __init__(self, tree: Tree, targets: Float[Array, "w d"]) -> None:
        self._tree, self._targets, self.nodes = tree, targets, len(tree)
        self._distance, self._nearest = _nearest(targets, tree.rows)
        self._origins = tree.rows[self._nearest]
        self._reach = self._distance
        self.parent = self._nearest
        self.points, self._bent = tree.extend(self._origins, targets)
        self.region = np.full(len(targets), -1)
        self._to_targets = _squared(targets, self.points)  # [j, i]: of target j from point i
        w = len(targets)
        self._earlier = np.tri(w, k=-1, dtype=bool)
        self._crowded = np.zeros(w, bool)
        self._optimistic = tree.optimistic
        self.accepted = np.full(w, self._optimistic)

    def settle(self) -> None:
        """Decide every target."""
        while True:
            while self._repeat():
                pass
            unknown = (self.region < 0) & ~self._crowded
            if not unknown.any():
                return
            if self._optimistic and self._tree.rate < _SURE:
                waits = self.parent >= self.nodes
                waits[waits] = unknown[self.parent[waits] - self.nodes]
                unknown &= ~waits
            self.region[unknown] = self._tree.inside(self.points[unknown])

    def _repeat(self) -> bool:
        """One pass over all targets with the outcomes as they are taken to be; whether anything changed."""
        visible = self._earlier & self.accepted
        distances = np.where(visible, self._to_targets, np.inf)
        index = distances.argmin(1)
        nearest = distances[np.arange(len(index)), index]
        here = nearest < self._distance
        self._reach = np.where(here, nearest, self._distance)
        self.parent = np.where(here, index + self.nodes, self._nearest)
        origins = np.where(here[:, None], self.points[index], self._origins)
        points, self._bent = self._tree.extend(origins, self._targets)
        moved = np.flatnonzero((points != self.points).any(1))
        if len(moved):
            self.points = points
            self.region[moved] = -1
            self._to_targets[:, moved] = _squared(self._targets, points[moved])
        self._crowded = self._too_near(visible)
        accepted = ((self.region != 0) if self._optimistic else (self.region == 1)) & ~self._crowded
        changed = bool(len(moved)) or bool((accepted != self.accepted).any())
        self.accepted = accepted
        return changed

    def _too_near(self, visible: Bool[Array, "w w"]) -> Bool[Array, " w"]:
        """Whether each point is nearer than a step to a node.

        By the triangle inequality only one that overshoots its target, or was bent, can be: no node is nearer to
        the target than the one that was extended, so that none is nearer to a point on the way there than a step.
        """
        short = np.flatnonzero(self._bent | (self._reach < self._tree.step**2))
        found = np.zeros(len(self.accepted), bool)
        if len(short):
            least, points = (SPACING * self._tree.step) ** 2, self.points[short]
            here = ((_squared(points, self.points) < least) & visible[short]).any(1)
            found[short] = here | (_nearest(points, self._tree.rows)[0] < least)
        return found


class _Rows:
    """Rows that are appended to, in memory that doubles."""

    def __init__(self, width: int) -> None:
        self._held = np.empty((_BLOCK, width))
        self._count = 0

    @property
    def rows(self) -> Array:
        return self._held[: self._count]

    def append(self, rows: Array) -> None:
        needed = self._count + len(rows)
        if needed > len(self._held):
            more = np.empty((max(needed, 2 * len(self._held)), self._held.shape[1]))
            more[: self._count] = self.rows
            self._held = more
        self._held[self._count : needed] = rows
        self._count = needed


def _length(rows: Float[Array, "n d"]) -> Float[Array, "n 1"]:
    return np.maximum(np.sqrt(np.einsum("nd,nd->n", rows, rows)), np.finfo(float).tiny)[:, None]


def _squared(a: Float[Array, "a d"], b: Float[Array, "b d"]) -> Float[Array, "a b"]:
    """Squared distances; the rows are near the origin, so that little cancels."""
    return (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)


def _nearest(
    points: Float[Array, "w d"], nodes: Float[Array, "n d"]
) -> tuple[Float[Array, " w"], Int[Array, " w"]]:
    """Squared distance to the nearest node, and which it is."""
    distances = (nodes * nodes).sum(1) - 2 * (points @ nodes.T)
    index = distances.argmin(1)
    return distances[np.arange(len(index)), index] + (points * points).sum(1), index
