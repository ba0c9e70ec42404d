"""The arrangement of a layer's boundaries in a plane: exact for piecewise-linear networks, on a grid for others.

Layer by layer, as SplineCam (Humayun, Balestriero, Balakrishnan and Baraniuk, CVPR 2023) does for planes: where
all earlier layers are affine, a unit's boundary is a straight line. The plane is cut along the earlier layers'
kinks; the values at the vertices of what that gives say where the layer's own boundaries run.
"""

from __future__ import annotations

import time
from collections.abc import Generator as Steps
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.boundaries.affine_cells import Evaluator, affine_cells, room
from workbench.boundaries.plane import Plane
from workbench.boundaries.sign_layer import (
    AnyModel,
    BoundaryError,
    check_settings,
    sign_layer,
)
from workbench.boundaries.supporting_set import SupportingSet, layer_of
from workbench.models import Layer
from workbench.models.generator import Condition
from workbench.progress import Progress, Step, run
from workbench.results import Provenance, Result, call


@dataclass(frozen=True, kw_only=True)
class Arrangement(Result):
    """The boundaries of a layer's units in a part of a plane.

    Attributes:
        layer: name of the layer.
        origin, directions, extent: of the plane; see `plane`.
        segments: (n, 2, 2) float64 straight pieces, in the plane's coordinates.
        unit: (n,) flat index of the unit that each belongs to.
        exact: whether the pieces are the boundaries themselves; else they approximate them on a grid.
        reason: why they are not exact, or "".
        cells: number of cells on which the earlier layers are affine (of the grid, where not exact).
    """

    layer: str
    origin: Float[Tensor, " *point"]
    directions: Float[Tensor, "2 *point"]
    extent: tuple[float, float, float, float]
    segments: Float[Tensor, "n 2 2"]
    unit: Int[Tensor, " n"]
    exact: bool
    reason: str
    cells: int

    @property
    def plane(self) -> Plane:
        """The plane that it was drawn in."""
        return Plane(self.origin, self.directions, self.extent)

    def of_units(self, units: Int[Tensor, " chosen"], *, others: bool = False) -> Arrangement:
        """The boundaries of some units alone, or of all others."""
        own = torch.isin(self.unit, units.to(self.unit.device)) ^ others
        return replace(self, segments=self.segments[own], unit=self.unit[own])


@dataclass(frozen=True)
class Region:
    """The region of a supporting set in a part of a plane.

    Attributes:
        outlines: closed lines (n, 2) in the plane's coordinates; one inside another is a hole.
        area: of the region, in squared latent units.
        exact: whether the outlines are the region's own, else those of a grid.
    """

    outlines: tuple[Float[np.ndarray, "n 2"], ...]
    area: float
    exact: bool


def arrangement_steps(
    model: AnyModel,
    layer: str | int | Layer,
    plane: Plane,
    *,
    units: Int[Tensor, " chosen"] | None = None,
    resolution: int = 256,
    most_cells: int = 200_000,
    condition: Condition = None,
) -> Steps[Step, None, Arrangement]:
    """The steps of `arrangement`, one a batch of points and one a layer that the plane is cut along."""
    started = time.perf_counter()
    _check_sizes(resolution, most_cells)
    at = sign_layer(model, layer, condition=condition)
    chosen = torch.arange(at.units) if units is None else torch.as_tensor(units).cpu().long().flatten()
    if not len(chosen) or not 0 <= int(chosen.min()) <= int(chosen.max()) < at.units:
        raise BoundaryError(
            f"units={_shortened(chosen)}; expected some of 0 to {at.units - 1}, those of layer {at.name!r}"
        )
    options = {
        **({} if units is None else {"units": units}),
        "resolution": resolution,
        "most_cells": most_cells,
        **({} if condition is None else {"condition": condition}),
    }
    evaluate = Evaluator(at, plane, chosen)
    cells, reason = yield from affine_cells(evaluate, most_cells)
    if cells is None:
        evaluate.as_it_is()
        cells = yield from evaluate.squares(resolution)
    segments, unit = yield from evaluate.segments(cells)
    yield Step(1, 1, f"{len(segments)} pieces of boundaries")
    return Arrangement(
        provenance=Provenance.of(
            model,
            call=call("wb.boundaries.arrangement", "G", repr(at.name), "plane", **options),
            seed=0,
            passes={"forward to the layer": evaluate.passes},
            started=started,
            dtype=torch.float64 if not reason else None,
        ),
        layer=at.name,
        origin=plane.origin,
        directions=plane.directions,
        extent=plane.extent,
        segments=torch.from_numpy(segments),
        unit=chosen[torch.from_numpy(unit)],
        exact=not reason,
        reason=reason,
        cells=cells.cells,
    )


