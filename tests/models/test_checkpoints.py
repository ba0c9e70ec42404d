"""Checkpoints are read without running what they carry, and must belong to the architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import workbench as wb
from tests.malicious import Malicious
from tests.models.networks import linear_generator, small_classifier
from workbench.models import CheckpointError, load_state_dict, load_weights


def test_safetensors_and_torch_files_round_trip(tmp_path: Path) -> None:
    state = small_classifier(seed=1).state_dict()
    save_file(state, tmp_path / "c.safetensors")
    torch.save(state, tmp_path / "c.pt")
    for name in ("c.safetensors", "c.pt"):
        module = load_weights(small_classifier(seed=2), tmp_path / name)
        assert all(torch.equal(module.state_dict()[k], v) for k, v in state.items())


def test_a_wrapped_state_dict_and_a_parallel_prefix_are_understood(tmp_path: Path) -> None:
    state = small_classifier().state_dict()
    torch.save({"epoch": 3, "G_ema": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "c.pt")
    assert set(load_state_dict(tmp_path / "c.pt")) == set(state)


def test_of_several_state_dicts_one_must_be_chosen(tmp_path: Path) -> None:
    state = small_classifier().state_dict()
    torch.save({"G": state, "G_ema": state}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=r"\['G', 'G_ema'\]; choose one with key="):
        load_state_dict(tmp_path / "c.pt")
    assert set(load_state_dict(tmp_path / "c.pt", key="G_ema")) == set(state)
    with pytest.raises(CheckpointError, match="no entry 'D'"):
        load_state_dict(tmp_path / "c.pt", key="D")


def test_pickled_code_is_refused_and_never_run(tmp_path: Path) -> None:
    target = tmp_path / "was-run"
    torch.save({"weight": torch.zeros(2), "extra": Malicious(target)}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="it was not opened"):
        load_state_dict(tmp_path / "evil.pt")
    assert not target.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(small_classifier(), tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match="pickled objects"):
        load_state_dict(tmp_path / "module.pt")


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt"])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, name: str) -> None:
    whole = tmp_path / f"whole{Path(name).suffix}"
    state = small_classifier().state_dict()
    save_file(state, whole) if name.endswith("safetensors") else torch.save(state, whole)
    (tmp_path / name).write_bytes(whole.read_bytes()[:300])
    with pytest.raises(CheckpointError):
        load_state_dict(tmp_path / name)


def test_another_architecture_is_named_by_its_tensors(tmp_path: Path) -> None:
    save_file(linear_generator().state_dict(), tmp_path / "g.safetensors")
    with pytest.raises(
        CheckpointError, match=r"another architecture than Sequential.*missing: .*left over|of another shape"
    ):
        load_weights(small_classifier(), tmp_path / "g.safetensors")
    wide = nn.Sequential(nn.Linear(9, 16, bias=False))
    with pytest.raises(CheckpointError, match=r"0\.weight \(16, 6\) for \(16, 9\)"):
        load_weights(wide, tmp_path / "g.safetensors")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_state_dict(tmp_path / "none.pt")


def test_wb_load_puts_a_checkpoint_into_a_copy_of_the_users_module(tmp_path: Path) -> None:
    save_file(linear_generator(seed=1).state_dict(), tmp_path / "g.safetensors")
    module = linear_generator(seed=2)
    before = module[0].weight.clone()
    G = wb.load(tmp_path / "g.safetensors", into=module, latent_shape=6, value_range=(-4, 4), device="cpu")
    assert isinstance(G, wb.Generator)
    assert torch.equal(G.module[0].weight, linear_generator(seed=1)[0].weight)
    assert torch.equal(module[0].weight, before)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.9, 0.99])
def test_a_checkpoint_that_is_cut_off_says_so(tmp_path: Path, zipped: bool, share: float) -> None:
    path = tmp_path / "g.pt"
    torch.save(linear_generator().state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"cut off|damaged"):
        load_state_dict(path)


def test_a_dict_of_numbered_tensors_is_no_state_dict(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(2)}, tmp_path / "g.pt")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_state_dict(tmp_path / "g.pt")
