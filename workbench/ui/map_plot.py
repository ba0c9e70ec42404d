"""A Bokeh plot of many named points with a thumbnail each: zoom, search, tap, lasso (widgets/class-map)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.properties import value
from bokeh.embed import file_html
from bokeh.layouts import column, row
from bokeh.models import (
    Arrow,
    ColumnDataSource,
    CustomJS,
    Div,
    HoverTool,
    LassoSelectTool,
    LayoutDOM,
    Range1d,
    Scatter,
    TextInput,
    VeeHead,
    WheelZoomTool,
)
from bokeh.plotting import figure
from bokeh.resources import INLINE

from workbench.ui.assets import asset_text
from workbench.ui.sprites import as_numpy, data_urls
from workbench.ui.theme import FONT, NEUTRAL_LINE, PALETTE

if TYPE_CHECKING:
    from workbench.ui.sprites import Array

_RATIO = math.sqrt(2)  # of the zooms at which more thumbnails appear
_LEVELS = 15
_SMALLEST, _LARGEST = 26, 88  # thumbnails, CSS pixels
_GROWTH = 1.12  # of the thumbnails from one level to the next
_GAP = 3  # between thumbnails, CSS pixels
_STORED = 72  # longest side of a thumbnail, pixels
_STRIP = 56  # of a sample in the tooltip, pixels
_FONT = 12  # of names, pixels
_LONGEST = 26  # characters of a name that are drawn
_SELECTED, _FOUND, _MOVED = PALETTE[1], PALETTE[4], PALETTE[2]
_INKS = {"light": "#1f2328", "dark": "#e6e8eb"}
_STYLE = """
:host { font-family: FONT; }
input.bk-input { font: 13px FONT; background: var(--jp-layout-color1, Field);
  border: 1px solid var(--jp-border-color1, GrayText); border-radius: 3px;
  color: var(--jp-ui-font-color1, FieldText); }
