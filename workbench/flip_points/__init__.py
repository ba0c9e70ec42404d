"""Flip points: the closest inputs where a classifier changes its mind."""

from workbench.flip_points.batched import EFFORTS, Settings
from workbench.flip_points.closest import closest, closest_change, closest_steps
from workbench.flip_points.directions import Directions, directions
from workbench.flip_points.homotopy import homotopy, homotopy_steps
from workbench.flip_points.problem import FlipPointError
from workbench.flip_points.reference import PairSolution, solve, solve_change
from workbench.flip_points.result import FlipPoints
from workbench.flip_points.training import farthest_rows, nearest_rows, random_rows, training_data
from workbench.flip_points.trust import Trust, trust, within

__all__ = [
    "EFFORTS",
    "Directions",
    "FlipPointError",
    "FlipPoints",
    "PairSolution",
    "Settings",
    "Trust",
    "closest",
    "closest_change",
    "closest_steps",
    "directions",
    "farthest_rows",
    "homotopy",
    "homotopy_steps",
    "nearest_rows",
    "random_rows",
    "solve",
    "solve_change",
    "training_data",
    "trust",
    "within",
]
