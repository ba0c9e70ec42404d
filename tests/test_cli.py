"""The command line says what is here, what is missing, and what to do about it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

import workbench as wb
from tests.project import ROOT
from workbench import cli, reports
from workbench.datasets import mnist
from workbench.errors import WorkbenchError
from workbench.progress import Step
from workbench.reports.contents import ContentError
from workbench.results import ResultError
from workbench.sweeps import SweepError
from workbench.ui import assets
from workbench.zoo import registry


@pytest.fixture(autouse=True)
def wide_console(monkeypatch):
    monkeypatch.setattr(cli, "console", Console(width=240))


def run(*arguments: str):
    """What a command printed, and how it ended."""
    result = CliRunner().invoke(cli.app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def started(monkeypatch):
    """The commands that would have replaced this process."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: commands.append(command))
    monkeypatch.setattr(os, "environ", {**os.environ})
    return commands


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """The workbench as if it came from a wheel with two notebooks."""
    bundled = tmp_path / "site-packages" / "workbench" / "_bundled"
    for name in ("tutorials/first.ipynb", "reports/second.ipynb"):
        path = bundled / "notebooks" / name
        path.parent.mkdir(parents=True)
        path.write_text(f"shipped {name}")
    monkeypatch.setattr(assets, "_PACKAGE", bundled.parent)


# -- lab ---------------------------------------------------------------------------------------


def test_lab_in_a_checkout_opens_the_checkouts_own_notebooks(started):
    run("lab")
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={ROOT / 'notebooks'}" in command


def test_lab_opens_the_tutorials(started, installed, tmp_path):
    run("lab", "--dir", str(tmp_path / "mine"))
    assert "--LabApp.default_url=/lab/tree/tutorials" in started[0]


def test_lab_keeps_the_token_and_asks_for_nothing_that_weakens_it(started):
    run("lab", "--no-browser", "--port", "9001")
    (command,) = started
    assert {"--no-browser", "--port=9001"} <= set(command)
    assert not any(word in part for part in command for word in ("token", "password", "xsrf", "origin", "--ip"))


def test_lab_starts_kernels_of_its_own_environment(started):
    run("lab")
    assert os.environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_lab_of_a_wheel_copies_the_notebooks_into_the_users_folder(started, installed, tmp_path):
    run("lab", "--dir", str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "tutorials" / "first.ipynb").read_text() == "shipped tutorials/first.ipynb"
    assert f"--ServerApp.root_dir={tmp_path / 'mine'}" in started[0]


def test_lab_of_a_wheel_never_overwrites_what_the_user_changed(started, installed, tmp_path):
    mine = tmp_path / "mine" / "tutorials" / "first.ipynb"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own notes")
    run("lab", "--dir", str(tmp_path / "mine"))
    assert mine.read_text() == "my own notes"
    assert (tmp_path / "mine" / "reports" / "second.ipynb").exists()


# -- models ------------------------------------------------------------------------------------


def test_models_lists_the_whole_zoo():
    printed = run("models").stdout
    for entry in wb.zoo():
        assert entry.name in printed


def test_models_says_which_weights_are_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    (line,) = [line for line in run("models").stdout.splitlines() if line.startswith("mnist-cnn ")]
    assert "missing" in line


# -- doctor ------------------------------------------------------------------------------------


def findings() -> dict[str, cli.Finding]:
    return {f.what: f for f in [*cli._devices(), *cli._versions(), *cli._weights(), *cli._data()]}


def test_doctor_finds_nothing_essential_missing_here():
    result = run("doctor")
    assert result.exit_code == 0, result.stdout


def test_doctor_names_the_devices_and_the_versions_with_what_is_supported():
    found = findings()
    assert "cpu" in found["device"].found
    assert found["torch"].good
    assert ">=" in found["torch"].found
    assert found["torch and torchvision"].good


@pytest.mark.parametrize("installed_version", ["1.13.1", None])
def test_doctor_fails_where_a_part_is_too_old_or_missing_and_says_how_to_get_it(monkeypatch, installed_version):
    def version(name: str) -> str:
        if name != "torch":
            return "9999"
        if installed_version is None:
            raise cli.PackageNotFoundError(name)
        return installed_version

    monkeypatch.setattr(cli, "version", version)
    result = run("doctor")
    assert result.exit_code == 1
    assert "pip install 'torch>=" in result.stdout


