"""Latent Workbench: see in a notebook what a trained generator or classifier does."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("latent-workbench")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from workbench import (
        boundaries,
        embeddings,
        flip_points,
        inverse_sets,
        models,
        reports,
        subspaces,
        sweeps,
        zoo,
    )
    from workbench.models import Classifier, Generator, Neuron
    from workbench.results import load_result
    from workbench.sessions import Session
    from workbench.zoo.loading import load

_MODULES = (
    "models",
    "subspaces",
    "boundaries",
    "inverse_sets",
    "embeddings",
    "flip_points",
    "zoo",
    "datasets",
    "numerics",
    "metrics",
    "results",
    "reports",
    "sessions",
    "sweeps",
    "progress",
)
_NAMES = {
    "Classifier": "workbench.models",
    "Generator": "workbench.models",
    "Neuron": "workbench.models",
    "load": "workbench.zoo.loading",
    "Session": "workbench.sessions",
    "load_result": "workbench.results",
    "open": "workbench.ui.tabs",
}

__all__ = [
    "Classifier",
    "Generator",
    "Neuron",
    "Session",
    "boundaries",
    "embeddings",
    "flip_points",
    "inverse_sets",
    "load",
    "load_result",
    "models",
    "reports",
    "subspaces",
    "sweeps",
    "zoo",
]


def __getattr__(name: str) -> Any:
    """Import a part when it is first used, so that `import workbench` stays light."""
    if name in _MODULES:
        return import_module(f"workbench.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), "Tabs" if name == "open" else name)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_NAMES})
