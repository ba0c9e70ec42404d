"""Running a report: checked parameters in, a notebook, a page and a record of what made them out."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from workbench.channel import Listener
from workbench.files import reason, replace_file, replace_text, sha256_of_file
from workbench.machine import processor, versions
from workbench.models import available_devices
from workbench.progress import Cancelled, Progress, telling
from workbench.reports import store
from workbench.reports.catalogue import Report, ReportError, find
from workbench.reports.cells import Cells
from workbench.reports.page import page
from workbench.reports.provenance import provenance

FORMAT = 2
NOTEBOOK, PAGE, RECORD, RESULTS = "report.ipynb", "report.html", "report.json", "results"


@dataclass(frozen=True)
class Run:
    """How a run of a report went.

    Attributes:
        report: its name.
        folder: holds `report.ipynb`, `report.html`, `report.json` and, in `results`, what the report computed.
        status: `finished`, `partial` (stopped) or `failed`.
        parameters: all of them, as they came to be.
        cells: code cells that were run to their end, and how many there are.
        seconds: wall time.
        error: of the cell that failed, in one line; empty if none did.
    """

    report: str
    folder: Path
    status: str
    parameters: Mapping[str, Any]
    cells: tuple[int, int]
    seconds: float
    error: str = ""


def run(
    name: str | Path,
    parameters: Mapping[str, Any],
    out: str | Path,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> Run:
    """Run a report in a kernel of this Python, and write its notebook as it goes, then its page and record.

    A report that was stopped or failed goes on from the results in its folder when it is run again. With other
    parameters it computes what depends on them, and what the run does not use goes on the store's shelf
    (`workbench.reports.Store`). A cell that fails raises nothing here: the run says so.

    `report.json` (format 2) holds

    - `report`, `title`, path and `sha256` of the `notebook`, all `parameters`, the `seed` among them, `command`;
    - `started`, `status` (`running` until its end), `error`, `cells` (done and all), `seconds`, and `durations`:
      heading and seconds of each code cell that ran;
    - `versions`, `processor`, and `device`: where results were made, or where none says so, what `auto` takes;
    - of the store (`workbench.reports.provenance`): `entries`, each computed or reused with its own provenance,
      `models` by the hash of their weights, the hashes of the `data` that was read, `devices`, `dtypes`, `passes`;
    - `files`: the SHA-256 of each file below the parameter `folder`.

    Args:
        name: of a report in the catalogue, or the path of a notebook that ends in `.ipynb`.
        parameters: values by name; those left out keep the notebook's defaults. A parameter `folder` that is an
            empty string becomes the folder `results` in `out`.
        out: a new or empty folder, or that of the same report; a notebook of your own may be there, and files that
            its parameters name. Other parameters than before need results that all lie in a store.
        progress: told of each cell, and, from another thread, of the steps within the one that runs, with an
            estimate of the seconds left; the run stops before the next cell when it returns False, and at once on
            Ctrl-C.
        command: what to record as having made this; the line of Python if empty.

    Raises:
        ReportError: before anything runs, for an unknown report or parameter, a value of another type, and a
            folder that cannot be written or holds something else.
    """
    report = find(name)
    values = report.values(parameters)
    out = Path(out).resolve()
    if "folder" in values:
        values["folder"] = str(Path(values["folder"] or out / RESULTS).resolve())
    results = Path(values["folder"]) if "folder" in values else None
    former = _claim(out, report, values)
    if results is not None:
        store.begin(results)
    started, clock = datetime.now(UTC), time.perf_counter()
    record: dict[str, Any] = {
        "format": FORMAT,
        "report": report.name,
        "title": report.title,
        "notebook": str(report.path),
        "sha256": report.sha256,
        "parameters": values,
        "command": command or f"wb.reports.run({str(name)!r}, {dict(parameters)!r}, {str(out)!r})",
        "started": started.isoformat(timespec="seconds"),
        "status": "running",
        "seed": values.get("seed"),
        "versions": versions(),
        "processor": processor(),
        "device": available_devices()[0],
    }
    _write(out, record)
    with telling(progress) as told:
        cells = Cells(report, bool(values), told, former)
        with _listening(cells) as environment:
            status, error = _execute(report, values, out / NOTEBOOK, cells, environment)
    record |= {
        "status": status,
        "error": error,
        "cells": [cells.done, cells.total],
        "seconds": round(time.perf_counter() - clock, 1),
        "durations": cells.durations,
        "files": {},
    }
    if results is not None:
        store.tidy(results)
        made = provenance(results)
        record |= {**made, "device": ", ".join(made["devices"]) or record["device"], "files": hashes(results)}
    _write(out, record)
    if (out / NOTEBOOK).exists():
        notebook = nbformat.read(out / NOTEBOOK, as_version=4)
        text = page(notebook, record)
        replace_text(out / PAGE, text)
    return Run(
        report=report.name,
        folder=out,
        status=status,
        parameters=values,
        cells=(cells.done, cells.total),
        seconds=record["seconds"],
        error=error,
    )


class _ThisPython(AsyncKernelManager):
    """Starts kernels of the Python that runs, whatever is installed for Jupyter under the name python3."""

    #: What such a kernel finds in its environment beside that of this process.
    environment: ClassVar[Mapping[str, str]] = {}

    @default("kernel_spec_manager")
    def _only_the_native_kernel(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self, kernel_dirs=[])

    async def start_kernel(self, **options: Any) -> None:
        """Start it, with its `environment`."""
        await super().start_kernel(**{"env": {**os.environ, **self.environment}, **options})


@contextmanager
def _listening(cells: Cells) -> Iterator[Mapping[str, str]]:
    """What a kernel's environment needs so that its methods tell `cells` how far they are."""
    try:
        listener = Listener(cells.within)
    except OSError:  # no loopback interface: there is progress by cell alone
        yield {}
        return
    with listener:
        yield listener.environment


