"""Figures of class embeddings: the map of all classes, and how some have moved on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bokeh.layouts import row
from bokeh.models import LayoutDOM
from jaxtyping import Float
from torch import Tensor

from workbench.embeddings.class_map import ClassMap
from workbench.ui.map_plot import MapPlot

if TYPE_CHECKING:
    from workbench.ui.sprites import Array


def map_figure(
    class_map: ClassMap,
    thumbnails: Array | Mapping[int, Array] | None = None,
    samples: Array | Mapping[int, Array] | None = None,
    placed: Float[Tensor, "m 2"] | None = None,
    *,
    of: Sequence[int | None] | None = None,
    placed_names: Sequence[str] | None = None,
    placed_thumbnails: Float[Tensor, "m *picture"] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    width: int = 900,
    height: int = 640,
) -> LayoutDOM:
    """The map of all classes with a search box; figure 4.21 of the BigGAN-AM thesis.

    Thumbnails, or names where there are none, show as many as there is room for: more of them, and larger, as one
    zooms in. Hovering shows a class's name and samples.

    Args:
        thumbnails: (classes, 1 or 3, H, W), or a mapping from some classes' indices to an image each.
        samples: (classes, k, 1 or 3, H, W), or a mapping from some classes' indices to (k, 1 or 3, H, W).
        placed: where `place` put new embeddings.
        of: for each of them the class that it is an embedding of, whence an arrow leads to it, or None.
        placed_names, placed_thumbnails: of each; by default their classes' names, and none.
        value_range: values shown as black and white.
        width, height: that the figure is made for, CSS pixels; it takes the width that the page gives.

    Raises:
        ValueError: lengths that do not fit.
    """
    plot = MapPlot(
        class_map.positions,
        class_map.names,
        thumbnails=thumbnails,
        samples=samples,
        value_range=value_range,
        width=width,
        height=height,
    )
    if placed is not None:
        plot.place(placed, of=of, names=placed_names, thumbnails=placed_thumbnails)
    return plot.layout


def before_and_after(
    class_map: ClassMap,
    placed: Float[Tensor, "m 2"],
    of: Sequence[int],
    *,
    thumbnails: Array | Mapping[int, Array] | None = None,
    placed_thumbnails: Float[Tensor, "m *picture"] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    width: int = 560,
    height: int = 520,
) -> LayoutDOM:
    """The map before some classes were given new embeddings, and beside it after: both show the same part.

    Args:
        of: the class that each new embedding is of.

    Others as in `map_figure`.
    """
    options: dict[str, Any] = {
        "value_range": value_range,
        "width": width,
        "height": height,
        "thumbnails": thumbnails,
    }
    before = MapPlot(class_map.positions, class_map.names, title="Before", **options)
    after = MapPlot(class_map.positions, class_map.names, title="After", beside=before, **options)
    before.select(of)
    after.place(placed, of=of, thumbnails=placed_thumbnails)
    return row(before.layout, after.layout, sizing_mode="stretch_width")
