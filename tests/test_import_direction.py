"""Imports run one way, and what computes draws nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from importlinter.cli import lint_imports

from tests.project import ROOT, contract

PACKAGE = ROOT / "workbench"
#: The method folders of the design; each has an algorithm, and figures and a panel once written.
METHODS = ["boundaries", "embeddings", "flip_points", "inverse_sets", "subspaces"]
DRAWING = {"ipywidgets", "anywidget", "plotly", "bokeh", "IPython"}


def test_the_contracts_hold(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    failed = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert not failed, capsys.readouterr().out


def test_every_module_that_computes_is_kept_from_drawing():
    kept = set(contract("forbidden")["source_modules"])
    computing = {
        f"workbench.{name}"
        for name in (
            *("models", "numerics", "datasets", "zoo", "results", "sessions", "progress"),
            *("metrics", "channel", "reports.contents", "reports.store"),
        )
    }
    for method in METHODS:
        modules = {path.stem for path in (PACKAGE / method).glob("*.py")} - {"__init__", "figures"}
        modules = {module for module in modules if not module.startswith("panel")}
        computing |= {f"workbench.{method}.{module}" for module in modules}
    assert computing - kept == set()
    assert set(contract("forbidden")["forbidden_modules"]) >= DRAWING


def test_every_method_folder_is_kept_apart_from_the_others():
    assert sorted(contract("independence")["modules"]) == [f"workbench.{method}" for method in METHODS]


def test_every_method_folder_has_its_place_in_the_order():
    ordered = {part.strip() for layer in contract("layers")["layers"] for part in layer.split("|")}
    for method in METHODS:
        files = {path.stem for path in (PACKAGE / method).glob("*.py")} & {"figures", "panel"}
        assert {f"workbench.{method}.{file}" for file in files} <= ordered
        assert any(name.startswith(f"workbench.{method}.") for name in ordered)


@pytest.mark.parametrize(
    "code",
    [
        "import workbench as wb; wb.Generator; wb.Classifier; wb.subspaces.Search; wb.load",
        "import workbench as wb; wb.zoo(); wb.datasets.mnist.sample(); wb.numerics; wb.load_result",
    ],
)
def test_what_a_cluster_node_imports_brings_no_user_interface(code):
    found = loaded(code)
    assert "torch" in found  # so the probe sees what is loaded
    assert found & DRAWING == set()


def test_importing_the_package_alone_brings_no_torch_either():
    assert loaded("import workbench") & {"torch", "numpy", *DRAWING} == set()


def loaded(code: str) -> set[str]:
    """The top-level modules in a fresh interpreter after `code`."""
    probe = f"import json, sys\n{code}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))
