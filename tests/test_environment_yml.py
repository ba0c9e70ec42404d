"""environment.yml gives conda users what pyproject.toml gives pip users. (It is compared, not solved.)"""

from __future__ import annotations

import yaml
from packaging.requirements import Requirement

from tests.project import ROOT, pyproject

#: Names that differ on conda-forge.
CONDA_NAMES = {"pytorch": "torch"}


def bounds(lines: list[str]) -> dict[str, str]:
    """Project name to version specifier."""
    parsed = [Requirement(line) for line in lines]
    return {CONDA_NAMES.get(r.name, r.name).lower().replace("_", "-"): str(r.specifier) for r in parsed}


def environment() -> tuple[list[str], list[str]]:
    """The lines for conda, and the lines for the pip inside."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    conda = [line for line in dependencies if isinstance(line, str)]
    (pip,) = [line["pip"] for line in dependencies if isinstance(line, dict)]
    return conda, pip


def test_every_dependency_is_there_with_the_same_lower_bound():
    conda, pip = environment()
    given = bounds([*conda, *(line for line in pip if not line.startswith("-"))])
    del given["python"], given["pip"]
    assert given == bounds(pyproject()["project"]["dependencies"])


def test_the_python_is_the_same():
    conda, _ = environment()
    assert bounds(conda)["python"] == pyproject()["project"]["requires-python"]


def test_the_checkout_itself_is_installed_with_its_development_tools():
    _, pip = environment()
    assert pip[-1] in ("--editable .[dev]", "-e .[dev]")


def test_no_dependency_is_named_twice():
    conda, pip = environment()
    names = [Requirement(line).name for line in [*conda, *pip] if not line.startswith("-")]
    assert len(names) == len(set(names))
