"""Small pieces that every panel is made of: buttons, rows, a quiet table, closing all there is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import ipywidgets as widgets

from workbench.ui.closed_widgets import ClosedWidgets

AnyWidget = TypeVar("AnyWidget", bound=widgets.DOMWidget)


def button(text: str, tooltip: str, **layout: str) -> widgets.Button:
    """A button as wide as its text, or with another layout."""
    return widgets.Button(description=text, tooltip=tooltip, layout=widgets.Layout(**{"width": "auto", **layout}))


def choice(name: str, options: Iterable[str], *, width: int, **traits: Any) -> widgets.Dropdown:
    """A drop-down list with its name before it, `width` CSS pixels wide."""
    return widgets.Dropdown(
        options=list(options),
        description=name,
        layout=widgets.Layout(width=f"{width}px"),
        style={"description_width": "initial"},
        **traits,
    )


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


def note(text: str) -> str:
    """A quiet line of text, in the theme's colours; it is escaped."""
    style = "font-size:13px;line-height:1.5;color:var(--jp-ui-font-color2,#656d76)"
    return f'<span style="{style}">{html.escape(text)}</span>'


#: The class of what says nothing without a kernel; the page of a report leaves it out.
LIVE_ONLY = "wb-live-only"


def live_only(widget: AnyWidget) -> AnyWidget:
    """The widget, marked as one that the page of a report leaves out: its buttons would do nothing there."""
    widget.add_class(LIVE_ONLY)
    return widget


def _within(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """All widgets inside a widget, innermost first, and the layouts and styles, which are widgets, too."""
    for child in getattr(widget, "children", ()):
        yield from _within(child)
        yield child
    for value in list(widget._trait_values.values()):
        if isinstance(value, (widgets.Layout, widgets.Style)):
            yield value


def close_all(widget: widgets.Widget) -> None:
    """Close every widget inside `widget`, which is to be closed next, and the layouts and styles of all of them.

    ipywidgets leaves those alive.
    """
    within = list(_within(widget))
    ClosedWidgets.tell([*within, widget])
    for each in within:
        each.close()


def replace(box: widgets.Box, children: Sequence[widgets.Widget]) -> None:
    """Give a box other children, and close those that are no longer among them."""
    former = [child for child in box.children if child not in children]
    box.children = list(children)
    for child in former:
        close_all(child)
        child.close()
