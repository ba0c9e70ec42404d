"""Results come back as they were saved, and a damaged folder says what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.results import FORMAT, Result, ResultError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    G = wb.Generator(nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Unflatten(1, (1, 3, 3))), 4, device="cpu")
    return wb.subspaces.subspace(G, torch.zeros(4)).save(tmp_path / "result")


def edit(folder: Path, **changes: object) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_saving_writes_readable_json_and_safetensors_and_nothing_else(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == ["result.json", "result.safetensors"]
    document = json.loads((saved / "result.json").read_text())
    assert document["kind"] == "subspaces.Subspace" and document["format"] == FORMAT
    assert {"torch", "python", "numpy"} <= set(document["provenance"]["versions"])


def test_a_missing_result_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no result\.json"):
        wb.load_result(tmp_path)


def test_a_damaged_file_is_named(saved: Path) -> None:
    tensors = saved / "result.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:40])
    with pytest.raises(ResultError, match="is damaged"):
        wb.load_result(saved)
    (saved / "result.json").write_text("{")
    with pytest.raises(ResultError, match="is damaged"):
        wb.load_result(saved)


def test_another_format_is_refused(saved: Path) -> None:
    edit(saved, format=FORMAT + 1)
    with pytest.raises(ResultError, match=f"has format {FORMAT + 1}; this version reads {FORMAT}"):
        wb.load_result(saved)


def test_another_format_is_told_whatever_its_provenance_holds(saved: Path) -> None:
    provenance = json.loads((saved / "result.json").read_text())["provenance"]
    edit(saved, format=FORMAT + 1, provenance={**provenance, "energy": 3})
    with pytest.raises(ResultError, match=f"has format {FORMAT + 1}; this version reads {FORMAT}"):
        wb.load_result(saved)
    edit(saved, format=FORMAT)
    with pytest.raises(ResultError, match=r"is damaged .*energy"):
        wb.load_result(saved)


def test_values_that_are_no_object_are_damage(saved: Path) -> None:
    edit(saved, values=[[None, None]])
    with pytest.raises(ResultError, match=r"is damaged .*values and provenance"):
        wb.load_result(saved)


def test_a_result_whose_class_was_defined_again_still_saves(tmp_path: Path, saved: Path) -> None:
    def defined() -> type[Result]:  # what running a notebook's cell again does
        @dataclass(frozen=True, kw_only=True)
        class Counted(Result):
            count: int

        return Counted

    old = defined()(provenance=wb.load_result(saved).provenance, count=3)  # type: ignore[call-arg]
    new = defined()
    assert type(wb.load_result(old.save(tmp_path / "counted"))) is new


@pytest.mark.parametrize("kind", ["os.system", "subspaces.Nothing", "flip_points.FlipPoints", "", "subprocess"])
def test_a_kind_that_is_no_result_is_refused_and_nothing_is_imported_for_it(saved: Path, kind: str) -> None:
    edit(saved, kind=kind)
    with pytest.raises(ResultError):
        wb.load_result(saved)


def test_fields_that_are_missing_or_unknown_are_refused(saved: Path) -> None:
    edit(saved, values={"route": "exact"})
    with pytest.raises(ResultError, match="does not hold the fields"):
        wb.load_result(saved)


CODE = "0); __import__('os').system('touch executed')"


@pytest.mark.parametrize("change", [{"seed": CODE}, {"seed": 1.5}, {"model": 3}, {"partial": "no"}])
def test_a_provenance_holds_numbers_and_texts_where_it_says_so(saved: Path, change: dict[str, object]) -> None:
    provenance = json.loads((saved / "result.json").read_text())["provenance"]
    edit(saved, provenance={**provenance, **change})
    with pytest.raises(ResultError, match=rf"{next(iter(change))} is .*, expected (int|str|bool)"):
        wb.load_result(saved)


def test_a_field_that_lines_of_python_name_holds_no_code(saved: Path) -> None:
    values = json.loads((saved / "result.json").read_text())["values"]
    numbers = [name for name, value in values.items() if isinstance(value, int | float)]
    assert numbers
    for name in numbers:
        edit(saved, values={**values, name: CODE})
        with pytest.raises(ResultError, match=f"{name} is .*, expected"):
            wb.load_result(saved)


def test_saving_over_a_result_replaces_it_whole(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = wb.load_result(saved)
    before = (saved / "result.safetensors").read_bytes()

    def failing(tensors: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("workbench.results.save_file", failing)
    with pytest.raises(OSError, match="disk full"):
        result.save(saved)
    assert (saved / "result.safetensors").read_bytes() == before
    assert sorted(p.name for p in saved.iterdir()) == ["result.json", "result.safetensors"]


def test_json_that_is_nested_without_end_is_damaged(saved: Path) -> None:
    (saved / "result.json").write_text("[" * 100_000)
    with pytest.raises(ResultError, match="is damaged"):
        wb.load_result(saved)
