"""Flip points: the closest inputs where a classifier changes its mind."""

from workbench.flip_points.batched import EFFORTS, Settings
from workbench.flip_points.certificates import certify, certify_steps
from workbench.flip_points.closest import closest, closest_change, closest_steps
from workbench.flip_points.homotopy import homotopy, homotopy_steps
from workbench.flip_points.problem import FlipPointError
from workbench.flip_points.reference import PairSolution, solve, solve_change
from workbench.flip_points.result import FlipPoints

__all__ = [
    "EFFORTS",
    "FlipPointError",
    "FlipPoints",
    "PairSolution",
    "Settings",
    "certify",
    "certify_steps",
    "closest",
    "closest_change",
    "closest_steps",
    "homotopy",
    "homotopy_steps",
    "solve",
    "solve_change",
]
