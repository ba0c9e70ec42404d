"""The widgets live on in a plain HTML page: no kernel, no network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.harness import Watch, screenshot_path
from tests.browser.plain_page import write_page
from workbench.ui.film_strip import FilmStrip
from workbench.ui.sample_grid import SampleGrid


def widgets() -> list[object]:
    x = np.linspace(0, 1, 120)
    signals = np.stack([np.sin(2 * np.pi * (2 + k / 4) * x) * np.exp(-k * x / 8) for k in range(25)])
    strip = FilmStrip(height=160)
    strip.show(signals, value_range=(-1, 1), positions=np.linspace(-2, 2, 25), captions=["decaying sine"] * 25)
    grid = SampleGrid(tile=120, height=260)
    grid.show(signals, value_range=(-1, 1), values={"decay": np.arange(25) / 8}, labels=["</script><b>bold"] * 25)
    grid.append(signals[:3], {"decay": [9.0, 8.0, 7.0]})
    return [strip, grid, FilmStrip(empty_text="Press New start.")]


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path) -> Iterator[tuple[Page, Watch, str]]:
    path = write_page(tmp_path / "page.html", widgets(), dark=request.param == "dark")
    page = browser.new_page(viewport={"width": 820, "height": 900})
    watch = Watch()
    watch.attach(page)
    page.goto(path.as_uri())
    page.evaluate("window.ready")
    expect(page.locator("#widget-0")).to_have_attribute("data-index", "12")
    yield page, watch, request.param
    page.close()


def test_widgets_work_without_kernel_and_network(page):
    page, watch, scheme = page
    page.locator("#widget-0 .wb-film-track").focus()
    page.keyboard.press("End")
    expect(page.locator("#widget-0")).to_have_attribute("data-index", "24")
    page.locator("#widget-1 .wb-grid-sort").select_option("decay")
    page.locator("#widget-1 .wb-grid-direction").click()
    expect(page.locator("#widget-1")).to_have_attribute("data-first", "25")
    page.locator("#widget-1 .wb-grid-scroll").click(position={"x": 40, "y": 30})
    expect(page.locator("#widget-1")).to_have_attribute("data-selected", "1")
    expect(page.locator("#widget-2 .wb-film-empty")).to_have_text("Press New start.")
    expect(page.locator("#widget-2 .wb-film-track")).to_be_hidden()
    page.screenshot(path=screenshot_path(f"plain-page-{scheme}"))
    assert watch.external_requests == []
    assert watch.console_errors == []


def test_removed_widgets_let_go_of_their_model(page):
    page, watch, _ = page
    left = page.evaluate("""() => {
        for (const id of ["widget-0", "widget-1"]) document.getElementById(id).remove_widget();
        return window.models.slice(0, 2).map(m => Object.values(m.handlers).flat().length);
    }""")
    assert left == [0, 0]
    assert watch.console_errors == []
