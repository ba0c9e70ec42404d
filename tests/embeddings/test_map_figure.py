"""The map's figure: as many thumbnails as fit, arrows from old places to new, names that are data."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from bokeh.models import Arrow, HoverTool
from PIL import Image

from workbench.embeddings import class_map, place
from workbench.embeddings.figures import before_and_after, map_figure
from workbench.ui.map_plot import MapPlot, map_page

HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\">"
RATIO = 2**0.5


def scattered(n: int = 120) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 2)) * [40, 20]


def plotted(n: int = 120, **options) -> MapPlot:
    return MapPlot(scattered(n), [f"class {i}" for i in range(n)], **options)


@pytest.fixture(scope="module")
def mapped():
    draw = torch.Generator().manual_seed(0)
    return class_map(torch.randn(24, 6, generator=draw), [HOSTILE, *(f"class {i}" for i in range(1, 24))])


def zoom(plot: MapPlot) -> dict:
    (script,) = {id(s): s for s in plot.figure.x_range.js_property_callbacks["change:start"]}.values()
    return script.args["zoom"]


def test_thumbnails_of_a_level_do_not_cover_one_another():
    plot = plotted(thumbnails=np.ones((120, 1, 8, 8)))
    scale = zoom(plot)["base"]
    for level, size in enumerate(zoom(plot)["sizes"][:-1]):
        places = plot.positions[plot.points.data["level"] <= level] * scale * RATIO**level
        apart = np.abs(places[:, None] - places).max(-1) + 1e9 * np.eye(len(places))
        assert apart.min() >= size


def test_more_thumbnails_and_larger_ones_show_the_further_one_zooms_in():
    plot = plotted(thumbnails=np.ones((120, 1, 8, 8)))
    shown = [int((plot.points.data["level"] <= level).sum()) for level in range(15)]
    assert shown == sorted(shown)
    assert 1 < shown[0] < shown[4] < shown[-1] == 120
    sizes = zoom(plot)["sizes"]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] <= 88


def test_a_map_of_few_classes_starts_with_all_of_them_and_large():
    few = plotted(5, thumbnails=np.ones((5, 1, 8, 8)))
    assert zoom(few)["sizes"][0] > zoom(plotted())["sizes"][0]
    assert few.points.data["level"].max() <= 3


def test_a_long_name_takes_more_room_than_a_short_one():
    row = np.stack([np.arange(30) * 3.0, np.zeros(30)], 1)
    long, short = (MapPlot(row, [name] * 30).points.data["level"] for name in ("a long name for a class", "a"))
    assert long.mean() > short.mean()


def test_thumbnails_are_the_images_that_were_given():
    images = np.zeros((4, 1, 8, 8))
    images[2] = 1
    plot = plotted(4, thumbnails=images)
    shades = [_pixels(url).mean() for url in plot.pictures.data["url"]]
    assert shades == [0, 0, 255, 0]
    some = plotted(4, thumbnails={1: np.ones((3, 8, 8))})
    assert [bool(url) for url in some.pictures.data["url"]] == [False, True, False, False]
    some.show_thumbnails({0: np.ones((3, 8, 8))})
    assert [bool(url) for url in some.pictures.data["url"]] == [True, True, False, False]


def test_samples_stand_in_one_row():
    plot = plotted(4, samples={3: np.stack([np.zeros((1, 28, 28)), np.ones((1, 28, 28))])})
    strip = _pixels(plot.points.data["samples"][3])
    assert strip.shape == (56, 2 * 56 + 2)
    assert strip[:, :56].max() == 0 and strip[:, 56:].min() == 255
    assert plot.points.data["samples"][0] == ""


def test_an_arrow_leads_from_the_old_place_to_the_new(mapped):
    new = mapped.embeddings[[3, 7]].flip(0)
    layout = map_figure(mapped, placed=place(mapped, new), of=[3, 7])
    (arrow,) = layout.select({"type": Arrow})
    data = arrow.source.data
    assert np.array_equal(np.stack([data["x0"], data["y0"]], 1), mapped.positions[[3, 7]].numpy())
    reached = torch.tensor(np.stack([data["x"], data["y"]], 1))
    assert torch.cdist(reached, mapped.positions).argmin(1).tolist() == [7, 3]
    assert list(data["name"]) == ["class 3 (new)", "class 7 (new)"]


def test_before_and_after_show_the_same_part(mapped):
    both = before_and_after(mapped, mapped.positions[[1]], [0])
    before, after = (half.children[1] for half in both.children)
    assert before.x_range is after.x_range and before.y_range is after.y_range


def test_a_name_never_reaches_the_page_as_html(mapped):
    layout = map_figure(mapped, placed=mapped.positions[:1], of=[0])
    page = map_page(layout, title=HOSTILE)
    assert page.count("onerror=") >= 2
    assert "<img src=x" not in page and "</script><img" not in page
    tooltips = {tool.tooltips for tool in layout.select({"type": HoverTool})}
    assert all("@name" in tooltip and "safe}" not in tooltip for tooltip in tooltips)


def test_classes_in_one_place_are_drawn():
    plot = MapPlot(np.zeros((3, 2)), ["a", "b", "c"])
    assert plot.figure.x_range.start < 0 < plot.figure.x_range.end


def test_positions_that_carry_gradients_are_drawn():
    plot = MapPlot(torch.zeros(3, 2, requires_grad=True), ["a", "b", "c"])
    plot.place(torch.ones(1, 2, requires_grad=True))
    assert plot.placed.data["x"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: MapPlot(np.zeros((3, 2)), ["a"]), "1 names were given for 3 positions"),
        (lambda: MapPlot(np.full((3, 2), np.nan), ["a"] * 3), "expected finite numbers"),
        (lambda: plotted(4, thumbnails=np.zeros((3, 1, 8, 8))), "3 thumbnails were given for 4 points"),
        (lambda: plotted(4, samples={9: np.zeros((2, 1, 8, 8))}), "point 9 was given; there are 0 to 3"),
        (lambda: plotted(4).place(np.zeros((2, 2)), of=[0, 9]), "are 0 to 3, got"),
        (lambda: plotted(4).place(np.zeros((2, 2)), of=[0]), "2 positions and 1 points they come from were given"),
        (lambda: plotted(4).place(np.zeros((2, 2)), names=["a"]), "come from and 1 names were given"),
    ],
)
def test_what_does_not_fit_is_refused(made, said):
    with pytest.raises(ValueError, match=said):
        made()


def _pixels(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"))