.bk-clearfix { color: var(--jp-ui-font-color2, GrayText); font-size: 13px; line-height: 30px; }
""".replace("FONT", FONT)
# Bokeh escapes what stands for a name in a tooltip; an address is one that `data_urls` made, or nothing.
_TOOLTIP = """
<div style="max-width:330px"><div style="font:13px {font};margin-bottom:2px">@name</div>
<img src="@samples" alt="" style="display:block;max-width:100%"></div>
"""


class MapPlot:
    """Named points in the plane, with thumbnails or names as many as there is room for.

    The more one zooms in, the more of them show, and the larger: each class has a level of zoom from which on it
    shows without covering another. `layout` is the Bokeh model to show: a search box and the figure.

    Args:
        positions: (n, 2).
        names: of the points; data, escaped wherever it meets HTML.
        thumbnails: images (n, 1 or 3, H, W) or signals, or a mapping from some points' indices to one image each.
        samples: a mapping from points' indices to images (k, 1 or 3, H, W) or signals (k, L), shown below the name
            on hover; or all as (n, k, 1 or 3, H, W).
        value_range: values shown as black and white.
        width, height: that the plot is made for, CSS pixels; it takes the width that the page gives.
        beside: a plot whose ranges this one shares, so that both show the same part.

    Raises:
        ValueError: positions that are not finite, or lengths that do not fit.
    """

    def __init__(
        self,
        positions: Array,
        names: Sequence[str],
        *,
        thumbnails: Array | Mapping[int, Array] | None = None,
        samples: Array | Mapping[int, Array] | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        title: str = "",
        width: int = 900,
        height: int = 640,
        beside: MapPlot | None = None,
    ) -> None:
        places = np.asarray(positions, dtype=np.float64)
        if places.ndim != 2 or places.shape[1] != 2 or not len(places) or not np.isfinite(places).all():
            raise ValueError(f"positions have shape {places.shape}; expected finite numbers (n, 2), n at least 1")
        if len(names) != len(places):
            raise ValueError(f"{len(names)} names were given for {len(places)} positions")
        self.positions, self.names, self.value_range = places, [str(name) for name in names], value_range
        self._frame = (width - 10, height - 40)  # less the border and the toolbar
        n = len(places)
        at = {"x": places[:, 0], "y": places[:, 1]}
        short = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in self.names]
        pictured = {} if thumbnails is None else self._thumbnails(thumbnails)
        strips = {} if samples is None else self._strips(samples)
        self.pictures = ColumnDataSource(
            {**at, "url": [pictured.get(i, "") for i in range(n)], "w": np.zeros(n), "alpha": np.ones(n)}
        )
        self.labels = ColumnDataSource(
            {
                **at,
                "short": short,
                "text": [""] * n,
                "align": ["left"] * n,
                "dx": np.full(n, 7.0),
                "dy": np.zeros(n),
                "alpha": np.ones(n),
                "width": np.array([_ems(name) for name in short]),
            }
        )
        self.points = ColumnDataSource(
            {
                **at,
                "name": self.names,
                "samples": [strips.get(i, "") for i in range(n)],
                "size": np.full(n, 7.0),
                "ring": np.full(n, 13.0),
                "alpha": np.full(n, 0.55),
                "level": self._levels(),
            }
        )
        self.found = ColumnDataSource({key: [] for key in ("x", "y", "ring", "dx", "name")})
        self.placed = ColumnDataSource({key: [] for key in ("x", "y", "x0", "y0", "name", "url", "samples")})
        #: What Python asks the browser to highlight, what was tapped there, and what it shows.
        self.asked = ColumnDataSource({"index": []})
        self.tapped = ColumnDataSource({"index": [], "serial": []})
        self.seen = ColumnDataSource({"level": [], "shown": [], "size": []})
        #: Called after what Python changes in the plot.
        self.on_change: Callable[[], object] = lambda: None
        self.search = TextInput(placeholder="Search by name", width=240, stylesheets=[_STYLE])
        self.count = Div(text="", stylesheets=[_STYLE], styles={"color": "GrayText"})
        self.figure = self._figure(title, width, height, beside)
        self._script(leads=beside is None)
        self.layout: LayoutDOM = column(
            row(self.search, self.count), self.figure, sizing_mode="stretch_width", max_width=max(width, 1400)
        )

    def show_thumbnails(self, images: Array | Mapping[int, Array]) -> None:
        """Show these thumbnails instead of the present ones of the same points, or instead of their names."""
        urls = self._thumbnails(images)
        self.pictures.patch({"url": list(urls.items())})
        levels = self._levels()
        self.points.patch({"level": [(slice(0, len(levels)), levels)]})
        self._refresh()

    def show_samples(self, images: Array | Mapping[int, Array]) -> None:
        """Show these samples on hover."""
        self.points.patch({"samples": list(self._strips(images).items())})
        self.on_change()

    def place(
        self,
        positions: Array,
        *,
        of: Sequence[int | None] | None = None,
        names: Sequence[str] | None = None,
        thumbnails: Array | None = None,
    ) -> None:
        """Show what was placed into the map, in place of what was placed before, nothing else moving.

        Args:
            positions: (m, 2).
            of: for each the point that it comes from, whence an arrow leads to it, or None.
            names: of each; by default those of the points it comes from.
            thumbnails: (m, 1 or 3, H, W).
        """
        places = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
        origins = [None] * len(places) if of is None else list(of)
        if len(origins) != len(places) or (names is not None and len(names) != len(places)):
            raise ValueError(
                f"{len(places)} positions were given; expected as many points they come from, and names"
            )
        if any(o is not None and not 0 <= o < len(self.names) for o in origins):
            raise ValueError(f"the points that others come from are 0 to {len(self.names) - 1}, got {origins}")
        if names is None:
            names = ["" if o is None else self.names[o] for o in origins]
        starts = np.array([p if o is None else self.positions[o] for o, p in zip(origins, places, strict=True)])
        starts = starts.reshape(-1, 2)
        urls = [""] * len(places)
        if thumbnails is not None:
            urls = data_urls(thumbnails, self.value_range, max_side=_STORED)
        self.placed.data = {
            "x": places[:, 0],
            "y": places[:, 1],
            "x0": starts[:, 0],
            "y0": starts[:, 1],
            "name": [f"{name} (new)" for name in names],
            "url": urls,
            "samples": urls,
        }
        self.on_change()

    def highlight(self, indices: Sequence[int]) -> None:
        """Ring these points and bring them into view; none of them shows all alike again."""
        self.asked.data = {"index": [int(i) for i in indices]}

    def select(self, indices: Sequence[int]) -> None:
        """Select these points, as a lasso does."""
        self.points.selected.indices = [int(i) for i in indices]

    def _thumbnails(self, images: Array | Mapping[int, Array]) -> dict[int, str]:
        if isinstance(images, Mapping):
            chosen = self._checked(images)
            stacked = np.stack([as_numpy(images[i]) for i in chosen]) if chosen else None
        else:
            chosen, stacked = list(range(len(self.names))), as_numpy(images)
            if len(stacked) != len(chosen):
                raise ValueError(f"{len(stacked)} thumbnails were given for {len(chosen)} points")
        urls = [] if stacked is None else data_urls(stacked, self.value_range, max_side=_STORED)
        return dict(zip(chosen, urls, strict=True))

    def _strips(self, samples: Array | Mapping[int, Array]) -> dict[int, str]:
        given = samples if isinstance(samples, Mapping) else dict(enumerate(as_numpy(samples)))
        return {i: _strip(as_numpy(given[i]), self.value_range) for i in self._checked(given)}

    def _checked(self, given: Mapping[int, Any]) -> list[int]:
        wrong = [i for i in given if not 0 <= int(i) < len(self.names)]
        if wrong:
            raise ValueError(f"point {wrong[0]} was given; there are 0 to {len(self.names) - 1}")
        return [int(i) for i in given]

    def _refresh(self) -> None:
        """Have the browser look again: it is not told of patches."""
        self.asked.data = {"index": list(self.asked.data["index"])}
        self.on_change()

    def _figure(self, title: str, width: int, height: int, beside: MapPlot | None) -> Any:
        (x0, x1), (y0, y1) = self._extent()
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
            "x", "y", size="size", alpha="alpha", line_color=None, color=NEUTRAL_LINE, source=self.points
        )
        dots.selection_glyph = dots.nonselection_glyph = None
        plot.image_url("url", "x", "y", "w", "w", anchor="center", global_alpha="alpha", source=self.pictures)
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
            text_font_size=f"{_FONT}px",
            source=self.labels,
            **text,
        )
        rings = plot.scatter(
            "x", "y", size="ring", marker="square", fill_alpha=0, line_alpha=0, source=self.points
        )
        rings.selection_glyph = Scatter(
            x="x", y="y", size="ring", marker="square", fill_alpha=0, line_color=_SELECTED, line_width=3
        )
        rings.nonselection_glyph = None
        plot.scatter("x", "y", size="ring", fill_alpha=0, line_color=_FOUND, line_width=3, source=self.found)
        plot.text(
            "x",
            "y",
            "name",
            x_offset="dx",
            text_font_size="13px",
            text_font_style="bold",
            source=self.found,
            **text,
        )
        new = self._draw_placed(plot, text)
        wheel = WheelZoomTool()
        plot.add_tools(wheel, LassoSelectTool(renderers=[dots], continuous=False), self._hover([dots, new]))
        plot.toolbar.active_scroll = wheel
        return plot

    def _draw_placed(self, plot: Any, text: Mapping[str, Any]) -> Any:
        ends = {"x_start": "x0", "y_start": "y0", "x_end": "x", "y_end": "y"}
        head = VeeHead(size=8, fill_color=_MOVED, line_color=_MOVED)
        plot.add_layout(Arrow(**ends, end=head, line_color=_MOVED, line_width=2.5, source=self.placed))
        pictures = plot.image_url("url", "x", "y", 40, 40, anchor="center", source=self.placed)
        pictures.glyph.w = pictures.glyph.h = {"value": 40, "units": "screen"}
        new = plot.scatter(
            "x", "y", size=13, marker="diamond", color=_MOVED, line_color="#ffffff", source=self.placed
        )
        plot.text("x", "y", "name", x_offset=11, text_font_size="12px", source=self.placed, **text)
        return new

    def _hover(self, renderers: list[Any]) -> HoverTool:
        return HoverTool(renderers=renderers, tooltips=_TOOLTIP.replace("{font}", FONT.replace('"', "'")), limit=4)

    def _extent(self) -> list[tuple[float, float]]:
        low, high = self.positions.min(0), self.positions.max(0)
        middle, half = (low + high) / 2, np.maximum((high - low) / 2, max(float((high - low).max()) / 20, 1e-3))
        return [(float(m - 1.08 * h), float(m + 1.08 * h)) for m, h in zip(middle, half, strict=True)]

    def _zoom(self) -> tuple[float, list[float]]:
        """Pixels per unit at level 0, and the size of thumbnails at each level."""
        (x0, x1), (y0, y1) = self._extent()
        width, height = self._frame
        fit = min(width / (x1 - x0), height / (y1 - y0))
        # as much of the room as a third is for all thumbnails together, where that is not too large or small
        first = min(_LARGEST, max(_SMALLEST, math.sqrt(0.25 * width * height / len(self.names))))
        return 0.67 * fit, [min(float(_LARGEST), first * _GROWTH**k) for k in range(_LEVELS)]

    def _levels(self) -> np.ndarray:
        """The level of zoom from which on each point's thumbnail or name covers no other, always the same."""
        scale, sizes = self._zoom()
        n = len(self.names)
        pictured = np.array([bool(url) for url in self.pictures.data["url"]])
        waiting = list(np.random.default_rng(0).permutation(n))
        levels = np.full(n, _LEVELS - 1)
        wide = self.labels.data["width"] * _FONT
        for level, size in enumerate(sizes):
            x, y = (self.positions * scale * _RATIO**level).T
            half = (size + _GAP) / 2
            left, right = np.where(pictured, half, 8), np.where(pictured, half, wide + 12)
            up = np.where(pictured, half, 0.8 * _FONT)
            boxes = np.stack([x - left, x + right, y - up, y + up])
            shown = levels < level
            for i in waiting:
                x0, x1, y0, y1 = boxes[:, i]
                left_of, right_of, below, above = boxes[:, shown]
                if not ((left_of < x1) & (right_of > x0) & (below < y1) & (above > y0)).any():
                    shown[i], levels[i] = True, level
            waiting = [i for i in waiting if not shown[i]]
        return levels

    def _script(self, *, leads: bool) -> None:
        base, sizes = self._zoom()
        (x0, x1), (y0, y1) = self._extent()
        code = CustomJS(
            args={
                "figure": self.figure,
                "points": self.points,
                "pictures": self.pictures,
                "labels": self.labels,
                "found": self.found,
                "asked": self.asked,
                "tapped": self.tapped,
                "seen": self.seen,
                "search": self.search,
                "count": self.count,
                "inks": _INKS,
                "zoom": {
                    "base": base,
                    "ratio": _RATIO,
                    "sizes": sizes,
                    "font": _FONT,
                    "extent": [x0, x1, y0, y1],
                    "leads": leads,
                },
            },
            code=asset_text("widgets/class-map/class-map.js"),
        )
        for axis in (self.figure.x_range, self.figure.y_range):
            axis.js_on_change("start", code)
            axis.js_on_change("end", code)
        for trait in ("inner_width", "inner_height"):
            self.figure.js_on_change(trait, code)
        self.search.js_on_change("value_input", code)
        self.asked.js_on_change("data", code)
        self.figure.js_on_event("tap", code)
        self.figure.js_on_event("reset", code)


