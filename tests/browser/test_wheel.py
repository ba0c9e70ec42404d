"""The built wheel, installed into an empty environment, holds everything and opens the panel from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import harness
from tests.browser.harness import Lab
from tests.project import ROOT
from workbench.zoo import registry

pytestmark = pytest.mark.wheel

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path) -> Iterator[Path]:
    """The interpreter of a new environment that holds the wheel and what it depends on, nothing else."""
    # Not one of pytest's folders, which outlive the tests: this one holds gigabytes.
    folder = Path(tempfile.mkdtemp(prefix="workbench-wheel-"))
    try:
        call(sys.executable, "-m", "venv", folder)
        interpreter = folder / "bin" / "python"
        pair = [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "torchvision")]
        pip = (interpreter, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check")
        call(*pip, *pair, wheel)
        yield interpreter
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def installed_lab(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A JupyterLab of that environment, to which the checkout is unknown."""
    with monkeypatch.context() as patched:
        patched.setattr(harness, "ROOT", tmp_path)
        patched.setattr(sys, "executable", str(python))
        patched.delenv("PYTHONPATH", raising=False)
        lab = Lab(tmp_path)
    yield lab
    lab.close()


def call(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command away from the checkout and return what it printed; a failure fails the test."""
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "WORKBENCH_DATA")}
    done = subprocess.run(
        command,
        cwd=cwd or tempfile.gettempdir(),
        env=outside,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_holds_widgets_notebooks_weights_and_digits(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    bundled = {
        f"workbench/_bundled/{path.relative_to(ROOT).as_posix()}"
        for pattern in ("widgets/*/*.js", "widgets/*/*.css", "notebooks/*/*.ipynb")
        for path in ROOT.glob(pattern)
    }
    weights = {f"workbench/zoo/weights/{e.name}.safetensors" for e in registry.entries() if e.weights is None}
    assert any(name.endswith(".ipynb") for name in bundled)
    assert bundled | weights | {"workbench/datasets/mnist_sample.npz"} <= names


def test_the_wheel_holds_nothing_else_and_is_small(wheel):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"workbench", f"latent_workbench-{version('latent-workbench')}.dist-info"}
    assert wheel.stat().st_size < 60 * MEGABYTE


def test_the_wheel_brings_its_licence_and_its_command(wheel):
    files = zipfile.ZipFile(wheel)
    (licence,) = [name for name in files.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    (script,) = [name for name in files.namelist() if name.endswith(".dist-info/entry_points.txt")]
    assert files.read(licence).startswith(b"MIT License")
    assert b"workbench = workbench.cli:app" in files.read(script)


def test_the_doctor_of_the_empty_environment_finds_everything_essential(python):
    printed = call(python.with_name("workbench"), "doctor")
    assert "✗" not in printed
    assert "pip install --no-deps gan-face-generate" in printed  # the one that has to be asked for


def test_an_installed_workbench_gives_the_user_the_notebooks(python, tmp_path):
    code = f"from workbench.cli import notebooks; print(notebooks(__import__('pathlib').Path({str(tmp_path)!r})))"
    call(python, "-c", code)
    shipped = {path.relative_to(ROOT / "notebooks") for path in (ROOT / "notebooks").rglob("*.ipynb")}
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*.ipynb")} >= shipped


def test_the_panel_opens_and_searches_in_the_empty_environment(python, installed_lab: Lab, browser: Browser):
    sources = [
        "import workbench as wb\nwb.__file__",
        'panel = wb.subspaces.Panel(wb.load("mnist-dcgan", device="cpu"))\npanel',
    ]
    with installed_lab.opened(browser, sources) as notebook:
        environment = python.parent.parent
        assert notebook.kernel.value("wb.__file__").startswith(str(environment))
        track = notebook.page.locator(".wb-film-track").first
        expect(track).to_be_visible()
        notebook.until("panel.line is not None", True)
        track.focus()
        notebook.page.keyboard.press("ArrowRight")
        notebook.page.keyboard.press("ArrowRight")
        notebook.page.keyboard.press("Enter")
        notebook.until("len(panel.search.points)", 2)
        notebook.screenshot("wheel")
        notebook.assert_clean()
