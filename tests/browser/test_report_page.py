"""The page of a report, opened from a file while every request to the network is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from plotly import graph_objects as go
from plotly.io import renderers

from tests.browser.harness import Watch, screenshot_path
from tests.reports.widgets_notebook import executed
from workbench.reports import page
from workbench.ui.galleries import gallery

HOSTILE = "</script><script>document.title = 'hacked'</script>"
RECORD = {
    "report": "page",
    "title": HOSTILE,
    "status": "partial",
    "error": HOSTILE,
    "cells": [2, 3],
    "started": "2026-11-25",
    "seconds": 1.5,
    "device": "cpu",
    "versions": {"python": "3"},
    "command": HOSTILE,
}


def cell(figure: go.Figure):
    """A code cell as a kernel leaves it that has shown a figure."""
    data = renderers["plotly_mimetype"].to_mimebundle(figure.to_dict())
    return new_code_cell("figure.show()", outputs=[new_output("display_data", data=data)])


def refusing(context: BrowserContext) -> list[str]:
    """What a page asks the network for; all of it is refused."""
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    context.route(re.compile("^(http|ws)"), refuse)
    return asked


@pytest.fixture
def opened(browser: Browser, tmp_path):
    """A page in the browser, from the cells of its notebook."""
    context = browser.new_context(viewport={"width": 1100, "height": 1500})
    asked = refusing(context)

    def open_page(*cells):
        path = tmp_path / "report.html"
        path.write_text(page(new_notebook(cells=list(cells)), RECORD), encoding="utf-8")
        watch, tab = Watch(), context.new_page()
        watch.attach(tab)
        tab.goto(path.as_uri())
        return tab, watch, asked

    yield open_page
    context.close()


def test_figures_are_drawn_without_kernel_and_network(opened):
    import torch

    curve = go.Figure(
        go.Scatter(y=[1, 4, 9], name=HOSTILE), {"title": HOSTILE, "showlegend": True, "hovermode": "x"}
    )
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "FilmStrip()"}
    tab, watch, asked = opened(
        new_markdown_cell("# Squares"),
        cell(curve),
        cell(gallery({"noise": torch.rand(12, 1, 8, 8)}, (0, 1))),
        new_code_cell("FilmStrip()", outputs=[new_output("display_data", data=widget)]),
    )
    expect(tab.locator("#figure-0 .scatterlayer path.js-line")).to_be_visible()
    expect(tab.locator("#figure-1 .imagelayer image")).to_be_visible()
    assert tab.locator("#figure-0").bounding_box()["height"] == pytest.approx(450)
    # drawn by plotly.js itself: it answers the mouse
    tab.locator("#figure-0 .nsewdrag").hover()
    expect(tab.locator("#figure-0 .hoverlayer .hovertext")).to_be_visible()
    expect(tab.locator("#figure-0").get_by_role("button", name="Zoom in")).to_be_visible()
    # no button that would send the figure away
    expect(tab.locator("#figure-0").get_by_role("button", name="Share")).to_have_count(0)
    expect(tab.get_by_role("alert")).to_contain_text("partial: 2 of 3 cells were run")
    expect(tab.get_by_text("FilmStrip()").last).to_be_visible()
    tab.screenshot(path=screenshot_path("report-page"))
    assert tab.title() == HOSTILE
    assert watch.external_requests == asked == []
    assert watch.console_errors == []


def test_what_a_notebook_would_fetch_is_not_asked_for(opened):
    tab, watch, asked = opened(
        new_markdown_cell(
            '![](https://example.com/a.png) <link rel="stylesheet" href="https://example.com/a.css">'
        ),
        new_markdown_cell("$x^2$\n\n```mermaid\ngraph LR; a-->b\n```"),
    )
    expect(tab.locator("img")).to_have_count(1)
    tab.wait_for_load_state("networkidle")
    assert asked == []  # Chromium announces what the page's policy forbids, and does not send it
    assert all("Content Security Policy" in text for text in watch.console_errors)


@pytest.fixture(scope="module")
def living(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The page of a notebook that showed each of our widgets; in the end nothing failed or was asked for."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    text = page(executed(), {**RECORD, "status": "finished"})
    path.write_text(text, encoding="utf-8")
    context = browser.new_context(viewport={"width": 1100, "height": 1100})
    asked = refusing(context)
    watch, tab = Watch(), context.new_page()
    watch.attach(tab)
    tab.goto(path.as_uri())
    tab.evaluate("window.workbench_page")
    yield SimpleNamespace(tab=tab, text=text, views=tab.locator(".wb-view"))
    assert watch.external_requests == asked == []
    assert watch.console_errors == []
    context.close()


def selected(tab: Page, view: int, value: str) -> object:
    """What the model of a view holds."""
    get = "async ([view, name]) => (await window.workbench_page).get(view).get(name)"
    return tab.evaluate(get, [tab.locator(".wb-view").nth(view).get_attribute("data-model"), value])


def test_a_strip_is_scrubbed_in_both_its_views(living):
    strip, again = living.views.nth(0), living.views.nth(2)
    track = strip.locator(".wb-film-track")
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    living.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    living.tab.mouse.down()
    living.tab.mouse.move(box["x"] + box["width"] - 5, box["y"] + 20, steps=4)
    expect(strip).to_have_attribute("data-index", "24")
    living.tab.mouse.up()
    living.tab.keyboard.press("ArrowLeft")
    expect(strip).to_have_attribute("data-index", "23")
    expect(again).to_have_attribute("data-index", "23")  # one model, shown twice
    expect(strip.locator(".wb-film-hint")).not_to_contain_text("accept")  # nobody would be told
    expect(strip).not_to_have_class(re.compile("wb-busy"))
    expect(strip.locator(".wb-film-caption")).to_have_text(HOSTILE)


def test_a_grid_is_sorted_hovered_over_and_selected_from(living):
    grid = living.views.nth(1)
    expect(grid).to_have_attribute("data-first", "0")
    grid.locator(".wb-grid-sort").select_option("level")
    expect(grid).to_have_attribute("data-first", "39")
    scroller = grid.locator(".wb-grid-scroll")
    scroller.hover(position={"x": 30, "y": 30})
    card = grid.locator(".wb-grid-card")
    expect(card).to_be_visible()
    expect(card).to_contain_text(HOSTILE)
    scroller.click(position={"x": 30, "y": 30})
    expect(grid).to_have_attribute("data-selected", "1")
    assert selected(living.tab, 1, "selected") == [39]


def test_a_panel_is_laid_out_with_its_tabs_values_and_figure(living):
    tab = living.tab
    draw, curve = tab.get_by_role("tab").all()
    expect(tab.locator(".wb-canvas-stage")).to_be_visible()
    stage = tab.locator(".wb-canvas-stage")
    stage.click(position={"x": 200, "y": 40})
    expect(tab.get_by_role("button", name="Undo")).not_to_have_attribute("aria-disabled", "true")
    draw.press("ArrowRight")
    expect(curve).to_be_focused()
    expect(stage).to_be_hidden()
    figure = tab.locator("#figure-0")
    expect(figure.locator(".scatterlayer path.js-line")).to_be_visible()
    # it was hidden when plotly.js drew it
    wide = (
        "() => { const f = document.querySelector('#figure-0'), s = f.querySelector('.main-svg'); return SAME; }"
    )
    tab.wait_for_function(wide.replace("SAME", "Math.abs(f.clientWidth - s.clientWidth) < 2"))
    x_range = "() => document.getElementById('figure-0')._fullLayout.xaxis.range.join()"
    before = tab.evaluate(x_range)
    box = figure.locator(".nsewdrag").bounding_box()
    tab.mouse.move(box["x"] + 20, box["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 20, steps=5)
    tab.mouse.up()
    tab.wait_for_function(f"before => ({x_range})() !== before", arg=before)
    expect(tab.locator(".wb-value", has_text="seed")).to_have_text("seed7")
    expect(tab.get_by_role("button", name="Start")).to_have_count(0)  # it would do nothing
    expect(tab.get_by_text("Files")).to_have_count(1)  # in the source only
    tab.get_by_text("Facts", exact=True).click()
    expect(tab.locator("b", has_text="more")).to_be_visible()


def test_a_map_zooms_shows_samples_and_leads_a_grid(living):
    tab, grid = living.tab, living.views.last
    canvas = tab.locator(".bk-Canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    place = """async () => {
        const plot = Bokeh.index.roots[0].model.select_one({type: "Figure"});
        const [source] = plot.renderers.map(r => r.data_source).filter(s => s.data.samples);
        const x = plot.x_range, y = plot.y_range;
        return [(source.data.x[0] - x.start) / (x.end - x.start), (source.data.y[0] - y.start) / (y.end - y.start),
                plot.inner_width, plot.inner_height, x.end - x.start];
    }"""
    across, up, wide, high, span = tab.evaluate(place)
    left, bottom = box["x"] + (box["width"] - wide) / 2, box["y"] + box["height"] - 4
    x, y = left + across * wide, bottom - up * high
    tab.mouse.move(x - 60, y - 60)
    tab.mouse.move(x, y, steps=4)
    tooltip = tab.locator(".bk-Tooltip")
    expect(tooltip).to_contain_text("class 0")
    assert tooltip.locator("img").first.evaluate("image => image.naturalWidth") > 40
    expect(grid.locator(".wb-grid-count")).to_have_text("90 pictures")
    tab.mouse.click(x, y)
    expect(grid.locator(".wb-grid-count")).to_have_text("3 of 90 pictures")
    expect(grid).to_have_attribute("data-first", "0")
    tab.mouse.wheel(0, -400)
    tab.wait_for_function(f"async span => (await ({place})())[4] < span", arg=span)
    canvas.screenshot(path=screenshot_path("report-page-map"))
    tab.locator("[title='Reset']").click()
    tab.locator("[title*='Lasso']").click()
    for reach, expected in ((wide - 4, re.compile(r"^\d\d of 90 pictures")), (12, "90 pictures")):  # most, none
        tab.mouse.move(left + 2, bottom - 2)
        tab.mouse.down()
        for dx, dy in ((1, 0), (1, 1), (0, 1), (0, 0)):
            tab.mouse.move(left + 2 + dx * reach, bottom - 2 - dy * min(reach, high - 4), steps=4)
        tab.mouse.up()
        expect(grid.locator(".wb-grid-count")).to_have_text(expected)


def test_the_page_says_what_each_section_weighs_and_fits_a_narrow_window(living):
    tab = living.tab
    contents = tab.get_by_role("navigation", name="Contents")
    assert [text.split("\n")[0] for text in contents.locator("li").all_inner_texts()] == [
        "widgets",
        "Strip",
        "Grid",
        "Panel",
        "Map",
    ]
    expect(contents).to_contain_text(re.compile("plotly.js .* MB, BokehJS .* MB, widget modules .* kB"))
    contents.get_by_role("link", name="Map").click()
    expect(tab.locator(".bk-Canvas")).to_be_in_viewport()
    tab.screenshot(path=screenshot_path("report-page-widgets"), full_page=True)
    tab.set_viewport_size({"width": 420, "height": 900})
    tab.wait_for_timeout(300)
    tab.screenshot(path=screenshot_path("report-page-narrow"), full_page=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == 420
    assert tab.title() == HOSTILE
