"""A still picture stands beside each widget in a notebook: small, and in the order that the widget shows."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from workbench.ui.canvas import Canvas
from workbench.ui.class_map import ClassMapView
from workbench.ui.film_strip import FilmStrip
from workbench.ui.map_plot import MapPlot
from workbench.ui.pictured import MOST_BYTES, small_png
from workbench.ui.sample_grid import SampleGrid

NOISE = np.random.default_rng(0)


def strip() -> FilmStrip:
    made = FilmStrip()
    made.show(NOISE.random((25, 3, 64, 64)))
    return made


def grid() -> SampleGrid:
    made = SampleGrid()
    made.show(NOISE.random((200, 3, 64, 64)))
    return made


def canvas() -> Canvas:
    made = Canvas(shape=(3, 64, 64))
    made.show(NOISE.random((3, 64, 64)))
    return made


def class_map() -> ClassMapView:
    names = [f"class {i}" for i in range(300)]
    return ClassMapView(MapPlot(NOISE.normal(size=(300, 2)), names, thumbnails=NOISE.random((300, 3, 32, 32))))


@pytest.mark.parametrize("make", [strip, grid, canvas, class_map])
def test_the_picture_of_noise_is_small_and_stands_beside_the_live_view(make):
    bundle = make()._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data
    picture = base64.b64decode(data["image/png"])
    assert len(picture) <= MOST_BYTES
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG" and min(image.size) > 50


@pytest.mark.parametrize("widget", [FilmStrip(), SampleGrid()])
def test_an_empty_widget_has_no_picture(widget):
    data, _ = widget._repr_mimebundle_()
    assert "image/png" not in data


def test_a_picture_that_is_small_enough_keeps_its_pixels():
    pixels = NOISE.integers(0, 255, (40, 40, 3), np.uint8)
    data = small_png(Image.fromarray(pixels))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert len(small_png(Image.fromarray(pixels), most=2000)) <= 2000


def test_a_strip_shows_its_ends():
    made = FilmStrip()
    made.show(np.linspace(0, 1, 25)[:, None, None, None] * np.ones((1, 8, 8)))
    picture = np.asarray(made.still())
    assert (picture[4, 4], picture[4, -4]) == (0, 255)


def test_a_grid_shows_samples_in_its_order():
    shades = np.array([0.5, 0.0, 1.0, 0.25])
    made = SampleGrid()
    made.show(
        shades[:, None, None, None] * np.ones((1, 8, 8)),
        values={"shade": [0.5, 0.0, 1.0, float("nan")]},
        sort_by="shade",
        descending=True,
    )
    order = [2, 0, 1, 3]  # what is missing comes last

    def drawn() -> list[int]:
        picture = np.asarray(made.still())
        return [int(picture[10, 20 + 60 * i]) for i in range(picture.shape[1] // 56)]

    assert drawn() == [round(255 * shades[i]) for i in order]
    made.filter([3, 1])
    assert drawn() == [round(255 * shades[i]) for i in (1, 3)]


def test_samples_of_later_sheets_are_found():
    made = SampleGrid()
    made.show(np.zeros((70, 1, 8, 8)))
    made.append(np.ones((2, 1, 8, 8)))
    made.filter([71, 0])
    picture = np.asarray(made.still())
    assert (picture[10, 20], picture[10, 80]) == (255, 0)


def test_signals_are_drawn_on_white():
    made = FilmStrip()
    made.show(np.zeros((3, 50)))
    assert np.asarray(made.still())[2, 2].tolist() == [255, 255, 255]


def test_a_mask_is_seen_on_its_picture():
    made = Canvas(mode="mask")
    made.show(np.ones((28, 28)))
    assert made.still().mode == "L"
    painted = np.zeros((28, 28), bool)
    painted[:14] = True
    made.mask = painted
    picture = np.asarray(made.still())
    assert picture[-1, -1].tolist() == [255, 255, 255]
    assert picture[0, 0, 2] < picture[0, 0, 0] < 255  # orange


def test_a_map_without_a_browser_keeps_its_document_until_one_shows_it():
    view = ClassMapView(MapPlot(np.eye(3)[:, :2], ["a", "b", "c"]))
    loader = view.children[0]
    before = loader.bokeh_document, loader.still
    view.plot.show_thumbnails(np.ones((3, 1, 8, 8)))
    assert "data:image/png" in loader.bokeh_document and "data:image/png" not in before[0]
    assert loader.still != before[1]
    loader.ready = "now"  # as the browser says
    assert (loader.bokeh_document, loader.still) == ("", b"")
    view.plot.place(np.zeros((1, 2)))
    assert loader.bokeh_document == ""


def test_a_grid_that_a_map_leads_holds_as_many_samples_of_each_class():
    view = ClassMapView(MapPlot(np.eye(3)[:, :2], ["a", "b", "c"]))
    grid = SampleGrid()
    grid.show(np.zeros((6, 1, 8, 8)))
    with pytest.raises(ValueError, match="holds 6 samples; expected 9, 3 of each of the 3 classes"):
        view.leads(grid, each=3)
    view.leads(grid, each=2)
    view.plot.select([2, 0])
    assert grid.only == [4, 5, 0, 1]
    view.plot.select([])
    assert grid.only is None
