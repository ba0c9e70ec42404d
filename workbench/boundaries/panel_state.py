"""What is saved of the panel of boundaries: the query, its supporting set, the tree, and the controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from workbench.boundaries.sign_layer import point_of
from workbench.results import Result
from workbench.sessions import State
from workbench.sessions.expressions import expression

if TYPE_CHECKING:
    from workbench.boundaries.panel import Panel


def state_of(panel: Panel) -> State:
    """Query and controls, and what was found for them; a set or a tree of another query is left out."""
    query, found, tree = panel.query, panel.supporting_set, panel.exploration
    results: dict[str, Result] = {}
    if found is not None and torch.equal(found.query, query):
        results["supporting_set"] = found
        if tree is not None and torch.equal(tree.query, query) and torch.equal(tree.units, found.units):
            results["exploration"] = tree
    controls = {
        "layer": panel.region.layer.value,
        "sparsity": panel.region.sparsity.value,
        "step": panel.samples.step.value,
        "interval": panel.samples.interval.value,
        "samples": panel.samples.samples.value,
    }
    return State({"source": panel.source, **controls}, results, {"query": query})


def restore(panel: Panel, state: State) -> None:
    """Show a query again with what was found for it; what is missing is computed.

    Raises:
        BoundaryError, LayerError: the query or the layer does not fit this model.
        SessionError: a line of Python is none of a panel's.
    """
    source = expression(state.settings["source"])
    query = point_of(panel.model, state.tensors["query"])
    panel.region.choose(state.settings["layer"])
    panel.region.sparsity.value = state.settings["sparsity"]
    for name in ("step", "interval", "samples"):
        getattr(panel.samples, name).value = state.settings[name]
    panel.jobs.halt()
    results = {name: result.to(panel.model.device) for name, result in state.results.items()}
    if results:
        panel.resume(query, source, results["supporting_set"], results.get("exploration"))
    else:
        panel.ask(query, source)
