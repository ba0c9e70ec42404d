"""Fixtures of the browser tests: one JupyterLab and one Chromium for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.harness import Lab, NoChromium, NotebookPage, launched


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    with sync_playwright() as playwright:
        try:
            chromium = launched(playwright)
        except NoChromium as missing:
            pytest.fail(f"The browser tests need Chromium. {missing}", pytrace=False)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab server for all tests."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.close()


@pytest.fixture
def open_notebook(lab: Lab, browser: Browser) -> Iterator[Callable[..., NotebookPage]]:
    """Open notebooks from cell sources, run them, and check at the end that nothing failed or left."""
    with ExitStack() as stack:
        pages: list[NotebookPage] = []

        def opened(sources: Sequence[str] | Path, **options: object) -> NotebookPage:
            pages.append(stack.enter_context(lab.opened(browser, sources, **options)))  # type: ignore[arg-type]
            return pages[-1]

        yield opened
        for page in pages:
            page.assert_clean()
