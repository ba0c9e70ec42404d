"""A run of a report leaves its notebook, its page and its record, and goes on where it stopped or failed."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import pytest
from nbclient.exceptions import DeadKernelError

from tests.reports import notebooks
from workbench import reports
from workbench.progress import _Bar
from workbench.reports import ReportError
from workbench.results import versions

HOSTILE = '"; import os; os._exit(3) #'
ASKED = {"size": 5, "name": HOSTILE, "scale": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One report stopped, then failing at its last cell, then to its end, in a folder with braces in its name."""
    folder = tmp_path_factory.mktemp("reports")
    # whatever a user has registered with Jupyter as python3 must not matter
    spec = folder / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/no/such/python", "{connection_file}"], "display_name": "other"}))
    last = 'if not (kept.parent / "mended").exists():\n    raise KeyError("mend me")'
    notebook = notebooks.write(folder / "squares.ipynb", notebooks.SQUARES, last, notebooks.FIGURE)
    out, steps = folder / "{out}", []
    states = []

    def keep(**options):
        done = reports.run(notebook, ASKED, out, **options)
        record = json.loads((out / "report.json").read_text(encoding="utf-8"))
        made = nbformat.read(out / "report.ipynb", as_version=4)
        page = (out / "report.html").read_text(encoding="utf-8")
        states.append(SimpleNamespace(run=done, record=record, notebook=made, page=page))

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        keep(progress=lambda step: step.done < 3)
        keep(progress=lambda step: None)
        (out / "results" / "mended").touch()
        keep(progress=steps.append, command="workbench report squares.ipynb")
    stopped, failed, finished = states
    return SimpleNamespace(out=out, stopped=stopped, failed=failed, finished=finished, steps=steps, path=notebook)


def outputs(state) -> list[str]:
    return ["".join(o.get("text", "") for o in c.get("outputs", ())) for c in state.notebook.cells]


def statuses(state) -> list[str]:
    cells = [c for c in state.notebook.cells if c.cell_type == "code"]
    return [cell.metadata.papermill.status for cell in cells]


def test_a_stopped_run_keeps_what_was_done_and_says_partial_everywhere(runs):
    state = runs.stopped
    assert (state.run.status, state.run.cells) == ("partial", (3, 5))
    assert (state.record["status"], state.record["cells"]) == ("partial", [3, 5])
    assert statuses(state) == ["completed"] * 3 + ["pending"] * 2  # papermill calls all of them completed
    assert "<b>partial</b>: 3 of 5 cells were run" in state.page
    assert set(state.record["files"]) == {"squares.csv"}


def test_a_failed_run_tells_the_cells_error_in_one_line_and_leaves_the_notebook_so_far(runs):
    state = runs.failed
    assert (state.run.status, state.run.cells) == ("failed", (3, 5))
    assert state.run.error == state.record["error"] == "In [4]: KeyError: 'mend me'"
    assert statuses(state) == ["completed"] * 3 + ["failed", "pending"]
    assert "<b>failed</b>" in state.page
    (alert,) = re.findall(r'role="alert">(.*?)</p>', state.page, re.S)
    assert "KeyError: 'mend me'" in alert


def test_a_run_goes_on_with_the_results_that_are_there(runs):
    printed = [any("computed" in text for text in outputs(s)) for s in (runs.stopped, runs.failed, runs.finished)]
    assert printed == [True, False, False]
    assert (runs.finished.run.status, runs.finished.run.cells, runs.finished.run.error) == ("finished", (5, 5), "")
    assert 'role="alert"' not in runs.finished.page


def test_parameters_arrive_as_values_and_never_as_code(runs):
    text = "".join(outputs(runs.finished))
    assert repr(HOSTILE) in text
    assert runs.finished.run.parameters == {
        "size": 5,
        "name": HOSTILE,
        "scale": 2.0,
        "marked": False,
        "sizes": [8, 32],
        "folder": str(runs.out / "results"),
    }


def test_the_kernel_is_that_of_this_python(runs):
    assert sys.executable in "".join(outputs(runs.finished)).splitlines()


def test_the_record_says_what_made_the_results(runs):
    record = runs.finished.record
    squares = (runs.out / "results" / "squares.csv").read_bytes()
    assert squares == b"0,1,4,9,16"
    assert record["files"]["squares.csv"] == hashlib.sha256(squares).hexdigest()
    assert record["sha256"] == hashlib.sha256(runs.path.read_bytes()).hexdigest()
    assert record["command"] == "workbench report squares.ipynb"
    assert "wb.reports.run(" in runs.failed.record["command"]
    assert record["parameters"] == runs.finished.run.parameters
    assert record["versions"] == versions()
    assert record["seconds"] > 0 and record["device"] and record["started"].startswith("20")


