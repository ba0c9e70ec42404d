"""Running a report again and comparing its numbers with those that it gave."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from workbench.files import sha256_of_file
from workbench.progress import Progress
from workbench.reports.catalogue import ReportError, catalogue, find
from workbench.reports.run import FORMAT, RECORD, RESULTS, Run, hashes, run
from workbench.reports.store import INPUTS, files

#: What says when and where something was made, and for how long: another run has others.
_PASSING = frozenset(
    {"seconds", "started", "ended", "made", "command", "folder", "versions", "processor", "device"}
)
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


class _Numbers(NamedTuple):
    """Numbers that are compared at once.

    Attributes:
        values: of a tensor or of a table's column.
        place: what stands before and behind the index in the name of one of them.
    """

    values: Tensor
    place: tuple[str, str]

    def __str__(self) -> str:
        return f"{str(self.values.dtype).removeprefix('torch.')} {list(self.values.shape)}"


def verify(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> Verification:
    """Run the report in `folder` again with its parameters, and compare what both runs left as results.

    On the same device and processor, with the same versions and the same notebook, numbers have to be equal;
    elsewhere they may differ by `tolerance`. Everything is computed anew: the second run starts in an empty
    folder. Tables (CSV) and JSON are compared value by value, tensors number by number, other files whole; times,
    dates, folders, devices and what the entries of a store were made from (`inputs.json`) are left out. Of a
    tensor or a column of numbers the largest difference is told.

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
    own = Path(record["notebook"])
    if not own.is_file():  # the folder was moved, and the notebook with it
        own = folder / own.name
    shipped = any(report.name == record["report"] for report in catalogue())
    name = record["report"] if shipped and not own.is_file() else own
    if record.get("format", 1) < FORMAT and find(name).sha256 != record["sha256"]:
        raise ReportError(
            f"{folder} holds {record['report']} of an older version, whose results lie in other places; run the "
            "report again in another folder, and compare by hand"
        )
    with tempfile.TemporaryDirectory() as nowhere:
        again = run(name, parameters, out or nowhere, progress=progress)
        second = Path(again.parameters["folder"])
        reasons = []
        now = json.loads((again.folder / RECORD).read_text(encoding="utf-8"))
        if record["device"] != now["device"]:
            reasons.append(f"{record['device']} then, {now['device']} now")
        if record["versions"] != now["versions"]:
            reasons.append("other versions")
        if record.get("processor", now.get("processor")) != now.get("processor"):
            reasons.append("another processor")
        if record["sha256"] != now["sha256"]:
            reasons.append("the notebook has changed")
        allowed = tolerance if reasons else 0.0
        before, after = _values(first), _values(second)
    found = (
        _difference(where, before.get(where, "nothing"), after.get(where, "nothing"), allowed)
        for where in sorted({*before, *after})
    )
    differences = [difference for difference in found if difference is not None]
    return Verification(
        run=again,
        compared=sum(_count(before[where]) for where in {*before} & {*after}),
        tolerance=allowed,
        why=", ".join(reasons),
        differences=tuple(differences),
        changed=changed,
    )


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        status, _ = record["status"], (record["report"], record["parameters"], record["sha256"])
        kind = int(record.get("format", 1))
    except (OSError, ValueError, KeyError, TypeError):
        raise ReportError(
            f"{folder} holds no report; give the folder that workbench report … --out wrote"
        ) from None
    if kind > FORMAT:
        raise ReportError(
            f"the record in {folder} has format {kind}, this version reads 1 to {FORMAT}; update the workbench"
        )
    if status != "finished":
        raise ReportError(f"the report in {folder} is {status}; run it to its end first, by the same command")
    if "folder" not in record["parameters"]:
        raise ReportError(
            f"{record['report']} keeps no results: its notebook has no parameter `folder` to write them to"
        )
    return record


def _values(folder: Path) -> dict[str, Any]:
    """What is compared, by its place: tensors and columns of numbers whole, other cells and leaves one by one."""
    import pandas as pd

    found: dict[str, Any] = {}
    for path in files(folder):
        name = path.relative_to(folder).as_posix()
        if path.name == INPUTS:
            continue
        if path.suffix == ".csv":
            table = pd.read_csv(path)
            columns = [column for column in table.columns if column not in _PASSING]
            found[f"{name}, columns"] = ", ".join(columns)
            for column in columns:
                if pd.api.types.is_numeric_dtype(table[column]):
                    numbers = torch.tensor(table[column].to_numpy(dtype=float))
                    found[f"{name}, {column}"] = _Numbers(numbers, (f"{name}, row ", f", {column}"))
                else:
                    found |= {f"{name}, row {row}, {column}": value for row, value in enumerate(table[column])}
        elif path.suffix == ".json":
            found |= _leaves(name, json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".safetensors":
            tensors = load_file(path)
            kept = {key: tensor for key, tensor in tensors.items() if key.partition("/")[0] not in _PASSING}
            found |= {f"{name}, {key}": _Numbers(tensor, (f"{name}, {key}[", "]")) for key, tensor in kept.items()}
        else:
            found[name] = sha256_of_file(path)
    return found


def _leaves(where: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        parts = [(f"{where}, {key}", part) for key, part in value.items() if key not in _PASSING]
    elif isinstance(value, list):
        parts = [(f"{where}[{place}]", part) for place, part in enumerate(value)]
    else:
        return {where: value}
    return {place: leaf for inner, part in parts for place, leaf in _leaves(inner, part).items()}


def _difference(where: str, before: Any, now: Any, tolerance: float) -> Difference | None:
    """How two values differ by more than the tolerance; None where they do not."""
    if isinstance(before, _Numbers) and isinstance(now, _Numbers):
        return _largest(where, before, now, tolerance)
    return None if _same(before, now, tolerance) else Difference(where, str(before), str(now))


def _largest(where: str, before: _Numbers, now: _Numbers, tolerance: float) -> Difference | None:
    """The largest difference of two tensors with its place, among those beyond the tolerance."""
    old, new = before.values, now.values
    if old.shape != new.shape or old.dtype != new.dtype:
        return Difference(where, str(before), str(now))
    if old.is_complex():
        old, new = torch.view_as_real(old), torch.view_as_real(new)
    beyond = (old != new) & ~((old != old) & (new != new))  # two that are not numbers are the same
    a, b = old.double(), new.double()
    apart = (a - b).abs().nan_to_num(torch.inf, torch.inf)
    if tolerance:
        beyond &= apart > tolerance * torch.maximum(a.abs(), b.abs()).nan_to_num(0, 0)
    if not bool(beyond.any()):
        return None
    apart[~beyond] = -1
    index = tuple(int(i) for i in torch.unravel_index(apart.argmax(), apart.shape))
    count = int(beyond.sum())
    told = ", ".join(map(str, index)).join(before.place) + (f", the largest of {count}" if count > 1 else "")
    return Difference(told, str(old[index].item()), str(new[index].item()))


def _count(value: Any) -> int:
    """How many values are compared."""
    return value.values.numel() if isinstance(value, _Numbers) else 1


def _same(before: Any, now: Any, tolerance: float) -> bool:
    """Whether two values count as the same; two that are not numbers (NaN) do."""
    if isinstance(before, (int, float)) and isinstance(now, (int, float)):
        if math.isnan(before) or math.isnan(now):
            return math.isnan(before) and math.isnan(now)
        return before == now or math.isclose(before, now, rel_tol=tolerance)
    return bool(before == now)
