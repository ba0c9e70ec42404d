"""Bayesian optimisation by sliders: its model against finite differences, its search on known functions."""

from __future__ import annotations

import pytest
import torch

from workbench.subspaces.sequential_line_search import CHOICE_SCALE, PreferenceModel, SequentialLineSearch


@pytest.fixture
def model() -> PreferenceModel:
    """Five points in a square, of which the ones further right were preferred."""
    model = PreferenceModel(2)
    points = torch.tensor([[0.1, 0.2], [0.3, 0.9], [0.5, 0.4], [0.7, 0.1], [0.9, 0.6]])
    for point in points.double():
        model.add_point(point)
    model.add_choice(2, [0, 1])
    model.add_choice(4, [2, 3])
    model.add_choice(3, [0])
    return model


def test_utilities_and_parameters_are_at_their_joint_maximum(model):
    model.fit(rounds=40, iterations=20)

    def negative_log_posterior(utilities, log_parameters):
        logits = utilities / CHOICE_SCALE
        loss = torch.logsumexp(logits[[2, 0, 1]], 0) - logits[2]
        loss = loss + torch.logsumexp(logits[[4, 2, 3]], 0) - logits[4]
        loss = loss + torch.logsumexp(logits[[3, 0]], 0) - logits[3]
        signal, noise = log_parameters[:2].exp()
        scaled = model.points / log_parameters[2:].exp()
        kernel = signal * torch.exp(-torch.cdist(scaled, scaled).square() / 2)
        kernel = kernel + noise * torch.eye(5, dtype=torch.float64)
        prior = torch.distributions.MultivariateNormal(torch.zeros(5, dtype=torch.float64), kernel)
        medians = torch.tensor([0.5, 0.005, 0.5, 0.5], dtype=torch.float64).log()
        return loss - prior.log_prob(utilities) + (log_parameters - medians).square().sum() / (2 * 0.25)

    utilities = model.utilities.clone().requires_grad_()
    parameters = model.log_parameters.clone().requires_grad_()
    slopes = torch.autograd.grad(negative_log_posterior(utilities, parameters), (utilities, parameters))
    assert slopes[0].abs().max() < 1e-2  # utilities are of size 0.1 and the choices' scale is 0.01
    assert slopes[1].abs().max() < 1e-2


def test_the_curvature_is_that_of_the_likelihood(model):
    f = torch.tensor([0.01, -0.02, 0.0, 0.03, 0.02], dtype=torch.float64)
    gradient, hessian = model._curvature(model._likelihood(f)[1])
    by_autograd = torch.autograd.functional.jacobian(lambda u: model._likelihood(u)[0], f)
    curved = torch.autograd.functional.hessian(lambda u: model._likelihood(u)[0], f)
    torch.testing.assert_close(gradient, by_autograd)
    torch.testing.assert_close(hessian, curved)


def test_the_parameters_gradient_is_right(model):
    model.fit()
    at = model.log_parameters + torch.tensor([0.1, -0.2, 0.3, -0.1], dtype=torch.float64)
    _, gradient = model._parameters_loss(at)
    for i, direction in enumerate(torch.eye(4, dtype=torch.float64)):
        up, down = (model._parameters_loss(at + s * 1e-5 * direction)[0] for s in (1, -1))
        assert float(gradient[i]) == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-6)


def test_preferred_points_get_the_higher_utility(model):
    model.fit()
    f = model.utilities
    assert f[2] > max(f[0], f[1]) and f[4] > max(f[2], f[3]) and f[3] > f[0]
    assert model.best == 4


def test_the_prediction_returns_to_the_prior_far_from_all_points(model):
    model.fit()
    far = model.predict(torch.tensor([[50.0, -50.0]]))
    assert float(far.mean[0]) == pytest.approx(0, abs=1e-12)
    assert float(far.deviation[0]) == pytest.approx(float((model.log_parameters[0] / 2).exp()))


def test_the_expected_improvement_is_the_mean_of_improvements(model):
    model.fit()
    point = torch.tensor([[0.6, 0.9]], dtype=torch.float64)
    predicted = model.predict(point)
    draws = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gains = (predicted.mean + predicted.deviation * draws - model.utilities.max()).clamp_min(0)
    assert float(model.expected_improvement(point)[0]) == pytest.approx(float(gains.mean()), rel=0.02)


@pytest.mark.parametrize(("dimension", "sliders", "tolerance"), [(1, 5, 0.01), (2, 15, 0.02), (4, 40, 0.06)])
def test_it_finds_the_minimum_of_a_bowl(dimension, sliders, tolerance):
    generator = torch.Generator().manual_seed(dimension)
    minimum = 0.2 + 0.6 * torch.rand(dimension, generator=generator, dtype=torch.float64)
    search = SequentialLineSearch(dimension, torch.full((dimension,), 0.5), generator)
    t, nearest = torch.linspace(0, 1, 1001, dtype=torch.float64), float("inf")
    for _ in range(sliders):
        left, right = search.ends
        distances = (left + t[:, None] * (right - left) - minimum).norm(dim=1)
        nearest = min(nearest, float(distances.min()))
        search.accept(float(t[distances.argmin()]))
    assert nearest < tolerance


def test_the_first_slider_is_centred_on_the_start_and_later_ones_begin_at_the_best_point():
    search = SequentialLineSearch(3, torch.tensor([0.2, 0.5, 0.8]), torch.Generator().manual_seed(0))
    left, right = search.ends
    torch.testing.assert_close((left + right) / 2, torch.tensor([0.2, 0.5, 0.8]).double())
    search.accept(0.7)
    torch.testing.assert_close(search.ends[0], left + 0.7 * (right - left))
    assert (search.ends[1] >= 0).all() and (search.ends[1] <= 1).all()


def test_leaving_a_slider_at_its_end_adds_no_second_copy_of_the_end():
    search = SequentialLineSearch(2, torch.tensor([0.5, 0.5]), torch.Generator().manual_seed(0))
    search.accept(1.0)
    assert len(search.model.points) == 3  # two ends of the first slider, one of the second
    assert search.model.best == 1
