"""A search is a path with branches that replays, saves and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import workbench as wb
from tests.models.networks import convolutional_generator
from workbench.models import ModelError
from workbench.subspaces.export import export


@pytest.fixture
def search(conv: wb.Generator) -> wb.subspaces.Search:
    return wb.subspaces.Search(conv, seed=5)


def walked(search: wb.subspaces.Search) -> wb.subspaces.Search:
    """Two accepted points, then a branch from the first."""
    for draw, frame in ((0, -1), (1, 0)):
        line = search.line(draw)
        search.accept(line, float(line.positions[frame]), draw=draw)
    search.step_back()
    line = search.line(2)
    search.accept(line, float(line.positions[3]), draw=2)
    return search


def test_accepting_moves_to_the_frame_that_was_seen(search: wb.subspaces.Search) -> None:
    line = search.line()
    point = search.accept(line, float(line.positions[20]), draw=0)
    assert torch.equal(point.latent, line.latents[20])
    assert torch.allclose(point.output, line.outputs[20], atol=1e-6)
    assert (search.current, point.parent) == (1, 0)


def test_near_the_middle_the_point_and_its_jacobian_are_kept(search: wb.subspaces.Search) -> None:
    line = search.line()
    spectrum = search.spectrum()
    length = float(line.positions[-1] - line.positions[0])
    assert search.accept(line, 0.049 * length, draw=0).index == 0
    assert search.spectrum() is spectrum and len(search.points) == 1
    assert search.accept(line, 0.051 * length, draw=0).index == 1


def test_directions_at_a_point_are_not_repeated_until_all_were_shown(search: wb.subspaces.Search) -> None:
    directions = torch.stack([search.line(d).direction.flatten() for d in range(8)])
    assert torch.allclose(directions @ directions.T, torch.eye(8), atol=1e-4)


def test_the_spectrum_is_computed_once_a_point(search: wb.subspaces.Search) -> None:
    search.line(0)
    passes = search.spectrum().passes.jvp
    search.line(3)
    assert search.spectrum().passes.jvp == passes == 8


def test_the_spectra_that_are_kept_are_those_of_the_points_visited_last(
    search: wb.subspaces.Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.subspaces.search._KEPT_SPECTRA", 2)
    search.follow([(0, 0.3), (0, 0.3)])
    for point in (0, 1, 0, 2):
        search.line(point=point)
    assert search.spectrum(0) is not None and search.spectrum(1) is None


def test_stepping_back_and_accepting_again_branches(search: wb.subspaces.Search) -> None:
    walked(search)
    assert [p.parent for p in search.points] == [None, 0, 1, 1]
    path = search.path()
    assert path.trail() == [0, 1, 3] and path.trail(2) == [0, 1, 2]
    search.go_to(0)
    assert search.step_back().index == 0
    with pytest.raises(LookupError, match="points 0 to 3"):
        search.go_to(4)


def test_the_code_of_a_line_gives_that_line_again(search: wb.subspaces.Search, conv: wb.Generator) -> None:
    walked(search)
    shown = search.line(1)
    again = eval(search.code(1), {"wb": wb, "G": conv})
    assert torch.equal(again.latents, shown.latents) and torch.equal(again.outputs, shown.outputs)
    assert shown.provenance.call == search.code(1)


def test_a_search_goes_on_from_its_saved_path(
    search: wb.subspaces.Search, conv: wb.Generator, tmp_path: Path
) -> None:
    walked(search)
    resumed = wb.subspaces.Search.resume(conv, search.path().save(tmp_path / "path"))
    assert resumed.current == 3
    assert torch.equal(resumed.line(4).outputs, search.line(4).outputs)
    assert resumed.code() == search.code()
    assert len(resumed.path().frame()) == 4


def test_a_path_of_other_weights_or_features_is_refused(search: wb.subspaces.Search, conv: wb.Generator) -> None:
    path = search.path()
    with pytest.raises(ModelError, match="load the generator that made it"):
        wb.subspaces.Search.resume(wb.Generator(convolutional_generator(seed=1), (8, 1, 1), device="cpu"), path)
    with pytest.raises(ModelError, match=r"features=wb\.subspaces\.Pixels\(\); pass the same"):
        wb.subspaces.Search.resume(conv, path, features=wb.subspaces.Downsampled(2))


def test_a_given_start_and_settings_stand_in_the_code(conv: wb.Generator) -> None:
    z = conv.latents(1, seed=9)
    search = wb.subspaces.Search(conv, z, seed=2, steps=9, features=wb.subspaces.Downsampled(2))
    shown = search.line()
    assert search.code() == (
        "wb.subspaces.Search(G, z, seed=2, steps=9, features=wb.subspaces.Downsampled(2)).line(0)"
    )
    assert torch.equal(eval(search.code(), {"wb": wb, "G": conv, "z": z}).outputs, shown.outputs)


def test_the_walk_goes_from_the_start_to_the_point_through_every_accepted_one(
    search: wb.subspaces.Search,
) -> None:
    walked(search)
    frames = search.walk(frames=4)
    assert len(frames) == 2 * 4 + 1
    for i, point in enumerate(search.path().trail()):
        assert torch.allclose(frames[4 * i], search.points[point].output, atol=1e-5)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_the_walk_is_exported_as_an_animation_with_its_latents(
    search: wb.subspaces.Search, tmp_path: Path, ending: str
) -> None:
    walked(search)
    path = export(search, tmp_path / "out" / f"way.{ending}", frames=5)
    with Image.open(path) as picture:
        assert picture.n_frames > 5 and picture.size == (8, 8)
    assert torch.equal(load_file(path.with_suffix(".safetensors"))["latents"], search.path().latents)
    with pytest.raises(ValueError, match=r"expected \.gif"):
        export(search, tmp_path / "way.mp4")
