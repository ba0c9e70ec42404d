"""What a long run leaves beside its results: its command, settings, versions and machine."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch

from workbench.results import versions


def record(folder: Path, module: str, settings: Mapping[str, object], *, seconds: float, finished: bool) -> None:
    """Add a run to `runs.json` in `folder`.

    Args:
        module: that was run as `python -m MODULE`; its arguments are those of this process.
        settings: what the arguments and their defaults came to.
        finished: whether it reached its end.
    """
    path = folder / "runs.json"
    runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    runs.append(
        {
            "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
            "settings": dict(settings),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            "finished": finished,
            "versions": versions(),
            "device": "cpu",
            "processor": _processor(),
            "threads": torch.get_num_threads(),
        }
    )
    path.write_text(json.dumps(runs, indent=1), encoding="utf-8")


def _processor() -> str:
    """The processor's name where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