def test_doctor_fails_where_torch_and_torchvision_do_not_fit(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # its import raises, as a mismatched build's does
    result = run("doctor")
    assert result.exit_code == 1
    assert "install both in one pip command" in result.stdout


def test_doctor_fails_where_the_shipped_weights_are_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    result = run("doctor")
    assert result.exit_code == 1
    assert "reinstall latent-workbench" in result.stdout


def test_doctor_lives_without_the_face_generator_and_says_how_to_get_it(monkeypatch):
    faces = registry.find("digiface-dcgan")
    monkeypatch.setattr(type(faces), "path", property(lambda entry: None if entry is faces else Path("here")))
    result = run("doctor")
    assert result.exit_code == 0
    assert "pip install --no-deps gan-face-generate" in result.stdout


def test_doctor_lives_without_the_full_data_and_says_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setattr(mnist, "folders", lambda: [tmp_path])
    found = findings()["MNIST in full"]
    assert (found.good, found.essential) == (False, False)
    assert "WORKBENCH_DATA" in found.advice


def test_doctor_looks_for_the_lpips_backbone_where_torch_would(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert str(tmp_path) in findings()["LPIPS backbone"].advice
    backbone = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    backbone.parent.mkdir(parents=True)
    backbone.touch()
    assert findings()["LPIPS backbone"].good


def test_doctor_says_when_the_chromium_that_was_asked_for_does_not_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CHROMIUM", str(tmp_path / "no-chromium"))
    assert not findings()["Chromium"].good


# -- reports -----------------------------------------------------------------------------------


def test_reports_lists_every_report_with_its_parameters():
    printed = run("reports").stdout
    for report in reports.catalogue():
        assert f"{report.name}: {report.title}" in printed
        for p in report.parameters:
            assert re.search(
                rf"^{p.name} +{p.kind} +{re.escape(repr(p.default))} *{re.escape(p.meaning)}$", printed, re.M
            )


@pytest.fixture
def ran(monkeypatch):
    """What a report would have been run with; how the run ends is up to the test."""
    calls = SimpleNamespace(arguments=None, status="finished", error="")

    def fake(name, parameters, out, **options):
        calls.arguments, calls.options = (name, parameters, out), options
        options["progress"](Step(1, 4, "Part [1]"))
        return reports.Run(name, out, calls.status, parameters, (1, 4), 2.0, calls.error)

    monkeypatch.setattr(reports, "run", fake)
    return calls


def test_report_reads_values_as_literals_of_the_parameters_types(ran, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/bin/workbench", "report", "flip points"])
    result = run("report", "flip-points", "-p", "images=60", "-p", "part=test=", "-p", "tolerance=1", "--out", "x")
    assert result.exit_code == 0, result.stdout
    assert ran.arguments == ("flip-points", {"images": 60, "part": "test=", "tolerance": 1.0}, Path("x"))
    assert ran.options["command"] == "workbench report 'flip points'"
    assert result.stdout == "finished: 1 of 4 cells in 2 s; x\n"  # and no bar where there is no terminal


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["flip-pints"], "did you mean 'flip-points'?"),
        (["flip-points", "-p", "imags=3"], "did you mean 'images'?"),
        (["flip-points", "-p", "images=many"], "images is 'many'; expected int, such as the default 600"),
        (["flip-points", "-p", "images"], "-p images is no parameter; expected -p key=value"),
        (["flip-points", "-p", "images=3", "-p", "images=4"], "-p images is given twice"),
    ],
)
def test_report_refuses_what_it_cannot_run_before_anything_runs(ran, arguments, told):
    result = run("report", *arguments, "--out", "x")
    assert (result.exit_code, ran.arguments) == (2, None)
    assert told in result.stdout


def test_report_tells_the_error_of_a_cell_in_a_line_and_fails(ran):
    ran.status, ran.error = "failed", "In [4]: KeyError: 'k'"
    result = run("report", "flip-points", "--out", "x")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["failed: 1 of 4 cells in 2 s; x", "In [4]: KeyError: 'k'"]


def test_report_that_was_stopped_says_how_to_go_on(ran):
    ran.status = "partial"
    result = run("report", "flip-points", "--out", "x")
    assert result.exit_code == 130
    assert "run it again to go on" in result.stdout


def test_progress_tells_the_time_left_the_cell_and_what_it_does():
    inner = Step(1, 4, "layer 6", within=Step(30, 60, "masks"))
    told = cli._line(Step(2, 5, "Samples", within=inner, left=75.4))
    assert told == "about 0:01:15 to go · cell 3 of 5: Samples · layer 6 1/4 · masks 30/60"
    assert cli._line(Step(5, 5, "Samples")) == "cell 5 of 5: Samples"


@pytest.mark.parametrize(("changed", "code"), [((), 0), (("sets.csv",), 1)])
def test_verify_says_how_many_values_agree_and_fails_where_the_report_was_changed(monkeypatch, changed, code):
    second = reports.Run("flip-points", Path("x"), "finished", {}, (1, 1), 1.0)
    found = reports.Verification(second, 12, 0.0, "", (), changed)
    monkeypatch.setattr(reports, "verify", lambda folder, out, *, tolerance, progress: found)
    result = run("verify", "x")
    assert result.exit_code == code and "12 of 12 values are equal" in result.stdout
    assert ("sets.csv is not what the report wrote" in result.stdout) == bool(changed)


def test_verify_prints_the_values_that_differ_with_their_places(monkeypatch):
    second = reports.Run("flip-points", Path("x"), "finished", {}, (1, 1), 1.0)
    differences = tuple(reports.Difference(f"sets.csv, row {row}, diversity", "1", "2") for row in range(25))
    found = reports.Verification(second, 30, 1e-3, "other versions", differences, ())
    monkeypatch.setattr(reports, "verify", lambda folder, out, *, tolerance, progress: found)
    result = run("verify", "x")
    assert result.exit_code == 1 and "sets.csv, row 0, diversity: was 1, is 2" in result.stdout
    assert "and 5 more" in result.stdout
    assert "5 of 30 values are within 0.001 (other versions)" in result.stdout


def test_verify_refuses_a_folder_without_a_report(tmp_path):
    result = run("verify", str(tmp_path))
    assert result.exit_code == 2 and "holds no report" in result.stdout


def test_sweep_tells_a_wrong_option_of_the_method_in_a_line(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("classifier: mnist-erf-1\ndata: mnist/sample\neffort: quick\n")
    result = run("sweep", "flip_points.closest", "--grid", str(grid), "--out", str(tmp_path / "out"))
    assert result.exit_code == 2, result.output
    assert "effort='quick'" in result.stdout and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        *((ResultError, ValueError), (reports.ReportError, ValueError), (reports.StoreError, ValueError)),
        *((ContentError, TypeError), (SweepError, ValueError)),
    ],
)
def test_the_errors_that_are_raised_on_purpose_have_one_base(error, builtin):
    assert issubclass(error, WorkbenchError) and issubclass(error, builtin)
