"""A session in a real JupyterLab: scrub, accept, keep, write, kill the kernel, and go on where one was."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.harness import NotebookPage

pytestmark = pytest.mark.browser

SOURCES = [
    "import torch, workbench as wb\ntorch.set_num_threads(1)",
    # the second time the networks need not be given
    "from pathlib import Path\n"
    'given = [] if Path("digits.workbench").exists() else [wb.load("mnist-inverter"), wb.load("mnist-cnn")]\n'
    'tabs = wb.open(*given, session="digits.workbench")\ntabs',
]
#: What a person sees, as plain values.
SEEN = (
    "([p.latent.tolist() for p in tabs.panels['subspaces'].search.points], "
    "[s.code.tolist() for s in tabs.kept.samples], tabs.kept.notes.value)"
)


def test_after_a_killed_kernel_all_that_was_shown_as_saved_is_there(
    open_notebook: Callable[..., NotebookPage],
) -> None:
    notebook = open_notebook(SOURCES, width=1400, height=1500)
    page = notebook.page
    slider = page.get_by_role("slider", name="Position on the line")
    slider.wait_for(timeout=60_000)
    for key in ("End", "Home"):
        before = notebook.kernel.value("len(tabs.panels['subspaces'].search.points)")
        notebook.until("tabs.panels['subspaces'].jobs.busy", False, timeout=60)
        slider.press(key)
        slider.press("Enter")
        notebook.until("len(tabs.panels['subspaces'].search.points)", before + 1, timeout=60)
    page.get_by_role("button", name="Keep", exact=True).click()
    notebook.until("len(tabs.kept.samples)", 1)
    page.get_by_text("Notes", exact=True).click()
    page.get_by_placeholder("it is saved while you write").fill("The seven opens here.")
    notebook.until("tabs.kept.notes.value", "The seven opens here.")
    expect(page.get_by_role("status").filter(has_text="saved ")).to_contain_text("· digits.workbench")
    notebook.until("tabs.kept.saving.idle", True)
    seen = notebook.kernel.value(SEEN)

    os.kill(notebook.kernel.value("__import__('os').getpid()"), signal.SIGKILL)
    page.get_by_role("dialog").get_by_role("button", name="Ok").click(timeout=60_000)
    notebook.restarted()
    notebook.run_all()
    assert notebook.kernel.value(SEEN) == seen
    slider.wait_for()
    notebook.until("tabs.panels['subspaces'].jobs.busy", False, timeout=60)
    expect(page.get_by_placeholder("it is saved while you write")).to_have_value("The seven opens here.")
    page.locator(".js-plotly-plot .barlayer .point").first.wait_for()
    notebook.screenshot("session")
