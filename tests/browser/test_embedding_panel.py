"""The panel of class embeddings in a real JupyterLab: tap on the map, search, keep, and see the class move."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.harness import NotebookPage, on_map

pytestmark = pytest.mark.browser

SOURCES = [
    "import torch, workbench as wb\nfrom workbench.datasets import glyphs\ntorch.set_num_threads(1)\n"
    'G, C = wb.load("glyphs-biggan", device="cpu"), wb.load("glyphs-cnn", device="cpu")\nreal = glyphs.sample()',
    "panel = wb.embeddings.Panel(G, C, real.tensor() * 2 - 1, real.labels, trials=2, steps=4)\npanel",
]


@pytest.fixture
def notebook(open_notebook: Callable[..., NotebookPage]) -> NotebookPage:
    opened = open_notebook(SOURCES, width=1400, height=1500)
    opened.page.locator(".bk-Canvas").first.wait_for()
    opened.until("panel.map.jobs._thread is None", True, timeout=60)
    opened.until("len(panel.map.plot.seen.data['shown'])", 1)
    return opened


def test_tap_search_keep_and_undo(notebook: NotebookPage):
    notebook.kernel.run(
        "import torch; plot = panel.map.plot; positions = panel.map.found.positions\n"
        "alone = int(torch.cdist(positions, positions).fill_diagonal_(torch.inf).amin(1).argmax())"
    )
    notebook.page.mouse.click(*on_map(notebook, "positions[alone, 0]", "positions[alone, 1]"))
    notebook.until("panel.class_index == alone", True)
    notebook.page.get_by_role("button", name="Search", exact=True).click()
    notebook.until("panel.repair.keep.disabled", False, timeout=60)
    notebook.until("panel.repair.after.count", 24)
    notebook.page.get_by_role("button", name="Keep", exact=True).click()
    notebook.until("list(plot.placed.data['name']) == [f'{panel.table.names[alone]} (new)']", True)
    notebook.settle(600)
    notebook.screenshot("embedding-panel")
    notebook.page.get_by_role("button", name="Undo", exact=True).click()
    notebook.until("panel.table.changed", [])
    notebook.page.get_by_text("Ways between latents and classes").click()
    expect(notebook.page.get_by_text("From class to class, one latent")).to_be_visible()
    notebook.until("len(panel.ways.across.line.get('t', []))", 25)
