"""Every method on networks that nobody here wrote: it runs and gives a checked result, or says why it does not.

What each says is compared with the table in docs/guides/strangers.md; `WORKBENCH_WRITE=1` writes it anew.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import workbench as wb
from tests.project import ROOT
from tests.strangers import table
from tests.strangers.methods import METHODS
from tests.strangers.networks import MOST_LINES, STRANGERS, Stranger

GUIDE = ROOT / "docs" / "guides" / "strangers.md"
_WRITING = bool(os.environ.get("WORKBENCH_WRITE"))

#: What was seen in this run, by network and method.
_seen: dict[str, dict[str, str]] = {}
_adapted: dict[str, wb.Generator | wb.Classifier | str] = {}


def _marks(stranger: Stranger, more: list[object]) -> list[pytest.MarkDecorator]:
    return [pytest.mark.nightly] if {"all", *more} & set(stranger.slow) else []


def _cases(*rest: list[object]) -> list[object]:
    return [
        pytest.param(s, *more, id="-".join([s.name, *map(str, more)]), marks=_marks(s, more))
        for s in STRANGERS
        for more in (rest or [[]])
    ]


@pytest.fixture(scope="module", autouse=True)
def guide() -> Iterator[table.Guide]:
    """The committed guide; written anew at the end where that was asked for."""
    yield table.Guide.read(GUIDE)
    if _WRITING:
        GUIDE.parent.mkdir(parents=True, exist_ok=True)
        GUIDE.write_text(table.Guide.of(STRANGERS, _seen).text(), encoding="utf-8")


def _adapt(stranger: Stranger) -> wb.Generator | wb.Classifier | str:
    """The stranger's model, or why there is none."""
    if stranger.name not in _adapted:
        pytest.importorskip(stranger.package)
        torch.manual_seed(0)
        network = stranger.build()
        try:
            _adapted[stranger.name] = stranger.adapt(network)
        except wb.models.ModelError as error:
            _adapted[stranger.name] = f"refuses: {error}"
    return _adapted[stranger.name]


def _outcome(stranger: Stranger, method: str) -> str:
    """`runs`, or `refuses: ` and why; an error that the workbench did not raise on purpose is raised."""
    model = _adapt(stranger)
    if isinstance(model, str):
        return model
    try:
        METHODS[method](model)
    except (wb.models.WorkbenchError, ValueError) as error:
        where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not where.is_relative_to(ROOT / "workbench"):
            raise
        return f"refuses: {error}"
    return "runs"


@pytest.mark.parametrize(("stranger", "method"), _cases(*([m] for m in METHODS)))
def test_runs_or_refuses_as_the_guide_says(stranger: Stranger, method: str, guide: table.Guide) -> None:
    seen = _outcome(stranger, method)
    _seen.setdefault(stranger.name, {})[method] = seen
    if not _WRITING:
        assert seen == guide.rows[stranger.name][method]


@pytest.mark.parametrize("stranger", _cases())
def test_the_adapter_is_short_and_the_network_stays_as_it_was(stranger: Stranger) -> None:
    assert stranger.lines <= MOST_LINES
    pytest.importorskip(stranger.package)
    network = stranger.build()
    before, modes = _state(network), [m.training for m in network.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    try:
        model = stranger.adapt(network)
    except wb.models.ModelError:
        model = None
    if isinstance(model, wb.Generator):
        model.sample(2, condition=0 if model.class_names else None)
    elif model is not None:
        model.scores(torch.zeros(2, *model.input_shape))
    after = _state(network)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name].nan_to_num(), after[name].nan_to_num()) for name in before)
    assert [m.training for m in network.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()] == hooks


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_every_network_of_the_guide_is_tested(guide: table.Guide) -> None:
    if not _WRITING:
        assert list(guide.rows) == [s.name for s in STRANGERS]
        assert guide.about == {s.name: (s.source, s.lines) for s in STRANGERS}


def test_a_table_reads_as_it_was_written() -> None:
    rows = {s.name: dict.fromkeys(METHODS, "runs") for s in STRANGERS}
    rows[STRANGERS[0].name]["subspaces"] = "refuses: it is | no generator"
    again = table.Guide.parse(table.Guide.of(STRANGERS, rows).text())
    assert again.rows == rows
