"""The film strip in JupyterLab: scrubbing costs no message, an acceptance costs one."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser.harness import Lab, NotebookPage

COUNT = 25
SOURCES = [
    """
import numpy as np
from workbench.ui.film_strip import FilmStrip

def line(count=25, tint=0.0):
    # Each frame is one grey level, so that the browser's pixels say which frame it shows.
    level = np.linspace(0, 1, count)[:, None, None, None] * np.ones((1, 3, 32, 32))
    level[:, 0] = tint or level[:, 0]
    return level

accepted = []
strip = FilmStrip(height=200)
strip.on_accept(lambda a: accepted.append((a.line, a.index, a.t)))
t = np.linspace(-3, 3, 25)
def show(name, tint=0.0):
    strip.show(line(tint=tint), positions=t, line_id=name,
               captions=[{"image change": f"{abs(v):.1f} %"} for v in t],
               flags=["outside the typical set" if abs(v) > 2 else None for v in t])
show("first")
strip
""",
    "strip",
]


@pytest.fixture(scope="module")
def notebook(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    with lab.opened(browser, SOURCES, has_touch=True) as page:
        yield page
        page.assert_clean()


class Strip:
    """The first view of the strip, and the hand that moves it."""

    def __init__(self, notebook: NotebookPage) -> None:
        self.notebook = notebook
        self.page = notebook.page
        self.root = self.page.locator(".wb-film").first
        self.track = self.root.locator(".wb-film-track")

    def index(self) -> int:
        return int(self.root.get_attribute("data-index") or -1)

    def shown(self, line: str) -> None:
        expect(self.root).to_have_attribute("data-line", line)

    def place(self, fraction: float) -> tuple[float, float]:
        """Point on the page at this fraction of the track."""
        box = self.track.bounding_box()
        assert box is not None
        thumb = 52 / 2
        return box["x"] + thumb + fraction * (box["width"] - 2 * thumb), box["y"] + 25

    def drag(self, start: float, end: float, *, release: bool = True, steps: int = 60) -> None:
        self.page.mouse.move(*self.place(start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(end), steps=steps)
        if release:
            self.page.mouse.up()

    def grey(self) -> int:
        """Level of the large picture's middle, 0 to 255."""
        return self.root.locator(".wb-film-picture").evaluate(
            "c => c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[1]"
        )


@pytest.fixture
def strip(notebook: NotebookPage) -> Iterator[Strip]:
    notebook.kernel.run("accepted.clear(); strip.busy = False; strip.accept_on_release = True; show('first')")
    view = Strip(notebook)
    view.page.mouse.move(2, 2)
    view.track.scroll_into_view_if_needed()
    view.shown("first")
    expect(view.root).to_have_attribute("data-index", "12")
    notebook.settle()
    yield view
    view.page.mouse.up()


def test_scrubbing_with_the_mouse_changes_the_frame_and_sends_nothing(strip, notebook):
    before = len(notebook.watch.sent)
    strip.page.evaluate(
        "() => { window.frames_seen = new Set();"
        " document.addEventListener('wb-frame', e => window.frames_seen.add(e.detail.index)); }"
    )
    strip.drag(0, 1, release=False, steps=120)
    notebook.settle()
    assert strip.index() == COUNT - 1
    assert strip.grey() == 255
    assert len(strip.page.evaluate("() => [...window.frames_seen]")) >= 20
    strip.page.mouse.move(*strip.place(0), steps=120)
    notebook.settle()
    assert (strip.index(), strip.grey()) == (0, 0)
    assert notebook.watch.sent[before:] == []
    strip.page.keyboard.press("Escape")


def test_release_accepts_once(strip, notebook):
    before = notebook.watch.comm_messages()
    strip.drag(0.5, 0.75)
    notebook.until("accepted", [("first", 18, 1.5)])
    notebook.settle()
    assert notebook.watch.comm_messages() == before + 1


def test_without_accept_on_release_only_enter_accepts(strip, notebook):
    notebook.kernel.run("strip.accept_on_release = False")
    expect(strip.root.locator(".wb-film-hint")).to_contain_text("Enter to accept")
    before = notebook.watch.comm_messages()
    strip.drag(0.5, 0.25)
    notebook.settle()
    assert notebook.watch.comm_messages() == before
    strip.page.keyboard.press("Enter")
    notebook.until("accepted", [("first", 6, -1.5)])


