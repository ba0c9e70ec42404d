"""What the tests of several panels share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from tests.ui.gated import Computations
from workbench.progress import Step
from workbench.ui.jobs import Jobs


@pytest.fixture
def computations(monkeypatch: pytest.MonkeyPatch) -> Computations:
    """The workers of all panels that are made while it is in use."""
    found = Computations()
    make, submit = Jobs.__init__, Jobs.submit

    def made(self: Jobs, *arguments: Any) -> None:
        make(self, *arguments)
        found.jobs.append(self)

    def submitted(
        self: Jobs, make_steps: Callable[[], Generator[Step, None, Any]], *rest: Any, **named: Any
    ) -> None:
        def begin() -> Generator[Step, None, Any]:
            found.begun[id(self), named["label"]] += 1
            return make_steps()

        submit(self, begin, *rest, **named)

    monkeypatch.setattr(Jobs, "__init__", made)
    monkeypatch.setattr(Jobs, "submit", submitted)
    return found
