"""A closed panel leaves no widget alive, however it was used before, and is not held by anything."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

import workbench as wb
from tests.ui.controls import CONTROLS
from tests.ui.gated import (
    PANELS,
    Computations,
    Gate,
    layered_generator,
    panel_of,
    small_classifier,
)
from workbench.ui.closed_widgets import ClosedWidgets
from workbench.ui.shared_module import ModuleSource


def left_by(make: Callable[[], Any], use: Callable[[Any], None], computations: Computations) -> list[str]:
    """What is alive once a panel that was made and used is closed, beyond what was before."""
    before = set(_instances)
    panel = make()
    computations.finish()
    use(panel)
    computations.finish()
    assert len(_instances) > len(before) + 10
    panel.close()
    computations.jobs.clear()
    held = weakref.ref(panel)
    del panel
    gc.collect()
    assert held() is None
    for kept in (*ModuleSource._made.values(), ClosedWidgets._made):  # of the whole kernel
        before |= {kept.model_id, kept.layout.model_id}
    return sorted(type(_instances[name]).__name__ for name in set(_instances) - before)


@pytest.mark.nightly
@pytest.mark.parametrize("method", PANELS)
def test_a_closed_panel_leaves_no_widget(method: str, computations: Computations) -> None:
    def use(panel: Any) -> None:
        for (of, _), control in CONTROLS.items():
            if of == method:
                send, _ = control(panel)
                send(0)
                computations.finish()

    assert left_by(lambda: panel_of(method, Gate()), use, computations) == []


def test_closed_tabs_leave_no_widget(computations: Computations, tmp_path: Any) -> None:
    def use(tabs: Any) -> None:
        for name in tabs._names:
            tabs.show(name)
            computations.finish()

    def make() -> Any:
        generator, classifier = layered_generator(Gate()), small_classifier(Gate())
        return wb.open(generator, classifier, session=tmp_path / "a.workbench")

    assert left_by(make, use, computations) == []