def test_escape_during_a_drag_returns_to_the_centre_and_accepts_nothing(strip, notebook):
    before = notebook.watch.comm_messages()
    strip.drag(0.5, 0.9, release=False)
    strip.page.keyboard.press("Escape")
    strip.page.mouse.up()
    notebook.settle()
    assert strip.index() == 12
    assert notebook.watch.comm_messages() == before


def test_every_frame_is_reached_by_keys(strip, notebook):
    state = (
        "() => { const c = window.jupyterapp.shell.currentWidget.content; return [c.activeCellIndex, c.mode]; }"
    )
    strip.page.mouse.click(*strip.place(0.5))  # its cell becomes the active one
    notebook.until("len(accepted)", 1)
    notebook_state = strip.page.evaluate(state)
    before = len(notebook.watch.sent)
    for key, index in [
        ("ArrowRight", 13),
        ("ArrowUp", 14),
        ("Shift+ArrowRight", 19),
        ("PageUp", 24),
        ("ArrowRight", 24),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("PageDown", 0),
        ("End", 24),
        ("Shift+ArrowLeft", 19),
        ("ArrowDown", 18),
        ("Escape", 12),
    ]:
        strip.page.keyboard.press(key)
        expect(strip.root).to_have_attribute("data-index", str(index))
    assert notebook.watch.sent[before:] == []
    assert strip.page.evaluate(state) == notebook_state  # JupyterLab did not take the keys for itself


def test_a_screen_reader_hears_a_slider(strip):
    strip.track.focus()
    strip.page.keyboard.press("End")
    expect(strip.track).to_have_attribute("aria-valuenow", "24")
    expect(strip.track).to_have_attribute(
        "aria-valuetext", "t +3.00, frame 25 of 25, image change 3.0 %, outside the typical set"
    )
    for name, value in {"role": "slider", "aria-valuemin": "0", "aria-valuemax": "24"}.items():
        expect(strip.track).to_have_attribute(name, value)
    assert strip.track.get_attribute("aria-label")


def test_a_finger_scrubs_and_its_release_accepts(strip, notebook):
    before = notebook.watch.comm_messages()
    session = strip.page.context.new_cdp_session(strip.page)

    def touch(kind: str, fraction: float | None = None) -> None:
        points = [] if fraction is None else [dict(zip("xy", strip.place(fraction), strict=True))]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.5)
    for fraction in np.linspace(0.5, 0, 20):
        touch("touchMove", float(fraction))
    expect(strip.root).to_have_attribute("data-index", "0")
    assert notebook.watch.comm_messages() == before
    touch("touchEnd")
    notebook.until("accepted", [("first", 0, -3.0)])
    notebook.settle()
    assert notebook.watch.comm_messages() == before + 1


def test_of_a_flood_of_moves_the_last_one_counts(strip, notebook):
    x, y = strip.place(1.0)
    before = notebook.watch.comm_messages()
    drawn = strip.track.evaluate(
        """async (track, [x0, x1, y]) => {
            let drawn = 0;
            const count = () => drawn++;
            document.addEventListener("wb-frame", count);
            const fire = (type, x) => track.dispatchEvent(new PointerEvent(type,
                {pointerId: 1, clientX: x, clientY: y, button: 0, buttons: 1, bubbles: true}));
            track.setPointerCapture = () => {};
            fire("pointerdown", x0);
            for (let k = 0; k < 500; k++) fire("pointermove", x0 + (x1 - x0) * (k * 37 % 499) / 498);
            fire("pointermove", x1);
            fire("pointerup", x1);
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            delete track.setPointerCapture;
            document.removeEventListener("wb-frame", count);
            return drawn;
        }""",
        [strip.place(0)[0], x, y],
    )
    assert strip.index() == COUNT - 1
    assert drawn <= 4  # two views, at most two animation frames
    notebook.until("accepted", [("first", 24, 3.0)])
    notebook.settle()
    assert notebook.watch.comm_messages() == before + 1


def test_a_new_line_replaces_the_present_one_at_its_centre(strip, notebook):
    strip.page.keyboard.press("End")
    notebook.kernel.run("show('second', tint=0.25)")
    strip.shown("second")
    assert strip.index() == 12


