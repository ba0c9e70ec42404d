"""The class map in JupyterLab and as a page: zoom, tap, lasso, search, and names that are hostile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.harness import Lab, NotebookPage, Watch, on_map, screenshot_path
from workbench.ui.map_plot import MapPlot, map_page

MAKE = """
import numpy as np
HOSTILE = "</script><img src=x onerror=\\"document.title='hacked'\\">"
draw = np.random.default_rng(0)
centres = draw.normal(size=(20, 2)) * 12
positions = np.concatenate([c + draw.normal(size=(20, 2)) for c in centres])
positions[0] = positions.max(0) + 4                # alone in a corner
names = [f"class {i}" for i in range(400)]
names[0] = HOSTILE
images = draw.random((400, 3, 1, 1)) * np.ones((1, 1, 16, 16))
samples = {0: draw.random((4, 3, 16, 16))}
"""
SOURCES = [
    MAKE,
    """
from workbench.ui.class_map import ClassMapView
from workbench.ui.map_plot import MapPlot
plot = MapPlot(positions, names, thumbnails=images, samples=samples, height=520)
view = ClassMapView(plot)
taps, chosen = [], []
view.on_tap(taps.append)
view.on_select(lambda indices: chosen.append(indices))
view
""",
]


@pytest.fixture(scope="module")
def notebook(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    with lab.opened(browser, SOURCES, height=1500) as page:
        page.page.locator(".bk-Canvas").first.wait_for()
        page.until("len(plot.seen.data['shown'])", 1)
        yield page
        page.assert_clean()


def shown(notebook: NotebookPage) -> tuple[int, float]:
    return notebook.kernel.value("(int(plot.seen.data['shown'][0]), float(plot.seen.data['size'][0]))")


def test_a_tapped_class_reaches_python_and_again(notebook):
    x, y = on_map(notebook, "positions[0, 0]", "positions[0, 1]")
    notebook.page.mouse.click(x, y)
    notebook.until("taps", [0])
    notebook.until("chosen", [[0]])
    notebook.settle(500)  # two clicks at once are a double click
    notebook.page.mouse.click(x, y)
    notebook.until("taps", [0, 0])


def test_hovering_shows_a_hostile_name_as_text_with_its_samples(notebook):
    x, y = on_map(notebook, "positions[0, 0]", "positions[0, 1]")
    notebook.page.mouse.move(x - 40, y)
    notebook.page.mouse.move(x, y, steps=4)
    tooltip = notebook.page.locator(".bk-Tooltip")
    expect(tooltip).to_contain_text("<img src=x onerror=")
    strip = tooltip.locator("img")
    assert strip.count() == 1
    assert strip.evaluate("image => image.naturalWidth") > 40
    notebook.screenshot("class-map")


def test_zooming_in_shows_more_and_larger_thumbnails(notebook):
    before, small = shown(notebook)
    x, y = on_map(notebook, "centres[3, 0]", "centres[3, 1]")
    notebook.page.mouse.move(x, y)
    for _ in range(6):
        notebook.page.mouse.wheel(0, -120)
        notebook.settle(60)
    notebook.settle()
    after, large = shown(notebook)
    assert before < after <= 400
    assert small < large


def test_a_search_rings_what_it_finds_and_centres_it(notebook):
    box = notebook.page.locator(".bk-input").first
    box.fill("class 39")
    notebook.until("list(plot.found.data['x']) == list(positions[[39, *range(390, 400)], 0])", True)
    expect(notebook.page.get_by_text("11 of 400", exact=True)).to_be_visible()
    box.fill("CLASS 77")
    notebook.until("len(plot.found.data['x'])", 1)
    middle = "abs((plot.figure.{0}_range.start + plot.figure.{0}_range.end) / 2 - positions[77, {1}]) < 1e-6"
    notebook.until(f"bool({middle.format('x', 0)} and {middle.format('y', 1)})", True)
    box.fill("onerror")
    notebook.until("len(plot.found.data['x'])", 1)
    notebook.kernel.run("plot.show_thumbnails({6: np.zeros((3, 16, 16))})")
    notebook.settle()
    assert notebook.kernel.value("len(plot.found.data['x'])") == 1
    box.fill("")
    notebook.until("len(plot.found.data['x'])", 0)


def test_python_highlights_places_and_changes_thumbnails(notebook):
    notebook.kernel.run("plot.highlight([5, 6])")
    notebook.until("len(plot.found.data['x'])", 2)
    notebook.kernel.run(
        "plot.highlight([]); plot.place(positions[[5, 0]] + 3, of=[5, 0], thumbnails=images[[7, 0]]);"
        "plot.show_thumbnails({5: np.ones((3, 16, 16))})"
    )
    notebook.until("len(plot.found.data['x'])", 0)
    notebook.settle(400)
    notebook.screenshot("class-map-placed")


def test_a_lasso_selects_classes(notebook):
    notebook.kernel.run("plot.select([]); chosen.clear()")
    notebook.page.locator("[title*='Lasso']").first.click()
    corners = [(0.03, 0.1), (0.97, 0.1), (0.97, 0.97), (0.03, 0.97), (0.03, 0.12)]  # below the toolbar
    notebook.stroke(notebook.page.locator(".bk-Canvas").first, *corners, steps=6)
    notebook.until("len(chosen)", 1)
    inside = """[i for i, (x, y) in enumerate(positions)
        if plot.figure.x_range.start < x < plot.figure.x_range.end
        and plot.figure.y_range.start < y < plot.figure.y_range.end]"""
    assert notebook.kernel.value(f"0 < len(chosen[0]) <= len({inside}) and set(chosen[0]) <= set({inside})")


def test_a_second_page_has_its_map_without_the_first_making_its_own_anew(notebook):
    notebook.kernel.run("told = []; view._loader.observe(lambda change: told.append(change['new']), 'ready')")
    notebook.save()
    second = notebook.page.context.new_page()
    second.goto(notebook.page.url, timeout=60_000)
    second.locator(".bk-Canvas").first.wait_for(timeout=30_000)
    second.wait_for_timeout(2000)
    second.close()
    assert notebook.kernel.value("len(told)") == 1


def test_the_map_is_drawn_in_the_ink_of_the_theme(notebook):
    ink = "plot.figure.renderers[2].glyph.text_color"
    light = notebook.kernel.value(f"str({ink})")
    notebook.set_theme("JupyterLab Dark")
    notebook.settle(400)
    picture = np.asarray(Image.open(notebook.screenshot("class-map-dark")).convert("L"))
    assert notebook.kernel.value(f"str({ink})") != light
    assert np.median(picture) < 60
    notebook.set_theme("JupyterLab Light")


def test_nothing_was_executed_that_a_name_holds(notebook):
    assert notebook.page.title() != "hacked"


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path) -> Iterator[tuple[Page, Watch]]:
    made: dict[str, object] = {}
    exec(MAKE, made)
    plot = MapPlot(made["positions"], made["names"])  # type: ignore[arg-type]
    path = tmp_path / "map.html"
    path.write_text(map_page(plot.layout, title=str(made["HOSTILE"])), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 760}, color_scheme=request.param)
    watch = Watch()
    watch.attach(page)
    page.goto(path.as_uri())
    page.locator(".bk-Canvas").first.wait_for()
    yield page, watch
    page.close()


def test_a_page_searches_without_kernel_and_network(page, request):
    page, watch = page
    search: Locator = page.locator(".bk-input").first
    search.fill("class 1")
    expect(page.get_by_text("111 of 400", exact=True)).to_be_visible()
    search.fill("onerror")
    expect(page.get_by_text("1 of 400", exact=True)).to_be_visible()
    page.wait_for_timeout(300)
    scheme = request.node.callspec.params["page"]
    picture = np.asarray(Image.open(_shot(page, f"class-map-page-{scheme}")).convert("L"))
    assert (np.median(picture) < 60) == (scheme == "dark")
    assert page.title() != "hacked"
    assert watch.external_requests == []
    assert watch.console_errors == []


def _shot(page: Page, name: str):
    path = screenshot_path(name)
    page.screenshot(path=path)
    return path
