"""Cell complexes of a part of a plane: vertices, edges and the cells on both sides, cut where functions are zero.

A function that is continuous, and affine on every cell, is given by its values at the vertices. An edge whose ends
have different signs is crossed once, where the values' interpolation is zero, and a convex cell is crossed by two
of its edges or none. Zero counts as positive, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Array = np.ndarray


@dataclass
class Complex:
    """Convex cells that tile a part of the plane, or some of them.

    Attributes:
        vertices: (v, 2).
        edges: (e, 2) indices of vertices.
        sides: (e, 2) the cells on the two sides, -1 where there is none.
        cells: number of cells; some may have been dropped.
    """

    vertices: Array
    edges: Array
    sides: Array
    cells: int

    @classmethod
    def box(cls, x0: float, x1: float, y0: float, y1: float) -> Complex:
        """One rectangle."""
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)
        edges = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
        return cls(corners, edges, np.array([[0, -1]] * 4), 1)

    @classmethod
    def squares(cls, x: Array, y: Array, chosen: Array) -> Complex:
        """The chosen squares (len(y) - 1, len(x) - 1) of a grid."""
        rows, columns = np.nonzero(chosen)
        cell = np.arange(len(rows))
        wide = len(x)
        corner = [(rows + i) * wide + columns + j for i, j in ((0, 0), (0, 1), (1, 1), (1, 0))]
        ends = np.concatenate([np.stack([corner[k], corner[(k + 1) % 4]], 1) for k in range(4)])
        key, place = np.unique(np.sort(ends, 1), axis=0, return_inverse=True)
        owner = np.tile(cell, 4)
        order = np.argsort(place.ravel(), kind="stable")
        first = np.searchsorted(place.ravel()[order], np.arange(len(key)))
        sides = np.full((len(key), 2), -1)
        sides[:, 0] = owner[order][first]
        counts = np.bincount(place.ravel(), minlength=len(key))
        sides[counts == 2, 1] = owner[order][first[counts == 2] + 1]
        used, edges = np.unique(key, return_inverse=True)
        vertices = np.stack([x[used % wide], y[used // wide]], 1)
        return cls(vertices, edges.reshape(-1, 2), sides, len(rows))

    def parts(self, vertices: int) -> Iterator[Complex]:
        """The cells in bands of about so many vertices, each a complex of its own; few vertices lie in two."""
        count = -(-len(self.vertices) // max(1, vertices))
        if count <= 1:
            yield self
            return
        order = np.argsort(self._middles()[:, 0], kind="stable")
        for chosen in np.array_split(order, min(count, self.cells)):
            own = np.zeros(self.cells + 1, bool)  # the last place is that of -1
            own[chosen] = True
            inside = own[self.sides]
            touched = inside.any(1)
            used, edges = np.unique(self.edges[touched], return_inverse=True)
            sides = np.where(inside, self.sides, -1)[touched]
            yield Complex(self.vertices[used], edges.reshape(-1, 2), sides, self.cells)

    def crossed(self, values: Array) -> Array:
        """(functions,) how many cells each function cuts."""
        positive = values >= 0
        differs = positive[self.edges[:, 0]] != positive[self.edges[:, 1]]
        return (differs.sum(0) + differs[(self.sides >= 0).all(1)].sum(0)) // 2

    def segments(self, values: Array) -> tuple[Array, Array]:
        """Where functions are zero: segments (n, 2, 2), and which function (n,) each belongs to.

        Args:
            values: (v, functions) at the vertices.
        """
        positive = values >= 0
        edge, function = np.nonzero(positive[self.edges[:, 0]] != positive[self.edges[:, 1]])
        points = self._crossings(
            edge, values[self.edges[edge, 0], function], values[self.edges[edge, 1], function]
        )
        crossing = np.repeat(np.arange(len(edge)), 2)
        cell = self.sides[edge].ravel()
        held = cell >= 0
        crossing, cell = crossing[held], cell[held]
        order = np.argsort(cell * values.shape[1] + function[crossing], kind="stable")
        pairs = crossing[order].reshape(-1, 2)
        return points[pairs], function[pairs[:, 0]]

    def _crossings(self, edge: Array, a: Array, b: Array) -> Array:
        share = (a / (a - b))[:, None]
        ends = self.vertices[self.edges[edge]]
        return ends[:, 0] * (1 - share) + ends[:, 1] * share

    def pieces(self, values: Array) -> int:
        """How many cells `cut` would make of a box that is whole: one, and one for each line and each crossing."""
        positive = values >= 0
        function, edge = np.nonzero((positive[self.edges[:, 0]] != positive[self.edges[:, 1]]).T)
        a, b = (values[self.edges[edge, end], function] for end in (0, 1))
        low, high = np.sort((edge + a / (a - b)).reshape(-1, 2), axis=1).T  # places along the way around the box
        crossed = sum(int(((low > a) & (low < b) & (high > b)).sum()) for a, b in zip(low, high, strict=True))
        return 1 + len(low) + crossed

    def cut(
        self,
        values: Array,
        *,
        keep: Array | None = None,
        most: int | None = None,
        room: int | None = None,
        rounding: float = 0.0,
    ) -> Array:
        """Cut the cells along the zeros of functions, one after another.

        Returns the values at all vertices of those that it cut along, all if neither limit was reached.

        Args:
            values: (v, functions) at the vertices.
            keep: (functions,) signs; cells on the other side are dropped.
            most: stop, unfinished, when there are more cells than this.
            room: stop, unfinished, when more values than this would be held.
            rounding: values up to this size are zero.
        """
        held = np.empty((2 * len(values) + 1024, values.shape[1]))
        held[: len(values)] = values
        done = 0
        for k in range(values.shape[1]):
            before = len(self.vertices)
            fresh = self._cut(held[:before], k)
            fresh[np.abs(fresh) <= rounding] = 0.0
            total = before + len(fresh)
            if total > len(held):
                held = np.concatenate([held, np.empty((2 * total - len(held), held.shape[1]))])
            held[before:total] = fresh
            if keep is not None:
                self._drop(held[:total, k], keep[k])
            done = k + 1
            if (most is not None and self.cells > most) or (room is not None and total * values.shape[1] > room):
                break
        return held[: len(self.vertices), :done]

    def _cut(self, values: Array, k: int) -> Array:
        """Cut along the zeros of function `k`; returns the values at the vertices that this adds."""
        positive = values[:, k] >= 0
        start, end = positive[self.edges[:, 0]], positive[self.edges[:, 1]]
        crossed = np.flatnonzero(start != end)
        if not len(crossed):
            return values[:0]
        a, b = self.edges[crossed].T
        fresh = len(self.vertices) + np.arange(len(crossed))
        share = (values[a, k] / (values[a, k] - values[b, k]))[:, None]
        self.vertices = np.concatenate([self.vertices, self._crossings(crossed, values[a, k], values[b, k])])
        between = values[a] * (1 - share) + values[b] * share
        between[:, k] = 0.0
        # which cells are cut, and where: each has two crossings
        cell = self.sides[crossed].ravel()
        at = np.repeat(fresh, 2)[cell >= 0]
        cell = cell[cell >= 0]
        order = np.argsort(cell, kind="stable")
        cut, at = cell[order][::2], at[order].reshape(-1, 2)
        behind = np.arange(self.cells + 1)  # the cell's number behind the cut; -1 stays, as the last entry
        behind[-1] = -1
        behind[cut] = self.cells + np.arange(len(cut))
        # edges behind the cut lie in the new cells; a crossed edge becomes two
        tail = np.stack([fresh, b], 1)
        tail_sides = np.where(end[crossed][:, None], self.sides[crossed], behind[self.sides[crossed]])
        self.edges[crossed, 1] = fresh
        negative = ~start
        self.sides[negative] = behind[self.sides[negative]]
        self.edges = np.concatenate([self.edges, tail, at])
        self.sides = np.concatenate([self.sides, tail_sides, np.stack([cut, behind[cut]], 1)])
        self.cells += len(cut)
        return between

    def _drop(self, values: Array, sign: float) -> None:
        """Forget the cells on which a function, of one sign on each, does not have this sign."""
        wrong = (values[self.edges] * sign < 0).any(1)
        gone = np.zeros(self.cells + 1, bool)
        gone[-1] = True  # the place of -1
        gone[self.sides[wrong]] = True
        self.sides = np.where(gone[self.sides], -1, self.sides)
        left = (self.sides >= 0).any(1)
        self.edges, self.sides = self.edges[left], self.sides[left]

    def tidy(self) -> None:
        """Forget vertices without an edge and number the cells that there are."""
        used, edges = np.unique(self.edges, return_inverse=True)
        self.vertices, self.edges = self.vertices[used], edges.reshape(-1, 2)
        cells, sides = np.unique(np.append(self.sides.ravel(), -1), return_inverse=True)
        self.sides, self.cells = sides[:-1].reshape(-1, 2) - 1, len(cells) - 1

    def part_with(self, point: Array) -> Complex:
        """The cells that hang together with the one that holds a point; none where no cell does."""
        held = self._cell_of(point)
        if held < 0:
            return Complex(self.vertices, self.edges[:0], self.sides[:0], self.cells)
        inner = self.sides[(self.sides >= 0).all(1)]
        shape = (self.cells, self.cells)
        links = coo_array((np.ones(len(inner)), (inner[:, 0], inner[:, 1])), shape=shape)
        _, part = connected_components(links, directed=False)
        own = np.append(part == part[held], False)
        sides = np.where(own[self.sides], self.sides, -1)
        left = (sides >= 0).any(1)
        return Complex(self.vertices, self.edges[left], sides[left], self.cells)

    def _cell_of(self, point: Array) -> int:
        """The cell that holds a point: it is on the inner side of all its edges."""
        ends = self.vertices[self.edges]
        way = ends[:, 1] - ends[:, 0]
        outside = np.zeros(self.cells, int)
        seen = np.zeros(self.cells, int)
        middles = self._middles()
        for side in (0, 1):
            held = self.sides[:, side] >= 0
            cell = self.sides[held, side]
            offset = _turn(way[held], point - ends[held, 0]) * _turn(way[held], middles[cell] - ends[held, 0])
            np.add.at(outside, cell, offset < 0)
            np.add.at(seen, cell, 1)
        inside = np.flatnonzero((seen > 0) & (outside == 0))
        return int(inside[0]) if len(inside) else -1

    def _middles(self) -> Array:
        """A point inside each cell: the mean of its edges' middles."""
        total, count = np.zeros((self.cells, 2)), np.zeros(self.cells)
        middle = self.vertices[self.edges].mean(1)
        for side in (0, 1):
            held = self.sides[:, side] >= 0
            np.add.at(total, self.sides[held, side], middle[held])
            np.add.at(count, self.sides[held, side], 1)
        return total / np.maximum(count, 1)[:, None]

    def areas(self) -> Array:
        """(cells,) the area of each cell; 0 for those that were dropped."""
        middles, found = self._middles(), np.zeros(self.cells)
        ends = self.vertices[self.edges]
        for side in (0, 1):
            held = self.sides[:, side] >= 0
            cell = self.sides[held, side]
            a, b = ends[held, 0] - middles[cell], ends[held, 1] - middles[cell]
            np.add.at(found, cell, np.abs(_turn(a, b)) / 2)
        return found

    def outline(self) -> list[Array]:
        """The closed lines (n, 2) around the cells: edges with a cell on one side alone, joined end to end."""
        rim = self.edges[(self.sides >= 0).sum(1) == 1]
        return [self.vertices[loop] for loop in joined(rim)]