def test_a_line_that_comes_during_a_drag_waits_for_the_release(strip, notebook):
    strip.drag(0.5, 0.75, release=False)
    notebook.kernel.run("show('next')")
    notebook.settle(500)
    strip.shown("first")
    strip.page.mouse.move(*strip.place(0.25), steps=10)
    notebook.settle(50)
    assert strip.index() == 6
    strip.page.mouse.up()
    strip.shown("next")
    assert strip.index() == 12
    notebook.until("accepted", [("first", 6, -1.5)])


def test_a_line_that_is_taken_away_during_a_drag_may_be_let_go(strip, notebook):
    further = strip.place(0.9)
    strip.drag(0.5, 0.7, release=False)
    notebook.kernel.run("strip.clear()")
    strip.shown("")
    strip.page.mouse.move(*further, steps=3)
    strip.page.mouse.up()
    notebook.settle()
    assert notebook.watch.console_errors == []
    assert notebook.kernel.value("accepted") == []


def test_a_line_whose_picture_is_ready_too_late_is_never_shown(strip, notebook):
    # The browser may decode a later sheet before an earlier one: here the earlier, the slower.
    strip.page.evaluate(
        """() => {
            const decode = window.createImageBitmap, wait = [600, 300, 0];
            window.lines_seen = [];
            document.addEventListener("wb-frame", e => window.lines_seen.push(e.detail.line));
            window.createImageBitmap = async (blob) => {
                const delay = wait.shift();
                if (!wait.length) window.createImageBitmap = decode;
                await new Promise(done => setTimeout(done, delay));
                return decode.call(window, blob);
            };
        }"""
    )
    notebook.kernel.run("for k in (1, 2, 3): show(f'line {k}')")
    strip.shown("line 3")
    notebook.settle(900)
    strip.shown("line 3")
    assert set(strip.page.evaluate("() => window.lines_seen")) == {"line 3"}


def test_two_views_move_together_without_the_kernel(strip, notebook):
    second = strip.page.locator(".wb-film").nth(1)
    before = len(notebook.watch.sent)
    strip.track.focus()
    strip.page.keyboard.press("Home")
    expect(second).to_have_attribute("data-index", "0")
    assert notebook.watch.sent[before:] == []


def test_the_line_stays_usable_while_the_next_one_is_computed(strip, notebook):
    notebook.kernel.run("strip.busy = True; strip.status = 'Computing the next line…'")
    expect(strip.track).to_have_attribute("aria-busy", "true")
    expect(strip.root.locator(".wb-film-hint")).to_have_text("Computing the next line…")
    strip.track.focus()
    strip.page.keyboard.press("End")
    expect(strip.root).to_have_attribute("data-index", "24")
    notebook.kernel.run("strip.status = ''")


def test_texts_are_data_not_markup(strip, notebook):
    hostile = "<img src=x onerror='window.hacked = true'>"
    notebook.kernel.run(
        f"strip.show(line(), captions=[{hostile!r}] * 25, flags=[{hostile!r}] * 25,"
        f" ends=({hostile!r}, {hostile!r}), line_id={hostile!r})"
    )
    strip.shown(hostile)
    expect(strip.root.locator(".wb-film-caption")).to_have_text(hostile)
    assert strip.root.locator("img").count() == 0
    assert not strip.page.evaluate("() => Boolean(window.hacked)")


def test_a_resized_page_is_drawn_anew(strip, notebook):
    size = strip.page.viewport_size
    strip.page.set_viewport_size({"width": 700, "height": size["height"]})
    notebook.settle()
    strip.page.mouse.click(*strip.place(1))
    expect(strip.root).to_have_attribute("data-index", "24")
    assert strip.root.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    strip.page.set_viewport_size(size)


def test_a_removed_view_lets_the_other_one_live(strip, notebook):
    """A later line must not reach a view that is gone, and must still reach the one that is left."""
    assert strip.page.locator(".wb-film").count() == 2
    strip.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets[1].outputArea.model.clear()")
    expect(strip.page.locator(".wb-film")).to_have_count(1)
    notebook.kernel.run("show('later')")
    strip.shown("later")


def test_pictures_in_light_and_dark(strip, notebook):
    strip.page.keyboard.press("End")
    light = notebook.screenshot("film-strip-light", strip.root)
    notebook.set_theme("JupyterLab Dark")
    dark = notebook.screenshot("film-strip-dark", strip.root)
    notebook.set_theme("JupyterLab Light")

    def paper(path):
        return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("L"))[3, 3]

    assert paper(light) > 240
    assert paper(dark) < 60
