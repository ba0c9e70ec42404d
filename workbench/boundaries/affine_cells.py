"""The cells of a plane on which a layer's pre-activations are affine, and the pre-activations at its points."""

from __future__ import annotations

import copy
from collections.abc import Generator as Steps
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.ndimage import binary_dilation
from torch import Tensor, nn

from workbench.boundaries.complexes import Array, Complex
from workbench.boundaries.plane import Plane
from workbench.boundaries.sign_layer import BoundaryError, SignLayer, dimensions
from workbench.numerics.tangents import AFFINE, BATCH_NORMS, computes
from workbench.progress import Step

#: Vertices that are sent through the network at once.
_ROWS = 256
#: Share of a layer's largest value in which rounding shows: some hundred units in the last place.
_ROUNDING = 1e-13
#: Numbers that are held at once: values of units at vertices.
_HELD = 20_000_000
#: Squares of the first, coarse grid along a side.
_COARSE = 64


class Evaluator:
    """Pre-activations at points of a plane, in double precision where the network's steps are known."""

    def __init__(self, at: SignLayer, plane: Plane, units: Int[Tensor, " chosen"]) -> None:
        if plane.origin.shape != torch.Size(dimensions(at.model)):
            raise BoundaryError(
                f"the plane is of points of shape {tuple(plane.origin.shape)}, but {at.model.name} takes "
                f"{dimensions(at.model)}; make one for it"
            )
        self.plane, self.units, self.passes, self._layer = plane, units, 0, at
        steps = at.steps()
        self.steps = None if steps is None else [copy.deepcopy(step).double().cpu() for step in steps]
        self._read = self._double
        # of the points and of what each step makes of them: how many numbers, and how far rounding may bring them
        self.width, self.rounding = [], []
        x0, x1, y0, y1 = plane.extent
        points = plane.points([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [(x0 + x1) / 2, (y0 + y1) / 2]])
        with torch.no_grad():
            for step in (nn.Identity(), *(self.steps or ())):
                points = step(points)
                self.width.append(points[0].numel())
                self.rounding.append(_ROUNDING * float(points.abs().max()))

    def double(self, points: Tensor, count: int) -> Float[Tensor, "n units"]:
        """What the first `count` steps make of points, in double precision.

        Vertices lie on boundaries, where rounding would choose a unit's side, and a layer without biases that is
        zero on a whole cell would have a sign of its own at each corner: what is zero, or at a kink, but for
        rounding is made so.
        """
        for i, step in enumerate((self.steps or ())[:count]):
            for kink in _kinks(step) or ():
                points = _settled(points, kink, self.rounding[i])
            points = step(points)
        return points.flatten(1)

    def _double(self, points: Tensor) -> Tensor:
        return _settled(self.double(points, len(self.steps or ())), 0.0, self.rounding[-1])[:, self.units]

    def as_it_is(self) -> None:
        """From now on evaluate the network itself, on its device and in its precision: what a grid needs."""
        model, reader = self._layer.model, self._layer.reader(self.units.to(self._layer.model.device))
        self._read = lambda points: reader(points.to(device=model.device, dtype=model.dtype)).double().cpu()

    def at(self, xy: Array, some: slice = slice(None)) -> Steps[Step, None, Array]:
        """(n, chosen) pre-activations of the chosen units, or some of them, at coordinates (n, 2)."""
        found = np.empty((len(xy), len(self.units[some])))
        rows = min(_ROWS, self._layer.model.batches.size)
        for start in range(0, len(xy), rows):
            if start:
                yield Step(start, len(xy), "points of the plane")
            part = slice(start, start + rows)
            with torch.no_grad():
                found[part] = self._read(self.plane.points(xy[part]))[:, some].numpy()
        self.passes += len(xy)
        return found

    def segments(self, cells: Complex) -> Steps[Step, None, tuple[Array, Array]]:
        """The boundaries of the chosen units; many cells a band at a time, so that the values can be held."""
        segments, units = [], []
        for part in cells.parts(_HELD // len(self.units)):
            values = yield from self.at(part.vertices)
            some, owners = part.segments(values)
            segments.append(some)
            units.append(owners)
        return np.concatenate(segments), np.concatenate(units)

    def squares(self, resolution: int) -> Steps[Step, None, Complex]:
        """The squares of a grid through which boundaries of the chosen units may pass.

        A coarse grid tells where: where signs differ at a square's corners or at those of its neighbours.
        """
        x0, x1, y0, y1 = self.plane.extent
        coarse = min(_COARSE, resolution)
        fine = -(-resolution // coarse)
        x, y = np.linspace(x0, x1, coarse + 1), np.linspace(y0, y1, coarse + 1)
        corners = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        values = yield from self.at(corners)
        positive = (values >= 0).reshape(coarse + 1, coarse + 1, -1)
        four = np.stack([positive[i : coarse + i, j : coarse + j] for i in (0, 1) for j in (0, 1)])
        crossed = (four.any(0) & ~four.all(0)).any(-1)
        near = binary_dilation(crossed, np.ones((3, 3), bool))
        chosen = np.kron(near, np.ones((fine, fine), bool))
        x, y = (np.linspace(a, b, coarse * fine + 1) for a, b in ((x0, x1), (y0, y1)))
        return Complex.squares(x, y, chosen)

    def squares_around(self, query: Array, signs: Array, resolution: int) -> Steps[Step, None, Complex]:
        """The squares of a grid that have a corner in the region around a place, found by going on from there."""
        x0, x1, y0, y1 = self.plane.extent
        x, y = np.linspace(x0, x1, resolution + 1), np.linspace(y0, y1, resolution + 1)
        inside, known = (np.zeros((resolution + 1, resolution + 1), bool) for _ in range(2))
        asked = np.zeros_like(known)
        column, row = (int(np.abs(ticks - v).argmin()) for ticks, v in ((x, query[0]), (y, query[1])))
        if x0 <= query[0] <= x1 and y0 <= query[1] <= y1:
            asked[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
        while asked.any():
            places = np.stack([x[asked.nonzero()[1]], y[asked.nonzero()[0]]], 1)
            values = yield from self.at(places)
            inside[asked] = (values * signs >= 0).all(1)
            yield Step(int(inside.sum()), None, "points of the region")
            known |= asked
            asked = binary_dilation(inside, np.ones((3, 3), bool), iterations=2) & ~known
        chosen = inside[:-1, :-1] | inside[1:, :-1] | inside[:-1, 1:] | inside[1:, 1:]
        return Complex.squares(x, y, chosen)


def affine_cells(evaluate: Evaluator, most: int) -> Steps[Step, None, tuple[Complex | None, str]]:
    """The plane's cells on which the pre-activation is affine; None, and why, where they are not known."""
    steps = evaluate.steps
    if steps is None:
        return None, "the network is no plain sequence of modules"
    kinks = [_kinks(step) for step in steps]
    if None in kinks:
        return None, f"{type(steps[kinks.index(None)]).__name__} is not piecewise linear"
    cells = Complex.box(*evaluate.plane.extent)
    bends = [i for i, found in enumerate(kinks) if found]
    for place, i in enumerate(bends):
        for kink in kinks[i] or ():
            crossed = np.zeros(evaluate.width[i], np.intp)
            for part in cells.parts(_HELD // evaluate.width[i]):
                values = yield from _heights(evaluate, i, kink, part.vertices)
                crossed += part.crossed(values)
            # a unit makes two of each cell that it crosses; in one cell alone, the units' own crossings count, too
            if cells.cells + crossed.sum() > most or (cells.cells == 1 and cells.pieces(values) > most):
                return None, _too_many(most)
            units = np.flatnonzero(crossed)
            while len(units):
                some = units[: room(cells)]
                values = yield from _heights(evaluate, i, kink, cells.vertices, some)
                done = cells.cut(values, most=most, room=_HELD, rounding=evaluate.rounding[i]).shape[1]
                if cells.cells > most:
                    return None, _too_many(most)
                units = units[done:]
                yield Step(place, len(bends) + 1, f"{cells.cells} pieces of the plane")
        yield Step(place + 1, len(bends) + 1, f"{cells.cells} pieces of the plane")
    return cells, ""


def room(cells: Complex) -> int:
    """How many units' values at the vertices of cells are held at once while they are cut."""
    return max(1, _HELD // (4 * max(1, len(cells.vertices))))


def _too_many(most: int) -> str:
    return f"the earlier layers cut this part of the plane into more than {most} pieces; look closer"


def _heights(
    evaluate: Evaluator, count: int, kink: float, xy: Array, some: Any = slice(None)
) -> Steps[Step, None, Array]:
    """How far the first steps bring coordinates (n, 2) above a kink, flat; of some units alone."""
    parts = []
    for start in range(0, len(xy), _ROWS):
        if start:
            yield Step(start, len(xy), "corners of pieces")
        with torch.no_grad():
            values = evaluate.double(evaluate.plane.points(xy[start : start + _ROWS]), count)[:, some]
            parts.append((_settled(values, kink, evaluate.rounding[count]) - kink).numpy())
    evaluate.passes += len(xy)
    return np.concatenate(parts)


def _settled(values: Tensor, at: float, rounding: float) -> Tensor:
    """The values, with those that are `at` a number but for rounding brought there."""
    return torch.where((values - at).abs() <= rounding, at, values)


def _kinks(step: nn.Module) -> tuple[float, ...] | None:
    """Where a module's slope changes; () for an affine one, None for one that is not piecewise linear."""
    if computes(step, (nn.Hardtanh,)):  # ReLU6 is a Hardtanh from 0 to 6
        return (float(step.min_val), float(step.max_val))
    if computes(step, (nn.ReLU, nn.LeakyReLU, nn.PReLU)):
        return (0.0,)
    if computes(step, BATCH_NORMS) and step.running_mean is None:
        return None  # it takes its statistics from the batch
    return () if computes(step, AFFINE) else None
