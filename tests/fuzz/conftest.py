"""Two sizes of the same fuzz: few and always the same cases for each push, many and new ones for the night."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz import outcomes

#: One case that takes this long hangs.
_HANGS = timedelta(minutes=2)
_COMMON = {"deadline": _HANGS, "suppress_health_check": list(HealthCheck), "database": None, "print_blob": True}

settings.register_profile("ci", max_examples=24, derandomize=True, **_COMMON)
settings.register_profile("nightly", max_examples=400, **_COMMON)
settings.load_profile(os.environ.get("WORKBENCH_FUZZ", "ci"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases were tried, and how many of them were refused on purpose."""
    if outcomes.tried:
        terminalreporter.write_line(f"fuzz: {outcomes.tried} cases, {outcomes.refused} of them refused on purpose")
