"""What a panel's computations have freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from workbench.progress import Step
from workbench.ui import memory
from workbench.ui.jobs import Jobs

FRAGMENTED = """
import psutil
from workbench.ui import memory
memory._last = -memory._EVERY
kept, freed = [], []
for _ in range(3000):
    freed.append(bytearray(100_000))  # below what glibc maps by itself
    kept.append(bytearray(1000))
freed.clear()
before = psutil.Process().memory_info().rss
memory.give_back()
print((before - psutil.Process().memory_info().rss) // 2**20)
"""


@pytest.mark.skipif(memory._trim() is None, reason="the C library is not glibc")
def test_freed_memory_between_blocks_in_use_is_given_back() -> None:
    # in a process of its own: what other tests left would decide where the blocks lie
    made = subprocess.run([sys.executable, "-c", FRAGMENTED], capture_output=True, text=True, check=True)
    assert int(made.stdout) > 200  # MiB, of 286


def test_it_is_done_when_a_panel_has_nothing_left_to_do_and_not_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    monkeypatch.setattr(memory, "_trim", lambda: calls.append)
    monkeypatch.setattr(memory, "_last", -memory._EVERY)

    def steps():
        yield Step(0, 1, "a step")

    jobs = Jobs()
    for _ in range(3):
        jobs.submit(steps, lambda value: None, label="Job")
        assert jobs.wait(20)
    jobs.close()
    for thread in threading.enumerate():
        if thread.name == "workbench-jobs":
            thread.join(20)
    assert calls == [0]
