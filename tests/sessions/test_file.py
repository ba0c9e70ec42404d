"""The file of a session: whole after every crash, and nothing foreign is ever written to."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.project import ROOT
from workbench.results import Provenance
from workbench.sessions import SessionError, State
from workbench.sessions.file import SessionFile
from workbench.sessions.safety import FORMAT
from workbench.subspaces import Path as SearchPath


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "digits.workbench"


def some_result(points: int = 3) -> SearchPath:
    return SearchPath(
        provenance=Provenance("search", 0, "small", "f" * 64, "cpu", "torch.float32"),
        latents=torch.randn(points, 4),
        outputs=torch.rand(points, 1, 2, 2),
        parents=torch.arange(points) - 1,
        draws=torch.zeros(points, dtype=torch.long),
        positions=torch.zeros(points, dtype=torch.float64),
        seed=0,
        scale="output",
        share=0.5,
        steps=9,
        route="auto",
        features="Pixels()",
        given_start=False,
        current=0,
    )


def test_what_was_put_comes_back_as_it_was(path: Path) -> None:
    result, mask = some_result(), torch.tensor([True, False])
    settings = {"text": "ä “quoted” \0", "none": None, "rows": [1, 2.5, float("inf")]}
    written = SessionFile(path)
    written.put({("panel", "subspaces"): State(settings, {"path": result}, {"mask": mask, "view": mask[:1]})})
    written.close()
    found = SessionFile(path).get("panel", "subspaces")
    assert found is not None and found.settings == settings
    assert torch.equal(found.tensors["mask"], mask) and torch.equal(found.tensors["view"], mask[:1])
    back = found.results["path"]
    assert isinstance(back, SearchPath) and torch.equal(back.latents, result.latents)
    assert back.provenance == result.provenance


def test_the_format_is_what_the_documentation_says(path: Path) -> None:
    with_session = SessionFile(path)
    with_session.put({("panel", "subspaces"): State({"a": 1}, {"path": some_result()}, {"mask": torch.ones(2)})})
    with_session.close()
    assert path.read_bytes()[68:72] == b"LWBS"
    plain = sqlite3.connect(path)
    assert plain.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    row = plain.execute("SELECT kind, name, document FROM items").fetchone()
    assert row == ("panel", "subspaces", '{"a": 1}')
    parts = plain.execute("SELECT name, document = '' FROM parts ORDER BY name").fetchall()
    assert parts == [("", 1), ("path", 0)]
    assert sorted(p.name for p in path.parent.iterdir()) == [".digits.workbench.lock", path.name]


def test_parts_that_a_state_no_longer_has_go_and_others_are_not_written_again(path: Path) -> None:
    file = SessionFile(path)
    one, two = some_result(), some_result()
    file.put({("panel", "rows"): State(results={"0": one, "1": two})})
    changes = file._connection.total_changes
    file.put({("panel", "rows"): State(results={"0": one, "1": two})})
    assert file._connection.total_changes == changes + 1  # the item's time alone
    file.put({("panel", "rows"): State(results={"0": two})})
    found = file.get("panel", "rows")
    assert found is not None and list(found.results) == ["0"]
    assert torch.equal(found.results["0"].latents, two.latents)


def test_a_transaction_that_fails_leaves_what_was_there(path: Path) -> None:
    file = SessionFile(path)
    file.put({("notes", "notes"): State({"text": "before"}), ("sample", "1"): State()})
    with pytest.raises(TypeError):
        file.put({("notes", "notes"): State({"text": "after"}), ("sample", "2"): State({"bad": object()})})
    found = file.get("notes", "notes")
    assert found is not None and found.settings["text"] == "before"
    assert [item.name for item in file.items()] == ["notes", "1"]


def test_a_transaction_that_was_cut_off_half_way_is_taken_back(path: Path, tmp_path: Path) -> None:
    file = SessionFile(path)
    rows = [("sample", str(i)) for i in range(20)]
    file.put({key: State(tensors={"picture": torch.zeros(5000)}) for key in rows})
    file._connection.execute("PRAGMA cache_size = 1")  # so that pages are on the disk before the end
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with pytest.raises(RuntimeError), file._transaction():
        file._connection.execute("UPDATE parts SET tensors = randomblob(20000)")
        for name in (path.name, f"{path.name}-journal"):
            shutil.copy(path.with_name(name), crashed / name)
        raise RuntimeError("power cut")
    assert (crashed / path.name).read_bytes() != path.read_bytes()
    for write in (False, True):
        copy = tmp_path / f"copy {write}"
        shutil.copytree(crashed, copy)
        again = SessionFile(copy / path.name, write=write)
        for key in rows:
            state = again.get(*key)
            assert state is not None and torch.equal(state.tensors["picture"], torch.zeros(5000))


def test_a_full_disk_is_said_and_what_follows_is_written_again(path: Path) -> None:
    file = SessionFile(path)
    file.put({("sample", "1"): State()})
    pages = file._connection.execute("PRAGMA page_count").fetchone()[0]
    file._connection.execute(f"PRAGMA max_page_count = {pages}")
    large = State(tensors={"picture": torch.zeros(100_000)})
    with pytest.raises(SessionError, match=r"digits\.workbench: the disk is full"):
        file.put({("sample", "2"): large})
    file._connection.execute("PRAGMA max_page_count = 1000000")
    file.put({("sample", "2"): large})
    assert [item.name for item in file.items()] == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"latents = [1, 2, 3]\n", "no session of the workbench"),
        (b"SQLite format 3\0" + bytes(4080), "no session of the workbench"),
    ],
)
def test_a_foreign_file_is_refused_and_stays_as_it_is(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    for write in (True, False):
        with pytest.raises(SessionError, match=message):
            SessionFile(path, write=write)
    assert path.read_bytes() == content


def test_a_newer_session_is_refused_and_stays_as_it_is(path: Path) -> None:
    SessionFile(path).close()
    plain = sqlite3.connect(path)
    plain.execute(f"PRAGMA user_version = {FORMAT + 1}")
    plain.close()
    before = path.read_bytes()
    with pytest.raises(SessionError, match=f"format {FORMAT + 1}, this version reads {FORMAT}; update"):
        SessionFile(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER more AFTER INSERT ON about BEGIN DELETE FROM items; END",
        "CREATE VIEW more AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    ],
)
def test_a_session_with_sql_of_its_own_is_refused_and_none_of_it_runs(path: Path, statement: str) -> None:
    file = SessionFile(path)
    file.put({("sample", "1"): State()})
    file.close()
    plain = sqlite3.connect(path)
    plain.execute(statement)
    plain.close()
    before = path.read_bytes()
    for write in (True, False):
        with pytest.raises(SessionError, match=r"holds SQL of its own \((trigger|view) more\)"):
            SessionFile(path, write=write)
    assert path.read_bytes() == before


def test_a_damaged_session_is_refused_and_stays_as_it_is(path: Path) -> None:
    file = SessionFile(path)
    file.put({("sample", str(i)): State(tensors={"picture": torch.rand(2000)}) for i in range(20)})
    file.close()
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(SessionError, match=r"digits\.workbench.*is damaged.*was left as it is"):
        SessionFile(path)
    path.write_bytes(content[:6000])  # cut off
    with pytest.raises(SessionError, match=r"is damaged"):
        SessionFile(path)
    assert path.read_bytes() == content[:6000]


def test_a_flipped_byte_inside_a_tensor_is_noticed(path: Path) -> None:
    file = SessionFile(path)
    file.put({("sample", "1"): State(tensors={"picture": torch.full((8,), 3.0)}), ("sample", "2"): State()})
    file.close()
    content = path.read_bytes()
    assert content.count(b"\0\0@@") > 0  # 3.0
    path.write_bytes(content.replace(b"\0\0@@", b"\0\0@A", 1))
    file = SessionFile(path)
    with pytest.raises(SessionError, match=r"1 in digits\.workbench is damaged: its bytes"):
        file.get("sample", "1")
    assert file.get("sample", "2") == State()


def test_a_folder_a_missing_and_an_unwritable_file_are_said(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(SessionError, match="is a folder; give the path of a file"):
        SessionFile(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no session at"):
        SessionFile(tmp_path / "none.workbench", write=False)
    with pytest.raises(SessionError, match="cannot be written"):
        SessionFile(Path("/proc/none.workbench"))


def test_a_session_that_is_moved_while_it_is_open_is_not_written_into_the_void(path: Path) -> None:
    file = SessionFile(path)
    path.rename(path.with_suffix(".moved"))
    with pytest.raises(SessionError, match="was moved, replaced or deleted"):
        file.put({("sample", "1"): State()})
    path.with_suffix(".moved").rename(path)
    file.put({("sample", "1"): State()})
    assert [item.name for item in file.items()] == ["1"]


def test_opened_anew_in_one_process_the_newest_takes_over(path: Path) -> None:
    first = SessionFile(path)
    told: list[str] = []
    first.closing = lambda: (first.put({("sample", "last"): State()}), told.append("closing"))
    second = SessionFile(path)
    assert told == ["closing"] and [item.name for item in second.items()] == ["last"]
    with pytest.raises(SessionError, match="no longer open here: it was opened anew"):
        first.put({("sample", "late"): State()})


def test_a_reader_in_the_same_process_takes_nothing_from_the_one_that_writes(path: Path) -> None:
    file = SessionFile(path)
    file.put({("sample", "1"): State()})
    with file._transaction():
        file._connection.execute("DELETE FROM items")
        reader = SessionFile(path, write=False)
        assert [item.name for item in reader.items()] == ["1"]
    assert reader.items() == file.items() == []


def test_another_process_may_read_but_not_write_and_its_lock_dies_with_it(path: Path) -> None:
    held = (
        "import sys, time\nfrom workbench.sessions.file import SessionFile, State\n"
        f"file = SessionFile({str(path)!r})\nfile.put({{('sample', '1'): State()}})\n"
        "print('open', flush=True)\nsys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"open\n"
        with pytest.raises(SessionError, match=rf"open in another process \(number {process.pid} on .*, and only"):
            SessionFile(path)
        reader = SessionFile(path, write=False)
        assert [item.name for item in reader.items()] == ["1"]
        with pytest.raises(SessionError, match="opened to be read only"):
            reader.put({("sample", "2"): State()})
    finally:
        process.kill()
        process.wait()
    file = SessionFile(path)
    file.put({("sample", "2"): State()})
    assert [item.name for item in reader.items()] == ["1", "2"]
