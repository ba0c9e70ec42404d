"""Files that are looked for under whatever name somebody gave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import workbench as wb
from workbench.errors import WorkbenchError
from workbench.files import FolderError, exists, is_file, replace_text
from workbench.subspaces.export import export
from workbench.sweeps import data

LONG = "long " * 60


def test_of_a_name_that_no_file_can_have_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert exists(tmp_path) and exists(tmp_path / "a") and is_file(tmp_path / "a")
    assert not is_file(tmp_path) and not exists(tmp_path / "b") and not is_file(tmp_path / "b")
    assert not exists(tmp_path / LONG) and not is_file(tmp_path / LONG)


@pytest.mark.parametrize("name", ["a\0b", LONG])
def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(FolderError, match=r"cannot be written: .*; give another name"):
        replace_text(tmp_path / name, "text")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a\0b", LONG, "taken/below"])
def test_a_folder_that_cannot_be_made_is_told_before_anything_is_computed(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").write_text("")
    G = wb.load("mnist-dcgan-2d", device="cpu")
    search = wb.subspaces.Search(G, seed=1)
    told = r"cannot be made: .*; give another one"
    with pytest.raises(FolderError, match=told):
        search.path().save(tmp_path / name)
    with pytest.raises(FolderError, match=told):
        export(search, tmp_path / name / "path.gif", progress=lambda step: pytest.fail("computed"))


@pytest.mark.parametrize(
    "ask",
    [wb.load, wb.load_result, wb.Session, data.count, lambda name: wb.load(f"{name}.pt")],
    ids=["load", "load_result", "Session", "data", "checkpoint"],
)
def test_a_name_that_no_file_can_have_is_refused_in_words(ask: Callable[[str], object]) -> None:
    with pytest.raises((WorkbenchError, FileNotFoundError), match="long long"):
        ask(LONG)
