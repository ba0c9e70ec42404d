"""Flip points: the closest inputs where a classifier changes its mind."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.flip_points.batched import EFFORTS
from workbench.flip_points.certificates import certify, certify_steps
from workbench.flip_points.closest import (
    boundary_points,
    boundary_points_steps,
    closest,
    closest_change,
    closest_meeting,
    closest_steps,
)
from workbench.flip_points.directions import Directions, directions
from workbench.flip_points.homotopy import homotopy, homotopy_steps
from workbench.flip_points.problem import FlipPointError, make_space
from workbench.flip_points.reference import PairSolution, Solver, solve, solve_change
from workbench.flip_points.result import FlipPoints
from workbench.flip_points.training import farthest_rows, nearest_rows, random_rows, training_data
from workbench.flip_points.trust import Trust, trust, within
from workbench.flip_points.way import Way, way

if TYPE_CHECKING:
    from workbench.flip_points.panel import Panel

__all__ = [
    "EFFORTS",
    "Directions",
    "FlipPointError",
    "FlipPoints",
    "PairSolution",
    "Panel",
    "Solver",
    "Trust",
    "Way",
    "boundary_points",
    "boundary_points_steps",
    "certify",
    "certify_steps",
    "closest",
    "closest_change",
    "closest_meeting",
    "closest_steps",
    "directions",
    "farthest_rows",
    "homotopy",
    "homotopy_steps",
    "make_space",
    "nearest_rows",
    "random_rows",
    "solve",
    "solve_change",
    "training_data",
    "trust",
    "way",
    "within",
]


def __getattr__(name: str) -> Any:
    """The panel brings ipywidgets and Plotly along, so it is imported when it is first used."""
    if name == "Panel":
        return import_module("workbench.flip_points.panel").Panel
    raise AttributeError(f"module 'workbench.flip_points' has no attribute {name!r}")
