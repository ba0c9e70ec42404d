"""Running a report again and comparing its numbers with those that it gave."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from workbench.progress import Progress
from workbench.reports.catalogue import ReportError, catalogue
from workbench.reports.run import RECORD, RESULTS, Run, hashes, run

#: What says when and where something was made, and for how long: another run has others.
_PASSING = frozenset({"seconds", "started", "ended", "made", "command", "folder", "versions", "processor"})
#: How far numbers may be apart, as a share of the larger, where device or versions are others.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Difference:
    """One value that came out otherwise.

    Attributes:
        where: the file, and the place in it.
        before, now: the values; "nothing" where there is none.
    """

    where: str
    before: str
    now: str


@dataclass(frozen=True)
class Verification:
    """What became of a report when it was run again.

    Attributes:
        run: the second run.
        compared: how many values were compared.
        tolerance: up to which share of the larger one two numbers count as the same; 0 means equal.
        why: why there is a tolerance; empty where there is none.
        differences: the values that differ by more.
        changed: files that are not, or no longer, what the record of the first run says.
    """

    run: Run
    compared: int
    tolerance: float
    why: str
    differences: tuple[Difference, ...]
    changed: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the second run ended, and there was something to compare, and nothing differs."""
        finished = self.run.status == "finished" and self.compared > 0
        return finished and not self.differences and not self.changed


def verify(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> Verification:
    """Run the report in `folder` again with its parameters, and compare what both runs left as results.

    On the same device, with the same versions and the same notebook, numbers have to be equal; elsewhere they may
    differ by `tolerance`. Tables (CSV), JSON and safetensors are compared value by value, other files whole;
    times, dates and folders are left out.

    Args:
        folder: of a report that finished.
        out: where the second run goes and stays; by default nowhere.
        tolerance: as a share of the larger number.
        progress: told of each cell.

    Raises:
        ReportError: no finished report there, without results, or one whose notebook is gone.
    """
    folder = Path(folder).resolve()
    record = _record(folder)
    first = Path(record["parameters"]["folder"])
    if not first.is_dir():  # the folder was moved
        first = folder / RESULTS
    there = hashes(first)
    changed = tuple(name for name, recorded in record["files"].items() if there.get(name) != recorded)
    parameters = {name: value for name, value in record["parameters"].items() if name != "folder"}
    shipped = any(report.name == record["report"] for report in catalogue())
    own = Path(record["notebook"])
    if not own.is_file():  # the folder was moved, and the notebook with it
        own = folder / own.name
    name = record["report"] if shipped else own
    with tempfile.TemporaryDirectory() as nowhere:
        again = run(name, parameters, out or nowhere, progress=progress)
        second = Path(again.parameters["folder"])
        reasons = []
        now = json.loads((again.folder / RECORD).read_text(encoding="utf-8"))
        if record["device"] != now["device"]:
            reasons.append(f"{record['device']} then, {now['device']} now")
        if record["versions"] != now["versions"]:
            reasons.append("other versions")
        if record["sha256"] != now["sha256"]:
            reasons.append("the notebook has changed")
        allowed = tolerance if reasons else 0.0
        before, after = dict(_values(first)), dict(_values(second))
    differences = [
        Difference(where, str(before.get(where, "nothing")), str(after.get(where, "nothing")))
        for where in sorted({*before, *after})
        if where not in before or where not in after or not _same(before[where], after[where], allowed)
    ]
    return Verification(
        run=again,
        compared=len({*before} & {*after}),
        tolerance=allowed,
        why=", ".join(reasons),
        differences=tuple(differences),
        changed=changed,
    )


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        status, _ = record["status"], (record["report"], record["parameters"], record["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ReportError(
            f"{folder} holds no report; give the folder that workbench report … --out wrote"
        ) from None
    if status != "finished":
        raise ReportError(f"the report in {folder} is {status}; run it to its end first, by the same command")
    if "folder" not in record["parameters"]:
        raise ReportError(
            f"{record['report']} keeps no results: its notebook has no parameter `folder` to write them to"
        )
    return record


def _values(folder: Path) -> Iterator[tuple[str, Any]]:
    """All that is compared, by its place: each cell, each leaf, each number of a tensor."""
    import pandas as pd

    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".csv":
            table = pd.read_csv(path)
            columns = [column for column in table.columns if column not in _PASSING]
            yield f"{name}, columns", ", ".join(columns)
            for column in columns:
                for row, value in enumerate(table[column].tolist()):
                    yield f"{name}, row {row}, {column}", value
        elif path.suffix == ".json":
            yield from _leaves(name, json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".safetensors":
            for key, tensor in load_file(path).items():
                yield f"{name}, {key}, shape", tuple(tensor.shape)
                for place, value in enumerate(tensor.flatten().tolist()):
                    yield f"{name}, {key}[{place}]", value
        else:
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()


def _leaves(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in _PASSING:
                yield from _leaves(f"{where}, {key}", part)
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _leaves(f"{where}[{place}]", part)
    else:
        yield where, value


def _same(before: Any, now: Any, tolerance: float) -> bool:
    """Whether two values count as the same; two that are not numbers (NaN) do."""
    if isinstance(before, (int, float)) and isinstance(now, (int, float)):
        if math.isnan(before) or math.isnan(now):
            return math.isnan(before) and math.isnan(now)
        return before == now or math.isclose(before, now, rel_tol=tolerance)
    return bool(before == now)
