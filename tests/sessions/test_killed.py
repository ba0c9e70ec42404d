"""A session whose process is killed at random moments has all that had been shown as saved."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.sessions import killed
from tests.sessions.networks import networks

#: Longest time between the first thing that was shown as saved and the end, in seconds.
LONGEST = 0.4


def grown_from(now: dict[str, Any], shown: dict[str, Any]) -> bool:
    """Whether `now` has all of `shown`, and only more of it: points, samples and notes are only ever added."""
    return all(now[name][: len(value)] == value for name, value in shown.items())


@pytest.mark.parametrize("kills", [8, pytest.param(20, marks=pytest.mark.nightly)])
def test_killed_at_random_moments_nothing_that_was_shown_as_saved_is_lost(kills: int, tmp_path: Path) -> None:
    path = tmp_path / "killed.workbench"
    # each process begins with everything imported, so that a kill costs no more than the work before it
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "tests.sessions.killed", "tests.sessions.warmed"])
    moments = random.Random(7)
    points = []
    for kill in range(kills):
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=killed.work, args=(str(path), kill, send))
        process.start()
        send.close()
        assert receive.poll(120), "the process has shown nothing as saved"
        time.sleep(moments.uniform(0, LONGEST))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        shown = {}
        try:
            while True:
                shown = receive.recv()
        except (EOFError, OSError):  # the end, or the middle of a message
            pass
        tabs = wb.open(*networks(), session=path)
        now = killed.seen(tabs)
        assert grown_from(now, shown), f"after kill {kill}"
        assert all(item.kind != "panel" or "aside" not in item.name for item in tabs.session.items())
        points.append(len(now["latents"]))
        tabs.close()
    assert points == sorted(points) and points[-1] > kills  # each went on where the one before was killed
