"""Writing an export into a folder of its own, and running its notebook there."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from workbench.exports.description import Export, ExportError
from workbench.exports.kept import Kept
from workbench.exports.notebook import INPUTS, notebook
from workbench.files import reason
from workbench.progress import Progress
from workbench.sessions.state import writable

if TYPE_CHECKING:
    from workbench.reports import Run

#: Where reports go that no folder was named for, below the working directory.
REPORTS = "workbench-reports"


def write(export: Export, folder: str | Path = "", *, progress: Progress | None = None) -> Run:
    """Write the results, the inputs and the notebook of an export, and run it as a report.

    The folder then holds `NAME-panel.ipynb` (the notebook before it ran), what `wb.reports.run` writes (the
    notebook as it ran, `report.html`, `report.json`), `results`, and `inputs.safetensors` where the computation
    needs tensors.

    Args:
        export: what is on screen.
        folder: new or empty; "" for one with date and time below `workbench-reports`.
        progress: told of each cell; returning False stops before the next.

    Raises:
        ExportError: a folder that holds something, or cannot be written.
    """
    from workbench.reports import run

    place = _claimed(export.name, folder)
    return run(prepare(export, place), {}, place, progress=progress)


def prepare(export: Export, place: Path) -> Path:
    """Write results, inputs and the notebook, not run yet, into an empty folder, and return the notebook."""
    from nbformat import write as write_notebook

    kept = Kept(place / "results")
    for section in export.sections:
        kept.save(**{name: value() if callable(value) else value for name, value in section.values.items()})
    if export.tensors:
        save_file(writable(export.tensors), place / INPUTS)
    source = place / f"{export.name}-panel.ipynb"
    write_notebook(notebook(export, place), source)
    return source


def _claimed(name: str, folder: str | Path) -> Path:
    """A folder that holds nothing, made where it is not there."""
    named = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    places = (
        [_named(folder)]
        if str(folder).strip()
        else [Path(REPORTS, f"{named}{f'-{copy}' if copy > 1 else ''}") for copy in range(1, 100)]
    )
    try:
        free = next(
            (p.absolute() for p in places if not p.exists() or (p.is_dir() and not any(p.iterdir()))), None
        )
        if free is not None:
            free.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ExportError(f"{places[0]} cannot be written: {reason(error)}; give another folder") from error
    if free is None:
        raise ExportError(f"{places[0]} holds something already; give a new or an empty folder")
    return free


def _named(folder: str | Path) -> Path:
    """The folder of that name; `~someone` that is nobody's home is a name like any other."""
    try:
        return Path(folder).expanduser()
    except RuntimeError:
        return Path(folder)
