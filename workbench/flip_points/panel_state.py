"""What is saved of the panel of flip points: the query with its mask, its flip points, and those of the set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from workbench.flip_points.problem import FlipPointError
from workbench.results import Result
from workbench.sessions import State
from workbench.sessions.expressions import expression

if TYPE_CHECKING:
    from workbench.flip_points.panel import Panel


def state_of(panel: Panel) -> State:
    """The query, what may change in it, and all flip points that there are."""
    one, many = panel.one, panel.many
    query = one.query
    tensors = {} if query is None else {"query": query}
    tensors |= {} if one.mask is None else {"mask": one.mask}
    results: dict[str, Result] = {}
    for name, found in (("nearest", one.nearest), ("every", one.every)):
        if found is not None and query is not None and torch.equal(found.inputs.to(query), query):
            results[name] = found
    if many.found is not None:
        results["set"] = many.found
    settings: dict[str, Any] = {
        "source": one.source,
        "effort": one.effort.value,
        "set_effort": many.effort.value,
        "around": many.around_query,
        "set_code": many.code.code,
    }
    return State(settings, results, tensors)


def restore(panel: Panel, state: State) -> None:
    """Show a query again with its flip points, and those of the set; what was not found yet is computed.

    Raises:
        FlipPointError: the query does not fit, or (when all else is shown) the set is another one.
        SessionError: a line of Python is none of a panel's.
    """
    one, many, settings = panel.one, panel.many, state.settings
    one.effort.value, many.effort.value = settings["effort"], settings["set_effort"]
    one.jobs.halt()
    many.jobs.halt()
    if "query" in state.tensors:
        mask = state.tensors.get("mask")
        found = state.results.get("nearest"), state.results.get("every")
        one.resume(state.tensors["query"], expression(settings["source"]), mask, *found)
    of_set = state.results.get("set")
    if of_set is not None:
        if not settings["around"] and not torch.equal(of_set.inputs.to(panel.x), panel.x):
            raise FlipPointError("its flip points of a whole set are those of other inputs")
        many.take(of_set, around=settings["around"], code=expression(settings["set_code"]))
