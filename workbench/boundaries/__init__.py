"""Generative boundaries (E-GBAS): what carries an image in a layer, and samples inside its region."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.boundaries.arrangement import Arrangement, Region, arrangement, region
from workbench.boundaries.baselines import Baseline, coin_flip, epsilon_l2, epsilon_linf, epsilon_radii, same_radii
from workbench.boundaries.explore import Exploration, explore
from workbench.boundaries.plane import Plane
from workbench.boundaries.sign_layer import BoundaryError, sign_layers
from workbench.boundaries.supporting_set import SupportingSet, at_threshold, masked_outputs, supporting_set

if TYPE_CHECKING:
    from workbench.boundaries.panel import Panel

__all__ = [
    "Arrangement",
    "Baseline",
    "BoundaryError",
    "Exploration",
    "Panel",
    "Plane",
    "Region",
    "SupportingSet",
    "arrangement",
    "at_threshold",
    "coin_flip",
    "epsilon_l2",
    "epsilon_linf",
    "epsilon_radii",
    "explore",
    "masked_outputs",
    "region",
    "same_radii",
    "sign_layers",
    "supporting_set",
]


def __getattr__(name: str) -> Any:
    """The panel brings ipywidgets and Plotly along, so it is imported when it is first used."""
    if name == "Panel":
        return import_module("workbench.boundaries.panel").Panel
    raise AttributeError(f"module 'workbench.boundaries' has no attribute {name!r}")
