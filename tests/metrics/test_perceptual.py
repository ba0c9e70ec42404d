"""MS-SSIM, LPIPS and feature distances over pairs: closed forms, and torchmetrics and lpips as they are."""

from __future__ import annotations

from pathlib import Path

import lpips
import pytest
import torch
import torchvision
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from workbench.metrics import (
    FeatureDistance,
    Lpips,
    MultiScaleSimilarity,
    mean_over_pairs,
    perceptual,
    random_pairs,
)


def _pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_pairs_are_of_two_different_pictures_and_fixed_by_the_seed():
    pairs = random_pairs(5, 1000)
    assert (pairs[0] != pairs[1]).all()
    assert pairs.unique().tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(pairs, random_pairs(5, 1000))
    assert not torch.equal(pairs, random_pairs(5, 1000, seed=1))


def test_the_mean_over_pairs_of_two_pictures_is_their_distance():
    images = torch.tensor([[0.0], [3.0]])
    assert mean_over_pairs(images, lambda a, b: (a - b).abs()[:, 0], pairs=7) == 3


@pytest.mark.parametrize("given", [(1, 5), (3, 0)])
def test_too_few_pictures_or_pairs_are_refused(given: tuple[int, int]):
    with pytest.raises(ValueError, match="expected two pictures"):
        random_pairs(*given)


def test_ms_ssim_is_that_of_torchmetrics_with_its_own_settings_for_large_pictures():
    a, b = _pictures(2, 1, 192, 192), _pictures(2, 1, 192, 192, seed=1)
    ours = MultiScaleSimilarity(192)
    assert ours.name == "MS-SSIM (5 scales, window 11)"
    theirs = multiscale_structural_similarity_index_measure(
        a, b, reduction="none", data_range=1.0, normalize="relu"
    )
    # the usual weights sum to 1.0001
    assert ours(a, b) == pytest.approx(theirs, abs=1e-3)


def test_ms_ssim_of_small_pictures_names_the_scales_that_fit_and_is_one_for_the_same():
    ours = MultiScaleSimilarity(32)
    assert ours.name == "MS-SSIM (3 scales, window 7)"
    assert sum(ours.weights) == pytest.approx(1)
    a = _pictures(3, 1, 32, 32)
    assert ours(a, a) == pytest.approx(torch.ones(3), abs=1e-5)
    assert (ours(a, _pictures(3, 1, 32, 32, seed=1)) < 0.5).all()


@pytest.mark.parametrize(
    ("edge", "window", "scales"),
    [(55, 7, 3), (56, 7, 3), (62, 7, 3), (63, 7, 4), (40, 5, 3), (44, 5, 3), (45, 5, 4), (111, 7, 4), (112, 7, 5)],
)
def test_ms_ssim_takes_as_many_scales_as_pictures_of_any_edge_allow(edge: int, window: int, scales: int):
    ours, a = MultiScaleSimilarity(edge, window=window), _pictures(1, 1, edge, edge)
    assert ours.name == f"MS-SSIM ({scales} scales, window {window})"
    assert float(ours(a, a)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("edge", "window"), [(161, 7), (175, 7), (176, 11)])
def test_the_usual_window_is_taken_where_it_allows_five_scales(edge: int, window: int):
    ours, a = MultiScaleSimilarity(edge), _pictures(1, 1, edge, edge)
    assert ours.name == f"MS-SSIM (5 scales, window {window})"
    assert float(ours(a, a)) == pytest.approx(1, abs=1e-5)


def test_a_window_that_does_not_fit_is_refused():
    for edge, window in ((32, 6), (5, 7)):
        with pytest.raises(ValueError, match=f"window={window} for pictures of {edge} pixels"):
            MultiScaleSimilarity(edge, window=window)


def test_the_feature_distance_of_orthogonal_features_is_two_a_layer():
    distance = FeatureDistance(lambda x: [x, 5 * x], "toy")
    a, b = torch.tensor([[1.0, 0.0]])[..., None, None], torch.tensor([[0.0, 3.0]])[..., None, None]
    assert distance(a, b).tolist() == pytest.approx([4.0])
    assert distance(a, 2 * a).tolist() == pytest.approx([0.0])
    assert distance.name == "feature distance (toy)"


def test_the_mean_of_a_feature_distance_is_that_over_the_same_pairs():
    distance = FeatureDistance(lambda x: [x, x.square()], "toy")
    images = _pictures(6, 3, 4, 4)
    assert distance.mean(images, pairs=50, seed=2) == pytest.approx(
        mean_over_pairs(images, distance, pairs=50, seed=2), rel=1e-5
    )


def test_lpips_without_its_trained_backbone_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="FeatureDistance"):
        Lpips(backbone=tmp_path / "alexnet.pth")


def test_lpips_takes_no_other_network_for_the_trained_one(tmp_path: Path):
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), tmp_path / "alexnet.pth")
    with pytest.raises(ValueError, match="would be no LPIPS"):
        Lpips(backbone=tmp_path / "alexnet.pth")


def test_lpips_takes_the_backbone_s_weights_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(perceptual._BACKBONES, "alex", "alexnet-.pth")  # any beginning will do
    torch.manual_seed(0)
    trained = torchvision.models.alexnet(weights=None)
    torch.save(trained.state_dict(), tmp_path / "alexnet.pth")
    ours = Lpips(backbone=tmp_path / "alexnet.pth")
    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    for i in range(1, 6):
        for name, module in getattr(theirs.net, f"slice{i}").named_children():
            module.load_state_dict(trained.features[int(name)].state_dict())
    a, b = _pictures(2, 3, 64, 64), _pictures(2, 3, 64, 64, seed=1)
    with torch.no_grad():
        assert torch.allclose(ours(a, b), theirs(a * 2 - 1, b * 2 - 1).flatten())
