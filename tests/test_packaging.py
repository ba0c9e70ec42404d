"""The project's metadata says what the project is, and the commands of the README exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import entry_points, metadata, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from torch import nn

import workbench as wb
from tests.project import ROOT, pyproject


def test_the_distribution_is_called_latent_workbench_and_the_import_workbench():
    assert metadata("latent-workbench")["Name"] == "latent-workbench"
    assert wb.__version__ == version("latent-workbench") == pyproject()["project"]["version"]


def test_users_are_given_ranges_not_pins():
    needs = [Requirement(text) for text in pyproject()["project"]["dependencies"]]
    assert {"torch", "torchvision"} <= {need.name for need in needs}
    for need in needs:
        assert {clause.operator for clause in need.specifier} == {">="}, need


def test_the_command_line_is_installed():
    (script,) = entry_points(group="console_scripts", name="workbench")
    assert script.value == "workbench.cli:app"


@pytest.mark.parametrize("command", ["lab", "models", "reports", "report", "doctor"])
def test_the_command_line_explains_itself(command):
    workbench = Path(sys.executable).with_name("workbench")
    done = subprocess.run([workbench, command, "--help"], capture_output=True, text=True, check=True)
    assert command in done.stdout


def test_the_newest_version_in_the_changelog_is_this_one():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## ([0-9.]+)", text, re.M)[1] == pyproject()["project"]["version"]


def test_the_readme_names_only_make_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"`make ([a-z-]+)", (ROOT / document).read_text(encoding="utf-8")))
        assert named, document
        assert named <= targets, document


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_within_the_repository_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text) + re.findall(r'src="(?!https?://)([^"]+)"', text)
    missing = [link for link in links if not (ROOT / link).exists()]
    assert missing == []


def test_every_package_that_the_code_imports_is_declared():
    project = pyproject()["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["recipes"]]
    declared = {canonical(Requirement(text).name) for text in texts}
    distributions = packages_distributions()
    undeclared = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "workbench").rglob("*.py")
        for name in imported(path) - set(sys.stdlib_module_names) - {"workbench"}
        if not declared & {canonical(distribution) for distribution in distributions.get(name, [])}
    }
    assert undeclared == set()


def test_the_ten_lines_of_the_readme_run(monkeypatch):
    class Decoder(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Linear(64, 12 * 12), nn.Tanh(), nn.Unflatten(1, (1, 12, 12)))

    project = ModuleType("my_project")
    project.Decoder = Decoder
    monkeypatch.setitem(sys.modules, "my_project", project)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 10
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["line"].outputs.shape == (25, 1, 12, 12)


def test_the_readme_lists_exactly_the_models_that_ship():
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(entry.name for entry in wb.zoo())


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, inside functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


def canonical(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
