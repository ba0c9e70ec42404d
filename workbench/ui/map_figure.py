"""The Bokeh figure of a map: dots, thumbnails, names, rings and arrows, and the code that runs in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bokeh.core.properties import value
from bokeh.models import (
    Arrow,
    CustomJS,
    HoverTool,
    LassoSelectTool,
    Range1d,
    Scatter,
    VeeHead,
    WheelZoomTool,
)
from bokeh.plotting import figure

from workbench.ui.assets import asset_text
from workbench.ui.map_levels import FONT_SIZE, RATIO, extent, zoom
from workbench.ui.theme import FONT, NEUTRAL_LINE, PALETTE

if TYPE_CHECKING:
    from workbench.ui.map_plot import MapPlot

_SELECTED, _FOUND, _MOVED = PALETTE[1], PALETTE[4], PALETTE[2]
_INKS = {"light": "#1f2328", "dark": "#e6e8eb"}
# Bokeh escapes what stands for a name in a tooltip; an address is one that `data_urls` made, or nothing.
_TOOLTIP = """
<div style="max-width:330px"><div style="font:13px {font};margin-bottom:2px">@name</div>
<img src="@samples" alt="" style="display:block;max-width:100%"></div>
"""


def make_figure(data: MapPlot, title: str, height: int, beside: MapPlot | None) -> Any:
    """The figure that draws the sources of `data`; see `MapPlot`."""
    (x0, x1), (y0, y1) = extent(data.positions)
    ranges = {"x_range": _range(x0, x1), "y_range": _range(y0, y1)}
    if beside is not None:
        ranges = {"x_range": beside.figure.x_range, "y_range": beside.figure.y_range}
    plot = figure(
        height=height,
        min_width=300,
        sizing_mode="stretch_width",
        title=title or None,
        tools="pan,reset,save",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color="#888888",
        outline_line_alpha=0.35,
        toolbar_location="above",
        min_border=4,
        **ranges,
    )
    plot.axis.visible, plot.grid.visible = False, False
    plot.toolbar.logo = None
    if title:
        plot.title.text_font, plot.title.text_color = FONT, "#808890"
    dots = plot.scatter(
        "x", "y", size="size", alpha="alpha", line_color=None, color=NEUTRAL_LINE, source=data.points
    )
    dots.selection_glyph = dots.nonselection_glyph = None
    plot.image_url("url", "x", "y", "w", "w", anchor="center", global_alpha="alpha", source=data.pictures)
    for part in plot.renderers[-1:]:
        part.glyph.w = {"field": "w", "units": "screen"}
        part.glyph.h = {"field": "w", "units": "screen"}
    text: dict[str, Any] = {"text_font": value(FONT), "text_baseline": "middle"}
    plot.text(
        "x",
        "y",
        "text",
        x_offset="dx",
        y_offset="dy",
        text_align="align",
        text_alpha="alpha",
        text_font_size=f"{FONT_SIZE}px",
        source=data.labels,
        **text,
    )
    rings = plot.scatter("x", "y", size="ring", marker="square", fill_alpha=0, line_alpha=0, source=data.points)
    rings.selection_glyph = Scatter(
        x="x", y="y", size="ring", marker="square", fill_alpha=0, line_color=_SELECTED, line_width=3
    )
    rings.nonselection_glyph = None
    plot.scatter("x", "y", size="ring", fill_alpha=0, line_color=_FOUND, line_width=3, source=data.found)
    plot.text(
        "x",
        "y",
        "name",
        x_offset="dx",
        text_font_size="13px",
        text_font_style="bold",
        source=data.found,
        **text,
    )
    new = _draw_placed(plot, data, text)
    wheel = WheelZoomTool()
    plot.add_tools(wheel, LassoSelectTool(renderers=[dots], continuous=False), _hover([dots, new]))
    plot.toolbar.active_scroll = wheel
    return plot


def _draw_placed(plot: Any, data: MapPlot, text: Mapping[str, Any]) -> Any:
    ends = {"x_start": "x0", "y_start": "y0", "x_end": "x", "y_end": "y"}
    head = VeeHead(size=8, fill_color=_MOVED, line_color=_MOVED)
    plot.add_layout(Arrow(**ends, end=head, line_color=_MOVED, line_width=2.5, source=data.placed))
    pictures = plot.image_url("url", "x", "y", 40, 40, anchor="center", source=data.placed)
    pictures.glyph.w = pictures.glyph.h = {"value": 40, "units": "screen"}
    new = plot.scatter("x", "y", size=13, marker="diamond", color=_MOVED, line_color="#ffffff", source=data.placed)
    plot.text("x", "y", "name", x_offset=11, text_font_size="12px", source=data.placed, **text)
    return new


def _hover(renderers: list[Any]) -> HoverTool:
    return HoverTool(renderers=renderers, tooltips=_TOOLTIP.replace("{font}", FONT.replace('"', "'")), limit=4)


def connect(data: MapPlot, *, leads: bool) -> None:
    """Have the browser run widgets/class-map at whatever changes; of two maps with the same ranges, one leads."""
    base, sizes = zoom(data.positions, data.frame)
    (x0, x1), (y0, y1) = extent(data.positions)
    code = CustomJS(
        args={
            "figure": data.figure,
            "points": data.points,
            "pictures": data.pictures,
            "labels": data.labels,
            "found": data.found,
            "asked": data.asked,
            "tapped": data.tapped,
            "seen": data.seen,
            "search": data.search,
            "count": data.count,
            "inks": _INKS,
            "zoom": {
                "base": base,
                "ratio": RATIO,
                "sizes": sizes,
                "font": FONT_SIZE,
                "extent": [x0, x1, y0, y1],
                "leads": leads,
            },
        },
        code=asset_text("widgets/class-map/class-map.js"),
    )
    for axis in (data.figure.x_range, data.figure.y_range):
        axis.js_on_change("start", code)
        axis.js_on_change("end", code)
    for trait in ("inner_width", "inner_height"):
        data.figure.js_on_change(trait, code)
    data.search.js_on_change("value_input", code)
    data.asked.js_on_change("data", code)
    data.figure.js_on_event("tap", code)
    data.figure.js_on_event("reset", code)


def _range(low: float, high: float) -> Range1d:
    span = high - low
    return Range1d(low, high, min_interval=span / 300, max_interval=6 * span)
