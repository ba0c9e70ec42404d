"""Checkpoints and result folders that are cut off, damaged, foreign or malicious."""

from __future__ import annotations

import io
import json
import pickle
import sqlite3
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

import workbench as wb
from tests.fuzz import networks, values
from tests.fuzz.outcomes import Refused, attempt, finite
from tests.malicious import Malicious

_STATE = networks.decoder().state_dict()


@contextmanager
def folder() -> Iterator[Path]:
    """A folder, in which nothing may be executed."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        yield path
        assert not (path / "mark").exists()


def checkpoints(mark: Path) -> dict[str, bytes]:
    """Files that hold weights, or something else, by kind."""

    def pickled(value: object, **options: Any) -> bytes:
        file = io.BytesIO()
        torch.save(value, file, **options)
        return file.getvalue()

    return {
        "safetensors": save(_STATE),
        "zip": pickled(_STATE),
        "legacy": pickled(_STATE, _use_new_zipfile_serialization=False),
        "nested": pickled({"model": _STATE, "epoch": 3}),
        "malicious": pickled({**_STATE, "extra": Malicious(mark)}),
        "malicious legacy": pickled(Malicious(mark), _use_new_zipfile_serialization=False),
        "malicious pickle": pickle.dumps(Malicious(mark)),
        "module": pickled(networks.decoder()),
        "numbers": pickled({name: 1.0 for name in _STATE}),
        "json": json.dumps({"weights": [1, 2]}).encode(),
        "nothing": b"",
    }


@st.composite
def damages(draw: st.DrawFn) -> Any:
    """A way to damage a file: cut off, bits turned, bytes put in, or none."""
    kind = draw(st.sampled_from(["none", "cut", "bits", "insert", "zeros"]))
    share = draw(st.floats(0, 1, exclude_max=True))
    places = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8))
    stuff = draw(st.binary(min_size=1, max_size=16))

    def damage(data: bytes) -> bytes:
        at = int(share * len(data))
        if kind == "cut":
            return data[:at]
        if kind == "insert":
            return data[:at] + stuff + data[at:]
        if kind == "zeros":
            return data[:at] + bytes(min(64, len(data) - at)) + data[at + 64 :]
        turned = bytearray(data)
        if kind == "bits" and data:
            for place in places:
                turned[int(place * len(data))] ^= 1 << int(place * 8191) % 8
        return bytes(turned)

    return damage


kinds = st.sampled_from(list(checkpoints(Path("mark"))))
suffixes = st.sampled_from([".safetensors", ".pt", ".pth", ".bin", ".json", ""])


@given(
    kinds, damages(), suffixes, values.mostly(st.none(), st.one_of(st.just("model"), values.words)), st.booleans()
)
def test_a_checkpoint_is_loaded_or_refused_and_never_run(kind, damage, suffix, key, known):
    with folder() as path:
        file = path / f"weights{suffix}"
        file.write_bytes(damage(checkpoints(path / "mark")[kind]))
        module = networks.decoder() if known else None
        loaded = attempt(lambda: wb.load(file, into=module, key=key, latent_shape=(4,), device="cpu"))
        if not isinstance(loaded, Refused):
            finite(loaded.sample(2).outputs)


@pytest.fixture(scope="module")
def saved() -> dict[str, bytes]:
    """The files of a result."""
    found = wb.subspaces.subspace(networks.generator(), torch.ones(4) / 2, dims=2)
    with folder() as path:
        found.save(path)
        return {file.name: file.read_bytes() for file in path.iterdir()}


@given(damages(), st.sampled_from(["result.json", "result.safetensors"]), st.booleans())
def test_a_damaged_result_is_loaded_or_refused(saved, damage, name, missing):
    with folder() as path:
        for file, data in saved.items():
            if file != name:
                (path / file).write_bytes(data)
            elif not missing:
                (path / file).write_bytes(damage(data))
        loaded = attempt(lambda: wb.load_result(path))
        if not isinstance(loaded, Refused):
            assert isinstance(loaded, wb.subspaces.Subspace)
            attempt(loaded.frame)


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), values.words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(values.words, inner, max_size=3)),
    max_leaves=5,
)


@given(
    st.lists(
        st.sampled_from(["format", "kind", "values", "provenance", "route", "complete", "seed", "call", "new"])
    ),
    _json,
    st.sampled_from(
        [None, "boundaries.Exploration", "flip_points.FlipPoints", "os.system", "subspaces.__class__"]
    ),
)
def test_a_result_with_other_values_is_loaded_or_refused(saved, names, value, kind):
    document = json.loads(saved["result.json"])
    for name in names:
        for inside in (document, document["values"], document["provenance"]):
            if isinstance(inside, dict) and (name in inside or name == "new"):
                inside[name] = value
                break
        if not all(isinstance(document.get(part), dict) for part in ("values", "provenance")):
            break
    if kind is not None:
        document["kind"] = kind
    with folder() as path:
        (path / "result.safetensors").write_bytes(saved["result.safetensors"])
        (path / "result.json").write_text(json.dumps(document), encoding="utf-8", errors="surrogatepass")
        loaded = attempt(lambda: wb.load_result(path))
        assert isinstance(loaded, (Refused, wb.subspaces.Subspace))


@pytest.fixture(scope="module")
def session() -> bytes:
    """The file of a session with a panel, a result, a sample and notes."""
    with folder() as path:
        tabs = wb.open(networks.generator(), session=path / "a.workbench")
        tabs.panels["subspaces"].jobs.wait(60)
        tabs.keep()
        tabs.session.keep(wb.subspaces.subspace(networks.generator(), torch.ones(4) / 2, dims=2))
        tabs.session.note("By hand.")
        tabs.close()
        return (path / "a.workbench").read_bytes()


def contents(file: Path) -> object:
    """What a session holds; of what is none, the bytes behind SQLite's own header."""
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as opened:
            opened.text_factory = bytes
            return [opened.execute(f"SELECT * FROM {table}").fetchall() for table in ("items", "parts")]
    except (sqlite3.Error, UnicodeDecodeError):  # a damaged name of a column
        return file.read_bytes()[100:]


@given(damages())
def test_a_damaged_session_is_opened_or_refused_and_left_as_it_was(session, damage):
    data = damage(session)
    with folder() as path:
        file = path / "a.workbench"
        file.write_bytes(data)
        opened = attempt(lambda: wb.Session(file, write=False))
        if not isinstance(opened, Refused):
            items = attempt(opened.items)
            for item in [] if isinstance(items, Refused) else items:
                attempt(lambda item=item: opened.load(item))
            opened.close()
        assert file.read_bytes() == data
        tabs = attempt(lambda: wb.open(networks.generator(), session=file))
        if isinstance(tabs, Refused):
            # what is no session, or one that cannot be read, is not written to but for who opened it last
            before = path / "before"
            before.write_bytes(data)
            assert contents(file) == contents(before)
            return
        for panel in tabs.panels.values():
            assert panel.jobs.wait(60)
        tabs.close()


@given(values.words, st.sampled_from(["config.json", "pytorch_model.bin", "G_ema.pth"]), damages())
def test_a_folder_of_weights_is_loaded_or_refused(text, name, damage):
    with folder() as path:
        (path / name).write_bytes(damage(text.encode("utf-8", "surrogatepass")))
        with zipfile.ZipFile(path / "other.safetensors", "w") as archive:
            archive.writestr("../mark", "left the folder")
        attempt(lambda: wb.load(path, device="cpu"))