def _turn(a: Array, b: Array) -> Array:
    """Which way b lies of a, times the area that they span."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def polylines(segments: Array, owner: Array) -> list[Array]:
    """Pieces (n, 2, 2) joined end to end into lines (m, 2), those of one owner (n,) with one another alone."""
    if not len(segments):
        return []
    ends = np.concatenate([np.repeat(owner, 2)[:, None], segments.reshape(-1, 2)], 1)
    points, number = np.unique(ends, axis=0, return_inverse=True)
    pieces = number.reshape(-1, 2)
    pieces = pieces[pieces[:, 0] != pieces[:, 1]]  # a line through a vertex has pieces of no length there
    return [points[line, 1:] for line in joined(pieces)]


def joined(edges: Array) -> list[list[int]]:
    """Lines of vertices out of edges (n, 2): first those from one loose end to another, then closed ones."""
    at: dict[int, list[int]] = {}
    for number, (a, b) in enumerate(edges.tolist()):
        at.setdefault(a, []).append(number)
        at.setdefault(b, []).append(number)
    used = np.zeros(len(edges), bool)
    loose = [(held[0], vertex) for vertex, held in at.items() if len(held) % 2]
    closed = [(number, int(edges[number, 0])) for number in range(len(edges))]
    lines = []
    for first, start in loose + closed:
        if used[first]:
            continue
        line, free = [start], [first]
        while free:
            used[free[0]] = True
            a, b = edges[free[0]].tolist()
            line.append(b if a == line[-1] else a)
            free = [] if line[-1] == start else [n for n in at[line[-1]] if not used[n]]
        lines.append(line)
    return lines
