"""Cancel on anything that a control starts takes effect within a step, and the panel goes on to work."""

from __future__ import annotations

import pytest

from tests.finished import PATIENCE
from tests.ui.controls import CONTROLS, LAST
from tests.ui.gated import LONGEST, Computations, Gate, panel_of
from workbench.ui.jobs import Drawing

#: Pictures that follow the cursor or the choice, and work ahead of need: no button stops them.
WITHOUT_BUTTON = {
    ("subspaces", "another direction"),
    ("boundaries", "cursor on the plane"),
    ("embeddings", "class"),
    ("embeddings", "trial"),
    ("embeddings", "way to a class"),
    ("embeddings", "keep and undo"),
    ("embeddings", "lasso on the map"),
    ("flip_points", "bar of a class"),
}
#: What is tried at each push.
OFTEN = {("boundaries", "sparsity"), ("flip_points", "query")}


@pytest.mark.parametrize(
    ("method", "name"),
    [
        pytest.param(*key, id=": ".join(key), marks=[] if key in OFTEN else [pytest.mark.nightly])
        for key in CONTROLS
        if key not in WITHOUT_BUTTON
    ],
)
def test_cancel_stops_within_a_step_what_a_control_started(
    method: str, name: str, computations: Computations
) -> None:
    gate = Gate()
    panel = panel_of(method, gate)
    computations.finish()
    send, _ = CONTROLS[method, name](panel)
    computations.finish()
    gate.close()
    send(0)
    assert gate.reached.wait(PATIENCE)
    buttons = [jobs for jobs in computations.jobs if not isinstance(jobs, Drawing)]
    at_work = {jobs: jobs._thread.ident for jobs in buttons if jobs.busy and jobs._thread is not None}
    assert at_work
    for jobs in at_work:
        jobs._cancel.click()
    before = gate.by_thread.copy()
    gate.open()
    computations.finish()
    for thread in at_work.values():
        assert gate.by_thread[thread] - before[thread] <= LONGEST
    for jobs in at_work:
        assert jobs._cancel.disabled and ("cancelled" in jobs.text or "stopped" in jobs.text), jobs.text
    send(LAST)
    computations.finish()
    panel.close()
