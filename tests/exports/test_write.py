"""Reports of panels, run in a kernel: by a call and by the button, in folders of any name, stopped on the way."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.exports import ExportError, links, view, write
from workbench.exports.write import REPORTS
from workbench.progress import Cancelled, Step, as_steps, stop
from workbench.reports import Run

FOLDER = "it's {x} <b>& €"


@pytest.fixture(scope="module")
def own() -> Any:
    """A panel of a network that no zoo knows, with its flip point on screen."""
    torch.manual_seed(0)
    C = wb.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(9, 3)), (1, 3, 3), device="cpu", name="<mine>")
    panel = wb.flip_points.Panel(C, torch.rand(2, 1, 3, 3), effort="fast")
    assert panel.one.jobs.wait(60)
    yield panel
    panel.close()


@pytest.mark.nightly
def test_a_network_of_the_zoo_is_verified_by_running_its_report_again(tmp_path: Path):
    panel = wb.subspaces.Panel(wb.load("mnist-dcgan-2d", device="cpu"), seed=3, steps=5)
    assert panel.jobs.wait(60)
    run = panel.export(tmp_path / FOLDER, progress=lambda step: None)
    panel.close()
    assert (run.status, run.error) == ("finished", "")
    assert {path.name for path in run.folder.iterdir()} == {
        "report.html",
        "report.ipynb",
        "report.json",
        "results",
        "subspace-search-panel.ipynb",
    }
    assert set(json.loads((run.folder / "report.json").read_text())["files"]) == {
        "line/result.json",
        "line/result.safetensors",
        "path/result.json",
        "path/result.safetensors",
        "singular_values.safetensors",
    }
    line = wb.load_result(run.folder / "results" / "line")
    assert torch.equal(line.outputs, panel.line.outputs) and line.provenance == panel.line.provenance
    verified = wb.reports.verify(run.folder, progress=lambda step: None)
    assert verified.holds, (verified.differences, verified.run)


def test_the_button_writes_a_report_of_a_network_of_ones_own_behind_the_panel(own: Any, tmp_path: Path):
    own.report.folder.value = str(tmp_path / FOLDER)
    own.report.button.click()
    assert own.report.jobs.wait(120) and own.report.jobs.error is None, own.report.jobs.error
    run = own.report.run
    assert (run.status, run.error, run.folder) == ("finished", "", tmp_path / FOLDER)
    assert "it&#x27;s {x} &lt;b&gt;&amp; €</code>" in own.report.said.value
    assert "One query" in (run.folder / "report.html").read_text(encoding="utf-8")
    # the same name again is refused, and what is there stays
    before = sorted(tmp_path.rglob("*"))
    own.report.button.click()
    assert own.report.jobs.wait(60)
    assert "holds something already; give a new or an empty folder" in own.report.jobs.text
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_no_folder_can_have_is_refused_and_nobodys_home_is_a_name_like_any_other(
    own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match="cannot be written: embedded null byte; give another folder"):
        own.export("a\0b")
    (tmp_path / "~nobody has this name").write_text("taken")
    with pytest.raises(ExportError, match=r"^~nobody has this name holds something already; give a new or an"):
        own.export("~nobody has this name")


def test_without_a_name_the_folder_is_new_each_time(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr("workbench.reports.run", lambda source, parameters, place, progress: asked.append(place))
    for _ in range(2):
        write(own.report.describe())
    assert len(set(asked)) == 2 and {place.parent for place in asked} == {tmp_path / REPORTS}
    with pytest.raises(ExportError, match="cannot be written"):
        write(own.report.describe(), Path(__file__) / "below-a-file")


def test_cancel_stops_a_report_and_keeps_what_there_is(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun = threading.Event()

    def endless(export: Any, folder: str, *, progress: Any) -> Run:
        done = 0
        while progress(Step(done, 9, "One query")) is not False:
            begun.set()
            done = min(done + 1, 8)
        return Run("flip-points-panel", tmp_path, "partial", {}, (done, 9), 1.0)

    monkeypatch.setattr(view, "write", endless)
    own.report.button.click()
    assert begun.wait(30)
    own.report.jobs.cancel()
    assert own.report.jobs.wait(30)
    assert own.report.run.status == "partial"
    assert "Stopped after" in own.report.said.value and not own.report.button.disabled


def test_a_function_with_progress_becomes_steps_that_can_be_stopped():
    told: list[bool] = []

    def count(progress: Any) -> int:
        for number in range(10**9):
            told.append(progress(Step(number)))
            if told[-1] is False:
                return number
        return -1

    steps = as_steps(count)
    step = next(steps)
    assert stop(steps, step) == len(told) - 1 and told[-1] is False
    assert list(as_steps(lambda progress: progress(Step(3)))) == [Step(3)]
    failing = as_steps(lambda progress: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(failing)
    with pytest.raises(Cancelled):
        stop(as_steps(lambda progress: None), Step(0))


def test_a_file_is_linked_where_the_kernels_server_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    servers = [
        {"pid": 1, "root_dir": str(tmp_path), "base_url": "/"},
        {"pid": 7, "root_dir": str(tmp_path), "base_url": "/user/x/"},
    ]
    monkeypatch.setenv("JPY_PARENT_PID", "7")
    monkeypatch.setitem(
        __import__("sys").modules,
        "jupyter_server.serverapp",
        SimpleNamespace(list_running_servers=lambda: iter(servers)),
    )
    assert links.served(tmp_path / "a b" / "report.html") == "/user/x/files/a%20b/report.html"
    assert links.served(tmp_path / "report.ipynb", "lab/tree") == "/user/x/lab/tree/report.ipynb"
    assert links.served(tmp_path.parent / "elsewhere.html") is None
