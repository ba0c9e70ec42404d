"""An executed notebook, opened in JupyterLab by somebody who runs nothing in it."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_markdown_cell
from playwright.sync_api import expect

from tests.reports.widgets_notebook import executed


@pytest.fixture
def saved(tmp_path, request):
    path = tmp_path / f"{request.node.name}.ipynb"
    nbformat.write(executed(), path)
    return path


def test_the_widgets_of_a_trusted_notebook_live_on(lab, open_notebook, saved):
    NotebookNotary(data_dir=str(lab.root.parent / "data")).sign(nbformat.read(saved, as_version=4))
    tab = open_notebook(saved, run=False, height=2400).page
    strip = tab.locator(".wb-film").first
    expect(strip).to_have_attribute("data-index", "12", timeout=30_000)
    strip.locator(".wb-film-track").press("End")
    expect(strip).to_have_attribute("data-index", "24")
    expect(tab.locator(".wb-grid").first).to_have_attribute("data-count", "40")
    expect(tab.locator(".wb-canvas-stage").first).to_be_visible()
    map_picture = tab.get_by_alt_text("Class map")  # no kernel sends BokehJS
    map_picture.scroll_into_view_if_needed()
    assert map_picture.evaluate("image => image.naturalWidth") == 640


def test_a_notebook_that_is_not_trusted_shows_their_pictures(open_notebook, saved):
    changed = nbformat.read(saved, as_version=4)  # what is signed is the content, wherever it lies
    changed.cells.append(new_markdown_cell("Changed."))
    nbformat.write(changed, saved)
    notebook = open_notebook(saved, run=False, height=2400)
    expect(notebook.page.locator(".jp-RenderedImage img")).to_have_count(4, timeout=30_000)
    expect(notebook.page.locator(".wb-film")).to_have_count(0)
    notebook.screenshot("saved-pictures")
