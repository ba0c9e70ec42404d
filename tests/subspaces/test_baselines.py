"""Strategies that propose sliders: what each may do, whatever the loss."""

from __future__ import annotations

import math

import pytest
import torch

from workbench.subspaces.baselines import (
    DifferentialSubspaceSearch,
    EmbeddedLineSearch,
    FixedDirections,
    HybridSubspaceSearch,
    RandomDirections,
    principal_directions,
    random_embedding,
)
from workbench.subspaces.objectives import Synthetic


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Spectrum:
    """The axes of a space with singular values 3, 2, 1, that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[torch.Tensor] = []

    def __call__(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked.append(z)
        return torch.tensor([3.0, 2.0, 1.0]), torch.eye(3)


def search(spectrum: Spectrum) -> DifferentialSubspaceSearch:
    return DifferentialSubspaceSearch(torch.zeros(3), half_length=2.0, spectrum=spectrum, generator=seeded())


def test_a_slider_is_proposed_again_until_it_is_accepted():
    strategy = search(Spectrum())
    assert strategy.propose() is strategy.propose()
    first = strategy.propose()
    strategy.accept(0.9)
    assert strategy.propose() is not first


def test_sliders_left_in_the_middle_keep_the_jacobian_and_show_every_direction_once():
    spectrum = Spectrum()
    strategy = search(spectrum)
    shown = []
    for _ in range(3):
        shown.append(int(strategy.propose().direction.argmax()))
        strategy.accept(0.5)
    assert sorted(shown) == [0, 1, 2]
    assert len(spectrum.asked) == 1


def test_a_slider_left_elsewhere_moves_the_centre_and_renews_the_jacobian():
    spectrum = Spectrum()
    strategy = search(spectrum)
    slider = strategy.propose()
    strategy.accept(0.75)
    strategy.propose()
    assert len(spectrum.asked) == 2
    torch.testing.assert_close(spectrum.asked[1], slider.direction * 1.0)  # half of the half-length


@pytest.mark.parametrize(("positive", "cosine"), [(False, 0.0), (True, 0.75)])
def test_random_directions_are_isotropic_and_the_authors_are_not(positive, cosine):
    strategy = RandomDirections(torch.zeros(40), half_length=1.0, generator=seeded(), positive=positive)
    directions = torch.stack([strategy.direction() for _ in range(400)])
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(400))
    between = directions[:200] @ directions[200:].T
    assert float(between.mean()) == pytest.approx(cosine, abs=0.02)


def test_coordinates_are_all_shown_once_before_any_is_shown_again():
    strategy = FixedDirections.coordinates(torch.zeros(6), half_length=1.0, generator=seeded())
    for _ in range(2):
        shown = []
        for _ in range(6):
            shown.append(int(strategy.propose().direction.argmax()))
            strategy.accept(1.0)
        assert sorted(shown) == list(range(6))


def test_principal_directions_of_a_linear_generator_are_its_singular_vectors():
    left = torch.linalg.qr(torch.randn(30, 4, generator=seeded(1)))[0]
    right = torch.linalg.qr(torch.randn(4, 4, generator=seeded(2)))[0]
    latents = torch.randn(20_000, 4, generator=seeded(3))
    outputs = latents @ right.T @ torch.diag(torch.tensor([8.0, 4, 2, 1])) @ left.T
    deviations, directions = principal_directions(latents, outputs)
    torch.testing.assert_close(deviations.float(), torch.tensor([8.0, 4, 2, 1]), rtol=0.03, atol=0)
    assert float((directions * right).sum(1).abs().min()) > 0.995


def test_too_few_samples_for_components_are_refused():
    with pytest.raises(ValueError, match="at least 3"):
        principal_directions(torch.zeros(2, 4), torch.zeros(2, 5))


def test_an_embedded_search_stays_in_the_image_of_its_cube():
    frame = torch.randn(10, 3, generator=seeded(4), dtype=torch.float64)
    origin = torch.full((10,), 0.5, dtype=torch.float64)
    strategy = EmbeddedLineSearch(frame, origin, half=1.5, start=torch.zeros(3), generator=seeded())
    for t in (0.2, 0.9, 0.4):
        slider = strategy.propose()
        for end in (slider.at(0.0), slider.at(1.0)):
            y = torch.linalg.pinv(frame) @ (end - origin)
            torch.testing.assert_close(frame @ y, end - origin)
            assert float(y.abs().max()) <= 1.5 + 1e-9
        strategy.accept(t)


def test_the_hybrid_opens_a_new_subspace_after_ten_sliders():
    spectrum = Spectrum()
    strategy = HybridSubspaceSearch(torch.zeros(3), half_length=1.0, spectrum=spectrum, generator=seeded())
    for _ in range(9):
        strategy.accept(0.8)
    reached = strategy.propose().at(0.8)
    assert len(spectrum.asked) == 1
    strategy.accept(0.8)
    assert len(spectrum.asked) == 2
    torch.testing.assert_close(spectrum.asked[1], reached)


def test_the_random_embedding_can_reach_the_point_nearest_to_the_optimum():
    objective = Synthetic(12, outputs=4, seed=0)
    frame = random_embedding(objective, seeded())
    assert frame.shape == (12, 6)
    assert float((torch.linalg.pinv(frame) @ objective.optimum).abs().max()) < objective.box


def test_an_optimum_out_of_reach_is_said_so():
    objective = Synthetic(12, outputs=4, seed=0)
    objective.optimum = torch.full((12,), math.inf)
    with pytest.raises(ValueError, match="inside the box"):
        random_embedding(objective, seeded())
