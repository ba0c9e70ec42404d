"""The pieces of a report's notebook: parameters in place of values, networks by name, values kept in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.exports import Export, ExportError, Kept, Section, load_inputs, network, require
from workbench.exports.description import with_names
from workbench.exports.networks import Stand


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("f(C, x[0], effort='fast', seed=3)", "f(C, x[0], effort=effort, seed=seed)"),
        ("g(seed=4)\nf(h(seed=3), 'fast', seed=3.0)", "g(seed=4)\nf(h(seed=seed), 'fast', seed=seed)"),
        ("f('€ seed=3', effort='fast')", "f('€ seed=3', effort=effort)"),
        ("f(seed=3 + 0, effort=name)", "f(seed=3 + 0, effort=name)"),
    ],
)
def test_options_stand_by_their_names_where_these_hold_the_value(code: str, expected: str):
    assert with_names(code, {"seed": 3, "effort": "fast"}) == expected


def lines_run(stand: Stand, **names: Any) -> Any:
    space = {"wb": wb, "require": require, "device": "cpu", "tensors": stand.inputs, **names}
    exec(stand.lines, space)
    return space[stand.symbol]


def test_a_network_of_the_zoo_comes_back_with_its_class():
    G = wb.load("glyphs-biggan", device="cpu")
    z = G.latents(2, seed=1)
    repaired = G.class_embeddings[3] + 0.1
    for one in (G.of_class(5), G.of_class(repaired), G.with_embeddings(G.class_embeddings * 0.9).of_class(2)):
        assert torch.equal(lines_run(network("G", one)).render(z), one.render(z))
    C = wb.load("mnist-cnn", device="cpu").on(wb.load("mnist-dcgan", device="cpu"))
    again = lines_run(network("C", C))
    assert torch.equal(again.scores(C.generator.latents(2)), C.scores(C.generator.latents(2)))
    assert wb.load("mnist-cnn", device="cpu").origin == "mnist-cnn"


def test_another_network_in_its_place_is_refused():
    torch.manual_seed(0)
    mine = wb.Classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), device="cpu", name="'\nimport os"
    )
    stand = network("C", mine)
    with pytest.raises(ExportError, match="which is not in the zoo; put it in place of None"):
        lines_run(stand)
    with pytest.raises(ExportError, match=r"C is 'other' with weights .*this report is about"):
        other = wb.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), device="cpu", name="other")
        require(other, "C", mine.name, mine.fingerprint)
    assert stand.lines.replace("= None", "= mine", 1).startswith("C = mine  # put your network here")
    require(mine, "C", mine.name, mine.fingerprint)


def test_kept_values_come_back_and_are_never_overwritten(tmp_path: Path):
    kept = Kept(tmp_path / "results")
    assert kept.missing("one", "named") and kept.missing("one")
    kept.save(one=torch.arange(3), named={"a": torch.ones(2).bool(), "b": torch.zeros(0)})
    assert not kept.missing("one", "named") and kept.missing("one", "other")
    again = Kept(tmp_path / "results", again=True)
    assert again.missing("one")
    again.save(one=torch.arange(4))
    assert not again.missing("one") and len(again.load("one")) == 4
    one, named = Kept(tmp_path / "results").load("one", "named")
    assert one.tolist() == [0, 1, 2] and named["a"].tolist() == [True, True] and not len(named["b"])


def test_a_report_that_moved_finds_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Kept(tmp_path / "results").save(one=torch.arange(3))
    Kept(tmp_path).save(inputs=torch.ones(1))
    monkeypatch.chdir(tmp_path)
    assert Kept("/gone/report/results").load("one").tolist() == [0, 1, 2] and not Kept().missing("one")
    assert load_inputs("/gone/report/inputs.safetensors")["values"].tolist() == [1]
    with pytest.raises(FileNotFoundError, match="give inputs= the file of this report"):
        load_inputs("/gone/report/others.safetensors")


def test_a_name_stands_for_one_thing():
    section = Section("A", values={"samples": torch.zeros(1)})
    with pytest.raises(ValueError, match="samples would be a setting and another variable"):
        Export("a", "A", "", (section,), settings={"samples": (3, "of them")})
