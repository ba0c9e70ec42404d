"""The tutorials as pages: their stored outputs, with the pictures that the browser tests made of their widgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_markdown_cell
from sphinx.application import Sphinx

from extensions.pictures import both_themes, folder_of_pictures
from workbench.reports.page_widgets import figure_element

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks" / "tutorials"
_PLOTLY = "application/vnd.plotly.v1+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"


def as_page(notebook: Any, name: str, pictures: Path) -> Any:
    """The notebook with figures and widgets as a page can show them.

    A stored Plotly figure becomes an element that plotly.js draws. A widget, and a figure that was not stored,
    becomes the picture `tutorial-NAME-CELL`.

    Args:
        notebook: as nbformat reads it; it is changed.
        name: of the tutorial.
        pictures: the folder that holds them.
    """
    cells = []
    for place, cell in enumerate(notebook.cells):
        cells.append(cell)
        if cell.cell_type != "code":
            continue
        widgets = [output for output in cell.outputs if _WIDGET in output.get("data", {})]
        cell.outputs = [output for output in cell.outputs if output not in widgets]
        for number, output in enumerate(cell.outputs):
            if _PLOTLY in output.get("data", {}):
                output.data = {"text/html": figure_element(output.data[_PLOTLY], f"figure-{place}-{number}")}
        picture = f"tutorial-{name}-{place}"
        stored = any("data" in output for output in cell.outputs)
        if widgets or (both_themes(pictures, picture) and not stored):
            text = f"```{{picture}} {picture}\n:alt: The output as JupyterLab shows it\n```"
            cells.append(new_markdown_cell(text, id=picture))
    notebook.cells = cells
    return notebook


def _copy(app: Sphinx, config: object) -> None:
    """Sphinx reads what lies in its folder only."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        copy, text = Path(app.srcdir) / "tutorials" / path.name, path.read_text(encoding="utf-8")
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:  # else it would be read again
            copy.write_text(text, encoding="utf-8")


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    folder, _, name = page.partition("/")
    if folder != "tutorials" or not (NOTEBOOKS / f"{name}.ipynb").exists():
        return
    pictures = folder_of_pictures(app)
    notebook = nbformat.reads(source[0], as_version=4)
    for place in range(len(notebook.cells)):
        app.env.note_dependency(str(pictures / f"tutorial-{name}-{place}.png"))
    source[0] = nbformat.writes(as_page(notebook, name, pictures))


def setup(app: Sphinx) -> dict[str, bool]:
    """Bring the tutorials among the sources, and change them as they are read."""
    app.connect("config-inited", _copy)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
