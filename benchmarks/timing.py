"""Timing several ways of doing one thing in turn, so that they meet the same machine."""

from __future__ import annotations

import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from workbench.results import processor, versions

RESULTS = Path(__file__).parent / "results"


def side_by_side(
    ways: dict[str, Callable[[], Any]],
    *,
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each way in each of `rounds` rounds, run A B C, A B C, …

    `time.process_time` as the clock is hardly disturbed by what else the machine does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warm_up + rounds):
        for name, way in ways.items():
            began = clock()
            way()
            if turn >= warm_up:
                seconds[name].append(clock() - began)
    return seconds


def ratio(seconds: dict[str, list[float]], of: str, to: str) -> float:
    """The median over the rounds of one way's time over another's in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[of], seconds[to], strict=True))


def command() -> str:
    """The line that runs this benchmark as it was run."""
    module = sys.modules["__main__"].__spec__
    assert module is not None, "benchmarks are run by python -m"
    return shlex.join(["python", "-m", module.name, *sys.argv[1:]])


def write(name: str, findings: dict[str, Any], *, device: torch.device | str = "cpu") -> Path:
    """Write findings with the command, versions and machine that made them."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {
        "command": command(),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "processor": processor(),
        **findings,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
