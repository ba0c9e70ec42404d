"""Differential subspace search: scrub a generator's latent space along directions that change its output."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.subspaces.features import Downsampled, LayerFeatures, Pixels
from workbench.subspaces.line import Line, half_length, line
from workbench.subspaces.search import Path, Point, Search
from workbench.subspaces.subspace import Subspace, subspace

if TYPE_CHECKING:
    from workbench.subspaces.panel import Panel

__all__ = [
    "Downsampled",
    "LayerFeatures",
    "Line",
    "Panel",
    "Path",
    "Pixels",
    "Point",
    "Search",
    "Subspace",
    "half_length",
    "line",
    "subspace",
]


def __getattr__(name: str) -> Any:
    """The panel brings ipywidgets and Plotly along, so it is imported when it is first used."""
    if name == "Panel":
        return import_module("workbench.subspaces.panel").Panel
    raise AttributeError(f"module 'workbench.subspaces' has no attribute {name!r}")
