"""The sample grid in JupyterLab: a thousand samples scroll, sort, select and export."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser.harness import Lab, NotebookPage

N, TILE, GAP, PAD = 1000, 32, 6, 8
HOSTILE = "<img src=x onerror='window.hacked = true'>"
SOURCES = [
    f"""
import numpy as np
from workbench.ui.sample_grid import SampleGrid

# The colour of each sample says its index, so that the browser's pixels say which one is where.
def samples(first, last):
    i = np.arange(first, last)
    rgb = np.stack([i // 100 * 25, i // 10 % 10 * 25, i % 10 * 25], 1).astype(np.uint8)
    return np.repeat(rgb, 16 * 16).reshape(-1, 3, 16, 16)

chosen, opened = [], []
grid = SampleGrid(tile={TILE}, height=300, empty_text="Press Start.")
grid.on_select(chosen.append)
grid.on_activate(opened.append)
score = (np.arange({N}) * 37 % {N}).astype(float)
score[5] = np.nan
def show():
    grid.show(samples(0, {N}), values={{"score": score}},
              labels=[{HOSTILE!r} if i == 2 else f"sample {{i}}" for i in range({N})])
grid
""",
    """
history = SampleGrid(arrangement="strip", tile=64)
visited = []
history.on_activate(visited.append)
history
""",
]


@pytest.fixture(scope="module")
def notebook(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    with lab.opened(browser, SOURCES) as page:
        yield page
        page.assert_clean()


class Grid:
    """The grid on the page, with the places of its tiles."""

    def __init__(self, notebook: NotebookPage) -> None:
        self.notebook = notebook
        self.page = notebook.page
        self.root = self.page.locator(".wb-grid").first
        self.scroller = self.root.locator(".wb-grid-scroll")
        self.card = self.root.locator(".wb-grid-card")

    @property
    def columns(self) -> int:
        width = self.scroller.evaluate("e => e.clientWidth")
        return int((width - 2 * PAD + GAP) // (TILE + GAP))

    def point(self, place: int) -> tuple[float, float]:
        """Centre of a tile, in the coordinates of the unscrolled view."""
        width = self.scroller.evaluate("e => e.clientWidth")
        across = TILE + min(GAP + TILE / 3, (width - 2 * PAD - self.columns * TILE) / (self.columns - 1))
        down = TILE + GAP
        row, column = divmod(place, self.columns)
        return PAD + column * across + TILE / 2, PAD + row * down + TILE / 2

    def on_page(self, place: int) -> tuple[float, float]:
        box = self.scroller.bounding_box()
        assert box is not None
        x, y = self.point(place)
        return box["x"] + 1 + x, box["y"] + 1 + y - self.scroller.evaluate("e => e.scrollTop")

    def sample_at(self, place: int, down: float = 0) -> int:
        """Index of the sample whose colour is drawn at this place of the view."""
        x, y = self.point(place)
        red, green, blue = self.root.locator(".wb-grid-canvas").evaluate(
            "(c, [x, y]) => [...c.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)", [x, y + down]
        )
        return round(red / 25) * 100 + round(green / 25) * 10 + round(blue / 25)

    def click(self, place: int, **options: object) -> None:
        x, y = self.on_page(place)
        box = self.scroller.bounding_box()
        assert box is not None
        self.scroller.click(position={"x": x - box["x"], "y": y - box["y"]}, **options)  # type: ignore[arg-type]


@pytest.fixture
def grid(notebook: NotebookPage) -> Grid:
    notebook.kernel.run("show(); chosen.clear(); opened.clear()")
    view = Grid(notebook)
    view.page.mouse.move(2, 2)
    expect(view.root).to_have_attribute("data-count", str(N))
    view.scroller.evaluate("e => e.scrollTop = 0")
    view.scroller.scroll_into_view_if_needed()
    notebook.settle()
    return view


def test_an_empty_grid_says_what_to_do(notebook):
    notebook.kernel.run("grid.clear()")
    expect(notebook.page.locator(".wb-grid-empty").first).to_have_text("Press Start.")
    expect(notebook.page.locator(".wb-grid-empty").first).to_be_visible()
    notebook.kernel.run("show()")
    expect(notebook.page.locator(".wb-grid-empty").first).to_be_hidden()


def test_a_thousand_samples_are_drawn_and_scrolled_on_one_small_canvas(grid, notebook):
    assert [grid.sample_at(place) for place in (0, 7, 41)] == [0, 7, 41]
    before = len(notebook.watch.sent)
    grid.scroller.evaluate("e => e.scrollTop = e.scrollHeight")
    notebook.settle()
    height = grid.scroller.evaluate("e => e.clientHeight")
    last_row = (N - 1) // grid.columns
    top = grid.scroller.evaluate("e => e.scrollTop")
    assert grid.sample_at(last_row * grid.columns, down=-top) == last_row * grid.columns
    assert grid.root.locator(".wb-grid-canvas").evaluate("c => c.height / devicePixelRatio") <= height
    assert notebook.watch.sent[before:] == []


def test_click_control_click_and_shift_click_select(grid, notebook):
    before = notebook.watch.comm_messages()
    grid.click(3)
    notebook.until("chosen", [[3]])
    grid.click(10, modifiers=["Control"])
    notebook.until("chosen[-1]", [3, 10])
    grid.click(12, modifiers=["Shift"])
    notebook.until("chosen[-1]", [10, 11, 12])
    grid.click(11, modifiers=["Control"])
    notebook.until("chosen[-1]", [10, 12])
    notebook.settle()
    assert notebook.watch.comm_messages() == before + 4
    expect(grid.root.locator(".wb-grid-count")).to_have_text("1,000 samples · 2 selected")


def test_a_rubber_band_selects_what_it_touches_and_sends_only_its_end(grid, notebook):
    before = notebook.watch.comm_messages()
    x, y = grid.on_page(1)
    grid.page.mouse.move(x, y)
    grid.page.mouse.down()
    end = grid.on_page(grid.columns + 3)
    grid.page.mouse.move(*end, steps=30)
    notebook.settle()
    assert notebook.watch.comm_messages() == before
    grid.page.mouse.up()
    columns = grid.columns
    notebook.until("chosen", [[1, 2, 3, columns + 1, columns + 2, columns + 3]])
    assert notebook.watch.comm_messages() == before + 1


def test_keys_move_toggle_select_all_and_clear(grid, notebook):
    grid.click(0)
    grid.page.keyboard.press("ArrowRight")
    grid.page.keyboard.press("ArrowDown")
    place = 1 + grid.columns
    expect(grid.root).to_have_attribute("data-focus", str(place))
    grid.page.keyboard.press("Space")
    notebook.until("chosen[-1]", [0, place])
    grid.page.keyboard.press("Shift+ArrowRight")
    notebook.until("chosen[-1]", [place, place + 1])
    grid.page.keyboard.press("Enter")
    notebook.until("opened", [place + 1])
    grid.page.keyboard.press("Control+a")
    notebook.until("len(chosen[-1])", N)
    grid.page.keyboard.press("Escape")
    notebook.until("chosen[-1]", [])
    grid.page.keyboard.press("End")
    notebook.settle()
    assert grid.scroller.evaluate("e => e.scrollTop") > 0


def test_python_sets_the_selection(grid, notebook):
    notebook.kernel.run("grid.selected = [4, 5, 6]")
    expect(grid.root).to_have_attribute("data-selected", "3")


def test_a_filter_shows_these_samples_in_this_order(grid, notebook):
    notebook.kernel.run("grid.selected = [7, 9]; grid.filter([412, 7, 90])")
    expect(grid.root.locator(".wb-grid-count")).to_have_text("3 of 1,000 samples · 2 selected")
    notebook.settle()
    assert [grid.sample_at(place) for place in range(3)] == [412, 7, 90]
    grid.click(0)
    notebook.until("chosen[-1]", [412])
    grid.page.keyboard.press("Control+a")
    notebook.until("chosen[-1]", [7, 90, 412])
    with grid.page.expect_download() as download:
        grid.root.locator(".wb-grid-export").click()
    saved = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("RGB"))
    assert saved.shape[:2] == (32, 32)
    corners = saved[8::16, 8::16].reshape(-1, 3)[:3].astype(int)
    assert (corners // 25 @ [100, 10, 1]).tolist() == [412, 7, 90]
    notebook.kernel.run("grid.filter([])")
    expect(grid.root.locator(".wb-grid-count")).to_have_text("0 of 1,000 samples · 3 selected")
    notebook.kernel.run("grid.filter(None)")
    expect(grid.root.locator(".wb-grid-count")).to_have_text("1,000 samples · 3 selected")
    notebook.settle()
    assert [grid.sample_at(place) for place in (0, 7, 41)] == [0, 7, 41]


def test_a_sorted_filter_is_sorted(grid, notebook):
    notebook.kernel.run("grid.filter([2, 1, 5, 3]); grid.sort = {'by': 'score', 'descending': True}")
    notebook.settle()
    assert [grid.sample_at(place) for place in range(4)] == [3, 2, 1, 5]  # the missing value comes last


def test_sorting_changes_the_order_and_missing_values_come_last(grid, notebook):
    order = sorted((i for i in range(N) if i != 5), key=lambda i: i * 37 % N)
    grid.root.locator(".wb-grid-sort").select_option("score")
    notebook.settle()
    assert [grid.sample_at(place) for place in range(5)] == order[:5]
    grid.root.locator(".wb-grid-direction").click()
    notebook.settle()
    assert [grid.sample_at(place) for place in range(5)] == order[::-1][:5]
    assert notebook.kernel.value("grid.sort") == {"by": "score", "descending": True}
    grid.click(1)
    notebook.until("chosen[-1]", [order[-2]])
    grid.page.keyboard.press("End")
    expect(grid.root).to_have_attribute("data-focus", "5")
    grid.page.keyboard.press("Home")


def test_hover_shows_the_sample_and_its_values(grid, notebook):
    before = len(notebook.watch.sent)
    grid.page.mouse.move(*grid.on_page(7))
    expect(grid.card).to_be_visible()
    expect(grid.card).to_contain_text("sample 7")
    expect(grid.card).to_contain_text("score259")
    notebook.screenshot("sample-grid-hover")
    grid.page.mouse.move(2, 2)
    expect(grid.card).to_be_hidden()
    assert notebook.watch.sent[before:] == []


def test_a_hostile_label_is_text(grid, notebook):
    grid.page.mouse.move(*grid.on_page(2))
    expect(grid.card.locator(".wb-title")).to_have_text(HOSTILE)
    assert grid.root.locator("img").count() == 0
    assert not grid.page.evaluate("() => Boolean(window.hacked)")


def test_export_saves_all_samples_in_their_present_order(grid, notebook):
    grid.root.locator(".wb-grid-direction").click()
    notebook.settle()
    before = notebook.watch.comm_messages()
    with grid.page.expect_download() as download:
        grid.root.locator(".wb-grid-export").click()
    assert download.value.suggested_filename == "samples.png"
    saved = Image.open(io.BytesIO(download.value.path().read_bytes())).convert("RGB")
    assert saved.format is None and saved.size == (32 * 16, 32 * 16)
    pixels = np.asarray(saved)[8::16, 8::16].reshape(-1, 3)[:N].astype(int)
    np.testing.assert_array_equal(pixels // 25 @ [100, 10, 1], np.arange(N)[::-1])
    assert notebook.watch.comm_messages() == before


def test_the_grid_fills_while_samples_arrive(grid, notebook):
    notebook.kernel.run("grid.clear()")
    for first in range(0, 30, 10):
        notebook.kernel.run(f"grid.append(samples({first}, {first + 10}), {{'score': np.zeros(10)}})")
        expect(grid.root).to_have_attribute("data-count", str(first + 10))
    notebook.settle()
    assert [grid.sample_at(place) for place in (0, 15, 19)] == [0, 15, 19]


def test_tiles_change_their_size(grid, notebook):
    rows = grid.scroller.evaluate("e => e.scrollHeight")
    grid.page.mouse.move(*grid.on_page(3))
    grid.page.keyboard.down("Control")
    grid.page.mouse.wheel(0, -400)
    grid.page.keyboard.up("Control")
    notebook.settle()
    assert grid.scroller.evaluate("e => e.scrollHeight") > 2 * rows
    grid.root.locator(".wb-grid-size").fill(str(TILE))
    notebook.settle()
    assert grid.scroller.evaluate("e => e.scrollHeight") == rows


def test_five_thousand_samples_are_drawn_at_every_jump_of_the_scroll_bar(grid, notebook):
    notebook.kernel.run("grid.show(np.concatenate([samples(0, 1000)] * 5))")
    expect(grid.root).to_have_attribute("data-count", "5000")
    drawn = grid.scroller.evaluate(
        """async (scroller) => {
            const root = scroller.closest(".wb-grid");
            const firsts = new Set();
            for (let k = 1; k <= 60; k++) {
                const drawn = new Promise(done => root.addEventListener("wb-grid", done, {once: true}));
                scroller.scrollTop = scroller.scrollHeight * k / 70;
                await drawn;
                firsts.add(root.dataset.first);
            }
            return firsts.size;
        }"""
    )
    assert drawn == 60


def test_a_step_of_the_history_can_be_visited_again_and_again(notebook):
    notebook.kernel.run(
        "history.show(samples(0, 6), labels=['start', '+1', '+2', '-1', '+3', '+4'],"
        " parents=[None, 0, 1, 1, 3, 4], current=5)"
    )
    root = notebook.page.locator(".wb-grid-is-strip")
    expect(root).to_have_attribute("data-count", "6")
    root.scroll_into_view_if_needed()
    tile = {"x": 9 + 2 * (64 + 12) + 32, "y": 40}
    root.locator(".wb-grid-scroll").click(position=tile)
    notebook.until("visited", [2])
    root.locator(".wb-grid-scroll").click(position=tile)
    notebook.until("visited", [2, 2])
    assert notebook.kernel.value("history.selected") == [2]
    root.locator(".wb-grid-scroll").press("ArrowRight")
    root.locator(".wb-grid-scroll").press("Enter")
    notebook.until("visited", [2, 2, 3])
    expect(root.locator(".wb-grid-option")).to_have_attribute("aria-label", "-1, index 3, branched from +1")


def test_pictures_in_light_and_dark(grid, notebook):
    notebook.kernel.run("grid.selected = [3, 4, 40]; grid.sort = {'by': 'score', 'descending': True}")
    notebook.screenshot("sample-grid-light")
    notebook.set_theme("JupyterLab Dark")
    dark = notebook.screenshot("sample-grid-dark", grid.root)
    notebook.set_theme("JupyterLab Light")
    assert np.asarray(Image.open(dark).convert("L"))[3, 3] < 60


LASSO = [
    """
import numpy as np, plotly.graph_objects as go
from workbench.ui.sample_grid import SampleGrid

n = 1200
angle = np.arange(n) * 2.4
x, y = np.sqrt(np.arange(n) / n) * np.cos(angle), np.sqrt(np.arange(n) / n) * np.sin(angle)
# Hover and lasso share one trait of a FigureWidget: a hover right after the lasso would take its place.
figure = go.FigureWidget(go.Scatter(x=x, y=y, mode="markers"),
                         {"dragmode": "lasso", "hovermode": False, "width": 500, "height": 400})
grid = SampleGrid(tile=32, height=200)
grid.show(np.repeat((np.arange(n) % 256).astype(np.uint8), 64).reshape(-1, 1, 8, 8))
figure.data[0].on_selection(lambda trace, points, selector: grid.filter(points.point_inds))
figure.data[0].on_deselect(lambda trace, points: grid.filter(None))
figure
""",
    "grid",
]


def test_a_lasso_around_points_of_a_figure_shows_their_samples(open_notebook):
    notebook = open_notebook(LASSO)
    count = notebook.page.locator(".wb-grid-count")
    expect(count).to_have_text("1,200 samples")
    plot = notebook.page.locator(".nsewdrag").first
    plot.scroll_into_view_if_needed()
    notebook.settle(500)  # the figure finds its size
    box = plot.bounding_box()
    assert box is not None
    corners = [(0.5, 0.5), (0.9, 0.5), (0.9, 0.1), (0.5, 0.1), (0.5, 0.48)]
    notebook.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    notebook.page.mouse.down()
    for across, down in corners[1:]:
        notebook.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=8)
    notebook.page.mouse.up()
    notebook.until("grid.only is not None and len(grid.only) > 200", True)
    inside = notebook.kernel.value("grid.only")
    expect(count).to_have_text(f"{len(inside)} of 1,200 samples")
    assert notebook.kernel.value("bool((x[grid.only] > -0.05).all() and (y[grid.only] > -0.05).all())")
    plot.dblclick(position={"x": 0.2 * box["width"], "y": 0.8 * box["height"]})
    notebook.until("grid.only", None)
    expect(count).to_have_text("1,200 samples")
