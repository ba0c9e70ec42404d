"""The zoo lists its networks, loads them by name, and says what is wrong where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import workbench as wb
from workbench.models import CheckpointError, ModelError
from workbench.zoo import ZooError, registry

NAMES = [entry.name for entry in registry.entries()]
SHIPPED = [entry.name for entry in registry.entries() if entry.recipe]


@pytest.fixture
def present(request: pytest.FixtureRequest) -> registry.ZooEntry:
    """An entry whose weights are here; the faces may be missing, what ships may not."""
    entry = registry.find(request.param)
    if not entry.available and not entry.recipe:
        pytest.skip(f"{entry.name}: {entry.advice}")
    return entry


@pytest.mark.parametrize("present", NAMES, indirect=True)
def test_every_network_maps_its_input_shape_to_its_output_shape(present: registry.ZooEntry) -> None:
    module = registry.load_module(present.name)
    with torch.no_grad():
        classes = [module.get_parameter(present.class_embeddings)[:3]] if present.class_embeddings else []
        out = module(torch.zeros(3, *present.input_shape), *classes)
    assert out.shape == (3, *present.output_shape)
    assert not module.training
    assert sum(p.numel() for p in module.parameters()) == present.parameters


@pytest.mark.parametrize("present", NAMES, indirect=True)
def test_every_name_loads_as_the_adapter_of_its_kind(present: registry.ZooEntry) -> None:
    model = wb.load(present.name, device="cpu")
    assert model.name == present.name
    assert model.value_range == present.value_range
    if present.kind == "generator":
        assert isinstance(model, wb.Generator)
        assert model.latent_shape == present.input_shape
        outputs = model.sample(4, seed=0).outputs
        assert outputs.shape == (4, *present.output_shape)
        assert outputs.min() < 0 < outputs.max()
    else:
        assert isinstance(model, wb.Classifier)
        assert tuple(model.class_names) == present.class_names
        assert model(torch.zeros(2, *present.input_shape)).shape == (2, *present.output_shape)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_say_how_they_were_made(name: str) -> None:
    entry = registry.find(name)
    assert entry.recipe in (f"python -m workbench.zoo.train {name.removesuffix('-discriminator')}",)
    assert entry.metrics
    assert entry.licence
    assert entry.source


def test_the_shipped_weights_stay_small() -> None:
    assert 0 < sum(registry.find(name).bytes for name in SHIPPED) < 30_000_000


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("mnist-dcgn", "mnist-dcgan"), ("digiface", "digiface-dcgan"), ("mnist_cnn", "mnist-cnn")],
)
def test_an_unknown_name_suggests_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(ZooError, match=f"no '{typed}': did you mean .*'{meant}'"):
        wb.load(typed)


def test_the_table_lists_every_network_as_text_and_as_html() -> None:
    table = wb.zoo()
    assert [line.split()[0] for line in repr(table).splitlines()[1:]] == NAMES
    assert table._repr_html_().count("<tr>") == len(NAMES) + 1


def test_the_html_table_shows_markup_as_text() -> None:
    table = registry.Table([replace(registry.find("mnist-cnn"), recipe="<script>alert(1)</script>")])
    assert "<script>" not in table._repr_html_()
    assert "&lt;script&gt;" in table._repr_html_()


def test_faces_that_are_not_installed_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise registry.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(registry.importlib.metadata, "files", missing)
    assert not registry.find("digiface-dcgan").available
    with pytest.raises(ZooError, match=r"pip install --no-deps gan-face-generate==1\.1\.1"):
        wb.load("digiface-dcgan")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of mnist-cnn's weights that the zoo reads instead of its own."""
    path = tmp_path / "mnist-cnn.safetensors"
    path.write_bytes((registry.WEIGHTS / path.name).read_bytes())
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    return path


def test_a_truncated_weights_file_is_refused(copied: Path) -> None:
    copied.write_bytes(copied.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="safetensors"):
        registry.load_module("mnist-cnn")
    with pytest.raises(CheckpointError, match="reinstall"):
        _ = registry.find("mnist-cnn").metrics


def test_weights_of_another_architecture_are_refused(copied: Path) -> None:
    state = load_file(copied)
    state["1.weight"] = torch.zeros(24, 1, 5, 5)
    save_file(state, copied)
    with pytest.raises(CheckpointError, match=r"1\.weight"):
        registry.load_module("mnist-cnn")


def test_a_missing_weights_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    with pytest.raises(ZooError, match="weights of mnist-dcgan are not here; reinstall"):
        wb.load("mnist-dcgan")


def test_a_zoo_network_loaded_twice_shares_nothing() -> None:
    first, second = registry.load_module("mnist-cnn"), registry.load_module("mnist-cnn")
    with torch.no_grad():
        next(first.parameters()).zero_()
    assert not torch.equal(next(first.parameters()), next(second.parameters()))
    assert isinstance(first, nn.Module)


@pytest.mark.parametrize(
    ("settings", "named"), [({"name": "mine", "batch_size": 8}, "name, batch_size"), ({"key": "a"}, "key")]
)
def test_settings_of_a_network_of_the_zoo_are_refused_by_name(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ModelError, match=f"mnist-dcgan comes from the zoo as it was trained, and {named} cannot"):
        wb.load("mnist-dcgan", **settings)  # type: ignore[arg-type]


def test_a_folder_does_not_hide_the_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist-cnn").mkdir()
    assert wb.load("mnist-cnn", device="cpu").origin == "mnist-cnn"
    with pytest.raises(FileNotFoundError, match="mnist-cnn holds none of"):
        wb.load("./mnist-cnn")


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({}, "no settings"),
        ({"name": "a"}, "name"),
        ({"latent_shape": 4, "input_shape": 4}, "latent_shape, input_shape"),
    ],
)
def test_what_a_checkpoint_is_has_to_be_said_before_it_is_read(settings: dict[str, object], given: str) -> None:
    with pytest.raises(ModelError, match=rf"into= was given with {given}; expected latent_shape=…"):
        wb.load("no-such-file.safetensors", into=nn.Linear(4, 4), **settings)  # type: ignore[arg-type]
