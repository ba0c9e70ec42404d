"""The page of a report, opened from a file while every request to the network is refused."""

from __future__ import annotations

import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser, expect
from plotly import graph_objects as go
from plotly.io import renderers

from tests.browser.harness import Watch, screenshot_path
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


@pytest.fixture
def opened(browser: Browser, tmp_path):
    """A page in the browser, from the cells of its notebook."""
    context = browser.new_context(viewport={"width": 1100, "height": 1500})
    asked: list[str] = []

    def refuse(route):
        asked.append(route.request.url)
        route.abort()

    context.route(re.compile("^(http|ws)"), refuse)

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