def test_progress_is_told_cell_by_cell_under_the_headings(runs):
    told = [(step.done, step.total, step.text) for step in runs.steps]
    sections = ["squares", "squares", "Part 1", "Part 2", "Part 3", "Part 3"]
    assert told == [(done, 5, text) for done, text in enumerate(sections)]


def test_the_page_holds_the_figure_that_the_kernel_showed_and_plotly_once(runs):
    page = runs.finished.page
    (shown,) = [o for c in runs.finished.notebook.cells for o in c.get("outputs", ()) if "data" in o]
    assert list(shown.data) == ["application/vnd.plotly.v1+json"]  # which nbconvert leaves out
    assert page.count('class="plotly-graph-div"') == 1
    assert page.count("plotly.js v") == 1
    assert "plotly.js v" not in runs.stopped.page  # no figure yet: no five megabytes
    assert not re.search(r"<(script|link|img|iframe)\b[^>]*\b(src|href)=", page)
    assert "<script>document.title" not in page


def test_a_folder_holds_one_report_with_one_choice_of_parameters(runs, tmp_path):
    kept = runs.out / "report.json"
    before = kept.read_bytes()
    with pytest.raises(
        ReportError, match=r"other parameters .size was 5 and is 6., and mended there does not say"
    ):
        reports.run(runs.path, {**ASKED, "size": 6}, runs.out)
    with pytest.raises(ReportError, match="holds the report 'squares'; give 'flip-points' another folder"):
        reports.run("flip-points", {}, runs.out)
    assert kept.read_bytes() == before


def test_what_cannot_be_written_or_holds_something_else_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(papermill, "execute_notebook", lambda *a, **k: pytest.fail("it ran"))
    mine = tmp_path / "thesis.tex"
    mine.write_text("years of work")
    with pytest.raises(ReportError, match="something else than a report; give a new or an empty folder"):
        reports.run("flip-points", {}, tmp_path)
    with pytest.raises(ReportError, match="cannot be written"):
        reports.run("flip-points", {}, mine / "below-a-file")
    with pytest.raises(ReportError, match="no parameter 'imges'"):
        reports.run("flip-points", {"imges": 3}, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("raised", "status", "told"),
    [(KeyboardInterrupt(), "partial", ""), (DeadKernelError(), "failed", "kernel died")],
)
def test_ctrl_c_and_a_dead_kernel_are_told_even_before_there_is_a_notebook(
    tmp_path, monkeypatch, raised, status, told
):
    def fails(*arguments: object, **options: object) -> None:
        raise raised

    monkeypatch.setattr(papermill, "execute_notebook", fails)
    done = reports.run("flip-points", {"folder": str(tmp_path / "elsewhere")}, tmp_path / "out")
    assert (done.status, done.cells[0]) == (status, 0)
    assert told in done.error
    assert json.loads((tmp_path / "out" / "report.json").read_text())["status"] == status
    assert [path.name for path in Path(tmp_path / "out").iterdir()] == ["report.json"]


def test_a_file_that_a_parameter_names_by_a_relative_path_may_lie_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = notebooks.write(tmp_path / "squares.ipynb", parameters='data = ""  # a file')
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "data.npy").touch()
    claim, report = importlib.import_module("workbench.reports.run")._claim, reports.find(notebook)
    assert claim(tmp_path / "here", report, {"data": "here/data.npy"}) == []
    assert claim(tmp_path / "here", report, {"data": str(tmp_path / "here" / "data.npy")}) == []
    for other in ("", "a\0b", "data.npy"):
        with pytest.raises(ReportError, match="holds something else than a report"):
            claim(tmp_path / "here", report, {"data": other})


def test_the_bar_in_the_terminal_is_closed_where_a_run_fails(tmp_path, monkeypatch):
    bars = []

    def failing(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("workbench.progress.terminal_progress", lambda: bars.append(_Bar()) or bars[0])
    monkeypatch.setattr(importlib.import_module("workbench.reports.run"), "_execute", failing)
    monkeypatch.setattr(_Bar, "close", lambda bar: bars.append("closed"))
    with pytest.raises(OSError, match="disk full"):
        reports.run(notebooks.write(tmp_path / "squares.ipynb"), {}, tmp_path / "out")
    assert bars[1:] == ["closed"]
