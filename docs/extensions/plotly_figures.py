"""Plotly figures in pages: drawn by a copy of plotly.js that lies beside them, in the colours of the theme."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs
from sphinx.application import Sphinx

from workbench.ui.theme import plotly_template

#: How `plotly.io.to_html` begins to draw.
_DRAWS = "Plotly.newPlot"
#: Text of figures by the theme of the page, which a page knows, unlike a notebook.
_INK = {"light": "#1f2328", "dark": "#e6e8eb"}


def _only_where_needed(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if _DRAWS in context.get("body", ""):
        app.add_js_file("plotly.min.js", priority=100)
        app.add_js_file("figures.js", priority=110)


def _write_scripts(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    templates = {
        name: plotly_template().update(layout_font_color=ink).to_plotly_json() for name, ink in _INK.items()
    }
    own = (Path(__file__).parent / "figures.js").read_text(encoding="utf-8")
    for name, text in (
        ("plotly.min.js", get_plotlyjs()),
        ("figures.js", own.replace("__TEMPLATES__", json.dumps(templates))),
    ):
        (static / name).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the scripts to the pages that have a figure."""
    app.connect("html-page-context", _only_where_needed)
    app.connect("build-finished", _write_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
