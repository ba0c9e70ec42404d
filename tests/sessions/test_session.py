"""A session by itself, in a plain script: keep, note, read again, and the networks that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import workbench as wb
from tests.sessions.networks import networks
from workbench.sessions import KeptSample, SessionError, State


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "digits.workbench"


@pytest.fixture
def session(path: Path) -> Iterator[wb.Session]:
    with wb.Session(path) as opened:
        yield opened


def sample(code: bool = True) -> KeptSample:
    return KeptSample(torch.rand(1, 2, 2), (0.0, 1.0), torch.randn(4) if code else None, "Subspace search")


def test_results_samples_and_notes_come_back(session: wb.Session, path: Path) -> None:
    G, _ = networks()
    found = wb.subspaces.subspace(G, torch.zeros(4), seed=1)
    one, two = sample(), sample(code=False)
    session.keep(found, "at the origin")
    session.keep(one)
    session.keep(two)
    session.note("Sevens flip to nines.")
    session.note("See at the origin.")
    session.close()
    with wb.Session(path, write=False) as again:
        assert torch.equal(again.load("at the origin").directions, found.directions)
        assert again.load("at the origin").provenance == found.provenance
        first, second = again.samples
        assert (first.name, second.name) == ("sample 1", "sample 2")
        assert torch.equal(first.code, one.code) and second.code is None
        assert torch.equal(second.picture, two.picture) and second.origin == "Subspace search"
        assert again.notes == again.load("notes") == "Sevens flip to nines.\n\nSee at the origin."
        kinds = [item.kind for item in again.items()]
        assert kinds == ["result", "sample", "sample", "notes"]
        assert all(item.size > 0 and item.saved.tzinfo is not None for item in again.items())


def test_names_that_are_taken_get_a_number(session: wb.Session) -> None:
    assert [session.keep(sample(), name).name for name in ("seven", "seven", "", "seven")] == [
        "seven",
        "seven 1",
        "sample 1",
        "seven 2",
    ]


def test_what_is_taken_out_is_gone(session: wb.Session) -> None:
    item = session.keep(sample())
    heard: list[str] = []
    session.on_change(heard.append)
    session.remove(item)
    assert session.items() == [] and heard == ["sample"]
    with pytest.raises(LookupError, match="has no sample 'sample 1'"):
        session.remove(item)


def test_what_cannot_be_found_or_kept_is_said(session: wb.Session) -> None:
    session.keep(sample(), "seven")
    session.keep(wb.subspaces.subspace(networks()[0], torch.zeros(4)), "seven")
    with pytest.raises(
        LookupError, match=r"several things are called 'seven'; give one of session\.items\(\): sample"
    ):
        session.load("seven")
    with pytest.raises(LookupError, match="nothing is called 'nine'"):
        session.load("nine")
    with pytest.raises(SessionError, match="a Tensor was to be kept; expected a result"):
        session.keep(torch.zeros(3))


def test_a_session_belongs_to_the_networks_that_it_was_made_with(session: wb.Session) -> None:
    G, C = networks()
    assert session.belongs_to({"generator": G, "classifier": None}) == {"generator": G, "classifier": None}
    assert session.belongs_to({"generator": G, "classifier": C})["classifier"] is C  # added later
    assert session.models["generator"]["fingerprint"] == G.fingerprint
    with pytest.raises(SessionError, match=r"was made with the generator small \(weights .*, not with small"):
        session.belongs_to({"generator": networks(seed=1)[0], "classifier": C})
    with pytest.raises(SessionError, match=r"needs its classifier, judge .*pass it, wb\.open\(G, C, …\)"):
        session.belongs_to({"generator": G, "classifier": None})


def test_networks_of_the_zoo_are_loaded_by_their_names(session: wb.Session) -> None:
    G = wb.load("glyphs-biggan", device="cpu").of_class(3)
    session.belongs_to({"generator": G, "classifier": wb.load("glyphs-cnn", device="cpu")})
    assert session.models["generator"]["made"] == "wb.load('glyphs-biggan').of_class(3)"
    found = session.belongs_to({"generator": None, "classifier": None}, device="cpu")
    assert torch.equal(found["generator"].bound, G.bound)
    assert found["classifier"].name == "glyphs-cnn"
    whole = wb.load("glyphs-biggan", device="cpu")
    for other in (whole, whole.of_class(4), whole.with_embeddings(whole.class_embeddings + 1).of_class(3)):
        with pytest.raises(SessionError, match=r"was made with the generator glyphs-biggan of .*class 3"):
            session.belongs_to({"generator": other})


def test_what_does_not_fit_any_more_is_set_aside_and_stays(session: wb.Session) -> None:
    session.put({("panel", "subspaces"): State({"draw": 1})})
    assert session.set_aside("subspaces") == "subspaces, set aside 1"
    session.put({("panel", "subspaces"): State({"draw": 2})})
    assert session.set_aside("subspaces") == "subspaces, set aside 2"
    assert session.load("subspaces, set aside 1").settings == {"draw": 1}
    assert session.panel("subspaces") is None
