"""The panel of flip points in a real JupyterLab: draw, keep fixed, lasso, choose, cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator

from tests.browser.harness import Lab, NotebookPage

pytestmark = pytest.mark.browser

DIGITS = [
    """
import torch, workbench as wb
from workbench.datasets import mnist
torch.set_num_threads(1)
digits = mnist.sample()
C = wb.load("mnist-erf-1", device="cpu")
x, truth = digits.tensor()[::17], digits.labels[::17]
""",
    'panel = wb.flip_points.Panel(C, x, truth, effort="fast")\npanel',
]


@pytest.fixture(scope="module")
def page(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    with lab.opened(browser, DIGITS, width=1400, height=1900) as opened:
        yield opened
        opened.assert_clean()


@pytest.fixture
def notebook(page: NotebookPage) -> NotebookPage:
    """The panel with its first digit as query, and nothing kept fixed."""
    page.kernel.run("panel.one.cover.clear(); panel.ask(0)")
    rest(page)
    return page


def rest(notebook: NotebookPage) -> None:
    """Wait until both workers are done and the page has drawn."""
    for view in ("one", "many"):
        notebook.until(f"panel.{view}.jobs._thread is None", True, timeout=90)
    notebook.settle(600)


def plot(notebook: NotebookPage, index: int) -> Locator:
    found = notebook.page.locator(".js-plotly-plot .nsewdrag").nth(index)
    found.wait_for()
    return found


def bars(notebook: NotebookPage) -> int:
    return notebook.page.locator(".js-plotly-plot").first.locator(".barlayer .point").count()


def test_the_flip_point_of_the_first_digit_and_the_distances_to_all_classes_are_there(notebook: NotebookPage):
    assert bars(notebook) == 9
    assert notebook.page.get_by_role("slider", name="Position on the line").is_visible()
    shown = notebook.page.locator(".wb-code-line code").first.inner_text()
    assert notebook.kernel.value(f"bool(({shown}).points.equal(panel.one.nearest.points))") is True


@pytest.mark.pictures
def test_a_drawn_digit_becomes_the_query_and_what_is_painted_stays(notebook: NotebookPage):
    canvas = notebook.page.locator(".wb-canvas canvas:visible").first
    notebook.page.get_by_role("button", name="Clear", exact=True).first.click()
    notebook.stroke(canvas, (0.3, 0.2), (0.7, 0.2), (0.5, 0.8))
    notebook.until("float(panel.query.max()) > 0.9", True)
    rest(notebook)
    assert notebook.kernel.value("C.class_names[int(panel.one.nearest.labels[0])]") == "7"
    notebook.page.get_by_role("tab", name="Keep fixed").click()
    notebook.stroke(notebook.page.locator(".wb-canvas canvas:visible").first, (0.1, 0.25), (0.9, 0.25))
    notebook.until("panel.mask is not None", True)
    rest(notebook)
    kept = "bool((panel.one.nearest.points[0][~panel.mask].float() == panel.query[0][~panel.mask]).all())"
    assert notebook.kernel.value(kept) is True
    notebook.picture("flip-point-panel")


@pytest.mark.pictures
def test_a_lasso_shows_the_samples_inside_and_a_click_makes_one_the_query(notebook: NotebookPage):
    notebook.page.get_by_role("button", name="Flip points of all 59").click()
    notebook.until("panel.many.found is not None", True, timeout=90)
    rest(notebook)
    area = plot(notebook, 1)
    area.scroll_into_view_if_needed()
    notebook.stroke(area, (0.3, 0.3), (0.9, 0.3), (0.9, 0.8), (0.3, 0.8), (0.3, 0.33))
    notebook.until("0 < len(panel.many.selected) < 59", True)
    rest(notebook)
    count = notebook.kernel.value("len(panel.many.selected)")
    assert notebook.page.get_by_text(f"{count} of 59 inputs selected").is_visible()
    inside = """sorted(int(r) for r, s in zip(panel.many.directions.rows, panel.many.directions.scores)
        if min(u[0] for u in corners) < s[0] < max(u[0] for u in corners)) """
    notebook.kernel.run(
        "from workbench.ui.plot import _corners\ncorners = _corners(panel.many.scatter._outlines[0])"
    )
    assert set(notebook.kernel.value("panel.many.selected")) <= set(notebook.kernel.value(inside))
    notebook.picture("flip-point-panel-set")
    notebook.page.get_by_role("button", name="Show all").click()
    notebook.until("panel.many.selected", [])
    notebook.page.get_by_role("tab", name="Trust").click()
    notebook.settle(600)
    assert notebook.page.get_by_text("59 inputs, 3 mistakes").is_visible()
    notebook.page.get_by_role("tab", name="Table", exact=True).click()
    notebook.page.locator("table.dataTable tbody tr").nth(4).click()
    notebook.until("panel.many.table.selected_rows", [4])
    notebook.until("bool(panel.query.equal(panel.x[4:5]))", True)
    rest(notebook)


def test_a_panel_that_is_closed_leaves_no_rows_of_its_table_in_the_page(notebook: NotebookPage):
    rows = "window.$?.fn.dataTable.settings.reduce((sum, table) => sum + table.aoData.length, 0) ?? 0"
    notebook.page.get_by_role("button", name="Flip points of all 59").click()
    notebook.until("panel.many.found is not None", True, timeout=90)
    rest(notebook)
    assert notebook.page.evaluate(rows) == 59
    notebook.kernel.run("panel.close()")
    notebook.page.wait_for_function(f"({rows}) === 0")


def test_cancelling_the_whole_set_keeps_what_was_found(open_notebook: Callable[..., NotebookPage]):
    sources = [DIGITS[0].replace("[::17]", "[:400]"), DIGITS[1]]
    notebook = open_notebook(sources, width=1400, height=1900)
    rest(notebook)
    notebook.page.get_by_role("button", name="Flip points of all 400").click()
    notebook.until("panel.many.jobs._bar.value > 0.3", True, timeout=90)
    notebook.page.get_by_role("button", name="Cancel").nth(1).click()
    notebook.until("panel.many.jobs.busy", False, timeout=60)
    assert "kept what there is" in notebook.kernel.value("panel.many.jobs._label.value")
    found = notebook.kernel.value("(int(panel.many.found.found.sum()), len(panel.many.found))")
    assert 128 <= found[0] < found[1] == 400
    rest(notebook)
