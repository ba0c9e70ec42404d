"""A sweep of a report runs each combination once, keeps what finished and tells of what failed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import workbench as wb
from tests.project import ROOT
from tests.reports import notebooks
from workbench import cli
from workbench.datasets import mnist
from workbench.sweeps.numbers import numbers

#: Fails for size 3 until it is mended, and counts how often it is run.
COUNTED = """
from pathlib import Path
import json
kept = Path(folder)
kept.mkdir(exist_ok=True)
with (kept.parents[2] / "times.txt").open("a") as times:
    times.write(f"{size}\\n")
if size == 3 and not (kept.parents[2] / "mended").exists():
    raise ValueError("three is too many")
(kept / "sums.json").write_text(json.dumps({"total": size * scale, "all": [1, 2], "even": size % 2 == 0}))
(kept / "claims.csv").write_text("claim,holds\\na,True\\nb,False\\n")
"""


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory, scheduler):
    """A sweep with a run that fails, then with that run mended and a grid that has grown."""
    folder = tmp_path_factory.mktemp("sweeps")
    notebook = notebooks.write(folder / "squares.ipynb", COUNTED)
    out, steps = folder / "out", []
    first = wb.sweeps.reports(
        notebook, {"size": [2, 3], "scale": 2}, out, scheduler=scheduler, progress=steps.append
    )
    record = json.loads((out / "sweep.json").read_text())
    (out / "mended").touch()
    again = wb.sweeps.reports(notebook, {"size": [2, 3, 4], "scale": 2}, out, scheduler=scheduler)
    return SimpleNamespace(out=out, first=first, again=again, record=record, steps=steps, path=notebook)


def test_a_run_that_fails_is_told_and_the_others_go_on(sweeps):
    first = sweeps.first
    assert (first.status, len(first.runs), len(first.ran)) == ("failed", 2, 1)
    ((name, told),) = first.errors.items()
    assert name.startswith("size=3-")
    assert "three is too many" in told
    assert (sweeps.record["status"], sweeps.record["errors"]) == ("failed", {name: told})
    assert [step.done for step in sweeps.steps] == [0, 1, 2]


def test_the_table_has_a_row_a_run_with_its_parameters_and_numbers(sweeps):
    good, bad = sweeps.first.table.to_dict("records")
    assert (good["size"], good["scale"], good["status"], good["error"]) == (2, 2.0, "finished", "")
    assert (good["sums.total"], good["sums.even"], good["claims.holds"], good["claims.rows"]) == (4.0, True, 1, 2)
    assert "sums.all" not in good
    assert (bad["size"], bad["status"]) == (3, "failed")
    assert "three is too many" in bad["error"]
    assert good["seconds"] > 0
    assert len((sweeps.out / "table.csv").read_text().splitlines()) == 1 + len(sweeps.again.table)


def test_what_has_finished_is_not_run_again_and_what_failed_is(sweeps):
    again = sweeps.again
    assert again.status == "finished"
    assert [name.partition("-")[0] for name in again.runs] == ["size=2", "size=3", "size=4"]
    assert sorted(name.partition("-")[0] for name in again.ran) == ["size=3", "size=4"]
    times = (sweeps.out / "times.txt").read_text().split()
    assert sorted(times) == ["2", "3", "3", "4"]


def test_each_run_is_a_report_with_the_command_that_makes_it(sweeps):
    for name in sweeps.again.runs:
        folder = sweeps.out / "runs" / name
        assert {"report.ipynb", "report.html", "report.json", "results"} <= {p.name for p in folder.iterdir()}
        command = json.loads((folder / "report.json").read_text())["command"]
        assert command.startswith(f"workbench report {sweeps.path}")
        assert ("-psize=3" in command) == name.startswith("size=3")


def test_a_folder_holds_sweeps_of_one_report(sweeps):
    with pytest.raises(
        wb.sweeps.SweepError, match=r"holds another sweep .report was 'squares' and is 'flip-points'"
    ):
        wb.sweeps.reports("flip-points", {}, sweeps.out)


def test_numbers_are_taken_from_objects_and_short_tables_only(tmp_path):
    (tmp_path / "one.csv").write_text("name,value,good\na,1.5,True\n")
    (tmp_path / "many.csv").write_text("value\n1\n2\n3\n")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "result.json").write_text('{"format": 1, "provenance": {}}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "picture.png").write_bytes(b"")
    for folder in ("part", ".shelf"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "n.json").write_text('{"k": 7}')
    assert numbers(tmp_path) == {"one.value": 1.5, "one.good": True, "many.rows": 3, "part/n.k": 7}
    assert numbers(tmp_path / "missing") == {}


# -- the command line --------------------------------------------------------------------------


def run(*arguments: str):
    return CliRunner().invoke(cli.app, ["sweep", *arguments])


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """A file to write a grid into, on a wide terminal."""
    monkeypatch.setattr(cli, "console", Console(width=240))
    return tmp_path / "grid.yaml"


def test_a_dry_run_says_what_would_run(grid, tmp_path):
    grid.write_text("images: [100, 200]\nclassifier: mnist-erf-1\n")
    done = run("flip-points", "--grid", str(grid), "--out", str(tmp_path / "out"), "--dry-run")
    assert done.exit_code == 0
    assert "flip-points: 2 runs" in done.output
    assert "images=200, classifier='mnist-erf-1'" in done.output
    grid.write_text("classifier: mnist-erf-1\ndata: mnist/sample\nshard: 256\neffort: fast\n")
    done = run("flip_points.closest", "--grid", str(grid), "--dry-run")
    told = "flip_points.closest of mnist-erf-1 over mnist/sample, effort='fast': 1,000 queries in 4 shards"
    assert told in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("flip-point", "", "methods that can be swept are flip_points.closest, "),
        ("flip-points", "images: [1, many]", "images[1]: images is 'many'; expected int"),
        ("flip_points.closest", "classifier: mnist-cnn", "data is None in"),
        ("flip_points.closest", "{classifier: c, data: mnist/sample, shard: 0}", "shard is 0 in"),
        ("flip_points.closest", "{classifier: c, data: mnist/sample, workers: 3}", "has no option 'workers'"),
        ("flip_points.closest", "{classifier: mnist-cmn, data: mnist/sample}", "mnist-cnn"),
    ],
)
def test_what_does_not_fit_ends_with_a_message(grid, tmp_path, name, text, told):
    grid.write_text(text)
    done = run(name, "--grid", str(grid), "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert told in done.output
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_what_is_stored_and_the_next_run_goes_on(grid, tmp_path, scheduler):
    grid.write_text("classifier: mnist-erf-1\ndata: few.npy\nshard: 2\neffort: fast\n")
    np.save(tmp_path / "few.npy", mnist.sample().tensor()[:20].numpy())
    out = tmp_path / "out"
    code = (  # where the tests run in the background, a shell has had them ignore Ctrl-C
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from workbench.cli import app; app(prog_name='workbench')"
    )
    command = [sys.executable, "-c", code, "sweep", "flip_points.closest", "--grid", "grid.yaml"]
    process = subprocess.Popen(
        [*command, "--out", "out", "--workers", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,  # so that its workers get the signal, too, as from a terminal, and pytest does not
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list((out / "shards").glob("*/result.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    assert "run it again to go on with what is stored" in printed
    stored = len(list((out / "shards").glob("*/result.json")))
    assert 1 <= stored < 10
    assert json.loads((out / "sweep.json").read_text())["status"] == "partial"
    again = wb.sweeps.over(
        "flip_points.closest",
        "mnist-erf-1",
        tmp_path / "few.npy",
        out,
        shard=2,
        scheduler=scheduler,
        effort="fast",
    )
    assert (again.status, len(again.computed)) == ("finished", 10 - stored)
