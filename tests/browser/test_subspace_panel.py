"""The panel of subspace search in a real JupyterLab: scrub, accept, cancel, step back, flood."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator

from tests.browser.harness import NotebookPage

pytestmark = pytest.mark.browser

FACES = ["import workbench as wb", "G = wb.load('digiface-dcgan')", "panel = wb.subspaces.Panel(G, seed=1)\npanel"]

# a generator that can be made to wait, so that a line is certainly still being computed
SLOW = [
    """
import threading, torch, workbench as wb
gate = threading.Event(); gate.set()
class Slow(torch.nn.Module):
    def forward(self, z):
        gate.wait()
        return torch.tanh(z).reshape(-1, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
G = wb.Generator(Slow(), 16, device="cpu")
""",
    "panel = wb.subspaces.Panel(G, seed=1)\npanel",
]


def slider(notebook: NotebookPage) -> Locator:
    found = notebook.page.get_by_role("slider", name="Position on the line")
    found.wait_for()
    notebook.until("panel.jobs.busy or panel.line is None", False)
    notebook.settle()
    return found


def drag(notebook: NotebookPage, start: float, end: float, *, release: bool = True) -> None:
    """Drag along the film strip between two shares of its width."""
    box = slider(notebook).bounding_box()
    assert box is not None
    y = box["y"] + 26
    notebook.page.mouse.move(box["x"] + start * box["width"], y)
    notebook.page.mouse.down()
    for i in range(1, 31):
        notebook.page.mouse.move(box["x"] + (start + (end - start) * i / 30) * box["width"], y)
    if release:
        notebook.page.mouse.up()


def test_scrubbing_asks_the_kernel_nothing_and_release_brings_the_next_line(
    open_notebook: Callable[..., NotebookPage],
) -> None:
    notebook = open_notebook(FACES, height=1200)
    slider(notebook)
    notebook.page.locator(".js-plotly-plot .barlayer .point").first.wait_for()
    notebook.settle(1500)  # Plotly tells the kernel once what it has drawn
    before = notebook.watch.comm_messages()
    drag(notebook, 0.5, 0.95, release=False)
    drag_back = notebook.page.locator("[data-index]").first.get_attribute("data-index")
    assert drag_back is not None and int(drag_back) >= 22
    assert notebook.watch.comm_messages() == before
    notebook.page.mouse.up()
    notebook.until("len(panel.search.points)", 2)
    notebook.until("panel.shown", (1, 0))
    drag(notebook, 0.5, 0.1)
    notebook.until("len(panel.search.points)", 3)
    slider(notebook)
    notebook.page.get_by_role("button", name="Step back").click()
    notebook.until("panel.search.current", 1)
    drag(notebook, 0.5, 0.2)
    notebook.until("[p.parent for p in panel.search.points]", [None, 0, 1, 1])
    notebook.until("panel.shown", (3, 0))
    slider(notebook)
    shown = notebook.page.locator(".wb-code-line code").inner_text()
    assert notebook.kernel.value(f"bool(({shown}).outputs.equal(panel.line.outputs))") is True


@pytest.mark.pictures
def test_another_direction_is_drawn_at_the_same_point_until_a_strong_one_comes(
    open_notebook: Callable[..., NotebookPage],
) -> None:
    notebook = open_notebook(FACES, height=1200)
    for end in (0.95, 0.1):
        drag(notebook, 0.5, end)
        slider(notebook)
    notebook.page.get_by_role("button", name="Step back").click()
    notebook.until("panel.search.current", 1)
    drag(notebook, 0.5, 0.2)
    notebook.until("len(panel.search.points)", 4)
    point, draws = notebook.kernel.value("panel.search.current"), [0]
    while notebook.kernel.value("panel.line.singular_value") < 25:
        slider(notebook)
        notebook.page.get_by_role("button", name="Another direction").click()
        draws.append(draws[-1] + 1)
        notebook.until("panel.shown", (point, draws[-1]))
    slider(notebook)
    assert notebook.kernel.value("(len(panel.search.points), panel.search.current)") == (4, point)
    drag(notebook, 0.5, 0.86, release=False)  # README.md shows this
    notebook.settle(500)
    notebook.picture("subspace-panel")


def test_the_next_line_is_computed_while_the_present_one_stays_usable(
    open_notebook: Callable[..., NotebookPage],
) -> None:
    notebook = open_notebook(SLOW, height=1000)
    slider(notebook)
    notebook.until("panel.jobs._thread is None", True)
    notebook.kernel.run("gate.clear()")
    drag(notebook, 0.5, 0.9)
    notebook.until("panel.jobs.busy", True)
    element = notebook.page.locator("[data-index]").first
    notebook.page.keyboard.press("Home")
    notebook.settle(100)
    assert element.get_attribute("data-index") == "0"
    assert notebook.kernel.value("panel.shown") == (0, 0)
    notebook.kernel.run("gate.set()")
    notebook.until("panel.shown", (1, 0))


def test_cancel_keeps_the_present_line_and_the_points(open_notebook: Callable[..., NotebookPage]) -> None:
    notebook = open_notebook(SLOW, height=1000)
    slider(notebook)
    notebook.until("panel.jobs._thread is None", True)
    notebook.kernel.run("gate.clear()")
    notebook.page.get_by_role("button", name="New start").click()
    notebook.until("panel.jobs.busy", True)
    notebook.page.get_by_role("button", name="Cancel").click()
    notebook.settle(300)
    notebook.kernel.run("gate.set()")
    notebook.until("panel.jobs.busy", False)
    assert "cancelled" in notebook.kernel.value("panel.jobs._label.value")
    assert notebook.kernel.value("(panel.search.seed, panel.shown)") == (1, (0, 0))
    drag(notebook, 0.5, 0.9)
    notebook.until("len(panel.search.points)", 2)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_of_a_flood_of_acceptances_the_last_one_wins(
    count: int, open_notebook: Callable[..., NotebookPage]
) -> None:
    notebook = open_notebook(FACES, height=1200)
    handle = slider(notebook)
    notebook.kernel.run(
        "first, known = panel.line, []\n"
        "panel.strip.observe(lambda change: known.append(len(panel.search.points)), 'accepted')"
    )
    last = handle.evaluate(
        """async (el, count) => {
            const press = (key) => el.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
            for (let i = 0; i < count; i++) {
                press(i % 2 ? "End" : "Home");
                press("Enter");
            }
            for (let i = 0; i < 3; i++) press("ArrowLeft");
            press("Enter");
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            return Number(el.closest("[data-index]").dataset.index);
        }""",
        count,
    )
    assert last == 21
    notebook.until("panel.strip.accepted['index']", last, timeout=120)
    notebook.until("panel.jobs.busy", False, timeout=60)
    assert notebook.kernel.value("bool(panel.line.centre.equal(first.latents[21]))") is True
    assert notebook.kernel.value("len(panel.search.points) - known[-1]") <= 2  # computations after the last event
    if count == 500:
        assert notebook.kernel.value("len(panel.search.points)") < 20
