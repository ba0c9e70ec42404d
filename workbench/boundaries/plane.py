"""Two-dimensional affine planes of a latent or input space, in which boundaries are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.boundaries.sign_layer import AnyModel, BoundaryError, dimensions, limits
from workbench.models import Generator, Normal

#: Lowest and highest x, lowest and highest y.
Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class Plane:
    """A plane with coordinates: point (x, y) stands for origin + x · directions[0] + y · directions[1].

    Attributes:
        origin: (*point) float64.
        directions: (2, *point) float64, orthonormal.
        extent: (x0, x1, y0, y1) the part that is looked at.
    """

    origin: Float[Tensor, " *point"]
    directions: Float[Tensor, "2 *point"]
    extent: Extent

    def __post_init__(self) -> None:
        x0, x1, y0, y1 = self.extent
        if not (x0 < x1 and y0 < y1 and all(math.isfinite(v) for v in self.extent)):
            raise BoundaryError(
                f"the extent is {self.extent}; expected finite (x0, x1, y0, y1), smaller ones first"
            )

    @classmethod
    def of(cls, model: AnyModel) -> Plane:
        """The whole space of a model with two latents or inputs: three standard deviations of a normal prior, the
        box of a uniform one, the value range of a classifier's inputs, else -3 to 3.

        Raises:
            BoundaryError: another number of dimensions.
        """
        shape = dimensions(model)
        if math.prod(shape) != 2:
            raise BoundaryError(
                f"{model.name} has points of shape {shape}; a whole plane needs two numbers. Use Plane.through "
                "three points, or Plane.spanned by two directions"
            )
        low, high = limits(model)
        if isinstance(model, Generator) and isinstance(model.prior, Normal):
            low, high = -3 * model.prior.std, 3 * model.prior.std
        if not math.isfinite(high - low):
            low, high = -3.0, 3.0
        axes = torch.eye(2, dtype=torch.float64).reshape(2, *shape)
        return cls(torch.zeros(shape, dtype=torch.float64), axes, (low, high, low, high))

    @classmethod
    def through(cls, a: Any, b: Any, c: Any, *, margin: float = 0.5) -> Plane:
        """The plane through three points: the first its origin, the second on its x-axis.

        Args:
            margin: of the extent around the three, as a share of their longest distance.

        Raises:
            BoundaryError: points of different shapes, or on one line.
        """
        points = [torch.as_tensor(p).detach().double().cpu() for p in (a, b, c)]
        if len({p.shape for p in points}) > 1:
            raise BoundaryError(f"the points have shapes {[tuple(p.shape) for p in points]}; expected one shape")
        plane = cls.spanned(points[0], torch.stack([p - points[0] for p in points[1:]]), 1.0)
        xy = plane.coordinates(torch.stack(points))
        reach = margin * float(torch.cdist(xy, xy).max())
        (x0, y0), (x1, y1) = (xy.amin(0) - reach).tolist(), (xy.amax(0) + reach).tolist()
        return replace(plane, extent=(x0, x1, y0, y1))

    @classmethod
    def spanned(cls, centre: Any, directions: Any, radius: float) -> Plane:
        """The plane through a point along two directions, such as the strongest of `wb.subspaces.subspace`.

        Args:
            centre: (*point).
            directions: (2, *point), made orthonormal; the first keeps its direction.
            radius: of the extent around the centre.

        Raises:
            BoundaryError: directions of another shape, or parallel ones.
        """
        origin = torch.as_tensor(centre).detach().double().cpu()
        pair = torch.as_tensor(directions).detach().double().cpu()
        if tuple(pair.shape) != (2, *origin.shape):
            raise BoundaryError(f"the directions have shape {tuple(pair.shape)}, expected {(2, *origin.shape)}")
        first, second = pair.flatten(1)
        axis = first / first.norm()
        rest = second - (second @ axis) * axis
        if not float(rest.norm()) > 1e-9 * float(second.norm()) > 0:
            raise BoundaryError("the three points lie on one line, or the two directions are parallel")
        axes = torch.stack([axis, rest / rest.norm()]).reshape(2, *origin.shape)
        return cls(origin, axes, (-radius, radius, -radius, radius))

    def zoomed(self, extent: Extent) -> Plane:
        """The same plane with another part looked at."""
        x0, x1, y0, y1 = (float(v) for v in extent)
        return replace(self, extent=(x0, x1, y0, y1))

    def points(self, xy: Any) -> Float[Tensor, "n *point"]:
        """The points at coordinates (n, 2), in double precision."""
        rows = torch.as_tensor(xy, dtype=torch.float64).reshape(-1, 2)
        return (self.origin.flatten() + rows @ self.directions.flatten(1)).reshape(-1, *self.origin.shape)

    def coordinates(self, points: Any) -> Float[Tensor, "n 2"]:
        """Coordinates of the points (n, *point), projected into the plane at right angles."""
        rows = torch.as_tensor(points).detach().double().cpu().reshape(-1, self.origin.numel())
        return (rows - self.origin.flatten()) @ self.directions.flatten(1).T

    def distance(self, points: Any) -> Float[Tensor, " n"]:
        """Distance of the points (n, *point) from the plane."""
        rows = torch.as_tensor(points).detach().double().cpu().reshape(-1, *self.origin.shape)
        return (rows - self.points(self.coordinates(rows))).flatten(1).norm(dim=1)
