"""The panel of generative boundaries in a real JupyterLab: scrub, click in the plane, hover, zoom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator

from tests.browser.harness import NotebookPage

pytestmark = pytest.mark.browser

PLANE = [
    'import torch, workbench as wb\ntorch.set_num_threads(1)\nG = wb.load("mnist-dcgan-2d", device="cpu")',
    'panel = wb.boundaries.Panel(G, layer="1")\npanel',
]


@pytest.fixture
def notebook(open_notebook: Callable[..., NotebookPage]) -> NotebookPage:
    opened = open_notebook(PLANE, width=1400, height=1800)
    rest(opened)
    return opened


def rest(notebook: NotebookPage) -> None:
    """Wait until the workers are done and the page has drawn."""
    for jobs in ("panel.jobs", "panel.plane.jobs", "panel.plane.peek"):
        notebook.until(f"{jobs}._thread is None", True, timeout=60)
    before = -1
    while before != (before := notebook.watch.comm_messages()):  # the page answers what it has drawn
        notebook.settle(500)


def plane(notebook: NotebookPage) -> Locator:
    found = notebook.page.locator(".js-plotly-plot .nsewdrag").first
    found.wait_for()
    return found


def go_to(notebook: NotebookPage, u: float, v: float) -> tuple[float, float]:
    """Move to a place given as shares of the plane's sides, from its upper left corner."""
    box = plane(notebook).bounding_box()
    assert box is not None
    x, y = box["x"] + u * box["width"], box["y"] + v * box["height"]
    notebook.page.mouse.move(x - 8, y - 8)
    notebook.page.mouse.move(x, y, steps=4)
    return x, y


@pytest.mark.pictures
def test_scrub_the_threshold_click_hover_and_zoom(notebook: NotebookPage):
    scrubs_without_the_kernel_and_grows_the_tree_on_release(notebook)
    sets_the_query_by_a_click_in_the_plane(notebook)
    reads_the_layer_again_where_it_is_zoomed(notebook)


def scrubs_without_the_kernel_and_grows_the_tree_on_release(notebook: NotebookPage) -> None:
    slider = notebook.page.get_by_role("slider", name="Threshold")
    notebook.settle(2500)  # Plotly answers late when it draws for the first time
    before, sent = notebook.kernel.value("len(panel.exploration.units)"), notebook.watch.comm_messages()
    slider.focus()
    shown = [slider.get_attribute("aria-valuenow")]
    for _ in range(3):
        notebook.page.keyboard.press("ArrowRight")
        notebook.settle(80)
        shown.append(slider.get_attribute("aria-valuenow"))
    assert len(set(shown)) == 4 and notebook.watch.comm_messages() == sent
    notebook.page.keyboard.press("Enter")
    notebook.until(f"0 < len(panel.region.found.units) < {before}", True)
    rest(notebook)
    assert notebook.kernel.value("panel.exploration.units.equal(panel.supporting_set.units)") is True
    kept, of = notebook.kernel.value("(len(panel.supporting_set.units), panel.supporting_set.candidates)")
    assert notebook.page.get_by_text(f"{kept} of {of}", exact=False).first.is_visible()
    code = notebook.page.locator(".wb-code-line code").first.inner_text()
    notebook.kernel.run(code)
    assert notebook.kernel.value("exploration.points.equal(panel.exploration.points)") is True


def sets_the_query_by_a_click_in_the_plane(notebook: NotebookPage) -> None:
    x, y = go_to(notebook, 0.75, 0.25)
    shown = "data_url(png(G.render(places[{0}][None])[0], (-1, 1))) in panel.plane.picture.value"
    notebook.kernel.run(
        "from workbench.ui.sprites import data_url, png\n"
        "from workbench.boundaries.panel_plane import _PLACES, _grid"
    )
    notebook.kernel.run("places = _grid(panel.plane.plane.extent, _PLACES)")
    near = f"any({shown.format('k')} for k in range(61 * 14, 61 * 17) if 44 <= k % 61 <= 47)"
    notebook.until(near, True)
    notebook.page.mouse.click(x, y)
    notebook.until("max(abs(panel.query - torch.tensor([1.5, 1.5]))).item() < 0.15", True)
    rest(notebook)
    assert notebook.kernel.value("panel.exploration.query.equal(panel.query)") is True
    go_to(notebook, 0.3, 0.7)
    rest(notebook)
    notebook.picture("boundary-panel")


def reads_the_layer_again_where_it_is_zoomed(notebook: NotebookPage) -> None:
    window = notebook.kernel.value("panel.plane.plane.extent")
    x, y = go_to(notebook, 0.6, 0.1)
    notebook.page.mouse.down()
    notebook.page.mouse.move(x + 120, y + 120, steps=8)
    notebook.page.mouse.up()
    notebook.until(f"panel.plane.plane.extent != {window!r}", True)
    rest(notebook)
    notebook.until("panel.plane.reading.plane.extent == panel.plane.plane.extent", True)
    left, right, bottom, top = notebook.kernel.value("panel.plane.plane.extent")
    assert 0 < left < right < 3 and 0 < bottom < top < 3
