"""A report whose results lie in a store: resumed, changed, and what its record says of all that."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from tests.reports import notebooks
from workbench import reports
from workbench.reports import store
from workbench.results import processor


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A report that fails at its last cell, that is run to its end, and that is asked for another power."""
    folder = tmp_path_factory.mktemp("resume")
    last = 'if not (CALLS.parent / "mended").exists():\n    raise KeyError("mend me")'
    notebook = notebooks.write(
        folder / "powers.ipynb",
        notebooks.STORED,
        notebooks.HEARD,
        last,
        parameters=notebooks.STORED_PARAMETERS,
    )
    out, steps, states = folder / "out", [], []

    def hear(step):
        steps.append(step)
        if step.within is not None:
            (out / "heard").touch()

    def keep(**parameters: int) -> None:
        (out / "calls.txt").unlink(missing_ok=True)
        done = reports.run(notebook, parameters, out, progress=hear)
        calls = out / "calls.txt"
        states.append(
            SimpleNamespace(
                run=done,
                record=json.loads((out / "report.json").read_text(encoding="utf-8")),
                calls=calls.read_text().split() if calls.exists() else [],
                entries=[
                    place.relative_to(out / "results").as_posix() for place, _ in store.entries(out / "results")
                ],
            )
        )

    keep()
    (out / "mended").touch()
    keep()
    keep(base=3, shown=2)
    return SimpleNamespace(states=states, steps=steps, out=out)


def test_a_report_that_failed_at_its_last_cell_computes_nothing_twice(runs):
    failed, ended, *_ = runs.states
    assert (failed.run.status, failed.run.cells) == ("failed", (4, 5))
    assert failed.calls == ["powers", "row", "row"]
    assert (ended.run.status, ended.calls) == ("finished", [])


def test_a_changed_parameter_computes_only_what_it_touches(runs):
    changed = runs.states[2]
    assert changed.run.status == "finished" and changed.calls == ["powers"]
    ways = {name: entry["how"] for name, entry in changed.record["entries"].items()}
    assert ways == {"powers": "computed", "rows/row-0": "reused", "rows/row-1": "reused"}


def test_what_the_parameter_replaced_waits_on_the_shelf_and_is_no_result_of_this_run(runs):
    changed = runs.states[2]
    assert changed.entries == ["powers", "rows/row-0", "rows/row-1"]
    assert [path.name.rpartition("-")[0] for path in (runs.out / "results" / ".shelf").iterdir()] == ["powers"]
    assert not any(name.startswith(".") for name in changed.record["files"])


def test_steps_from_within_a_cell_arrive_inside_those_of_the_report(runs):
    inner = [step for step in runs.steps if step.within is not None]
    assert {(step.text, step.done, step.total) for step in inner} == {("Part 2", 3, 5)}
    loops = {(step.within.text, step.within.done, step.within.total) for step in inner}
    assert ("part a", 0, 2) in loops
    told = [step.within.within for step in inner if step.within.within is not None]
    assert {(step.text, step.done, step.total) for step in told} == {("telling", 1, 4)}
    deepest = next(step for step in inner if step.within.within is not None and step.within.done == 0)
    assert deepest.share == pytest.approx((3 + (0 + 1 / 4) / 2) / 5)


def test_the_time_left_is_estimated_from_a_former_run(runs):
    first = [step.done for step in runs.steps].index(4)  # the first run ends before its last cell
    assert any(step.left is not None for step in runs.steps[first + 1 :])
    assert runs.steps[-1].left == 0.0
    assert runs.steps[0].left is None


def test_the_record_says_what_made_the_results(runs):
    record = runs.states[2].record
    assert record["format"] == 2 and record["seed"] is None and record["processor"] == processor()
    assert (record["devices"], record["dtypes"], record["device"]) == (["cpu"], ["torch.float32"], "cpu")
    assert record["passes"] == {"forward": 6}
    ((fingerprint, model),) = record["models"].items()
    assert len(fingerprint) == 64 and model["name"] == "tiny" and model["kind"] == "Generator"
    assert set(record["data"]) == {"mnist_sample.npz"}
    made = record["entries"]["powers"]["provenance"]
    assert made["call"] == "powers(...)" and made["fingerprint"] == fingerprint and made["versions"]
    sections = [section for section, _ in record["durations"]]
    assert sections == ["squares", "squares", "Part 1", "Part 2", "Part 3"]
    assert sum(seconds for _, seconds in record["durations"]) <= record["seconds"] + 0.1


def test_a_reused_result_keeps_its_own_provenance(runs):
    first, second = (state.record["entries"]["powers"] for state in runs.states[:2])
    assert (first["how"], second["how"]) == ("computed", "reused")
    assert first["provenance"] == second["provenance"] and first["key"] == second["key"]
