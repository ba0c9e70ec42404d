"""The subspace of a linear generator is that of its singular vectors, drawn by their singular values."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import workbench as wb
from tests.models.networks import small_classifier
from workbench.models import ModelError
from workbench.progress import Cancelled, Step
from workbench.subspaces import Downsampled, LayerFeatures


def test_a_linear_generators_directions_are_its_right_singular_vectors(linear: wb.Generator) -> None:
    found = wb.subspaces.subspace(linear, torch.zeros(5), dims=5)
    assert torch.allclose(found.spectrum, torch.tensor([5.0, 4, 3, 2, 1]), atol=1e-4)
    assert sorted(found.indices.tolist()) == [0, 1, 2, 3, 4]
    for direction, index in zip(found.directions, found.indices, strict=True):
        assert torch.allclose(direction.abs(), torch.eye(5)[index], atol=1e-3)


def test_the_first_draw_follows_the_singular_values(linear: wb.Generator) -> None:
    firsts = [int(wb.subspaces.subspace(linear, torch.zeros(5), seed=s).indices[0]) for s in range(1500)]
    counts = torch.bincount(torch.tensor(firsts), minlength=5).double()
    expected = 1500 * torch.tensor([5.0, 4, 3, 2, 1]).double() / 15
    assert float(((counts - expected) ** 2 / expected).sum()) < 18.5  # chi-square, 4 degrees, p = 0.001


def test_every_seed_makes_the_same_draw_again(conv: wb.Generator) -> None:
    z = conv.latents(1, seed=1)
    once, again = (wb.subspaces.subspace(conv, z, dims=3, seed=4) for _ in range(2))
    assert torch.equal(once.directions, again.directions)
    assert not torch.equal(once.indices, wb.subspaces.subspace(conv, z, dims=3, seed=5).indices)


def test_all_directions_can_be_drawn_from_a_matrix_free_spectrum(linear: wb.Generator) -> None:
    found = wb.subspaces.subspace(linear, torch.zeros(5), dims=5, route="matrix-free", rank=2)
    assert found.route == "matrix-free"
    assert torch.allclose(found.directions @ found.directions.T, torch.eye(5), atol=1e-4)


def test_a_short_matrix_free_spectrum_keeps_the_search_ergodic(linear: wb.Generator) -> None:
    from workbench.numerics.spectra import spectrum_steps
    from workbench.progress import run
    from workbench.subspaces.subspace import Draws

    spectrum = run(spectrum_steps(linear, torch.zeros(5), route="matrix-free", rank=2), lambda _: True)
    assert spectrum.remaining_scale == pytest.approx((14 / 3) ** 0.5, rel=0.35)
    draws = Draws(spectrum, seed=0)
    five = [draws[i] for i in range(5)]
    assert sorted(i for i, _, _ in five) == [-1, -1, -1, 0, 1]
    stacked = torch.stack([d for _, d, _ in five])
    assert torch.allclose(stacked @ stacked.T, torch.eye(5), atol=1e-4)


def test_features_change_what_counts(conv: wb.Generator) -> None:
    z = conv.latents(1)
    coarse = wb.subspaces.subspace(conv, z, features=Downsampled(4))
    fine = wb.subspaces.subspace(conv, z)
    assert float(coarse.spectrum[0]) < float(fine.spectrum[0])
    assert coarse.output.shape == conv.output_shape
    with pytest.raises(ValueError, match="use 1 to 8"):
        wb.subspaces.subspace(conv, z, features=Downsampled(9))


def test_a_classifiers_layer_is_a_feature_of_images_of_its_shape(conv: wb.Generator, linear: wb.Generator) -> None:
    from torch import nn

    gray = wb.Generator(nn.Sequential(nn.Linear(4, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8))), 4, device="cpu")
    C = wb.Classifier(small_classifier(), (1, 8, 8), device="cpu")
    phi = LayerFeatures(gray, C, "1")
    found = wb.subspaces.subspace(gray, gray.latents(1), features=phi)
    z = gray.latents(1)[0]
    jacobian = torch.autograd.functional.jacobian(lambda v: C.until("1")((gray(v[None]) + 1) / 2).flatten(), z)
    assert torch.allclose(found.spectrum, torch.linalg.svdvals(jacobian), atol=1e-4)
    with pytest.raises(ModelError, match="wrap the classifier"):
        LayerFeatures(linear, C, "1")


def test_results_save_and_load_with_what_made_them(conv: wb.Generator, tmp_path: Path) -> None:
    found = wb.subspaces.subspace(conv, conv.latents(1), dims=2, seed=3)
    loaded = wb.load_result(found.save(tmp_path / "r"))
    assert type(loaded) is type(found)
    assert torch.equal(loaded.directions, found.directions) and loaded.route == found.route
    assert loaded.provenance == found.provenance
    assert found.provenance.passes["jvp"] == 8 and "seed=3" in found.provenance.call
    assert list(found.frame().columns) == ["singular_value", "probability", "drawn"]
    assert found.frame().probability.sum() == pytest.approx(1.0)


def test_bad_queries_are_refused(conv: wb.Generator) -> None:
    with pytest.raises(ModelError, match=r"z has shape \(2, 8, 1, 1\)|holds 2 points"):
        wb.subspaces.subspace(conv, conv.latents(2))
    with pytest.raises(ModelError, match=r"expected \(batch, 8, 1, 1\)"):
        wb.subspaces.subspace(conv, torch.zeros(8))
    with pytest.raises(ModelError, match="NaN or infinity"):
        wb.subspaces.subspace(conv, torch.full((8, 1, 1), torch.inf))
    with pytest.raises(ValueError, match="subspaces of 1 to 8"):
        wb.subspaces.subspace(conv, conv.latents(1), dims=9)


def test_progress_sees_every_chunk_and_can_cancel(conv: wb.Generator) -> None:
    seen: list[Step] = []
    wb.subspaces.subspace(conv, conv.latents(1), progress=seen.append)
    assert seen[-1].done == seen[-1].total == 8
    with pytest.raises(Cancelled, match="stopped after step"):
        wb.subspaces.subspace(conv, conv.latents(1), progress=lambda step: False)


# -- lines -------------------------------------------------------------------------------------------


def test_both_ends_of_every_line_change_a_linear_generator_by_the_target(linear: wb.Generator) -> None:
    found = wb.subspaces.subspace(linear, torch.zeros(5) + 0.9, dims=5)
    for axis in range(5):
        line = wb.subspaces.line(linear, found, axis, target=1.0)
        assert line.change[0] == pytest.approx(1.0, rel=1e-3)
        assert line.change[-1] == pytest.approx(1.0, rel=1e-3)
        assert line.positions[-1] == pytest.approx(1 / float(line.singular_value), rel=1e-3)
        assert line.positions[line.middle] == 0 and line.change[line.middle] == 0


def test_the_ends_of_a_real_generators_lines_come_close_to_the_target(conv: wb.Generator) -> None:
    found = wb.subspaces.subspace(conv, conv.latents(1, seed=2), dims=8)
    for axis in range(8):
        line = wb.subspaces.line(conv, found, axis)
        reached = torch.stack([line.change[0], line.change[-1]])
        far = conv.prior.expected_distance((8,)) * (1 - 1e-5)
        limited = torch.stack([-line.positions[0], line.positions[-1]]) >= far
        assert ((reached / line.target - 1).abs() < 0.2)[~limited].all()


def test_the_papers_scale_is_a_fifth_of_the_mean_distance_of_two_draws(conv: wb.Generator) -> None:
    line = wb.subspaces.line(conv, wb.subspaces.subspace(conv, conv.latents(1)), scale="latent")
    a, b = conv.latents(20_000).flatten(1).chunk(2)
    assert float(line.positions[-1]) == pytest.approx(0.2 * float((a - b).norm(dim=1).mean()), rel=0.02)


def test_frames_are_the_generators_own_pictures_of_the_latents(conv: wb.Generator) -> None:
    line = wb.subspaces.line(conv, wb.subspaces.subspace(conv, conv.latents(1)), steps=9)
    assert torch.allclose(line.outputs, conv(line.latents), atol=1e-6)
    assert len(line.frame()) == 9


def test_latents_that_leave_the_typical_set_are_brought_back_and_marked(conv: wb.Generator) -> None:
    low, high = conv.prior.shell(8)  # type: ignore[attr-defined]
    z = torch.zeros(8, 1, 1)
    z[0] = high * 0.99
    found = wb.subspaces.subspace(conv, z, dims=8)
    line = wb.subspaces.line(conv, found, 0, target=1e9)
    assert not line.inside.all()
    norms = line.latents.flatten(1).norm(dim=1)
    assert (norms <= high * (1 + 1e-4)).all() and (norms >= low * (1 - 1e-4)).all()


def test_a_start_outside_the_typical_set_stays_where_it_was_put(conv: wb.Generator) -> None:
    z = torch.full((8, 1, 1), 9.0)
    line = wb.subspaces.line(conv, wb.subspaces.subspace(conv, z))
    assert torch.equal(line.latents[line.middle], z) and not line.inside[line.middle]


def test_bad_lines_are_refused(conv: wb.Generator) -> None:
    found = wb.subspaces.subspace(conv, conv.latents(1))
    for options, says in (
        ({"axis": 1}, "directions 0 to 0"),
        ({"steps": 24}, "odd"),
        ({"scale": "pixels"}, "'output' or 'latent'"),
        ({"share": 0}, "positive share"),
    ):
        with pytest.raises(ValueError, match=says):
            wb.subspaces.line(conv, found, **options)  # type: ignore[arg-type]


def test_a_result_says_all_that_it_was_made_with(conv: wb.Generator) -> None:
    z = conv.latents(1, seed=2)[0]
    found = wb.subspaces.subspace(conv, z, dims=2, seed=3, features=Downsampled(2), route="matrix-free", rank=5)
    lines = [
        wb.subspaces.line(conv, found, 1, steps=5, features=Downsampled(2), share=0.25),
        wb.subspaces.line(conv, found, 0, steps=5, target=0.5),
        wb.subspaces.line(conv, found, 0, steps=5, features=lambda x: x.square()),
    ]
    names = {"wb": wb, "G": conv, "z": z, "features": lambda x: x.square()}
    again = eval(found.provenance.call, names)
    assert torch.equal(again.spectrum, found.spectrum) and torch.equal(again.directions, found.directions)
    for line in lines:
        assert torch.equal(eval(line.provenance.call, names).outputs, line.outputs)
