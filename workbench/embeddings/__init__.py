"""Class embeddings (BigGAN-AM): the map of all classes, and repairing one class by its embedding alone."""

from __future__ import annotations

from workbench.embeddings.edits import EmbeddingTable
from workbench.embeddings.interpolate import interpolate_classes, interpolate_latents
from workbench.embeddings.maximize import REPOSITORY, maximize
from workbench.embeddings.noise import noise
from workbench.embeddings.result import EmbeddingTrials
from workbench.embeddings.variants import VARIANTS, EmbeddingError, Variant

__all__ = [
    "REPOSITORY",
    "VARIANTS",
    "EmbeddingError",
    "EmbeddingTable",
    "EmbeddingTrials",
    "Variant",
    "interpolate_classes",
    "interpolate_latents",
    "maximize",
    "noise",
]
