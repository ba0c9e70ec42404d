"""Runs the notebook of an export in this process, which is what its kernel would do, only faster."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat

from workbench.exports import Export
from workbench.exports.write import prepare


def written(export: Export, folder: Path) -> Path:
    """The notebook of an export, with its results, in a new folder."""
    folder.mkdir(parents=True)
    return prepare(export, folder)


def executed(notebook: Path, **parameters: Any) -> dict[str, Any]:
    """Run the cells one after another, the last line of each evaluated; the variables that they leave.

    The values of `_shown` are what the last lines gave.
    """
    space: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        body = ast.parse(cell.source).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), str(notebook), "exec"), space)
        if last is not None:
            assert isinstance(last, ast.Expr)
            shown.append(eval(compile(ast.Expression(last.value), str(notebook), "eval"), space))
        if "parameters" in cell.metadata.get("tags", ()):
            space |= parameters
    return {**space, "_shown": shown}
