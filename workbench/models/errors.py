"""The errors that models raise: each says what was given, what was expected and what to do."""

from __future__ import annotations

from workbench.errors import WorkbenchError, nearest_names

__all__ = ["CheckpointError", "LayerError", "ModelError", "WorkbenchError", "nearest_names"]


class ModelError(WorkbenchError, ValueError):
    """A network, its input or its output is not what the adapter was told."""


class LayerError(WorkbenchError, LookupError):
    """A layer or neuron that the network does not have."""


class CheckpointError(WorkbenchError, ValueError):
    """A checkpoint that cannot be read safely, or that belongs to another architecture."""