def arrangement(
    model: AnyModel,
    layer: str | int | Layer,
    plane: Plane,
    *,
    units: Int[Tensor, " chosen"] | None = None,
    resolution: int = 256,
    most_cells: int = 200_000,
    condition: Condition = None,
    progress: Progress | None = None,
) -> Arrangement:
    """Where the boundaries of a layer's units run in a plane.

    Exact, in double precision on the CPU, for plain sequential networks of affine modules and piecewise-linear
    activations (ReLU, LeakyReLU, PReLU, Hardtanh, ReLU6), up to the layer. For any other, and where the earlier
    layers cut what is looked at into more than `most_cells` pieces, on a grid that is refined where boundaries
    pass; look closer (`plane.zoomed`), and it becomes exact again.

    Args:
        model: a generator, or a classifier.
        layer: an activation, or the layer right before one.
        plane: and the part of it that is looked at.
        units: flat indices of the units whose boundaries are wanted; all by default.
        resolution: squares of the grid along a side, where one is needed.
        most_cells: pieces of the plane that are held at most.
        condition: class or embedding of a class-conditional generator.
        progress: told each step; returning False cancels.

    Raises:
        BoundaryError: a layer without boundaries, no such units, settings below one, or a plane of another space.
        Cancelled: `progress` returned False.
    """
    steps = arrangement_steps(
        model, layer, plane, units=units, resolution=resolution, most_cells=most_cells, condition=condition
    )
    return run(steps, progress)


def region_steps(
    model: AnyModel,
    supporting_set: SupportingSet,
    plane: Plane,
    *,
    resolution: int = 256,
    most_cells: int = 200_000,
    condition: Condition = None,
) -> Steps[Step, None, Region]:
    """The steps of `region`: those of `arrangement`, and one a few of the kept units."""
    _check_sizes(resolution, most_cells)
    at = layer_of(model, supporting_set, condition=condition)
    evaluate = Evaluator(at, plane, supporting_set.units.cpu())
    query = plane.coordinates(supporting_set.query[None])[0].numpy()
    signs = supporting_set.signs.double().cpu().numpy()
    cells, reason = yield from affine_cells(evaluate, most_cells)
    if cells is None:
        evaluate.as_it_is()
        cells = yield from evaluate.squares_around(query, signs, resolution)
        values = yield from evaluate.at(cells.vertices)
        cells.cut((values * signs).min(1, keepdims=True), keep=np.ones(1))
    else:
        done = 0
        while done < len(signs):
            some = slice(done, done + room(cells))
            values = yield from evaluate.at(cells.vertices, some)
            cells.cut(values, keep=signs[some], rounding=evaluate.rounding[-1])
            cells.tidy()
            done = some.stop
            yield Step(min(done, len(signs)), len(signs), "kept boundaries")
    own = cells.part_with(query)
    return Region(tuple(own.outline()), float(own.areas().sum()), not reason)


def region(
    model: AnyModel,
    supporting_set: SupportingSet,
    plane: Plane,
    *,
    resolution: int = 256,
    most_cells: int = 200_000,
    condition: Condition = None,
    progress: Progress | None = None,
) -> Region:
    """The part of a plane in which all kept units of a supporting set have the query's signs.

    Only what hangs together with the query's place in the plane counts; nothing, where that lies outside.

    Args:
        model, plane, resolution, most_cells, condition: as for `arrangement`.
        progress: told each step; returning False cancels.

    Raises:
        BoundaryError: a set of another network, a plane of another space, or settings below one.
        Cancelled: `progress` returned False.
    """
    steps = region_steps(
        model, supporting_set, plane, resolution=resolution, most_cells=most_cells, condition=condition
    )
    return run(steps, progress)


def _check_sizes(resolution: int, most_cells: int) -> None:
    check_settings(
        ("resolution", resolution, resolution >= 1, "at least one square a side"),
        ("most_cells", most_cells, most_cells >= 1, "at least one"),
    )


def _shortened(units: Int[Tensor, " chosen"]) -> str:
    """Units as they were given, of many those at the two ends."""
    given = [str(unit) for unit in units.tolist()]
    return f"[{', '.join(given if len(given) <= 8 else [*given[:4], '…', *given[-4:]])}]"
