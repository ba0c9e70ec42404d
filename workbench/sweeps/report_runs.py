"""`wb.sweeps.reports`: a report with every combination of a grid, each a run of its own, and one table of all."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.files import replace_file
from workbench.progress import Progress
from workbench.sweeps.errors import SweepError
from workbench.sweeps.grid import combinations
from workbench.sweeps.numbers import numbers
from workbench.sweeps.record import claim, write
from workbench.sweeps.tasks import run_missing

if TYPE_CHECKING:
    import pandas as pd

    from workbench.reports import Report

#: Characters of a folder's name that tell its parameters.
_READABLE = 80


@dataclass(frozen=True)
class ReportSweep:
    """How a sweep of a report went.

    Attributes:
        report: its name.
        folder: holds `sweep.json`, `table.csv`, and in `runs` what `wb.reports.run` leaves of each run.
        status: `finished`, `partial` (stopped) or `failed` (some runs).
        runs: names of the folders, in the grid's order.
        ran: of those that were run this time.
        errors: by name, of those that failed.
        seconds: wall time of this time.
        table: one row a run: its folder, all parameters, status, seconds, error, and the numbers that it wrote.
    """

    report: str
    folder: Path
    status: str
    runs: tuple[str, ...]
    ran: tuple[str, ...]
    errors: Mapping[str, str]
    seconds: float
    table: pd.DataFrame


def reports(
    name: str | Path,
    grid: Mapping[str, Any],
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    retries: int = 0,
    progress: Progress | None = None,
    command: str = "",
) -> ReportSweep:
    """Run a report with every combination of a grid, on a Dask cluster.

    Each run is a report of its own, with its notebook, page and record. Run the sweep again and those that have
    finished stay as they are, while those that failed or were stopped go on with the results that they have. A
    grid that has grown adds its runs to the same folder.

    `table.csv` holds one row a run. Besides parameters, status, seconds and error it has what the report wrote
    into its folder of results: the numbers of a JSON object, those of a CSV table of one row, and of a longer one
    how many rows it has and in how many of them a column of truth values is true (so `claims.holds` of
    `claims.rows` claims hold).

    In a script, call this below `if __name__ == "__main__":`, as the workers of a local cluster are new processes.

    Args:
        name: of a report in the catalogue, or the path of a notebook that ends in `.ipynb`.
        grid: as `wb.sweeps.combinations` takes it; of a YAML file, what `wb.sweeps.read` gives.
        out: a new or empty folder, or that of a sweep of the same report. On a disk that all workers share.
        workers, scheduler, command: as for `wb.sweeps.over`.
        retries: how often a run that failed is tried again, from the results that it has.
        progress: told of each run; the sweep stops when it returns False, and on Ctrl-C.

    Raises:
        ReportError: there is no such report.
        SweepError: before anything runs, for an entry of the grid that does not fit the report, a folder that
            holds something else, and a cluster that cannot be used.
    """
    from workbench.reports import find

    report = find(name)
    asked = combinations(report, grid)
    varied = [p.name for p in report.parameters if len({json.dumps(point.get(p.name)) for point in asked}) > 1]
    out = Path(out).resolve()
    points = {run_name(out / "runs", report, point, varied): report.values(point) for point in asked}
    source = str(report.path) if Path(name).suffix == ".ipynb" else report.name
    record = {"report": report.name, "notebook": source}
    claim(out, record)
    record["command"] = command or f"wb.sweeps.reports({str(name)!r}, {dict(grid)!r}, {str(out)!r})"
    (out / "runs").mkdir(exist_ok=True)
    missing = {
        run: (source, {k: v for k, v in values.items() if k != "folder"}, str(out / "runs" / run))
        for run, values in points.items()
        if not _finished(out / "runs" / run, report)
    }
    write(out, record, status="running", runs=list(points))
    clock = time.perf_counter()
    outcome = run_missing(
        run_one,
        missing,
        out,
        workers=workers,
        scheduler=scheduler,
        retries=retries,
        progress=progress,
        before=len(points) - len(missing),
    )
    table = _table(out / "runs", points, outcome.errors)
    replace_file(out / "table.csv", lambda part: table.to_csv(part, index=False))
    seconds = time.perf_counter() - clock
    how = {
        "status": outcome.status,
        "seconds": round(seconds, 1),
        "workers": outcome.workers,
        "errors": outcome.errors,
        "runs": list(points),
    }
    write(out, record, **how)
    return ReportSweep(
        report=report.name,
        folder=out,
        status=outcome.status,
        runs=tuple(points),
        ran=tuple(outcome.done),
        errors=outcome.errors,
        seconds=seconds,
        table=table,
    )


def run_name(runs: Path, report: Report, point: Mapping[str, Any], varied: Sequence[str]) -> str:
    """The folder of a run: the one that is there, else one named by what varies and a hash of all parameters."""
    told = ",".join(f"{name}={point[name]}" for name in varied if name in point) or report.name
    asked = json.dumps([report.name, report.values(point)], sort_keys=True)
    digest = hashlib.sha256(asked.encode()).hexdigest()[:10]
    known = next(runs.glob(f"*-{digest}"), None)
    readable = re.sub(r"[^A-Za-z0-9.,=+-]+", "_", told)[:_READABLE].strip("._")
    return known.name if known else f"{readable}-{digest}"


def run_one(task: tuple[str, Mapping[str, Any], str]) -> None:
    """Run one report; on a worker.

    Raises:
        SweepError: it failed or was stopped.
    """
    from workbench.reports import find, run

    source, values, out = task
    assignments = [f"-p{name}={value}" for name, value in values.items() if value != find(source)[name].default]
    command = shlex.join(["workbench", "report", source, *assignments, "--out", out])
    done = run(source, values, out, progress=lambda step: None, command=command)
    if done.status != "finished":
        raise SweepError(done.error or f"stopped after {done.cells[0]} of {done.cells[1]} cells")


def _finished(folder: Path, report: Report) -> bool:
    """Whether a run has come to its end, with the notebook as it is now."""
    record = _record(folder)
    return record.get("status") == "finished" and record.get("sha256") == report.sha256


def _record(folder: Path) -> dict[str, Any]:
    from workbench.reports.run import RECORD

    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _table(runs: Path, points: Mapping[str, Mapping[str, Any]], errors: Mapping[str, str]) -> pd.DataFrame:
    import pandas as pd

    from workbench.reports.run import RESULTS

    rows = []
    for name, values in points.items():
        record = _record(runs / name)
        status = "failed" if name in errors else record.get("status", "not run")
        rows.append(
            {
                "run": name,
                **{k: v for k, v in values.items() if k != "folder"},
                "status": "stopped" if status in ("running", "partial") else status,
                "seconds": record.get("seconds"),
                "error": errors.get(name) or record.get("error", ""),
                **(numbers(runs / name / RESULTS) if status == "finished" else {}),
            }
        )
    return pd.DataFrame(rows)
