"""Export as report, in a real JupyterLab: the button writes a page that opens without kernel and network."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.harness import NotebookPage, Watch, screenshot_path

pytestmark = pytest.mark.browser

SOURCES = [
    "import torch, workbench as wb\ntorch.set_num_threads(1)\n"
    'panel = wb.subspaces.Panel(wb.load("mnist-dcgan", device="cpu"), seed=3)\npanel',
]


def test_the_button_writes_a_page_that_opens_from_a_file(
    open_notebook: Callable[..., NotebookPage], browser: Browser
):
    notebook = open_notebook(SOURCES, width=1400, height=1100)
    page = notebook.page
    expect(page.locator("[data-line] [role=slider]")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Export as report").click()
    link = page.get_by_role("link", name="page")
    expect(link).to_be_visible(timeout=120_000)
    notebook.screenshot("export-as-report")
    folder = Path(notebook.kernel.value("str(panel.report.run.folder)"))
    assert folder.parent.name == "workbench-reports" and folder.name.startswith("subspace-search-")
    # the panel's link leads to the page on JupyterLab's own server
    with page.context.expect_page() as opened:
        link.click()
    expect(opened.value.get_by_role("heading", name="The line and the way to it")).to_be_visible(timeout=30_000)
    opened.value.close()
    # and the file opens by itself, with the network refused
    context = browser.new_context(viewport={"width": 1100, "height": 1600})
    asked: list[str] = []
    context.route(re.compile("^(http|ws)"), lambda route: (asked.append(route.request.url), route.abort()))
    watch, tab = Watch(), context.new_page()
    watch.attach(tab)
    tab.goto((folder / "report.html").as_uri())
    expect(tab.locator(".js-plotly-plot .barlayer path").first).to_be_visible(timeout=30_000)
    expect(tab.get_by_text("panel of the Latent Workbench")).to_be_visible()
    tab.screenshot(path=screenshot_path("exported-page"), full_page=True)
    assert watch.external_requests == asked == []
    assert watch.console_errors == []
    context.close()
