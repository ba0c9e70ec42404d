"""The panel of inverse sets in a real JupyterLab: click a neuron, drag its band, send a sample on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.harness import NotebookPage

pytestmark = pytest.mark.browser

SOURCES = [
    "import torch, workbench as wb\ntorch.set_num_threads(1)\n"
    'G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")',
    "panel = wb.inverse_sets.Panel(G, C, n=16, walkers=4)\npanel",
]


def drag(notebook: NotebookPage, left: float, right: float) -> None:
    """Press at one activation of the histogram and release at another."""
    low, high = notebook.kernel.value("tuple(panel.plot._widget.layout.xaxis.range)")
    box = notebook.page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    mouse, y = notebook.page.mouse, box["y"] + box["height"] / 2
    start, end = (box["x"] + box["width"] * (value - low) / (high - low) for value in (left, right))
    mouse.move(start, y)
    mouse.down()
    mouse.move((start + end) / 2, y, steps=3)
    mouse.move(end, y, steps=3)
    mouse.up()


def sampled(notebook: NotebookPage) -> None:
    """Wait until a row is full, and drawn."""
    notebook.until("(panel.jobs.busy, len(panel.found or ()))", (False, 16), timeout=60)
    notebook.settle(500)


@pytest.mark.pictures
def test_click_a_neuron_drag_its_band_and_send_a_sample_on(open_notebook: Callable[..., NotebookPage]):
    notebook = open_notebook(SOURCES, width=1400, height=1500)
    page = notebook.page
    grids = page.locator(".wb-grid")
    expect(grids.first).to_have_attribute("data-count", "10", timeout=30_000)
    page.locator(".js-plotly-plot .nsewdrag").first.wait_for()
    tile = grids.first.locator("canvas").first.bounding_box()
    assert tile is not None
    page.mouse.click(tile["x"] + 40 + 3 * 84, tile["y"] + 40)
    notebook.until("[band.label for band in panel.query]", ["class 3"])
    sampled(notebook)
    page.get_by_role("button", name="Keep as a row").click()
    drag(notebook, 3.0, 4.0)
    notebook.until("len(panel.rows)", 2)
    low, high = notebook.kernel.value("(panel.query[0].low, panel.query[0].high)")
    assert low == pytest.approx(3, abs=0.1) and high == pytest.approx(4, abs=0.1)
    sampled(notebook)
    expect(grids).to_have_count(3)

    sample = grids.nth(1).locator("canvas").first.bounding_box()
    assert sample is not None
    page.mouse.click(sample["x"] + 30, sample["y"] + 30)
    notebook.until("panel.handover.sample and panel.handover.sample.name", "sample 0")
    notebook.settle(400)
    notebook.picture("inverse-set-panel")
    page.get_by_role("button", name="Subspace search").click()
    notebook.until("type(panel.handover.panel).__module__", "workbench.subspaces.panel")
    expect(page.locator("[data-line] [role=slider]")).to_be_visible(timeout=30_000)
