"""The simulations' objectives against direct evaluation, autograd and brute force."""

from __future__ import annotations

import pytest
import torch

from workbench.subspaces.objectives import HiddenTarget, Slider, Synthetic


@pytest.fixture(params=[3, 8])
def synthetic(request) -> Synthetic:
    return Synthetic(request.param, outputs=40, seed=1, dtype=torch.float64)


def random_sliders(objective, count: int, *, seed: int = 0) -> list[Slider]:
    generator = torch.Generator().manual_seed(seed)
    centres = objective.draws(count, generator)
    directions = torch.randn(count, objective.dimension, generator=generator).to(centres)
    directions = directions / directions.norm(dim=1, keepdim=True)
    return [Slider.around(c, v, objective.half_length) for c, v in zip(centres, directions, strict=True)]


def test_the_matrices_have_the_eigenvalues_of_the_paper(synthetic):
    alpha = (synthetic.ripple / 2).sqrt()
    eigenvalues = torch.linalg.eigvalsh(synthetic.matrices)
    torch.testing.assert_close(synthetic.matrices, synthetic.matrices.mT)
    assert (alpha >= 0.01).all() and (alpha <= 10).all()
    assert (eigenvalues >= 0.01 * alpha[:, None] - 1e-6).all()
    assert (eigenvalues <= alpha[:, None] + 1e-6).all()


def test_each_matrix_has_a_rotation_of_its_own(synthetic):
    a, b = synthetic.matrices[:2]
    assert (a @ b - b @ a).norm() > 1e-3 * (a @ b).norm()


def test_the_loss_is_the_negative_of_the_papers_goodness(synthetic):
    z = synthetic.draws(5, torch.Generator().manual_seed(3))
    for row, loss in zip(z, synthetic.loss(z), strict=True):
        u = row - synthetic.optimum
        x = torch.stack([(u @ a @ u).sqrt() for a in synthetic.matrices])
        goodness = -(x**2 + synthetic.ripple * (1 - torch.cos(2 * torch.pi * x))).sum()
        assert float(loss) == pytest.approx(-float(goodness), rel=1e-10)


def test_the_optimum_has_no_loss_and_lies_in_the_middle_of_the_box(synthetic):
    assert float(synthetic.loss(synthetic.optimum[None])[0]) == pytest.approx(0, abs=1e-9)  # of ripples near 1e5
    assert (synthetic.optimum.abs() <= 1.25).all()


def test_the_exact_jacobian_is_that_of_the_outputs(synthetic):
    z = synthetic.draws(1, torch.Generator().manual_seed(3))[0]
    by_autograd = torch.autograd.functional.jacobian(lambda p: synthetic.outputs(p[None])[0], z)
    torch.testing.assert_close(synthetic.jacobian(z, of="exact"), by_autograd)


def test_the_authors_jacobian_is_that_of_the_squared_outputs(synthetic):
    z = synthetic.draws(1, torch.Generator().manual_seed(3))[0]
    by_autograd = torch.autograd.functional.jacobian(lambda p: synthetic.outputs(p[None])[0] ** 2, z)
    torch.testing.assert_close(synthetic.jacobian(z), by_autograd)


@pytest.mark.parametrize("of", ["squared", "exact"])
def test_the_spectrum_is_the_singular_value_decomposition(synthetic, of):
    z = synthetic.draws(1, torch.Generator().manual_seed(3))[0]
    values, directions = synthetic.spectrum(z, of=of)
    _, expected, right = torch.linalg.svd(synthetic.jacobian(z, of=of), full_matrices=False)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close((directions * right).sum(1).abs(), torch.ones_like(values))


def test_the_stochastic_spectrum_of_all_rows_is_the_whole_one(synthetic):
    z = synthetic.draws(1, torch.Generator().manual_seed(3))[0]
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(synthetic.sampled_spectrum(z, synthetic.m, generator)[0], synthetic.spectrum(z)[0])
    assert len(synthetic.sampled_spectrum(z, 2, generator)[0]) == 2


def test_the_line_search_finds_what_brute_force_finds(synthetic):
    sliders = random_sliders(synthetic, 6)
    settled = synthetic.search(sliders)
    grid = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    for slider, t, loss in zip(sliders, settled.positions, settled.losses, strict=True):
        losses = synthetic.loss(torch.stack([slider.at(float(g)) for g in grid]))
        assert float(t) == pytest.approx(float(grid[losses.argmin()]), abs=1e-12)
        assert float(loss) == pytest.approx(float(losses.min()), rel=1e-9)


