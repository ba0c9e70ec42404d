"""Class embeddings (BigGAN-AM): the map of all classes, and repairing one class by its embedding alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.embeddings.class_map import ClassMap, MapError, class_map, nearest, place
from workbench.embeddings.edits import EmbeddingTable
from workbench.embeddings.interpolate import interpolate_classes, interpolate_latents
from workbench.embeddings.maximize import REPOSITORY, maximize
from workbench.embeddings.noise import noise
from workbench.embeddings.result import EmbeddingTrials
from workbench.embeddings.variants import VARIANTS, EmbeddingError, Variant

if TYPE_CHECKING:
    from workbench.embeddings.panel import Panel

__all__ = [
    "REPOSITORY",
    "VARIANTS",
    "ClassMap",
    "EmbeddingError",
    "EmbeddingTable",
    "EmbeddingTrials",
    "MapError",
    "Panel",
    "Variant",
    "class_map",
    "interpolate_classes",
    "interpolate_latents",
    "maximize",
    "nearest",
    "noise",
    "place",
]


def __getattr__(name: str) -> Any:
    """The panel brings ipywidgets, Plotly and Bokeh along, so it is imported when it is first used."""
    if name == "Panel":
        return import_module("workbench.embeddings.panel").Panel
    raise AttributeError(f"module 'workbench.embeddings' has no attribute {name!r}")
