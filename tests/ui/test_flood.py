"""A flood of events on any control that starts a computation: the last one counts, and none is waited for."""

from __future__ import annotations

import threading

import pytest

from tests.finished import PATIENCE
from tests.ui.controls import CONTROLS, EVENTS
from tests.ui.gated import Computations, Gate, panel_of

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize(("method", "name"), CONTROLS, ids=[": ".join(key) for key in CONTROLS])
def test_of_a_flood_the_last_event_counts_and_the_one_who_sends_it_never_waits(
    method: str, name: str, computations: Computations
) -> None:
    gate = Gate()
    panel = panel_of(method, gate)
    computations.finish()
    send, check = CONTROLS[method, name](panel)
    computations.finish()
    computations.begun.clear()
    gate.close()
    send(0)
    assert gate.reached.wait(PATIENCE)
    # every pass through a network is held up now, so that who sends would be held up with the first that it makes
    sender = threading.Thread(target=lambda: [send(i) for i in range(1, EVENTS)], daemon=True)
    sender.start()
    sender.join(PATIENCE)
    waits = sender.is_alive()
    gate.open()
    assert not waits
    sender.join()
    computations.finish()
    # a histogram is drawn without a network, as often as there is time for
    begun = {key: count for key, count in computations.begun.items() if key[1] != "Histogram"}
    assert max(begun.values()) <= 2, begun
    assert check()
    panel.close()