def _execute(
    report: Report, values: Mapping[str, Any], output: Path, cells: Cells, environment: Mapping[str, str]
) -> tuple[str, str]:
    """Run the notebook; the status, and the error of a cell that failed."""
    output.unlink(missing_ok=True)
    output.with_name(PAGE).unlink(missing_ok=True)
    level = logging.getLogger("papermill").level
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it calls parameters unknown that it cannot parse
    try:
        papermill.execute_notebook(
            _literal(report.path),
            _literal(output),
            parameters=dict(values),
            kernel_name=NATIVE_KERNEL_NAME,
            kernel_manager_class=type("Kernel", (_ThisPython,), {"environment": environment}),
            extra_arguments=["--log-level=50"],  # else a kernel tells the terminal of its transport and its end
            progress_bar=False,
            on_cell_start=cells.started,
            on_cell_executed=cells.executed,
        )
    except PapermillExecutionError as error:
        if error.ename == KeyboardInterrupt.__name__:  # the kernel itself was interrupted
            return "partial", ""
        told = f"{error.ename}: {error.evalue}".strip().splitlines()[0].removesuffix(":")
        return "failed", f"In [{error.exec_count}]: {told}"
    except DeadKernelError:
        _unmark(output, cells)
        return "failed", f"the kernel died after {cells.done} of {cells.total} cells, perhaps for want of memory"
    except (KeyboardInterrupt, Cancelled):
        _unmark(output, cells)
        return "partial", ""
    finally:
        logging.getLogger("papermill").setLevel(level)
    return "finished", ""


def _literal(path: Path) -> str:
    """Papermill formats paths with the parameters: braces in one are meant as they stand."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _unmark(output: Path, cells: Cells) -> None:
    """Papermill marks every cell of a notebook that was stopped as completed: only those are that ran."""
    if not output.exists():
        return
    notebook = nbformat.read(output, as_version=4)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and index not in cells.ran:
            cell.metadata.papermill["status"] = "pending"
    replace_file(output, lambda part: nbformat.write(notebook, part))


def _claim(out: Path, report: Report, values: Mapping[str, Any]) -> list[float]:
    """Make sure that the folder can be written and holds nothing but this report; how long its cells took there.

    Other parameters are let in where all results lie in a store, which knows what each was made from.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
        named = (value for value in values.values() if isinstance(value, str) and value)
        own = {report.path, *(Path(os.path.abspath(value)) for value in named)}  # noqa: PTH100 # resolve() refuses NUL
        taken = any(path not in own for path in out.iterdir())
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ReportError(f"{out} cannot be written: {reason(error)}; give another folder") from error
    if not taken:
        return []
    try:
        old = json.loads((out / RECORD).read_text(encoding="utf-8"))
        name, before = old["report"], dict(old["parameters"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ReportError(f"{out} holds something else than a report; give a new or an empty folder") from None
    if name != report.name:
        raise ReportError(f"{out} holds the report {name!r}; give {report.name!r} another folder")
    changed = [k for k in {**before, **values} if k != "folder" and before.get(k) != values.get(k)]
    loose = store.loose(Path(values["folder"])) if "folder" in values else [NOTEBOOK]
    if changed and loose:
        told = ", ".join(f"{k} was {before.get(k)!r} and is {values.get(k)!r}" for k in changed)
        raise ReportError(
            f"{out} holds {name} of other parameters ({told}), and {loose[0]} there does not say what it was made "
            "from; give another folder"
        )
    if loose and old.get("format", 1) < FORMAT and old.get("sha256") != report.sha256:
        raise ReportError(
            f"{out} holds {name} of an older version, whose results lie in other places; give another folder"
        )
    return [float(seconds) for _, seconds in old.get("durations", ())]


def _write(out: Path, record: Mapping[str, Any]) -> None:
    replace_text(out / RECORD, json.dumps(record, indent=1))


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a report's results, by its path in their folder."""
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in store.files(folder)}
