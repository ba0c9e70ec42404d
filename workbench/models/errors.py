"""The errors that models raise: each says what was given, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class WorkbenchError(Exception):
    """Base of the errors that the workbench raises on purpose."""


class ModelError(WorkbenchError, ValueError):
    """A network, its input or its output is not what the adapter was told."""


class LayerError(WorkbenchError, LookupError):
    """A layer or neuron that the network does not have."""


class CheckpointError(WorkbenchError, ValueError):
    """A checkpoint that cannot be read safely, or that belongs to another architecture."""


def nearest_names(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """A clause that names the known entries nearest to `name`, or lists the first few of them."""
    known = list(known)
    close = get_close_matches(name, known, n=most, cutoff=0.4)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    shown = ", ".join(repr(k) for k in known[:8])
    return f"known are {shown}{', …' if len(known) > 8 else ''}"
