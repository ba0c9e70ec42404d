"""The page of a report: one HTML file whose figures and widgets live without kernel or network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from html import escape
from typing import Any

from nbconvert import HTMLExporter
from plotly.offline import get_plotlyjs

from workbench.reports.catalogue import headings
from workbench.reports.page_pictures import smaller_base64, smaller_pictures
from workbench.reports.page_widgets import PageWidgets
from workbench.ui.assets import asset_text

_PLOTLY = "application/vnd.plotly.v1+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_WIDGETS = "application/vnd.jupyter.widget-state+json"

# nbconvert's own page without what it fetches (require.js, MathJax, Mermaid, the widget manager). The policy holds
# the browser to it: whatever a cell may contain, the page asks nobody for anything.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob: data:{evaluation}; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data: blob:; font-src data:; connect-src data: blob:; worker-src blob:; "
    "frame-src data: blob:; base-uri 'none'; form-action 'none'"
)
_CONTENTS = "<!-- contents -->"
_SECTION = re.compile(r'<a class="wb-section" id="section-(\d+)"></a>')
_TEMPLATE = """\
{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}
<meta http-equiv="Content-Security-Policy" content="{{ resources.policy }}">
{%- for part in resources.head %}{{ part }}{% endfor -%}
{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}<style>{{ resources.style }}</style>{%- endblock -%}
{%- block any_cell scoped -%}
{%- set section = cell.metadata.section -%}
{%- if section is defined %}<a class="wb-section" id="section-{{ section }}"></a>{% endif -%}
{{ super() }}
{%- endblock -%}
{%- block body_header -%}
{{ super() }}
{%- set record = resources.record -%}
<header class="wb-report">
{%- if record.status != "finished" %}
<p role="alert"><b>{{ record.status }}</b>: {{ record.cells[0] }} of {{ record.cells[1] }} cells were run.
{{ record.error | e }}</p>
{%- endif %}
<p>{{ record.report | e }}, {{ record.started | e }}, {{ record.seconds }} s, {{ record.device | e }};
{% for name, version in record.versions.items() -%}
{{ name | e }} {{ version | e }}{{ ", " if not loop.last }}
{%- endfor %}
<br><code>{{ record.command | e }}</code></p>
{{ resources.contents }}
</header>
{%- endblock -%}
"""


def page(notebook: Any, record: Mapping[str, Any]) -> str:
    """An executed notebook as HTML that holds all it needs.

    A Plotly figure in a notebook is JSON, which JupyterLab draws and nbconvert leaves out: here each becomes an
    element that plotly.js, inlined once, draws. Widgets whose state the notebook holds live on (`PageWidgets`);
    others are shown by their picture or text. The page begins with its contents and what each section weighs.

    Args:
        notebook: executed, as nbformat reads it; it is left as it is.
        record: what `report.json` says of the run.
    """
    notebook = deepcopy(notebook)
    notebook.metadata["title"] = record["title"]
    widgets = PageWidgets(notebook.metadata.pop("widgets", {}).get(_WIDGETS, {}).get("state", {}))
    own_scripts = False
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            own_scripts |= "<script" in "".join(data.get("text/html", ())) or "application/javascript" in data
            _show(data, widgets)
    sections = _sections(notebook.cells)
    shared = {"plotly.js": f"<script>{get_plotlyjs()}</script>"} if widgets.figures else {}
    shared |= widgets.head
    # Bokeh's callbacks and WebGL traces are compiled in the browser; what a cell's own scripts need nobody knows
    compiles = bool(widgets.maps) or widgets.webgl or own_scripts
    resources = {
        "record": record,
        "policy": _POLICY.format(evaluation=" 'unsafe-eval'" if compiles else ""),
        "head": list(shared.values()),
        "style": asset_text("widgets/page-host/page.css"),
        "contents": _CONTENTS,
    }
    exporter = HTMLExporter(raw_template=_TEMPLATE, embed_images=True)
    text = exporter.from_notebook_node(notebook, resources=resources)[0]
    return text.replace(_CONTENTS, _contents(text, sections, shared), 1)


def _show(data: dict[str, Any], widgets: PageWidgets) -> None:
    """Give an output the HTML that the page shows, and its pictures fewer bytes."""
    view = data.pop(_WIDGET, None)
    part = widgets.view(view["model_id"]) if view else ""
    if _PLOTLY in data:
        part = widgets.figure(smaller_pictures(data.pop(_PLOTLY)))
    if part:
        data.pop("image/png", None)
        data["text/html"] = part
    elif "text/html" in data:
        data["text/html"] = smaller_pictures(data["text/html"])
    if "image/png" in data:
        data["image/png"] = smaller_base64("".join(data["image/png"]))


def _sections(cells: Iterable[Any]) -> list[tuple[int, str]]:
    """Mark the cells that begin a section; the level and the text of each section's heading."""
    found: list[tuple[int, str]] = []
    for cell in cells:
        begun = headings(cell.source) if cell.cell_type == "markdown" else []
        cell.metadata.pop("section", None)
        for level, text in [heading for heading in begun if heading[0] <= 2][:1]:
            cell.metadata["section"] = len(found)
            found.append((level, re.sub(r"[*`]", "", text)))
    return found


def _contents(text: str, sections: list[tuple[int, str]], shared: Mapping[str, str]) -> str:
    """The sections of a page with the bytes that each adds to it, and what they have in common."""
    parts = _SECTION.split(text)
    weights = {int(number): len(part.encode()) for number, part in zip(parts[1::2], parts[2::2], strict=True)}
    rows = "".join(
        f'<li class="wb-level-{level}"><a href="#section-{i}">{escape(heading)}</a>'
        f"<span>{_bytes(weights.get(i, 0))}</span></li>"
        for i, (level, heading) in enumerate(sections)
    )
    common = {name: len(part.encode()) for name, part in shared.items()}
    common["style and text above"] = len(parts[0].encode()) - sum(common.values())
    told = ", ".join(f"{name} {_bytes(size)}" for name, size in common.items())
    return (
        f'<nav class="wb-contents" aria-label="Contents"><ol>{rows}</ol>'
        f"<p>The page has {_bytes(len(text.encode()))}; common to all sections: {told}.</p></nav>"
    )


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB" if size >= 1e3 else f"{size} bytes"
