"""The widgets of a notebook as parts of a page: what is saved of them, laid out for widgets/page-host."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from plotly.io import to_html

from workbench.reports.page_controls import BOXES, control, shown, styled
from workbench.reports.page_pictures import smaller_base64
from workbench.ui.assets import asset_text
from workbench.ui.class_map import bokeh_scripts
from workbench.ui.shared_module import key_of

State = Mapping[str, Any]

#: What Plotly's JSON calls the types of numpy's numbers.
_DTYPES = {
    "int8": "i1", "int16": "i2", "int32": "i4", "uint8": "u1", "uint16": "u2", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
#: Types of traces that plotly.js draws by WebGL.
_WEBGL = re.compile(r"gl$|3d$|^(surface|isosurface|volume|cone|streamtube|parcoords|splom)$")
#: Traits that only ipywidgets and Lab make use of.
_LEFT_OUT = {"layout", "style", "tabbable", "tooltip"}


class PageWidgets:
    """Makes parts of a page of the widgets whose state a notebook holds.

    Anywidgets keep what they hold, and run in the page. Boxes, tabs and texts of ipywidgets become HTML; values
    that only a kernel could change are written out, buttons are left out, and so is what is `parts.live_only` or
    empty. A FigureWidget becomes a figure for the page's plotly.js, a class map a document for its BokehJS.

    Args:
        states: by model id, as `notebook.metadata.widgets` stores them.

    Attributes:
        figures: how many Plotly figures were made.
        maps: how many Bokeh documents.
        webgl: whether a figure is drawn by WebGL.
    """

    def __init__(self, states: Mapping[str, Any]) -> None:
        self._states = states
        self._modules: dict[str, str] = {}
        self._styles: dict[str, str] = {}
        self._placed: set[str] = set()
        self._open: set[str] = set()
        self._panels = 0
        self.figures = self.maps = 0
        self.webgl = False

    def view(self, model_id: str) -> str:
        """The HTML of a widget; empty where there is no state of it, or where it has nothing to show."""
        saved = self._states.get(model_id)
        if saved is None or model_id in self._open:
            return ""
        self._open.add(model_id)
        try:
            return self._view(model_id, saved)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            return ""  # of a widget whose state is unlike any that we know, its picture or text is shown
        finally:
            self._open.discard(model_id)

    def figure(self, figure: State, *, config: State | None = None) -> str:
        """The HTML element of a Plotly figure; see `figure_element`."""
        name = f"figure-{self.figures}"
        self.figures += 1
        self.webgl |= any(_WEBGL.search(str(trace.get("type", ""))) for trace in figure.get("data", ()))
        return figure_element(figure, name, config=config)

    def element(self, model_id: str) -> str:
        """Where an anywidget is shown, be it empty; what it holds stands before its first element."""
        saved = self._states[model_id]
        state = saved["state"]
        hashed, source, css = self._source(state)
        self._modules.setdefault(hashed, source)
        if css:
            self._styles.setdefault(hashed, css)
        style = styled(self._state(state.get("layout")))
        element = f'<div class="wb-view" data-model="{escape(model_id)}" style="{style}"></div>'
        if model_id in self._placed:
            return element
        kept = {k: v for k, v in state.items() if not k.startswith("_") and k not in _LEFT_OUT}
        if "busy" in kept:
            kept["busy"] = False
        buffers = [
            [b["path"], smaller_base64(b["data"])]
            for b in saved.get("buffers", ())
            if _owner(kept, b["path"]) is not None
        ]
        self._placed.add(model_id)
        entry = {"id": model_id, "module": hashed, "state": kept, "buffers": buffers}
        return f'<script type="application/json" class="wb-model">{_json(entry)}</script>{element}'

    @property
    def head(self) -> dict[str, str]:
        """What the page's head needs for all of them, by what it is: BokehJS, the modules, and what runs them."""
        parts: dict[str, str] = {}
        if self.maps:
            parts["BokehJS"] = f"<script>{in_script(bokeh_scripts())}</script>"
        if self._modules:
            parts["widget modules"] = (
                f'<script type="application/json" id="wb-modules">{_json(self._modules)}</script>'
            )
            styles = " ".join(self._styles.values()).replace("</", "<\\/")
            parts["their styles"] = f"<style>{styles}</style>"
        if self._modules or self.maps or self.figures or self._panels:
            host = asset_text("widgets/page-host/page-host.js")
            parts["widget host"] = f'<script type="module">{in_script(host)}</script>'
        return parts

    def _view(self, model_id: str, saved: State) -> str:
        state, module = saved["state"], saved.get("model_module", "")
        layout = self._state(state.get("layout"))
        if not shown(state, layout):
            return ""
        style = styled(layout)
        if module == "anywidget" and "_widget_data" in state:
            return self._plotly(saved, style)
        if module == "anywidget" and "bokeh_document" in state:
            return self._map(state)
        if module == "anywidget":
            return "" if _empty(state) else self.element(model_id)
        if saved.get("model_name") == "BokehModel":
            return self._bokeh(state["render_bundle"])
        if saved.get("model_name") in BOXES:
            return self._box(saved, style)
        return control(saved, self._state(state.get("style")), style)

    def _state(self, reference: Any) -> State:
        """The state of what a trait names."""
        saved = self._states.get(str(reference).removeprefix("IPY_MODEL_"), {})
        return saved.get("state", {})

    def _source(self, state: State) -> tuple[str, str, str]:
        """A name for the code of an anywidget, the code, and its style sheet."""
        shared = self._state(state.get("_module"))
        source, css = shared.get("source") or state["_esm"], shared.get("css") or state.get("_css", "")
        return key_of(source, css), source, css

    def _children(self, state: State) -> list[str]:
        return [self.view(str(child).removeprefix("IPY_MODEL_")) for child in state.get("children", ())]

    def _box(self, saved: State, style: str) -> str:
        state, name = saved["state"], saved["model_name"]
        children = self._children(state)
        if not any(children):
            return ""
        if name in ("TabModel", "AccordionModel"):
            titles = [*state.get("titles", ()), *[""] * len(children)]
            chosen = state.get("selected_index")
            parts = [
                (title or f"{i + 1}", part, i == chosen)
                for i, (title, part) in enumerate(zip(titles, children, strict=False))
                if part
            ]
            return _folds(parts) if name == "AccordionModel" else self._tabs(parts, style)
        if name == "StackModel":
            chosen = state.get("selected_index")
            return children[chosen] if chosen is not None else ""
        return f'<div class="wb-box {BOXES[name]}" style="{style}">{"".join(children)}</div>'

    def _tabs(self, parts: list[tuple[str, str, bool]], style: str) -> str:
        buttons, panels = [], []
        if not any(opened for _, _, opened in parts):
            parts[0] = (*parts[0][:2], True)
        for title, part, opened in parts:
            name = f"wb-panel-{self._panels}"
            self._panels += 1
            buttons.append(
                f'<button type="button" role="tab" aria-controls="{name}" aria-selected="{str(opened).lower()}" '
                f'tabindex="{0 if opened else -1}">{escape(title)}</button>'
            )
            panels.append(f'<div role="tabpanel" id="{name}"{"" if opened else " hidden"}>{part}</div>')
        row = f'<div role="tablist">{"".join(buttons)}</div>'
        return f'<div class="wb-tabs" style="{style}">{row}{"".join(panels)}</div>'

    def _plotly(self, saved: State, style: str) -> str:
        """The figure of a FigureWidget: arrays that were sent as bytes go as Plotly writes them in JSON."""
        state = json.loads(json.dumps(saved["state"]))
        for buffer in saved.get("buffers", ()):
            owner = _owner(state, buffer["path"])
            if isinstance(owner, dict) and "dtype" in owner:
                owner["bdata"] = buffer["data"]
        data = _typed(state["_widget_data"])
        if not data:
            return ""
        layout = {k: v for k, v in _typed(state["_widget_layout"]).items() if v != "_undefined_"}
        figure = self.figure({"data": data, "layout": layout}, config=state["_config"])
        return f'<div style="width:100%;{style}">{figure}</div>'

    def _map(self, state: State) -> str:
        """A map whose document waits for BokehJS, and what follows it."""
        follower = str(state.get("follower") or "").removeprefix("IPY_MODEL_")
        link = {"points": state.get("points"), "grid": follower, "each": state.get("each")}
        script = f'<script type="application/json" class="wb-follow">{_json(link)}</script>' if follower else ""
        return script + (self._bokeh(state["bokeh_document"]) if state["bokeh_document"] else "")

    def _bokeh(self, bundle: str) -> str:
        self.maps += 1
        item = _json(_item(json.loads(bundle)))
        return f'<div class="wb-map"><script type="application/json">{item}</script></div>'


