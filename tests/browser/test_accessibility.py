"""Panels as people meet them who use a screen reader, the keyboard alone, a dark theme or half a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.harness import NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.nightly]

LOAD = (
    "import torch, workbench as wb\ntorch.set_num_threads(1)\n"
    'G, C = wb.load("{}", device="cpu"), wb.load("{}", device="cpu")'
)
DIGITS = LOAD.format("mnist-dcgan-2d", "mnist-cnn")
PANELS = {
    "subspaces": (DIGITS, "wb.subspaces.Panel(G, seed=1)", "panel.line is not None"),
    "boundaries": (DIGITS, "wb.boundaries.Panel(G, seed=1)", "panel.samples.exploration is not None"),
    "inverse_sets": (
        LOAD.format("mnist-inverter", "mnist-cnn"),
        "wb.inverse_sets.Panel(G, C)",
        "panel.neurons.grid.count",
    ),
    "embeddings": (LOAD.format("glyphs-biggan", "glyphs-cnn"), "wb.embeddings.Panel(G, C)", "True"),
    "flip_points": (
        DIGITS,
        "wb.flip_points.Panel(C, wb.datasets.mnist.sample().tensor()[:20])",
        "panel.one.nearest is not None",
    ),
}
OUTPUT = ".jp-OutputArea-output"
#: WCAG 2.1, levels A and AA, without the text of figures: its grey is a compromise of two papers (tests/ui).
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
CONTROLS = "button, input, select, textarea, [tabindex='0']"


@pytest.mark.parametrize("method", PANELS)
def test_a_panel_is_for_everyone(method: str, open_notebook: Callable[..., NotebookPage]) -> None:
    load, panel, ready = PANELS[method]
    notebook = open_notebook([load, f"panel = {panel}\npanel"], width=1400, height=1800)
    notebook.until(f"bool({ready})", True, timeout=60)
    notebook.until("panel.jobs.busy if hasattr(panel, 'jobs') else panel.one.jobs.busy", False, timeout=60)
    notebook.settle(1500)
    page = notebook.page
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.set_theme(theme)
        assert violations(page) == [], theme
    unreached = controls(page) - reached_by_tab(page)
    assert unreached == set()
    page.set_viewport_size({"width": 720, "height": 1800})
    notebook.settle(1000)
    notebook.screenshot(f"{method}-half-window")
    beyond = page.locator(OUTPUT).first.evaluate("area => area.scrollWidth - area.clientWidth")
    assert beyond <= 1


def violations(page: Page) -> list[str]:
    """What axe-core finds: rule, element and why."""
    found: list[dict[str, Any]] = Axe().run(page, context=OUTPUT, options=RULES).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}" for rule in found for node in rule["nodes"]
    ]


def controls(page: Page) -> set[str]:
    """What can be used in the panel, as far as it is in sight and not disabled."""
    return set(
        page.locator(OUTPUT).first.evaluate(
            """(area, query) => [...area.querySelectorAll(query)]
                .filter((e) => e.checkVisibility() && !e.disabled && e.tabIndex >= 0)
                .map((e, i) => (e.dataset.test = `${i} ${e.tagName} ${e.textContent || e.title}`))""",
            CONTROLS,
        )
    )


def reached_by_tab(page: Page, most: int = 150) -> set[str]:
    """What the Tab key comes to, from the panel's first control to the end of the panel."""
    page.locator(OUTPUT).first.locator("[data-test]").first.focus()
    reached: set[str] = set()
    for _ in range(most):
        name, inside = page.evaluate(
            "query => [document.activeElement?.dataset?.test, !!document.activeElement?.closest(query)]", OUTPUT
        )
        if not inside:
            break
        if name is not None:
            reached.add(name)
        page.keyboard.press("Tab")
    return reached
