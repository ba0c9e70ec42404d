"""Inverse set of a neuron: diverse samples that excite it to a chosen level."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.inverse_sets.bands import Band, InverseSetError, band
from workbench.inverse_sets.baselines import maximise_activation, ppgn_chains, qualifying, rejection
from workbench.inverse_sets.problem import Encoder
from workbench.inverse_sets.result import InverseSet
from workbench.inverse_sets.sample import sample

if TYPE_CHECKING:
    from workbench.inverse_sets.panel import Panel

__all__ = [
    "Band",
    "Encoder",
    "InverseSet",
    "InverseSetError",
    "Panel",
    "band",
    "maximise_activation",
    "ppgn_chains",
    "qualifying",
    "rejection",
    "sample",
]


def __getattr__(name: str) -> Any:
    """The panel brings ipywidgets and Plotly along, so it is imported when it is first used."""
    if name == "Panel":
        return import_module("workbench.inverse_sets.panel").Panel
    raise AttributeError(f"module 'workbench.inverse_sets' has no attribute {name!r}")
