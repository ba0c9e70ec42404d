"""What is on screen in each panel as a notebook: it shows it without networks, and makes it again with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.exports.executing import executed, written
from tests.finished import finished
from tests.models.networks import Conditional
from workbench.exports import Export, ExportError
from workbench.exports.write import prepare
from workbench.results import Result

HOSTILE = "'''\n\"\"\"</script><b>{x}\\"


def generator() -> wb.Generator:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4))]
    return wb.Generator(nn.Sequential(*layers), 3, device="cpu", name=HOSTILE)


def classifier(names: tuple[str, ...] = ("a", "b", HOSTILE)) -> wb.Classifier:
    torch.manual_seed(1)
    layers = [nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)]
    return wb.Classifier(nn.Sequential(*layers), (1, 4, 4), class_names=names, device="cpu", name="judge")


def subspaces() -> Any:
    panel = wb.subspaces.Panel(generator(), torch.tensor([0.3, -0.2, 0.1]), seed=3, steps=9)
    finished(panel.jobs)
    for index in (8, 0):
        serial = panel.strip.accepted.get("serial", 0) + 1
        panel.strip.accepted = {"line": panel.strip.line["id"], "index": index, "t": 0.0, "serial": serial}
        finished(panel.jobs)
    panel.step_back()
    finished(panel.jobs)
    return panel


def boundaries() -> Any:
    panel = wb.boundaries.Panel(generator(), samples=40, seed=1, sparsity=0.2)
    finished(panel.jobs, panel.plane.jobs)
    panel.layers.compare()
    finished(panel.layers.jobs)
    return panel


def inverse_sets() -> Any:
    C = classifier()
    bands = [wb.inverse_sets.band(C, "3", HOSTILE, -0.1, 0.123456789), wb.inverse_sets.band(C, "1", 2, -1, 1)]
    encoder = wb.inverse_sets.Encoder(C, "1")
    panel = wb.inverse_sets.Panel(generator(), C, encoder=encoder, neurons=bands, n=12, seed=2)
    finished(panel.neurons.jobs, panel.jobs)
    panel.keep.click()
    panel.set_band(-0.2, 0.1)
    finished(panel.jobs)
    return panel


def embeddings() -> Any:
    names = ["one", HOSTILE, "b", "c", "d"]
    torch.manual_seed(2)
    G = wb.Generator(Conditional(5), 4, class_names=names, class_embeddings="shared.weight", device="cpu")
    panel = wb.embeddings.Panel(G, classifier((HOSTILE, "b", "c")), class_index=1, trials=2, steps=4, seed=5)
    finished(panel.map.jobs, panel.jobs)
    panel.repair.variant.value = "AM-S"
    for button in (panel.repair.start, panel.repair.keep, panel.repair.start):
        button.click()
        finished(panel.jobs)
    return panel


def flip_points() -> Any:
    C = classifier()
    x = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    panel = wb.flip_points.Panel(C, x, C.scores(x).argmax(1), effort="fast", seed=4, bounds=(x[0] * 0 - 1, 2.0))
    finished(panel.one.jobs)
    panel.one.cover.mask = torch.eye(4).bool().numpy()
    panel.one.cover.edits += 1
    finished(panel.one.jobs)
    panel.many.find_all()
    finished(panel.many.jobs)
    return panel


MADE: dict[str, Callable[[], Any]] = {
    name: globals()[name] for name in ("subspaces", "boundaries", "inverse_sets", "embeddings", "flip_points")
}


@pytest.fixture(scope="module", params=list(MADE))
def panel(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = MADE[request.param]()
    yield made
    made.close()


@pytest.fixture
def export(panel: Any) -> Export:
    return panel.report.describe()


@pytest.fixture
def in_the_zoo(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the panel's own networks loaded from the zoo."""
    kinds = ("generator", "classifier", "model")
    owners = [panel, getattr(panel, "one", panel), getattr(panel, "repair", panel)]
    networks = {id(n): n for owner in owners for kind in kinds if (n := getattr(owner, kind, None)) is not None}
    for number, network in enumerate(networks.values()):
        monkeypatch.setattr(network, "origin", f"network {number}", raising=False)
    known = {network.origin: network for network in networks.values()}
    monkeypatch.setattr(wb, "load", lambda name, device: known[name], raising=False)


