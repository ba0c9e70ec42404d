"""Two panels at work on the same networks at once: each shows what it shows alone."""

from __future__ import annotations

import threading
from itertools import combinations_with_replacement
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.finished import PATIENCE
from tests.ui.gated import PANELS, Computations, small_classifier


class Turns:
    """Lets the workers of panels through networks in turn, pass by pass, while two of them are at work.

    None of them passes before `start`.
    """

    def __init__(self, computations: Computations) -> None:
        self._computations = computations
        self._turn = threading.Condition()
        self._started = threading.Event()
        self._last = 0
        self.changes = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Turns:
        return self

    def start(self) -> None:
        self._started.set()

    def _both(self) -> bool:
        return sum(not jobs.wait(0) for jobs in self._computations.jobs) > 1

    def __call__(self) -> None:
        me = threading.get_ident()
        if me == threading.main_thread().ident:
            return
        assert self._started.wait(PATIENCE)
        with self._turn:
            while self._last == me and self._both():
                self._turn.wait(0.001)
            self.changes += self._last != me
            self._last = me
            self._turn.notify_all()


def begin(panel: Any) -> None:
    """What is asked of a panel."""
    {"embeddings": lambda: panel.repair.search(), "flip_points": lambda: panel.many.analyse.click()}.get(
        type(panel).__module__.split(".")[1], lambda: None
    )()


def shown(panel: Any) -> list[Tensor]:
    """What a panel found."""
    match type(panel).__module__.split(".")[1]:
        case "subspaces":
            return [panel.line.latents, panel.line.outputs]
        case "boundaries":
            return [panel.supporting_set.units, panel.supporting_set.theta, panel.exploration.points]
        case "inverse_sets":
            return [panel.found.codes, panel.found.values]
        case "embeddings":
            return [panel.trials.embeddings]
    return [panel.many.found.points, panel.many.found.distances]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, marks=[] if pair == ("boundaries", "boundaries") else [pytest.mark.nightly])
        for pair in combinations_with_replacement(PANELS, 2)
    ],
)
def test_two_panels_at_once_do_not_mix_their_results(first: str, second: str, computations: Computations) -> None:
    def panels(turns: Turns) -> list[Any]:
        networks: dict[Any, Any] = {}
        classifier = small_classifier(turns)
        made = []
        for seed, method in enumerate((first, second)):
            generator, make = PANELS[method]
            if generator not in networks:
                networks[generator] = generator(turns)
            made.append(make(networks[generator], classifier, seed))
        return made

    turns = Turns(computations)
    turns.start()
    alone = panels(turns)
    for panel in alone:
        computations.finish()
        begin(panel)
    computations.finish()
    turns = Turns(computations)
    together = panels(turns)
    for panel in together:
        begin(panel)
    turns.start()
    computations.finish()
    assert turns.changes > 3
    for panel, other in zip(together, alone, strict=True):
        for found, expected in zip(shown(panel), shown(other), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
        panel.close()
        other.close()
