"""Write widgets into a plain HTML page without kernel or network, by the host that exported reports have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ipywidgets.embed import dependency_state

from workbench.reports.page_widgets import PageWidgets

#: The models in order, as ``window.models``, once ``window.ready`` is there.
_IN_ORDER = """
window.ready = new Promise((resolve) => addEventListener("load", () => resolve(window.workbench_page)))
    .then((models) => { window.models = IDS.map((id) => models.get(id)); });
"""


def write_page(path: Path, widgets: Sequence[Any], *, dark: bool = False, width: int = 760) -> Path:
    """Write the page; ``window.models`` holds the models, and the elements are ``#widget-0`` and so on."""
    made = PageWidgets(dependency_state(widgets, drop_defaults=False))
    views = [made.element(w.model_id) for w in widgets]
    views = [view.replace('class="wb-view"', f'class="wb-view" id="widget-{i}"') for i, view in enumerate(views)]
    scheme = "dark" if dark else "light"
    order = _IN_ORDER.replace("IDS", str([w.model_id for w in widgets]))
    path.write_text(
        f"""<!doctype html><meta charset="utf-8"><title>widgets</title>{"".join(made.head.values())}
<style>:root {{ color-scheme: {scheme}; font-family: system-ui, sans-serif }}
body {{ max-width: {width}px; margin: 24px auto; }} body > div {{ margin-bottom: 32px }}</style>
<body>{"".join(views)}<script>{order}</script>"""
    )
    return path
