"""The controls of ipywidgets as plain HTML for a page without kernel: texts, values, nothing to press."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from workbench.ui.parts import LIVE_ONLY

State = Mapping[str, Any]

#: Boxes by the name of their model, with the class that lays them out.
BOXES = {
    "BoxModel": "",
    "HBoxModel": "",
    "VBoxModel": "wb-column",
    "GridBoxModel": "wb-grid-box",
    "TabModel": "",
    "AccordionModel": "",
    "StackModel": "",
}
_PROPERTIES = (
    "align_content", "align_items", "align_self", "border_top", "border_right", "border_bottom", "border_left",
    "flex", "flex_flow", "grid_area", "grid_auto_columns", "grid_auto_flow", "grid_auto_rows", "grid_column",
    "grid_gap", "grid_row", "grid_template_areas", "grid_template_columns", "grid_template_rows", "height",
    "justify_content", "justify_items", "margin", "max_height", "max_width", "min_height", "min_width", "order",
    "overflow", "padding", "width",
)  # fmt: skip


def shown(state: State, layout: State) -> bool:
    """Whether a widget is seen, and says something without a kernel."""
    hidden = layout.get("display") == "none" or layout.get("visibility") == "hidden"
    return not hidden and LIVE_ONLY not in state.get("_dom_classes", ())


def styled(layout: State) -> str:
    """A layout as the value of a `style` attribute."""
    given = ((name, layout.get(name)) for name in _PROPERTIES)
    return escape(";".join(f"{k.replace('_', '-')}:{v}" for k, v in given if v and not set(";{}<>") & set(str(v))))


def control(saved: State, look: State, style: str) -> str:
    """The HTML of a control.

    Args:
        saved: its model, with its state.
        look: the state of its style.
        style: the value of its `style` attribute.
    """
    state, name = saved["state"], saved.get("model_name", "")
    if name in _TEXTS:
        return _TEXTS[name](saved, style)
    if name.endswith("ProgressModel"):
        return _progress(state, style)
    value = _value(state)
    description = state.get("description", "")
    if value is None or not (value or description):
        return ""
    return f'<div class="wb-value"><span>{escape(description)}</span>{escape(value)}</div>'


def _html(saved: State, style: str) -> str:
    """What an HTML widget holds is HTML, as in the notebook."""
    value = saved["state"].get("value", "")
    return f'<div class="wb-text" style="{style}">{_described(saved["state"])}{value}</div>' if value else ""


def _label(saved: State, style: str) -> str:
    value = escape(saved["state"].get("value", ""))
    return f'<div class="wb-text" style="{style}">{_described(saved["state"])}{value}</div>' if value else ""


def _image(saved: State, style: str) -> str:
    data = next((b["data"] for b in saved.get("buffers", ()) if b["path"] == ["value"]), "")
    kind = escape(saved["state"].get("format", "png"))
    return f'<img alt="" style="{style}" src="data:image/{kind};base64,{data}">' if data else ""


def _output(saved: State, style: str) -> str:
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in saved["state"].get("outputs", ())]
    text = "".join("".join(t) for t in texts)
    return f'<pre style="{style}">{escape(text)}</pre>' if text else ""


def _described(state: State) -> str:
    description = state.get("description")
    return f"<span>{escape(description)}</span> " if description else ""


def _progress(state: State, style: str) -> str:
    low, high, value = (float(state.get(name) or 0) for name in ("min", "max", "value"))
    if not low < value < high:
        return ""
    bar = f'<progress style="{style}" max="{high - low}" value="{value - low}"></progress>'
    return f'<label class="wb-text">{_described(state)}{bar}</label>'


def _value(state: State) -> str | None:
    """What a control is set to, in words; None for one that is there to be pressed."""
    if "_options_labels" in state:
        labels = state["_options_labels"]
        chosen = state.get("index")
        several = chosen if isinstance(chosen, list | tuple) else [] if chosen is None else [chosen]
        return ", ".join(str(labels[i]) for i in several if i < len(labels))
    value = state.get("value")
    if isinstance(value, list | tuple):
        return " – ".join(_number(v) for v in value)
    return _number(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_TEXTS: dict[str, Callable[[State, str], str]] = {
    "HTMLModel": _html,
    "HTMLMathModel": _html,
    "LabelModel": _label,
    "ImageModel": _image,
    "OutputModel": _output,
}
