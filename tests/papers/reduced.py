"""A report notebook run at a small size."""

from __future__ import annotations

import json
from pathlib import Path

import papermill
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME

from tests.project import ROOT


def executed(report: str, folder: Path, **parameters: object) -> Path:
    """The notebook of a report after it ran in this environment; what it computed lies beside it, in `folder`."""
    path = folder / "report.ipynb"
    papermill.execute_notebook(
        ROOT / "notebooks" / "reports" / f"{report}.ipynb",
        path,
        parameters={"folder": str(folder), **parameters},
        kernel_name=NATIVE_KERNEL_NAME,
        progress_bar=False,
    )
    return path


def printed(notebook: Path) -> str:
    """All that its cells printed."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", ()))
