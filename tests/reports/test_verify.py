"""A report is run again, and its numbers are compared with those that it gave."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.reports import notebooks
from workbench import reports
from workbench.reports import ReportError, Run, verify

MODULE = importlib.import_module("workbench.reports.verify")

TABLE = "name,diversity,seconds\na,1.5,3.0\nb,,4.0\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A report that was run in a kernel."""
    folder = tmp_path_factory.mktemp("verify")
    notebook = notebooks.write(folder / "powers.ipynb", notebooks.STORED, parameters=notebooks.STORED_PARAMETERS)
    return reports.run(notebook, {"base": 3}, folder / "out", progress=lambda step: None).folder


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A report of three files, and what a second run of it would write."""
    first, asked = tmp_path / "first", []

    def write(
        folder: Path,
        *,
        diversity: str = "1.5",
        weight: float = 2.0,
        versions: dict | None = None,
        device: str = "cpu",
        more: dict | None = None,
    ) -> Path:
        results = folder / "results"
        results.mkdir(parents=True)
        seconds = len(asked)
        (results / "sets.csv").write_text(TABLE.replace("1.5", diversity).replace("3.0", str(seconds)))
        (results / "runs.json").write_text(json.dumps({"ended": str(folder), "settings": {"n": [1, 2]}}))
        save_file({"w": torch.tensor([1.0, weight])}, results / "kept.safetensors")
        made = {"device": device, "seconds": seconds, "call": "f()"}
        (results / "result.json").write_text(json.dumps({"provenance": made}))
        (results / "inputs.json").write_text(json.dumps({"key": str(folder), "made_by": versions}))
        if more is not None:
            save_file(more, results / ("big.safetensors" if "big" in more else "more.safetensors"))
        record = {
            "report": "squares",
            "notebook": str(notebooks.write(tmp_path / "squares.ipynb")),
            "sha256": "0",
            "format": 2,
            "parameters": {"size": 4, "folder": str(results)},
            "status": "finished",
            "versions": versions or {"torch": "2.0"},
            "device": device,
            "files": hashes(results),
        }
        (folder / "report.json").write_text(json.dumps(record))
        return folder

    def again(**differing):
        def run(name, parameters, out, *, progress=None):
            asked.append((name, dict(parameters)))
            folder = write(Path(out) / "again", **differing)
            return Run("squares", folder, "finished", {"folder": str(folder / "results")}, (1, 1), 1.0)

        monkeypatch.setattr(MODULE, "run", run)
        return verify(first, tmp_path / "second")

    return write, first, again, asked


def hashes(folder: Path) -> dict[str, str]:
    return importlib.import_module("workbench.reports.run").hashes(folder)


def test_a_report_with_a_store_holds_and_leaves_nothing_behind(made):
    found = verify(made, progress=lambda step: None)
    assert found.holds and found.tolerance == 0, found
    assert found.compared > 6  # the numbers, the rows, and what the result says of itself
    assert not found.run.folder.exists()
    assert (made / "results" / "powers" / "result.safetensors").is_file()


def test_times_and_places_are_not_compared_and_missing_numbers_are_the_same(second):
    write, first, again, asked = second
    write(first)
    found = again()
    assert found.holds and not found.differences
    # the columns, a name and a diversity in each of two rows, two settings, a call and two weights
    assert found.compared == 1 + 4 + 2 + 1 + 2
    ((name, parameters),) = asked
    assert name == first.parent / "squares.ipynb" and parameters == {"size": 4}


def test_each_value_that_differs_is_named_with_its_place(second):
    write, first, again, _ = second
    write(first)
    found = again(diversity="1.5000001", weight=3.0)
    assert not found.holds
    told = {d.where: (d.before, d.now) for d in found.differences}
    assert told == {
        "sets.csv, row 0, diversity": ("1.5", "1.5000001"),
        "kept.safetensors, w[1]": ("2.0", "3.0"),
    }


def test_with_other_versions_numbers_may_differ_a_little_and_the_reason_is_said(second):
    write, first, again, _ = second
    write(first, versions={"torch": "1.0"})
    found = again(diversity="1.5001")
    assert found.holds and found.tolerance == 1e-3 and found.why == "other versions"


def test_results_that_were_changed_since_are_told(second):
    write, first, again, _ = second
    write(first)
    (first / "results" / "sets.csv").write_text(TABLE.replace("1.5", "9.5"))
    found = again()
    assert found.changed == ("sets.csv",) and not found.holds
    assert [d.where for d in found.differences] == ["sets.csv, row 0, diversity"]


def test_a_value_that_one_run_lacks_is_a_difference(second):
    write, first, again, _ = second
    write(first)
    (first / "results" / "more.json").write_text("[1]")
    (difference,) = again().differences
    assert (difference.where, difference.before, difference.now) == ("more.json[0]", "1", "nothing")


def test_what_is_no_finished_report_is_refused(tmp_path, second):
    write, first, *_ = second
    with pytest.raises(ReportError, match="holds no report"):
        verify(tmp_path / "nowhere")
    write(first)
    record = json.loads((first / "report.json").read_text())
    (first / "report.json").write_text(json.dumps({**record, "status": "partial"}))
    with pytest.raises(ReportError, match="is partial; run it to its end first"):
        verify(first)
    (first / "report.json").write_text(json.dumps({**record, "parameters": {}}))
    with pytest.raises(ReportError, match="no parameter `folder`"):
        verify(first)
    write(second[1].parent / "newer")
    path = second[1].parent / "newer" / "report.json"
    path.write_text(json.dumps({**record, "status": "finished", "format": 3}))
    with pytest.raises(ReportError, match="has format 3, this version reads 1 to 2; update the workbench"):
        verify(path.parent)


def test_a_record_of_an_older_version_is_read_where_the_notebook_is_the_same(second):
    write, first, again, _ = second
    write(first)
    path = first / "report.json"
    record = {**json.loads(path.read_text()), "format": 1}
    path.write_text(json.dumps(record))
    with pytest.raises(ReportError, match="of an older version, whose results lie in other places"):
        again()
    path.write_text(json.dumps({**record, "sha256": reports.find(Path(record["notebook"])).sha256}))
    assert again().holds


def test_the_largest_difference_of_a_tensor_of_millions_is_told_with_its_place(second):
    write, first, again, _ = second
    write(first)
    big = torch.linspace(0, 1, 4_000_000).view(2000, 2000)
    big[0, :2] = torch.tensor([torch.nan, torch.inf])
    save_file({"big": big}, first / "results" / "big.safetensors")
    other = big.clone()
    other[3, 5] += 0.25
    other[1999, 7] -= 0.5
    found = again(more={"big": other})
    (difference,) = found.differences
    assert difference.where == "big.safetensors, big[1999, 7], the largest of 2"
    assert float(difference.before) - float(difference.now) == pytest.approx(0.5)
    assert found.compared > big.numel()


@pytest.mark.parametrize(
    ("before", "now", "where"),
    [
        (torch.tensor([1.0, torch.nan]), torch.tensor([1.0, 2.0]), "t[1]"),
        (torch.tensor([2**53, 1]), torch.tensor([2**53 + 1, 1]), "t[0]"),
        (torch.tensor([True, False]), torch.tensor([True, True]), "t[1]"),
        (torch.tensor(1.0), torch.tensor(2.0), "t[]"),
        (torch.tensor([1 + 1j]), torch.tensor([1 - 1j]), "t[0, 1]"),
        (torch.zeros(2), torch.zeros(3), "t"),
        (torch.zeros(2), torch.zeros(2).double(), "t"),
    ],
)
def test_tensors_of_every_kind_are_compared(second, before, now, where):
    write, first, again, _ = second
    write(first)
    save_file({"t": before}, first / "results" / "more.safetensors")
    (difference,) = again(more={"t": now}).differences
    assert difference.where == f"more.safetensors, {where}"


def test_where_and_when_an_entry_was_made_is_not_compared(second):
    """Another device and other versions give another key, and seconds are never the same."""
    write, first, again, _ = second
    write(first, versions={"torch": "1.0"})
    save_file({"seconds/dss/0": torch.tensor(1.0), "w": torch.tensor(1.0)}, first / "results" / "more.safetensors")
    found = again(more={"seconds/dss/0": torch.tensor(2.0), "w": torch.tensor(1.0)}, device="cuda")
    assert found.holds and found.why == "cpu then, cuda now, other versions"


def test_the_notebook_of_ones_own_is_run_again_though_a_report_that_ships_has_its_name(second, monkeypatch):
    write, first, again, asked = second
    shipped = reports.find("flip-points")
    monkeypatch.setattr(MODULE, "catalogue", lambda: [replace(shipped, name="squares")])
    write(first)
    assert again().holds
    assert asked[0][0] == first.parent / "squares.ipynb"


def test_a_report_that_ships_is_found_by_its_name_where_its_notebook_has_moved(second, monkeypatch):
    write, first, again, asked = second
    shipped = reports.find("flip-points")
    monkeypatch.setattr(MODULE, "catalogue", lambda: [replace(shipped, name="squares")])
    write(first)
    (first.parent / "squares.ipynb").unlink()
    record = json.loads((first / "report.json").read_text())
    (first / "report.json").write_text(json.dumps({**record, "notebook": "/elsewhere/squares.ipynb"}))
    assert again().holds
    assert asked[0][0] == "squares"
