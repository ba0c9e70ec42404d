"""What all tests share: where the full data sets are looked for, and the marks of whole folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

# the tests' networks are small: a second thread makes them slower, many times so beside other work
torch.set_num_threads(1)

_TESTS = Path(__file__).resolve().parent
_DATA = _TESTS.parents[1] / "shared" / "data"

if "WORKBENCH_DATA" not in os.environ and _DATA.is_dir():
    os.environ["WORKBENCH_DATA"] = str(_DATA)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/browser needs a browser, and everything in tests/papers is a paper's claim."""
    for item in items:
        folder = item.path.parent
        if folder == _TESTS / "browser" and item.get_closest_marker("wheel") is None:
            item.add_marker(pytest.mark.browser)
        elif folder == _TESTS / "papers":
            item.add_marker(pytest.mark.papers)
