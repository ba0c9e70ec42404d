"""All panels in tabs, in a real JupyterLab: send what is chosen to another tab."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.harness import NotebookPage

pytestmark = pytest.mark.browser

SOURCES = [
    "import torch, workbench as wb\ntorch.set_num_threads(1)\n"
    'G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")',
    "tabs = wb.open(G, C)\ntabs",
]


def test_what_is_chosen_in_one_tab_becomes_the_query_of_another(open_notebook: Callable[..., NotebookPage]):
    notebook = open_notebook(SOURCES, width=1400, height=1300)
    page = notebook.page
    expect(page.locator("[data-line] [role=slider]")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Flip points").click()
    notebook.until("(tabs.current, 'flip_points' in tabs.panels)", ("flip_points", True), timeout=30)
    notebook.until("tabs.panels['flip_points'].one.nearest is not None", True, timeout=60)
    assert notebook.kernel.value("torch.equal(tabs.panels['flip_points'].query[0], tabs.sample.picture)")
    page.get_by_role("tab", name="Subspace search").click()
    notebook.until("tabs.current", "subspaces")
    expect(page.locator("[data-line] [role=slider]").first).to_be_visible()  # the other one is in the hidden tab
