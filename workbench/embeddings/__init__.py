"""Class embeddings (BigGAN-AM): the map of all classes, and repairing one class by its embedding alone."""

from __future__ import annotations

from workbench.embeddings.class_map import ClassMap, MapError, class_map, nearest, place

__all__ = ["ClassMap", "MapError", "class_map", "nearest", "place"]
