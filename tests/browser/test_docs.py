"""Pages of the documentation, opened from their files while every request to the network is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.harness import Watch
from tests.documentation import build

pytest.importorskip("myst_nb", reason="the documentation's packages are missing: pip install -e '.[docs]'")

pytestmark = [pytest.mark.browser, pytest.mark.nightly]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages without the reference, which takes the longest and has nothing to draw."""
    left_out = "_build,_templates,extensions,reference,guides"
    return build(tmp_path_factory.mktemp("docs"), f"-Dexclude_patterns={left_out}", "-Dautosummary_generate=0")


@pytest.fixture
def opened(browser: Browser, site: Path) -> Iterator[Callable[..., Page]]:
    """Pages by their names; at the end none of them may have asked for anything or failed."""
    watch, asked, contexts = Watch(), [], []

    def refuse(route):
        asked.append(route.request.url)
        route.abort()

    def open_page(name: str, *, width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        contexts.append(context)
        context.route(re.compile("^(http|ws)"), refuse)
        page = context.new_page()
        watch.attach(page)
        page.on("requestfailed", lambda request: asked.append(request.url))
        page.goto((site / f"{name}.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert watch.external_requests == asked == []
    assert watch.console_errors == []


def test_figures_are_drawn_and_follow_the_theme(opened: Callable[..., Page]):
    page = opened("tutorials/flip-points", scheme="dark")
    figure = page.locator(".js-plotly-plot").first
    expect(figure.locator(".barlayer .point").first).to_be_visible()
    ink = "() => document.querySelector('.js-plotly-plot').layout.template.layout.font.color"
    dark = page.evaluate(ink)
    page.evaluate("() => { document.documentElement.dataset.theme = 'light' }")
    page.wait_for_function(f"dark => ({ink})() !== dark", arg=dark)


@pytest.mark.parametrize("name", ["index", "gallery", "methods/subspace-search", "tutorials/subspace-search"])
def test_a_page_fits_a_narrow_screen(opened: Callable[..., Page], name: str):
    page = opened(name, width=400)
    expect(page.locator("h1").first).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_equations_are_drawn_by_the_browser_itself(opened: Callable[..., Page]):
    equation = opened("methods/subspace-search").locator(".wb-equation math").first
    box = equation.bounding_box()
    assert box is not None and box["width"] > 50 and box["height"] > 20


def test_search_finds_a_page(opened: Callable[..., Page]):
    page = opened("search")
    page.goto(f"{page.url}?q=boundary")
    expect(page.get_by_role("link", name="Generative boundaries").first).to_be_visible()
