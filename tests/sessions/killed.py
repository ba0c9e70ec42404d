"""A process that works in the panels and tells what was shown to it as saved, until it is killed."""

from __future__ import annotations

import random
from multiprocessing.connection import Connection
from typing import Any

import torch

import workbench as wb
from tests.sessions.networks import networks
from workbench.ui.tabs import Tabs


def work(path: str, seed: int, told: Connection) -> None:
    """Accept points, keep samples and write notes for ever; after each few steps, send what is shown as saved."""
    torch.set_num_threads(1)
    tabs = wb.open(*networks(), session=path)
    panel = tabs.panels["subspaces"]
    assert panel.jobs.wait(60)
    choose = random.Random(seed)
    while True:
        for _ in range(choose.randint(1, 4)):
            _step(tabs, choose)
        expected = seen(tabs)
        assert tabs.kept is not None and tabs.kept.saving.wait(60)
        if tabs.kept.text.startswith("saved"):
            told.send(expected)


def _step(tabs: Tabs, choose: random.Random) -> None:
    panel = tabs.panels["subspaces"]
    assert tabs.kept is not None
    what = choose.choice(("accept", "accept", "back", "keep", "note"))
    if what == "accept":
        serial = panel.strip.accepted.get("serial", 0) + 1
        index = choose.choice((0, 3, 20, 24))
        panel.strip.accepted = {"line": panel.strip.line["id"], "index": index, "t": 0.0, "serial": serial}
        assert panel.jobs.wait(60)
    elif what == "back":
        panel.step_back()
    elif what == "keep":
        tabs.keep()
    else:
        tabs.kept.notes.value += f"note {choose.random()}\n"


def seen(tabs: Tabs) -> dict[str, Any]:
    """What a person sees: the points of the path, how many samples are kept, the notes."""
    assert tabs.kept is not None
    path = tabs.panels["subspaces"].path
    return {
        "latents": path.latents.tolist(),
        "parents": path.parents.tolist(),
        "kept": [sample.code.tolist() for sample in tabs.kept.samples if sample.code is not None],
        "notes": tabs.kept.notes.value,
    }