def values(export: Export) -> list[str]:
    return [name for section in export.sections for name in section.values]


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, apart from when and how fast they were made."""
    if isinstance(one, Result):
        tensors = (name for name, value in vars(one).items() if isinstance(value, torch.Tensor))
        alike = all(same(getattr(one, name).cpu(), getattr(other, name).cpu()) for name in tensors)
        return type(one) is type(other) and alike and one.provenance.call == other.provenance.call
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())


def test_the_notebook_shows_what_was_on_screen_without_any_network(export: Export, tmp_path: Path):
    source = written(export, tmp_path / HOSTILE.replace("/", "∕"))
    left = executed(source, folder=str(source.parent / "results"))
    assert {"G", "C"} & left.keys() == set()
    for section in export.sections:
        for name, value in section.values.items():
            assert same(value() if callable(value) else value, left[name]), name
    widgets = {type(one).__name__ for one in left["_shown"]}
    assert widgets & {"FilmStrip", "SampleGrid", "ClassMapView", "Figure"}
    for one in left["_shown"]:
        if hasattr(one, "close"):
            one.close()


def test_without_the_results_it_asks_for_a_network_that_it_cannot_load(export: Export, tmp_path: Path):
    source = written(export, tmp_path / "report")
    with pytest.raises(ExportError, match=r"a network of your own \(SHA-256 of its weights [0-9a-f]{64}\)"):
        executed(source, folder=str(tmp_path / "report" / "elsewhere"))


def test_again_makes_the_very_same(panel: Any, in_the_zoo: None, tmp_path: Path):
    export = panel.report.describe()
    source = written(export, tmp_path / "report")
    before = {path: path.read_bytes() for path in (tmp_path / "report" / "results").rglob("*") if path.is_file()}
    left = executed(source, folder=str(tmp_path / "report" / "results"), again=True)
    for section in export.sections:
        for name, value in section.values.items():
            assert same(value() if callable(value) else value, left[name]), name
    assert left["kept"].folder == tmp_path / "report" / "results-again"
    assert {path: path.read_bytes() for path in before} == before


def test_the_parameters_are_what_is_on_screen_and_only_what_the_code_uses(export: Export, tmp_path: Path):
    report = wb.reports.find(written(export, tmp_path / "report"))
    asked = {p.name: p.default for p in report.parameters}
    for name, (value, _) in export.settings.items():
        assert asked.get(name, value) == value
    assert {"folder", "again"} <= asked.keys()
    assert all(p.meaning for p in report.parameters)


@pytest.mark.parametrize("method", ["subspaces", "boundaries", "inverse_sets", "flip_points"])
def test_an_empty_panel_says_what_to_do_first(method: str, tmp_path: Path):
    C = classifier()
    panels: dict[str, Callable[[], Any]] = {
        "subspaces": lambda: wb.subspaces.Panel(generator(), steps=9),
        "boundaries": lambda: wb.boundaries.Panel(generator(), samples=20),
        "inverse_sets": lambda: wb.inverse_sets.Panel(generator(), C),
        "flip_points": lambda: wb.flip_points.Panel(C, torch.rand(1, 1, 4, 4), effort="fast"),
    }
    panel = panels[method]()
    for jobs in (panel.one.jobs if method == "flip_points" else panel.jobs,):
        jobs.wait(60)
    if method == "subspaces":
        panel.line = None
    if method == "boundaries":
        panel.region.found = None
    if method == "flip_points":
        panel.one.shown = None
    panel.report.button.click()
    assert "yet" in panel.report.said.value and "report" not in panel.report.jobs.text
    with pytest.raises(ExportError, match="yet"):
        panel.export(tmp_path / "report")
    assert not (tmp_path / "report").exists()
    panel.close()


def test_prepare_writes_no_pickle(export: Export, tmp_path: Path):
    (tmp_path / "report").mkdir()
    prepare(export, tmp_path / "report")
    kinds = {path.suffix for path in (tmp_path / "report").rglob("*") if path.is_file()}
    assert kinds <= {".ipynb", ".json", ".safetensors"}