def test_a_line_search_through_the_optimum_finds_it(synthetic):
    direction = torch.ones(synthetic.dimension, dtype=torch.float64) / synthetic.dimension**0.5
    slider = Slider(synthetic.optimum - 0.25 * direction, direction)
    settled = synthetic.search([slider])
    assert float(settled.positions[0]) == pytest.approx(0.25)
    assert float(settled.losses[0]) < 1e-12


def test_single_precision_is_enough():
    single, double = (Synthetic(16, outputs=64, seed=2, dtype=d) for d in (torch.float32, torch.float64))
    for a, b in zip(random_sliders(single, 8), random_sliders(double, 8), strict=True):
        found, expected = single.search([a]), double.search([b])
        assert float(found.losses[0]) == pytest.approx(float(expected.losses[0]), rel=1e-5)


def test_products_carried_from_slider_to_slider_do_not_drift():
    objective = Synthetic(16, outputs=64, seed=2)
    centre = objective.draws(1, torch.Generator().manual_seed(0))[0]
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        direction = torch.randn(16, generator=generator)
        slider = Slider.around(centre, direction / direction.norm(), objective.half_length)
        settled = objective.search([slider])
        centre = slider.at(float(settled.positions[0]))
    carried = objective.jacobian(centre)
    objective._left = []
    torch.testing.assert_close(carried, objective.jacobian(centre), rtol=1e-4, atol=1e-4)
    assert float(settled.losses[0]) == pytest.approx(float(objective.loss(centre[None])[0]), rel=1e-4)


def test_the_half_length_follows_the_authors_rule():
    # 0.2 times the mean distance of two draws of U(-2.5, 2.5)^8
    assert Synthetic(8, outputs=2).half_length == pytest.approx(1.13, abs=0.01)
    assert Synthetic(32, outputs=2).half_length == pytest.approx(2.30, abs=0.02)


def test_another_jacobian_is_refused(synthetic):
    with pytest.raises(ValueError, match="'squared'"):
        synthetic.jacobian(synthetic.optimum, of="cubed")  # type: ignore[arg-type]


# -- hidden target ---------------------------------------------------------------------------------


def test_the_distance_of_a_linear_generator_is_known(linear):
    objective = HiddenTarget(linear, seed=4)
    z = objective.draws(3, torch.Generator().manual_seed(0))
    scales = torch.tensor([5.0, 4, 3, 2, 1])
    expected = ((z - objective.optimum) * scales).norm(dim=1) / 40  # pixels from -20..20 to 0..1
    torch.testing.assert_close(objective.loss(z), expected.double(), rtol=1e-5, atol=1e-6)
    assert float(objective.loss(objective.optimum[None])[0]) < 1e-6


def test_the_line_search_of_a_linear_generator_is_a_projection(linear):
    objective = HiddenTarget(linear, seed=4)
    scales = torch.tensor([5.0, 4, 3, 2, 1])
    sliders = [
        Slider.around(objective.optimum + 0.3 * s.direction + 0.1 * torch.ones(5), s.direction, 2.0)
        for s in random_sliders(objective, 5)
    ]
    for slider, t in zip(sliders, objective.search(sliders).positions, strict=True):
        along, away = scales * slider.direction, scales * (objective.optimum - slider.anchor)
        u = float(along @ away / (along @ along))
        assert slider.along(float(t)) == pytest.approx(u, abs=1e-3)


def test_the_box_holds_95_percent_of_the_draws(linear):
    draws = HiddenTarget(linear).draws(20_000, torch.Generator().manual_seed(9))
    inside = (draws.abs().amax(1) <= HiddenTarget(linear).box).double().mean()
    assert float(inside) == pytest.approx(0.95, abs=0.01)


def test_the_generators_spectrum_is_that_of_its_jacobian(linear):
    objective = HiddenTarget(linear)
    values, directions = objective.spectrum(objective.optimum)
    torch.testing.assert_close(values, torch.tensor([5.0, 4, 3, 2, 1]))
    torch.testing.assert_close(directions.abs(), torch.eye(5), atol=1e-4, rtol=0)


def test_a_slider_passes_through_its_centre_in_the_middle():
    centre, direction = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])
    slider = Slider.around(centre, direction, 3.0)
    assert torch.equal(slider.at(0.5), centre)
    torch.testing.assert_close(slider.at(1.0), torch.tensor([1.0, 5.0]))