def figure_element(figure: State, name: str, *, config: State | None = None) -> str:
    """The HTML element of a Plotly figure, for a page that has plotly.js; Plotly escapes "<" in its data.

    Its tool bar has no button that sends the figure to Plotly's cloud.

    Args:
        figure: as Plotly's JSON.
        name: of the element.
        config: of plotly.js, such as `{"displayModeBar": False}`.
    """
    return to_html(
        dict(figure),
        config={**(config or {}), "showSendToCloud": False, "displaylogo": False, "responsive": True},
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        default_height="450px",
        validate=False,
        div_id=name,
    )


def _folds(parts: list[tuple[str, str, bool]]) -> str:
    """Parts to unfold, each with its title and whether it is open."""
    return "".join(
        f'<details class="wb-fold"{" open" if opened else ""}><summary>{escape(title)}</summary>{part}</details>'
        for title, part, opened in parts
    )


def in_script(source: str) -> str:
    """JavaScript that may stand between `<script>` and `</script>`."""
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _json(value: Any) -> str:
    """JSON that may stand between `<script>` and `</script>`."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _item(bundle: State) -> dict[str, Any]:
    """What jupyter_bokeh stores of a document, as `Bokeh.embed.embed_item` takes it."""
    (rendered,) = bundle["render_items"]
    document = bundle["docs_json"][rendered["docid"]]
    return {"doc": document, "root_id": next(iter(rendered["roots"])), "target_id": None}


def _empty(state: State) -> bool:
    """Whether one of our widgets holds nothing yet, so that it would only say what to press."""
    return any(name in state and not state[name] for name in ("sheets", "line")) or state.get("code") == ""


def _owner(state: Any, path: list[Any]) -> Any:
    """What holds the value at `path`, or None: a notebook keeps the bytes of values that are no longer there."""
    for key in path[:-1]:
        try:
            state = state[key]
        except (KeyError, IndexError, TypeError):
            return None
    return state


def _typed(value: Any) -> Any:
    """Arrays as plotly.js takes them from JSON, `{"dtype": "f8", "bdata": base64}`."""
    if isinstance(value, dict):
        if "bdata" in value and "buffer" not in value:
            return {
                k: _DTYPES.get(v, v) if k == "dtype" else v for k, v in value.items() if k in ("dtype", "bdata")
            }
        return {k: _typed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_typed(v) for v in value]
    return value
