"""Flip points: the closest inputs where a classifier changes its mind."""

from workbench.flip_points.batched import EFFORTS, Settings
from workbench.flip_points.closest import closest, closest_change, closest_steps
from workbench.flip_points.problem import FlipPointError
from workbench.flip_points.result import FlipPoints

__all__ = ["EFFORTS", "FlipPointError", "FlipPoints", "Settings", "closest", "closest_change", "closest_steps"]
