"""`wb.load` makes a generator of BigGAN's public files, at full size and in small, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import workbench as wb
from tests.models.biggan_layouts import (
    CHUNK,
    DEEP,
    PYTORCH,
    DeepReference,
    State,
    deep_config,
    deep_shapes,
    pytorch_forward,
    pytorch_shapes,
    random_state,
    trained,
)
from workbench.datasets import imagenet
from workbench.models import CheckpointError, ModelError, Normal, TruncatedNormal, biggan, biggan_deep
from workbench.models import load_state_dict as read

LAYERS = [(0, 4, 4), (1, 4, 2), (0, 2, 2), (1, 2, 1)]
SMALL = pytorch_shapes((24, 16, 8), 1, chunk=3, shared=5)
SMALL_DEEP = deep_shapes(LAYERS, unit=8, position=2, z=6)
SMALL_CONFIG = deep_config(LAYERS, unit=8, position=2)


def folder(path: Path, state: State, config: dict[str, Any] | None = SMALL_CONFIG) -> Path:
    """A folder as Hugging Face has it."""
    path.mkdir()
    torch.save(state, path / "pytorch_model.bin")
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.fixture
def g_ema(tmp_path: Path) -> Path:
    path = tmp_path / "G_ema.pth"
    torch.save(random_state(SMALL), path)
    return path


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    return folder(tmp_path / "biggan-deep-16", random_state(SMALL_DEEP))


# -- full size ---------------------------------------------------------------------------------------


def test_biggan_128_loads_at_full_size(tmp_path: Path) -> None:
    widths, attention = PYTORCH[128]
    shapes = pytorch_shapes([96 * w for w in widths], attention, chunk=CHUNK[128])
    torch.save(random_state(shapes), tmp_path / "G_ema.pth")
    G = wb.load(tmp_path / "G_ema.pth", device="cpu")
    assert isinstance(G, wb.Generator)
    assert G.parameters == trained(shapes) == 70_433_988
    assert (G.latent_shape, G.output_shape, G.value_range) == ((120,), (3, 128, 128), (-1, 1))
    assert G.class_embeddings is not None and G.class_embeddings.shape == (1000, 128)
    assert G.class_names is not None and G.class_names[207] == "golden retriever"
    drawn, state = G.sample(1, condition=207), random_state(shapes)
    expected = pytorch_forward(state, drawn.latents, state["shared.weight"][[207]], chunk=20, eps=1e-5)
    assert expected.std() > 0.1
    assert torch.allclose(drawn.outputs, expected, atol=1e-3)


def test_biggan_256_runs_at_full_size(tmp_path: Path) -> None:
    widths, attention = PYTORCH[256]
    shapes = pytorch_shapes([96 * w for w in widths], attention, chunk=CHUNK[256])
    torch.save(random_state(shapes), tmp_path / "G_ema.pth")
    module = biggan.from_state_dict(read(tmp_path / "G_ema.pth"))
    with torch.no_grad():
        image = module(torch.randn(1, 140, generator=torch.Generator().manual_seed(0)), module.shared.weight[:1])
    assert image.shape == (1, 3, 256, 256)
    assert image.isfinite().all() and image.std() > 0.1


@pytest.mark.parametrize("size", [128, pytest.param(256, marks=pytest.mark.nightly)])
def test_biggan_deep_loads_at_full_size(tmp_path: Path, size: int) -> None:
    path = folder(tmp_path / "deep", random_state(deep_shapes(DEEP[size])), deep_config(DEEP[size]))
    G = wb.load(path, device="cpu")
    assert isinstance(G, wb.Generator)
    assert (G.latent_shape, G.output_shape, G.value_range) == ((128,), (3, size, size), (-1, 1))
    assert G.class_embeddings is not None and G.class_embeddings.shape == (1000, 128)
    unused = 125 * (128 * 9 + 1)  # filters of the last convolution that no image shows
    assert G.parameters + unused == trained(deep_shapes(DEEP[size]))


def test_biggan_deep_512_runs_at_full_size(tmp_path: Path) -> None:
    path = folder(tmp_path / "deep", random_state(deep_shapes(DEEP[512])), None) / "pytorch_model.bin"
    module = biggan_deep.from_state_dict(read(path), deep_config(DEEP[512]))
    with torch.no_grad():
        image = module(
            torch.randn(1, 128, generator=torch.Generator().manual_seed(0)), module.embeddings.weight[:1]
        )
    assert image.shape == (1, 3, 512, 512)
    assert image.isfinite().all() and image.std() > 0.1


# -- what a loaded generator does --------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["g_ema", "deep"])
def test_a_loaded_generator_samples_classes_by_name_index_and_embedding(
    layout: str, request: pytest.FixtureRequest
) -> None:
    G = wb.load(request.getfixturevalue(layout), device="cpu")
    assert isinstance(G, wb.Generator) and G.class_embeddings is not None
    assert G.class_names == imagenet.class_names()
    tench = G.sample(3, condition="tench").outputs
    assert tench.shape == (3, 3, 16, 16)
    assert torch.equal(G.sample(3, condition=0).outputs, tench)
    assert torch.equal(G.of_class("tench")(G.latents(3)), tench)
    assert torch.equal(G.sample(3, condition=G.class_embeddings[0]).outputs, tench)
    assert not torch.allclose(G.sample(3, condition="goldfish").outputs, tench, atol=1e-3)
    with pytest.raises(ModelError, match="no class 'tensh': did you mean 'tench'"):
        G.of_class("tensh")


@pytest.mark.parametrize(
    ("layout", "layer", "shape"),
    [("g_ema", "blocks.1.0.conv1", (8, 16, 16)), ("deep", "layers.3.conv_1", (4, 8, 8))],
)
def test_the_layers_keep_their_public_names(
    layout: str, layer: str, shape: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    G = wb.load(request.getfixturevalue(layout), device="cpu")
    assert isinstance(G, wb.Generator)
    assert G.layers[layer].shape == shape
    z = G.latents(2)
    seen = G.until(layer)(z, "tench")
    assert torch.equal(G.replay(z, layer, seen, "tench"), G(z, "tench"))
    assert not torch.allclose(G.replay(z, layer, 0 * seen, "tench"), G(z, "tench"), atol=1e-3)


def test_the_file_gives_what_its_tensors_compute(g_ema: Path) -> None:
    G = wb.load(g_ema, eps=1e-3, device="cpu")
    state = random_state(SMALL)
    drawn = G.sample(2, condition=7)  # type: ignore[union-attr]
    expected = pytorch_forward(state, drawn.latents, state["shared.weight"][[7, 7]], chunk=3, eps=1e-3)
    assert torch.allclose(drawn.outputs, expected, atol=2e-5)


def test_subspaces_are_found_in_a_loaded_generator(g_ema: Path) -> None:
    G = wb.load(g_ema, device="cpu").of_class("tench")  # type: ignore[union-attr]
    found = wb.subspaces.subspace(G, G.latents(1)[0], dims=2, seed=0)
    assert found.directions.shape == (2, 9)


# -- truncation --------------------------------------------------------------------------------------


def test_truncation_cuts_the_prior_and_is_off_by_default(g_ema: Path) -> None:
    assert wb.load(g_ema, device="cpu").prior == Normal()  # type: ignore[union-attr]
    G = wb.load(g_ema, truncation=0.5, device="cpu")
    assert isinstance(G, wb.Generator) and G.prior == TruncatedNormal(0.5)
    assert 0.8 < G.latents(500).abs().max() <= 1
    own = wb.load(g_ema, prior=Normal(0.3), device="cpu")
    assert own.prior == Normal(0.3)  # type: ignore[union-attr]


def test_truncation_selects_the_statistics_of_biggan_deep(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = DeepReference(LAYERS, unit=8, position=2, z=6, classes=10).state_dict()
    state["generator.bn.running_means"] = torch.arange(51.0)[:, None].expand(51, 8).clone()
    path = folder(tmp_path / "deep", state)
    rows = {
        (t, how): float(wb.load(path, truncation=t, statistics=how, device="cpu").module.bn.running_mean[0])
        for t in (1.0, 0.5, 0.41, 0.405)
        for how in ("fixed", "compat")
    }
    assert rows[1.0, "fixed"] == rows[1.0, "compat"] == 50
    assert rows[0.5, "fixed"] == rows[0.5, "compat"] == 25
    assert rows[0.405, "fixed"] == pytest.approx(20.25)
    assert rows[0.405, "compat"] == pytest.approx(20.75)


# -- which file --------------------------------------------------------------------------------------


def same(a: Any, b: Any) -> bool:
    # not to the last bit: sums run in another order where the file leaves a tensor at another alignment
    return torch.allclose(a.sample(2, condition=1).outputs, b.sample(2, condition=1).outputs, atol=1e-5)


def test_a_folder_and_the_file_in_it_are_one(deep: Path) -> None:
    assert same(wb.load(str(deep) + "/", device="cpu"), wb.load(deep / "pytorch_model.bin", device="cpu"))


def test_safetensors_and_files_of_old_torch_are_read(deep: Path, tmp_path: Path) -> None:
    G = wb.load(deep, device="cpu")
    state = random_state(SMALL_DEEP)
    save_file({n: v.clone().contiguous() for n, v in state.items()}, tmp_path / "model.safetensors")
    assert same(wb.load(tmp_path / "model.safetensors", device="cpu"), G)
    torch.save(state, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    assert same(wb.load(tmp_path / "old.bin", device="cpu"), G)


def test_the_config_beside_a_file_is_used_under_both_of_its_names(tmp_path: Path) -> None:
    config = SMALL_CONFIG | {"layers": [[True, a, b] for _, a, b in LAYERS]}
    path = folder(tmp_path / "deep", random_state(SMALL_DEEP), config)
    assert wb.load(path, device="cpu").output_shape == (3, 64, 64)  # type: ignore[union-attr]
    (path / "config.json").rename(path / "biggan-deep-64-config.json")
    (path / "pytorch_model.bin").rename(path / "biggan-deep-64-pytorch_model.bin")
    assert wb.load(path, device="cpu").output_shape == (3, 64, 64)  # type: ignore[union-attr]


def test_what_data_parallel_saved_and_a_key_of_several_are_read(g_ema: Path, tmp_path: Path) -> None:
    state = {f"module.{n}": v for n, v in random_state(SMALL).items()}
    torch.save({"G": state, "G_ema": state}, tmp_path / "all.pth")
    assert same(wb.load(tmp_path / "all.pth", key="G_ema", device="cpu"), wb.load(g_ema, device="cpu"))


def test_of_a_training_folder_the_averaged_generator_is_taken(g_ema: Path) -> None:
    torch.save({"state": {}, "param_groups": []}, g_ema.with_name("G_optim.pth"))
    torch.save(random_state(SMALL, seed=1), g_ema.with_name("G.pth"))
    assert same(wb.load(g_ema.parent, device="cpu"), wb.load(g_ema, device="cpu"))


# -- mistakes ----------------------------------------------------------------------------------------


def test_an_optimisers_state_is_named_as_one(g_ema: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    torch.save(torch.optim.Adam(layer.parameters()).state_dict(), g_ema.with_name("G_optim.pth"))
    with pytest.raises(CheckpointError, match=r"G_optim\.pth is the state of an optimiser.*G_ema\.pth"):
        wb.load(g_ema.with_name("G_optim.pth"))


def test_a_file_that_was_cut_off_is_refused(g_ema: Path) -> None:
    g_ema.write_bytes(g_ema.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="cut off"):
        wb.load(g_ema)


def test_a_damaged_config_is_refused(deep: Path) -> None:
    (deep / "config.json").write_text('{"layers": [[')
    with pytest.raises(CheckpointError, match=r"config\.json is no readable JSON"):
        wb.load(deep)
    (deep / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="holds a list"):
        wb.load(deep)


def test_a_folder_without_weights_or_with_several_says_so(deep: Path, tmp_path: Path) -> None:
    (deep / "other-pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"several checkpoints, \['other-pytorch_model\.bin', "):
        wb.load(deep)
    with pytest.raises(FileNotFoundError, match=r"holds none of .* but \['biggan-deep-16'\]"):
        wb.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        wb.load(str(tmp_path / "biggan-deep-256") + "/")


def test_another_architecture_still_needs_its_module(tmp_path: Path) -> None:
    torch.save({"0.weight": torch.zeros(2, 2)}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="whose architecture is not known"):
        wb.load(tmp_path / "net.pt")


def test_biggan_has_no_choice_of_statistics(g_ema: Path) -> None:
    with pytest.raises(ModelError, match=r"statistics='compat' was given, but G_ema.pth is a BigGAN"):
        wb.load(g_ema, statistics="compat", device="cpu")
