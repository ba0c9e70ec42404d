"""The page of a report: one HTML file whose Plotly figures are drawn without kernel or network."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from nbconvert import HTMLExporter
from plotly.io import to_html
from plotly.offline import get_plotlyjs

_PLOTLY = "application/vnd.plotly.v1+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"

# nbconvert's own page without what it fetches (require.js, MathJax, Mermaid, the widget manager). The policy holds
# the browser to it: whatever a cell may contain, the page asks nobody for anything.
_POLICY = "default-src 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'none'"
_TEMPLATE = """\
{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}
<meta http-equiv="Content-Security-Policy" content="{{ resources.policy }}">
{%- if resources.plotly_js %}<script>{{ resources.plotly_js }}</script>{% endif -%}
{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
.wb-report { max-width: 60rem; margin: 1rem 4.5rem; font: 13px/1.5 system-ui, sans-serif; color: #656d76 }
.wb-report code { overflow-wrap: anywhere }
.wb-report [role=alert] { padding: .5rem .75rem; border-left: 4px solid #D55E00; background: #fdf1e7; color: #222 }
</style>
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
</header>
{%- endblock -%}
"""


def page(notebook: Any, record: Mapping[str, Any]) -> str:
    """An executed notebook as HTML that holds all it needs.

    A Plotly figure in a notebook is JSON, which JupyterLab draws and nbconvert leaves out: here each becomes an
    element that plotly.js, inlined once, draws. Widgets are shown as text.

    Args:
        notebook: executed, as nbformat reads it; it is left as it is.
        record: what `report.json` says of the run.
    """
    notebook = deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["title"] = record["title"]
    count = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            data.pop(_WIDGET, None)
            if _PLOTLY in data:
                data["text/html"] = figure_element(data.pop(_PLOTLY), f"figure-{count}")
                count += 1
    exporter = HTMLExporter(raw_template=_TEMPLATE, embed_images=True)
    resources = {"record": record, "policy": _POLICY, "plotly_js": get_plotlyjs() if count else ""}
    return exporter.from_notebook_node(notebook, resources=resources)[0]


def figure_element(figure: Mapping[str, Any], name: str) -> str:
    """The HTML element of a Plotly figure, for a page that has plotly.js; Plotly escapes "<" in the figure's data.

    Its tool bar has no button that sends the figure to Plotly's cloud.

    Args:
        figure: as Plotly's JSON.
        name: of the element.
    """
    return to_html(
        dict(figure),
        config={"showSendToCloud": False, "displaylogo": False},
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        default_height="450px",
        validate=False,
        div_id=name,
    )
