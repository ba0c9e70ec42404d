"""The canvas in JupyterLab: strokes by mouse, finger and keys, one message at the end, undo, masks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.harness import Lab, NotebookPage, Watch, screenshot_path
from tests.browser.plain_page import write_page
from workbench.ui.canvas import Canvas

SOURCES = [
    """
import ipywidgets, numpy as np
from workbench.datasets import mnist
from workbench.ui.canvas import Canvas

digit = mnist.sample().tensor()[503, 0].numpy()
images, masks = [], []
draw = Canvas()
draw.on_draw(images.append)
region = Canvas(mode="mask", hint="What you paint may not change.")
region.on_mask(masks.append)
coloured = Canvas(shape=(3, 32, 48), size=200)
row = ipywidgets.Layout(grid_gap="32px")
ipywidgets.HBox([draw, region, coloured], layout=row)
""",
    "draw",
]


@pytest.fixture(scope="module")
def notebook(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    with lab.opened(browser, SOURCES, has_touch=True) as page:
        yield page
        page.assert_clean()


class Board:
    """One view of a canvas, and the hand that draws on it."""

    def __init__(self, page: Page, root: Locator, shape: tuple[int, int] = (28, 28)) -> None:
        self.page, self.root, self.shape = page, root, shape
        self.stage = root.locator(".wb-canvas-stage")

    def place(self, row: float, column: float) -> tuple[float, float]:
        """Point on the page over this point of the image."""
        box = self.stage.bounding_box()
        assert box is not None
        return box["x"] + column / self.shape[1] * box["width"], box["y"] + row / self.shape[0] * box["height"]

    def drag(self, *points: tuple[float, float], release: bool = True) -> None:
        self.page.mouse.move(*self.place(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.place(*point), steps=12)
        if release:
            self.page.mouse.up()

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=name).click()

    def pixel(self, row: int, column: int) -> list[int]:
        """The colour in the middle of a pixel of the image, as it is on screen."""
        return self.root.locator(".wb-canvas-picture").evaluate(
            """(c, [x, y]) => {
                const { data } = c.getContext("2d").getImageData(x * c.width, y * c.height, 1, 1);
                return [...data].slice(0, 3);
            }""",
            [(column + 0.5) / self.shape[1], (row + 0.5) / self.shape[0]],
        )


def fresh(notebook: NotebookPage, code: str, kind: str, shape: tuple[int, int] = (28, 28)) -> Board:
    notebook.kernel.run(code + "; images.clear(); masks.clear()")
    board = Board(notebook.page, notebook.page.locator(kind).first, shape)
    board.page.mouse.move(2, 2)
    board.stage.scroll_into_view_if_needed()
    board.press("Draw" if "draw" in kind else "Paint")
    notebook.settle(300)
    return board


@pytest.fixture
def board(notebook: NotebookPage) -> Board:
    return fresh(notebook, "draw.show(np.zeros((28, 28))); draw.brush = 2.5", ".wb-canvas[data-mode=draw]")


@pytest.fixture
def region(notebook: NotebookPage) -> Board:
    code = "region.show(digit); region.mask = np.zeros((28, 28), bool); region.brush = 4"
    return fresh(notebook, code, ".wb-canvas[data-mode=mask]")


def test_a_stroke_is_one_message_at_its_end(board, notebook):
    before = notebook.watch.comm_messages()
    board.drag((6, 14), (22, 14), release=False)
    notebook.settle(400)
    assert board.pixel(14, 13) == [255, 255, 255]  # seen at once
    assert notebook.watch.comm_messages() == before
    board.page.mouse.up()
    notebook.until("len(images)", 1)
    notebook.settle()
    assert notebook.watch.comm_messages() == before + 1
    assert notebook.kernel.value("(images[0].dtype.name, images[0].shape)") == ("float32", (28, 28))


def test_a_stroke_is_a_soft_line_of_the_brush_s_width(board, notebook):
    board.drag((6, 14), (22, 14))
    notebook.until("len(images)", 1)
    profile = notebook.kernel.value("images[0][14].tolist()")
    assert profile[13] == profile[14] == 1
    # the line's centre lies between pixels 13 and 14: full, half way at half the width, nothing beyond
    np.testing.assert_allclose(profile[12], (2.5 / 2 - 1.5) / 1.5 + 0.5, atol=0.02)
    np.testing.assert_allclose(profile[15], profile[12], atol=0.02)
    assert profile[11] == profile[16] == 0
    assert notebook.kernel.value("float(images[0][:4].max())") == 0
    assert notebook.kernel.value("bool((images[0][8:20, 13] == 1).all())")  # no gaps between moves


def test_pixels_are_square_and_equal_and_no_wider_than_asked(board):
    width, shown = board.root.locator(".wb-canvas-picture").evaluate(
        "c => [c.width / devicePixelRatio, c.getBoundingClientRect().width]"
    )
    assert width == shown == 280


def test_strokes_in_quick_succession_make_one_message(board, notebook):
    before = notebook.watch.comm_messages()
    board.stage.evaluate(
        """(stage) => {
            const box = stage.getBoundingClientRect();
            stage.setPointerCapture = () => {};
            for (let k = 0; k < 5; k++)
                for (const type of ["pointerdown", "pointermove", "pointerup"])
                    stage.dispatchEvent(new PointerEvent(type, {pointerId: 1, pointerType: "mouse", bubbles: true,
                        clientX: box.left + 30 + 50 * k, clientY: box.top + 140}));
            delete stage.setPointerCapture;
        }"""
    )
    notebook.until("len(images)", 1)
    notebook.settle(400)
    assert notebook.watch.comm_messages() == before + 1
    assert notebook.kernel.value("len(images)") == 1
    assert board.root.get_attribute("data-undo") == "5"


def test_erasing_and_undoing_bring_back_black(board, notebook):
    board.drag((14, 4), (14, 24))
    notebook.until("len(images)", 1)
    board.press("Erase")
    board.drag((14, 4), (14, 24))
    notebook.until("len(images)", 2)
    assert notebook.kernel.value("float(images[1][14, 5:23].max())") == 0
    board.press("Undo")
    notebook.until("len(images)", 3)
    assert notebook.kernel.value("bool((images[2] == images[0]).all())")
    board.stage.focus()
    board.page.keyboard.press("Control+z")
    notebook.until("len(images)", 4)
    assert notebook.kernel.value("float(images[3].max())") == 0
    expect(board.root.get_by_role("button", name="Undo")).to_have_attribute("aria-disabled", "true")


def test_clear_can_be_undone(board, notebook):
    board.drag((14, 4), (14, 24))
    notebook.until("len(images)", 1)
    board.press("Clear")
    notebook.until("len(images)", 2)
    assert notebook.kernel.value("float(draw.image.max())") == 0
    expect(board.root.locator(".wb-canvas-prompt")).to_be_visible()
    board.press("Undo")
    notebook.until("len(images)", 3)
    assert notebook.kernel.value("bool((images[2] == images[0]).all())")
    expect(board.root.locator(".wb-canvas-prompt")).to_be_hidden()


def test_a_shown_image_stays_exact_where_nothing_is_drawn(board, notebook):
    notebook.kernel.run("values = np.random.default_rng(0).uniform(-1.2, 1, (28, 28)).astype(np.float32)")
    notebook.kernel.run("draw.show(values, value_range=(-1, 1))")
    notebook.settle()
    board.drag((2, 4), (2, 24))
    notebook.until("len(images)", 1)
    assert notebook.kernel.value("bool((images[0][5:] == values[5:]).all())")
    assert notebook.kernel.value("bool((images[0][1:3, 5:23] == 1).all())")


def test_escape_gives_the_stroke_up(board, notebook):
    board.drag((14, 4), (14, 24), release=False)
    board.page.keyboard.press("Escape")
    board.page.mouse.up()
    notebook.settle(400)
    assert notebook.kernel.value("len(images)") == 0
    assert board.pixel(14, 14) == [0, 0, 0]


def test_an_image_from_python_ends_the_stroke_in_progress(board, notebook):
    board.drag((14, 4), (14, 24), release=False)
    notebook.kernel.run("draw.show(digit)")
    notebook.settle()
    board.page.mouse.move(*board.place(20, 20), steps=5)
    board.page.mouse.up()
    notebook.settle(400)
    assert notebook.kernel.value("(len(images), bool((draw.image == digit).all()))") == (0, True)


def test_a_stroke_may_begin_before_the_echo_of_the_last_one(board, notebook):
    board.drag((4, 4), (4, 24))
    board.page.wait_for_timeout(170)  # sent; its echo is on its way
    board.drag((14, 4), (14, 24), release=False)
    notebook.until("len(images)", 1)
    notebook.settle(300)
    board.page.mouse.move(*board.place(24, 24), steps=5)
    board.page.mouse.up()
    notebook.until("len(images)", 2)
    assert notebook.kernel.value("[float(images[1][r, 10]) for r in (4, 14)]") == [1, 1]


def test_views_of_one_model_show_the_same_during_a_stroke(board, notebook):
    other = Board(notebook.page, notebook.page.locator(".wb-canvas[data-mode=draw]").last)
    assert other.root.evaluate("e => e !== document.querySelector('.wb-canvas[data-mode=draw]')")
    board.drag((14, 4), (14, 24), release=False)
    notebook.settle()
    assert other.pixel(14, 14) == [255, 255, 255]
    board.page.mouse.up()
    other.press("Undo")
    notebook.settle()
    assert board.pixel(14, 14) == [0, 0, 0]


def test_keys_draw_while_space_is_held(board, notebook):
    cell = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    board.page.mouse.click(*board.place(2, 2))
    notebook.until("len(images)", 1)
    board.page.keyboard.press("Control+z")
    notebook.until("len(images)", 2)
    active = board.page.evaluate(cell)
    for key in ("Shift+ArrowUp", "ArrowLeft", "ArrowLeft"):
        board.page.keyboard.press(key)
    spoken = board.root.locator(".wb-canvas-spoken")
    expect(spoken).to_have_text("row 10, column 13, 0.00, drawing")
    board.page.keyboard.down("Space")
    for _ in range(6):
        board.page.keyboard.press("ArrowDown")
    board.page.keyboard.up("Space")
    notebook.until("len(images)", 3)
    expect(spoken).to_have_text("row 16, column 13, 1.00, drawing")
    assert notebook.kernel.value("(images[2][:, 12] == 1).nonzero()[0].tolist()") == list(range(9, 16))
    board.page.keyboard.press("e")
    board.page.keyboard.press("Space")
    notebook.until("len(images)", 4)
    assert notebook.kernel.value("float(images[3][15, 12])") == 0
    assert board.page.evaluate(cell) == active  # JupyterLab did not take the keys for itself


def test_a_finger_draws(board, notebook):
    session = board.page.context.new_cdp_session(board.page)

    def touch(kind: str, *where: float) -> None:
        points = [dict(zip("xy", board.place(*where), strict=True))] if where else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 14, 4)
    for column in np.linspace(4, 24, 8):
        touch("touchMove", 14, float(column))
    touch("touchEnd")
    notebook.until("len(images)", 1)
    assert notebook.kernel.value("bool((images[0][13, 5:23] == 1).all())")


def test_the_brush_is_as_wide_as_its_slider_says(board, notebook):
    board.root.locator(".wb-canvas-brush").fill("8")
    notebook.until("draw.brush", 8.0)
    board.drag((14, 14), (14, 14))
    notebook.until("len(images)", 1)
    assert notebook.kernel.value("round(float(images[0].sum()))") == pytest.approx(np.pi * 16, abs=3)


def test_a_mask_is_painted_erased_inverted_and_cleared(region, notebook):
    region.drag((14, 4), (14, 24))
    notebook.until("len(masks)", 1)
    assert notebook.kernel.value("(masks[0].dtype.name, masks[0].shape)") == ("bool", (28, 28))
    # the brush of 4 pixels covers those whose centres are within 2 of its way
    assert notebook.kernel.value("masks[0][:, 14].nonzero()[0].tolist()") == [12, 13, 14, 15]
    assert notebook.kernel.value("bool((region.image == digit).all())")
    region.press("Erase")
    region.drag((14, 14), (14, 27))
    notebook.until("len(masks)", 2)
    assert not notebook.kernel.value("bool(masks[1][:, 14:].any())")
    region.press("Invert")
    notebook.until("len(masks)", 3)
    assert notebook.kernel.value("bool((masks[2] == ~masks[1]).all())")
    region.press("Undo")
    notebook.until("len(masks)", 4)
    assert notebook.kernel.value("bool((masks[3] == masks[1]).all())")
    region.press("Clear")
    notebook.until("len(masks)", 5)
    assert not notebook.kernel.value("bool(masks[4].any())")


def test_another_image_of_the_same_size_leaves_the_mask_and_the_stroke_in_progress(region, notebook):
    before = int(region.root.get_attribute("data-undo"))
    region.drag((14, 4), (14, 24))
    notebook.until("len(masks)", 1)
    notebook.settle()
    region.drag((4, 4), (4, 12), release=False)
    notebook.kernel.run("region.show(1 - digit)")
    notebook.settle()
    assert region.pixel(24, 1) == [255, 255, 255]
    region.page.mouse.move(*region.place(4, 24), steps=6)
    region.page.mouse.up()
    notebook.until("len(masks)", 2)
    assert notebook.kernel.value("[masks[1][r, [6, 22]].tolist() for r in (4, 14)]") == [[True] * 2] * 2
    expect(region.root).to_have_attribute("data-undo", str(before + 2))


def test_the_painted_region_differs_from_every_grey(region, notebook):
    notebook.kernel.run("region.show(np.tile(np.linspace(0, 1, 28), (28, 1)))")
    region.drag((14, 0.5), (14, 27.5))
    notebook.until("len(masks)", 1)
    for column in (0, 14, 27):
        red, green, blue = region.pixel(20, column)
        assert red == green == blue
        red, green, blue = region.pixel(13, column)
        assert red > blue + 80


def test_python_sets_the_mask(region, notebook):
    notebook.kernel.run("region.mask = np.eye(28, dtype=bool)")
    expect(region.root).to_have_attribute("data-painted", "28")
    assert notebook.kernel.value("len(masks)") == 0


def test_three_channels_take_the_grey_of_the_pen(notebook):
    board = Board(notebook.page, notebook.page.locator(".wb-coloured"), (32, 48))
    notebook.kernel.run("sky = np.zeros((3, 32, 48)); sky[2] = 1; coloured.show(sky)")
    board.root.locator(".wb-canvas-grey").fill("0.5")
    notebook.until("coloured.grey", 0.5)
    board.drag((16, 8), (16, 40))
    notebook.until("coloured.image[:, 16, 20].tolist()", [0.5, 0.5, 0.5])
    assert notebook.kernel.value("coloured.image[:, 2, 2].tolist()") == [0, 0, 1]
    assert board.pixel(2, 2) == [0, 0, 255]


def test_a_screen_reader_hears_what_it_is(board, region):
    expect(board.stage).to_have_attribute("aria-label", "Draw an image")
    expect(region.stage).to_have_attribute("aria-label", "Paint a region of the image")
    for view in (board, region):
        described = view.stage.get_attribute("aria-describedby")
        expect(view.root.locator(f"#{described}")).not_to_be_empty()
        names = view.root.locator("button, input").evaluate_all(
            "all => all.map(e => e.getAttribute('aria-label') || e.textContent)"
        )
        assert len(names) >= 5 and all(names)
    expect(board.root.get_by_role("button", name="Draw")).to_have_attribute("aria-pressed", "true")


def test_pictures_in_light_and_dark(board, notebook):
    notebook.kernel.run("region.show(digit); region.mask = np.zeros((28, 28), bool); region.brush = 4")
    painted = Board(notebook.page, notebook.page.locator(".wb-canvas[data-mode=mask]").first)
    painted.press("Paint")
    painted.drag((21, 6), (23, 12), (22, 20))
    board.drag((7, 9), (5, 14), (9, 18), (13, 13), (17, 18), (22, 14), (21, 8))
    notebook.until("len(images)", 1)
    board.page.mouse.move(*board.place(13, 13))
    row = notebook.page.locator(".widget-hbox").first
    notebook.screenshot("canvas-light", row)
    notebook.set_theme("JupyterLab Dark")
    dark = notebook.screenshot("canvas-dark", row)
    notebook.set_theme("JupyterLab Light")
    assert np.asarray(Image.open(dark).convert("L"))[2, 2] < 60


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path) -> Iterator[tuple[Page, Watch, str]]:
    draw, region = Canvas(), Canvas(mode="mask")
    image = np.tile(np.linspace(0, 1, 28), (28, 1))
    draw.show(image)
    region.show(image)
    region.mask = np.eye(28, dtype=bool)
    path = write_page(tmp_path / "page.html", [draw, region, Canvas()], dark=request.param == "dark")
    page = browser.new_page(viewport={"width": 820, "height": 1150})
    watch = Watch()
    watch.attach(page)
    page.goto(path.as_uri())
    page.evaluate("window.ready")
    yield page, watch, request.param
    page.close()


def test_without_a_kernel_it_shows_what_it_holds_and_drawing_does_no_harm(page):
    page, watch, scheme = page
    draw, region = (Board(page, page.locator(f"#widget-{i}")) for i in (0, 1))
    expect(region.root).to_have_attribute("data-painted", "28")
    assert draw.pixel(3, 27) == [255, 255, 255] and draw.pixel(3, 0) == [0, 0, 0]
    draw.drag((14, 2), (14, 10))
    page.wait_for_timeout(300)
    assert draw.pixel(14, 3) == [255, 255, 255]
    region.press("Invert")
    expect(region.root).to_have_attribute("data-painted", str(28 * 27))
    page.screenshot(path=screenshot_path(f"canvas-page-{scheme}"))
    left = page.evaluate("""() => {
        for (const id of [0, 1, 2]) document.getElementById("widget-" + id).remove_widget();
        return window.models.map(m => Object.values(m.handlers).flat().length);
    }""")
    assert left == [0, 0, 0]
    assert watch.external_requests == [] and watch.console_errors == []
