"""What is saved of the panel of classes: the edited embeddings, the chosen class, and what was searched last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from workbench.embeddings.edits import Edit
from workbench.results import Result
from workbench.sessions import State

if TYPE_CHECKING:
    from workbench.embeddings.panel import Panel


def state_of(panel: Panel) -> State:
    """All edits in their order, the class, the controls, and the trials of a search for this class."""
    edits, repair = list(panel.table.edits), panel.repair
    index, trials = panel.class_index, panel.trials
    found: dict[str, Result] = {}
    rows = {"embeddings": torch.stack([edit.embedding for edit in edits])} if edits else {}
    if trials is not None and trials.class_index == index:
        found["trials"] = trials
        if repair.edited:
            rows["searched in"] = repair.matrix
    settings = {
        "class_index": index,
        "edited": [{"class_index": edit.class_index, "source": edit.source} for edit in edits],
        "variant": repair.variant.value,
        "trials": repair.count.value,
        "steps": repair.steps.value,
        "trial": repair.trial.index if repair.trial.options else None,
        "asked": dict(repair.asked),
    }
    return State(settings, found, rows)


def restore(panel: Panel, state: State) -> None:
    """Put the edits of a state in place of those that there are, and show its class with what was searched.

    Raises:
        EmbeddingError: embeddings of another width; the edits stay as they were then.
        ModelError: a class that this generator does not have.
    """
    settings, rows = state.settings, state.tensors.get("embeddings", ())
    edits = [
        Edit(edit["class_index"], row, edit["source"]) for edit, row in zip(settings["edited"], rows, strict=True)
    ]
    panel.jobs.halt()
    panel.table.replace(edits)
    repair = panel.repair
    repair.variant.value = settings["variant"]
    repair.count.value, repair.steps.value = settings["trials"], settings["steps"]
    panel.resume(
        settings["class_index"],
        state.results.get("trials"),
        settings["trial"],
        asked=settings.get("asked", {}),
        matrix=state.tensors.get("searched in"),
    )