def map_page(layout: LayoutDOM, *, title: str = "Class map") -> str:
    """A page of HTML that holds `layout` and all it needs: it works from a file and without network."""
    page = file_html(layout, INLINE, title=title)
    scheme = "<style>:root{color-scheme:light dark}body{background:Canvas;color:CanvasText}</style>"
    return page.replace("<head>", f"<head>{scheme}", 1)


def _range(low: float, high: float) -> Range1d:
    span = high - low
    return Range1d(low, high, min_interval=span / 300, max_interval=6 * span)


def _ems(text: str) -> float:
    """The width of a text in units of its font's size, about: enough to keep names apart."""
    return sum(1.0 if ord(c) > 0x2E80 else 0.68 if c.isupper() or c in "mw@%" else 0.54 for c in text)


def _strip(samples: np.ndarray, value_range: tuple[float, float]) -> str:
    """Some samples (k, channels, H, W) in one row, or a signal (k, L) as one drawing, as an address."""
    if samples.ndim != 4:
        return data_urls(samples[None], value_range, max_side=4 * _STRIP)[0]
    larger = max(1, _STRIP // max(samples.shape[2:]))
    tiles = samples.repeat(larger, axis=2).repeat(larger, axis=3)
    gap = np.full((*tiles.shape[:3], max(1, tiles.shape[3] // 20)), value_range[1], tiles.dtype)
    strip = np.concatenate(list(np.concatenate([tiles, gap], axis=3)), axis=2)[..., : -gap.shape[3]]
    scale = min(1.0, _STRIP / max(tiles.shape[2:]))
    return data_urls(strip[None], value_range, max_side=round(max(strip.shape[1:]) * scale))[0]
