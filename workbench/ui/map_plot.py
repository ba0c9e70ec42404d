"""A Bokeh plot of many named points with a thumbnail each: zoom, search, tap, lasso (widgets/class-map)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, Div, LayoutDOM, TextInput
from bokeh.resources import INLINE

from workbench.ui.map_figure import connect, make_figure
from workbench.ui.map_levels import ems, levels, shortened
from workbench.ui.sprites import as_numpy, data_urls
from workbench.ui.theme import FONT

if TYPE_CHECKING:
    from workbench.ui.sprites import Array

_STORED = 72  # longest side of a thumbnail, pixels
_STRIP = 56  # of a sample in the tooltip, pixels
_STYLE = """
:host { font-family: FONT; }
input.bk-input { font: 13px FONT; background: var(--jp-layout-color1, Field);
  border: 1px solid var(--jp-border-color1, GrayText); border-radius: 3px;
  color: var(--jp-ui-font-color1, FieldText); }
.bk-clearfix { color: var(--jp-ui-font-color2, GrayText); font-size: 13px; line-height: 30px; }
""".replace("FONT", FONT)


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
        places = _doubles(positions)
        if places.ndim != 2 or places.shape[1] != 2 or not len(places) or not np.isfinite(places).all():
            raise ValueError(f"positions have shape {places.shape}; expected finite numbers (n, 2), n at least 1")
        if len(names) != len(places):
            raise ValueError(f"{len(names)} names were given for {len(places)} positions")
        self.positions, self.names, self.value_range = places, [str(name) for name in names], value_range
        #: Room for the points, CSS pixels: width and height less the border and the toolbar.
        self.frame = (width - 10, height - 40)
        n = len(places)
        at = {"x": places[:, 0], "y": places[:, 1]}
        short = [shortened(name) for name in self.names]
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
                "width": np.array([ems(name) for name in short]),
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
        self.figure = make_figure(self, title, height, beside)
        connect(self, leads=beside is None)
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
        places = _doubles(positions).reshape(-1, 2)
        origins = [None] * len(places) if of is None else list(of)
        if len(origins) != len(places) or (names is not None and len(names) != len(places)):
            told = f"{len(origins)} points they come from" + ("" if names is None else f" and {len(names)} names")
            raise ValueError(f"{len(places)} positions and {told} were given; expected as many of each")
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

    def _levels(self) -> np.ndarray:
        pictured = np.array([bool(url) for url in self.pictures.data["url"]])
        return levels(self.positions, self.frame, pictured, self.labels.data["width"])

    def _refresh(self) -> None:
        """Have the browser look again: it is not told of patches."""
        self.asked.data = {"index": list(self.asked.data["index"])}
        self.on_change()


def map_page(layout: LayoutDOM, *, title: str = "Class map") -> str:
    """A page of HTML that holds `layout` and all it needs: it works from a file and without network."""
    page = file_html(layout, INLINE, title=title)
    scheme = "<style>:root{color-scheme:light dark}body{background:Canvas;color:CanvasText}</style>"
    return page.replace("<head>", f"<head>{scheme}", 1)


def _doubles(positions: Array) -> np.ndarray:
    plain = positions.detach().cpu().double() if hasattr(positions, "detach") else positions
    return np.asarray(plain, dtype=np.float64)


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
