"""`sweep.json`: what a folder of a sweep was asked, and how it went."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.files import reason, replace_text
from workbench.machine import versions
from workbench.sweeps.errors import SweepError

FORMAT = 1
RECORD = "sweep.json"


def claim(out: Path, asked: Mapping[str, Any]) -> None:
    """Make sure that a folder can be written and holds nothing but the sweep that is asked for.

    Raises:
        SweepError: it cannot be, or holds something else.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = any(out.iterdir())
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise SweepError(f"{out} cannot be written: {reason(error)}; give another folder") from error
    if taken:
        before = _read(out)
        changed = [name for name in asked if before.get(name) != asked[name]]
        if changed:
            told = ", ".join(f"{name} was {before.get(name)!r} and is {asked[name]!r}" for name in changed)
            raise SweepError(f"{out} holds another sweep ({told}); give another folder")
    else:
        write(out, asked, status="running")


def _read(out: Path) -> dict[str, Any]:
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        if record["format"] == FORMAT:
            return dict(record)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise SweepError(f"{out} holds something else than a sweep; give a new or an empty folder")


def write(out: Path, record: Mapping[str, Any], **how: Any) -> None:
    """Replace the record."""
    written = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"format": FORMAT, **record, **how, "written": written, "versions": versions()}
    replace_text(out / RECORD, json.dumps(document, indent=1))
