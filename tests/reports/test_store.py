"""A store computes what it lacks, serves what it has for the same content only, and throws nothing away."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from workbench.reports import Store, StoreError
from workbench.reports import store as module
from workbench.results import Provenance, Result, Tables


@dataclass(frozen=True, kw_only=True)
class Squares(Result):
    values: Tensor


class Computer:
    """Squares numbers, and counts how often."""

    def __init__(self) -> None:
        self.asked: list[list[float]] = []
        self.partial = False
        self.fails = False

    def function(self):
        def squares(x: Tensor, *, scale: float = 1.0, progress: object = None) -> Squares:
            self_.asked.append(x.tolist())
            if self_.fails:
                raise KeyboardInterrupt
            made = Provenance(
                call="f", seed=0, model="m", fingerprint="f", device="cpu", dtype="d", partial=self_.partial
            )
            return Squares(provenance=made, values=scale * x * x)

        return squares


self_ = Computer()
X = torch.tensor([1.0, 2.0])


@pytest.fixture(autouse=True)
def computer(monkeypatch: pytest.MonkeyPatch) -> Computer:
    fresh = Computer()
    monkeypatch.setitem(globals(), "self_", fresh)
    return fresh


@pytest.fixture
def store(tmp_path: Path):
    """A function that opens the store as a new process would."""

    def opened() -> Store:
        module._asked.clear()
        module.begin(tmp_path / "results")
        return Store(tmp_path / "results")

    return opened


def places(folder: Path) -> list[str]:
    return [place.relative_to(folder).as_posix() for place, _ in module.entries(folder)]


def test_a_result_is_computed_once_for_the_same_content(store, computer):
    squares = computer.function()
    first = store().result("squares", squares, X)
    again = store().result("squares", squares, x=X.clone(), scale=1.0, progress=print)
    assert computer.asked == [[1.0, 2.0]]
    assert torch.equal(first.values, again.values) and isinstance(again, Squares)
    assert again.provenance == first.provenance


@pytest.mark.parametrize("changed", [{"x": X + 1e-6}, {"x": X.double()}, {"scale": 1.5}])
def test_another_content_is_computed_anew(store, computer, changed):
    squares = computer.function()
    store().result("squares", squares, X)
    found = store().result("squares", squares, **{"x": X, **changed})
    assert len(computer.asked) == 2
    assert torch.equal(found.values, changed.get("scale", 1.0) * changed.get("x", X) ** 2)


def test_what_a_parameter_replaced_comes_back_from_the_shelf(store, computer):
    squares = computer.function()
    for scale in (1.0, 2.0, 3.0, 1.0, 2.0):
        opened = store()
        assert float(opened.result("squares", squares, X, scale=scale).values[1]) == 4 * scale
        assert places(opened.path) == ["squares"]
    assert len(computer.asked) == 3
    assert len(list((opened.path / module.SHELF).iterdir())) == 2


def test_other_code_or_other_versions_are_never_served(store, computer, monkeypatch):
    squares = computer.function()
    store().result("squares", squares, X)
    monkeypatch.setattr(module, "made_by", lambda: {"source": "other", "torch": "2"})
    store().result("squares", squares, X)
    assert len(computer.asked) == 2


def test_a_partial_result_is_kept_but_never_taken_for_a_whole_one(store, computer):
    squares = computer.function()
    computer.partial = True
    opened = store()
    assert opened.result("squares", squares, X).provenance.partial
    assert module.read_inputs(opened.path / "squares")["partial"]
    computer.partial = False
    assert not store().result("squares", squares, X).provenance.partial
    assert not store().result("squares", squares, X).provenance.partial
    assert len(computer.asked) == 2


def test_rows_in_a_folder_are_gone_on_with_where_its_inputs_are_the_same(store):
    def rows(opened: Store, size: int) -> Tables:
        return Tables(opened.folder("set/rows", size=size, images=X))

    rows(store(), 3).add("rows", {"row": 0})
    opened = store()
    rows(opened, 3).add("rows", {"row": 1})
    assert not len(rows(store(), 4).table("rows"))
    assert rows(store(), 3).table("rows")["row"].tolist() == [0, 1]
    assert places(opened.path) == ["set/rows"]


def test_what_a_run_did_not_ask_for_goes_on_the_shelf_at_its_end(store, computer):
    squares = computer.function()
    opened = store()
    for name in ("a/one", "a/two", "b"):
        opened.result(name, squares, X)
    again = store()
    again.result("a/two", squares, X)
    module.tidy(again.path)
    assert places(again.path) == ["a/two"] and not (again.path / "b").exists()
    third = store()
    for name in ("a/one", "a/two", "b"):
        third.result(name, squares, X)
    assert len(computer.asked) == 3


def test_a_damaged_result_is_made_again(store, computer):
    squares = computer.function()
    opened = store()
    opened.result("squares", squares, X)
    (opened.path / "squares" / "result.safetensors").write_bytes(b"cut")
    assert store().result("squares", squares, X).values.tolist() == [1.0, 4.0]
    assert store().result("squares", squares, X).values.tolist() == [1.0, 4.0]
    assert len(computer.asked) == 2


@pytest.mark.parametrize("moment", ["writing", "shelving", "placing"])
def test_a_process_killed_while_it_writes_leaves_no_entry_that_counts_and_loses_none(
    store, computer, monkeypatch, moment
):
    squares = computer.function()
    store().result("squares", squares, X)

    class Killed(BaseException):
        pass

    moves = []

    def killed(*unused: object, **options: object) -> None:
        raise Killed

    def move(place: Path, to: Path) -> None:
        moves.append(place)
        if len(moves) == {"shelving": 1, "placing": 2}[moment]:
            raise Killed
        original(place, to)

    original = module._move
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *a, **k: None)  # a killed process clears nothing up
        if moment == "writing":
            patched.setattr(Path, "write_text", killed)
        else:
            patched.setattr(module, "_move", move)
        with pytest.raises(Killed):
            store().result("squares", squares, X, scale=2.0)
    opened = store()
    assert not list(opened.path.glob(f"{module._PART}*"))
    assert opened.result("squares", squares, X, scale=2.0).values.tolist() == [2.0, 8.0]
    assert len(computer.asked) == 3
    assert store().result("squares", squares, X).values.tolist() == [1.0, 4.0]  # the old one was kept
    assert len(computer.asked) == 3


def test_an_entry_says_what_it_was_made_from(store, computer):
    opened = store()
    opened.result("squares", computer.function(), X, scale=2.0)
    said = json.loads((opened.path / "squares" / "inputs.json").read_text(encoding="utf-8"))
    assert said["inputs"]["scale"] == 2.0
    assert said["inputs"]["x"]["what"] == "float32 [2]" and len(said["inputs"]["x"]["sha256"]) == 64
    assert said["function"].endswith("squares") and set(said["made_by"]) >= {"source", "torch", "numpy"}


def test_a_derived_table_is_kept_for_readers(store):
    opened = store()
    table = pd.DataFrame({"method": ["a", None], "mean": [0.5, float("nan")]})
    assert opened.table("claims", table) is table
    pd.testing.assert_frame_equal(pd.read_csv(opened.path / "claims" / "claims.csv"), table, check_dtype=False)


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/etc", "a//b", ".shelf", "a b", "a\\b", "x/.part"])
def test_a_name_cannot_leave_the_folder(store, computer, name):
    with pytest.raises(StoreError, match="no name of an entry"):
        store().result(name, computer.function(), X)
    assert computer.asked == []


def test_a_key_of_a_foreign_folder_cannot_leave_it(store, computer, tmp_path):
    opened = store()
    opened.result("squares", computer.function(), X)
    outside = opened.path.parent / "mine"
    (outside / "work").mkdir(parents=True)
    note = opened.path / "squares" / module.INPUTS
    climbing = "/../../../mine"  # from the shelf, by way of a folder whose name ends with the key
    note.write_text(json.dumps({**json.loads(note.read_text()), "key": climbing}))
    opened.result("squares", computer.function(), X + 1)
    assert (outside / "work").is_dir() and [path.name for path in outside.iterdir()] == ["work"]
    (shelved,) = (opened.path / module.SHELF).iterdir()
    assert shelved.name == "squares-"


def test_what_is_no_result_is_refused(store, computer):
    with pytest.raises(StoreError, match=r"returned a list, .* use store.folder"):
        store().result("sorted", sorted, [2, 1])
    with pytest.raises(StoreError, match="cannot be called so: missing a required argument: 'x'"):
        store().result("squares", computer.function())
    opened = store()
    opened.folder("a/b")
    with pytest.raises(StoreError, match="'a/b' is one; give another name"):
        opened.folder("a")
    with pytest.raises(StoreError, match="'a/b' is one; give another name"):
        opened.folder("a/b/c")
