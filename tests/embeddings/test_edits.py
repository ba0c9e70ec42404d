"""The edited matrix: rows that are kept, undone, saved and loaded, beside a generator that never changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import workbench as wb
from tests.embeddings.networks import additive
from workbench.embeddings import EmbeddingError, EmbeddingTable, interpolate_classes, interpolate_latents, noise


def test_what_is_kept_is_on_top_and_undone_in_reverse():
    table = EmbeddingTable(additive())
    table.keep(1, torch.ones(4), source="first")
    table.keep(1, torch.zeros(4))
    assert torch.equal(table.matrix[1], torch.zeros(4)) and table.changed == [1]
    table.undo()
    assert torch.equal(table.matrix[1], torch.ones(4))
    table.reset(1)
    assert torch.equal(table.matrix, table.original) and table.undo() is None


def test_the_edited_generator_draws_with_the_new_row_and_the_original_does_not():
    generator = additive()
    before = generator.render(generator.latents(3), 1)
    table = EmbeddingTable(generator)
    table.keep("1", torch.ones(4))
    z = generator.latents(3)
    assert torch.allclose(table.generator().render(z, 1), generator.render(z, torch.ones(4)))
    assert torch.equal(generator.render(z, 1), before)


def test_a_saved_table_comes_back_with_what_made_it(tmp_path: Path):
    table = EmbeddingTable(additive())
    table.keep(2, torch.ones(4), source="by hand")
    path = table.save(tmp_path / "deep" / "edited.safetensors")
    assert torch.equal(load_file(path)["embeddings"], table.matrix)
    again = EmbeddingTable(additive())
    again.load(path)
    assert torch.equal(again.matrix, table.matrix) and again.edits[0].source == "by hand"


def test_files_of_another_generator_or_damaged_ones_are_refused_and_change_nothing(tmp_path: Path):
    table = EmbeddingTable(additive())
    path = table.save(tmp_path / "edited.safetensors")
    other = EmbeddingTable(additive(scale=2.0))
    other.keep(0, torch.ones(4))
    with pytest.raises(EmbeddingError, match="made for"):
        other.load(path)
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:40])
    with pytest.raises(EmbeddingError, match="no readable table"):
        other.load(tmp_path / "cut.safetensors")
    with safe_open(path, framework="pt") as stored:
        save_file(load_file(path), tmp_path / "newer.safetensors", {**stored.metadata(), "format": "2"})
    with pytest.raises(EmbeddingError, match="format 2; this version reads 1"):
        table.load(tmp_path / "newer.safetensors")
    with pytest.raises(FileNotFoundError):
        other.load(tmp_path / "none.safetensors")
    assert other.changed == [0]


@pytest.mark.parametrize("row", [torch.ones(5), torch.full((4,), torch.inf)])
def test_rows_that_do_not_fit_are_refused(row: torch.Tensor):
    with pytest.raises(EmbeddingError, match="expected finite"):
        EmbeddingTable(additive()).keep(0, row)


def test_noise_has_the_spread_of_its_name_and_leaves_the_class_in_the_middle():
    generator = additive()
    for name, spread in (("Noise-S", 0.1), ("Noise-L", 0.3)):
        moved = noise(generator, 1, name, trials=4000).embeddings - generator.class_embeddings[1]
        assert moved.mean(0) == pytest.approx(torch.zeros(4), abs=0.03)
        assert moved.std(0) == pytest.approx(torch.full((4,), spread), rel=0.05)
    found = noise(generator, 1, "Noise-L", seed=4, trials=2, spread=0.0123456789)
    again = eval(found.provenance.call, {"wb": wb, "G": generator})
    assert torch.equal(again.embeddings, found.embeddings)
    for name in ("Noise-X", None):
        with pytest.raises(EmbeddingError, match="no noise"):
            noise(generator, 1, name)


def test_ways_are_straight_between_latents_and_between_embeddings():
    generator = additive()
    a, b = generator.latents(2, seed=3)
    frames = interpolate_latents(generator, a, b, 1, frames=5)
    assert torch.allclose(frames[0], generator.render(a[None], 1)[0])
    assert torch.allclose(frames[2], (frames[0] + frames[4]) / 2, atol=1e-6)
    across = interpolate_classes(generator, a, 0, torch.ones(4), frames=3)
    assert torch.allclose(across[-1], generator.render(a[None], torch.ones(4))[0])
    assert torch.allclose(across[1], (across[0] + across[2]) / 2, atol=1e-6)
    with pytest.raises(EmbeddingError, match="frames=1"):
        interpolate_classes(generator, a, 0, 1, frames=1)
