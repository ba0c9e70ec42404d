"""Small pieces that every panel is made of: buttons, rows, a quiet table, closing all there is."""

from __future__ import annotations

import html
from collections.abc import Mapping

import ipywidgets as widgets
import plotly.graph_objects as go


def button(text: str, tooltip: str) -> widgets.Button:
    """A button as wide as its text."""
    return widgets.Button(description=text, tooltip=tooltip, layout=widgets.Layout(width="auto"))


def row() -> widgets.Layout:
    """The layout of a row of controls, which wraps where the page is narrow."""
    return widgets.Layout(flex_flow="row wrap", grid_gap="6px", align_items="center")


def table(rows: Mapping[str, str]) -> str:
    """Names and values as quiet rows, in the theme's colours; both are escaped."""
    name = "padding:1px 14px 1px 0;color:var(--jp-ui-font-color2,#656d76);white-space:nowrap;vertical-align:top"
    value = "padding:1px 0;color:var(--jp-ui-font-color1,#1f2328)"
    cells = "".join(
        f'<tr><td style="{name}">{html.escape(k)}</td><td style="{value}">{html.escape(v)}</td></tr>'
        for k, v in rows.items()
    )
    return f'<table style="font-size:13px;line-height:1.5;border-collapse:collapse">{cells}</table>'


def close_all(widget: widgets.Widget) -> None:
    """Close every widget inside `widget`."""
    for child in getattr(widget, "children", ()):
        close_all(child)
        child.close()


def redraw(widget: go.FigureWidget, figure: go.Figure) -> None:
    """Show `figure` in a widget that is on screen already: a new widget would send plotly.js once more.

    Callbacks hang on traces, and these are new: attach them again.
    """
    widget.data = ()
    widget.layout = figure.layout
    widget.add_traces(figure.data)
