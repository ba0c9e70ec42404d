"""BerOpt keeps what carries the output, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import workbench as wb
from tests.boundaries.networks import Functional, one_layer
from workbench.boundaries import BoundaryError, at_threshold, masked_outputs, supporting_set
from workbench.boundaries.supporting_set import supporting_set_steps
from workbench.models import ModelError
from workbench.progress import stop


def with_carriers(carriers: list[int], bias: float = 1.0) -> wb.Generator:
    """All units are on near the origin; only those of `carriers` reach the output."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 8))
    with torch.no_grad():
        module[0].weight.mul_(2)
        module[0].bias.fill_(bias)
        weight = torch.zeros_like(module[2].weight)
        weight[:, carriers] = 1 + torch.rand(8, len(carriers))
        module[2].weight.copy_(weight)
    return wb.Generator(module, 3, value_range=(-10, 10), device="cpu")


def test_the_units_that_reach_the_output_are_kept_and_no_other():
    G = with_carriers([1, 4, 7])
    found = supporting_set(G, torch.zeros(3), "1", sparsity=0.2)
    assert found.units.tolist() == [1, 4, 7]
    assert found.signs.tolist() == [1, 1, 1]
    assert found.indicator.tolist() == [0, 1, 0, 0, 1, 0, 0, 1, 0, 0]
    assert found.error < 1e-6 and found.converged
    assert float(found.losses[-1]) < float(found.losses[0])


def test_a_unit_below_zero_is_kept_only_where_both_sides_are_asked_for():
    G = with_carriers([1, 4, 7])
    with torch.no_grad():
        G.module[0].bias[4] = -1.0
    active = supporting_set(G, torch.zeros(3), "1", sparsity=0.2)
    assert active.units.tolist() == [1, 7] and active.candidates == 9
    both = supporting_set(G, torch.zeros(3), "1", sparsity=0.2, sides="both")
    assert both.units.tolist() == [1, 4, 7] and both.candidates == 10
    assert both.signs.tolist() == [1, -1, 1]


def test_masks_act_alike_on_an_activation_that_is_a_module_and_on_one_that_is_a_function():
    class Function(nn.Module):
        def __init__(self, module: nn.Sequential) -> None:
            super().__init__()
            self.first, self.last = module[0], module[2]

        def forward(self, z):
            return self.last(torch.relu(self.first(z)))

    G = with_carriers([0, 2])
    F = wb.Generator(Function(G.module), 3, value_range=(-10, 10), device="cpu")
    a, b = (supporting_set(M, torch.zeros(3), layer, sparsity=0.2) for M, layer in ((G, "1"), (F, "first")))
    torch.testing.assert_close(a.theta, b.theta)
    torch.testing.assert_close(a.masked, b.masked)


def test_the_masked_output_is_what_the_network_makes_of_the_kept_units():
    G = one_layer()
    z = G.latents(1, seed=3)
    found = supporting_set(G, z, "1", most_steps=40)
    hidden = torch.relu(G.module[0](z)) * found.kept
    expected = G.module[3](G.module[2](hidden))[0]
    torch.testing.assert_close(found.masked, expected)
    scale = (G.module[3](G.module[2](hidden * 0))[0] - found.output).norm()
    assert found.error == pytest.approx(float((expected - found.output).norm() / scale))


def test_the_loss_is_equation_1_averaged_over_exact_masks_where_theta_is_certain():
    G = with_carriers([1, 4, 7])
    found = supporting_set(G, torch.zeros(3), "1", sparsity=0.2, most_steps=1000, tolerance=-1)
    certain = 0.2 * float(found.theta.sum()) / found.candidates
    assert float(found.losses[-20:].mean()) == pytest.approx(certain, rel=0.05)


def test_a_higher_threshold_keeps_a_subset_and_one_that_keeps_nothing_is_refused():
    G = wb.load("mnist-dcgan-2d", device="cpu")
    found = supporting_set(G, torch.tensor([0.5, -0.3]), "1", most_steps=80)
    higher = at_threshold(G, found, 0.8)
    assert set(higher.units.tolist()) < set(found.units.tolist())
    torch.testing.assert_close(masked_outputs(G, found, [0.5, 0.8])[1], higher.masked)
    assert masked_outputs(G, found, [1.0])[0].shape == G.output_shape  # nothing kept can still be looked at
    with pytest.raises(BoundaryError, match=r"keeps no unit: the largest theta is 0\.9"):
        at_threshold(G, found, 0.999)


def test_a_set_at_another_threshold_says_how_it_was_made():
    G, z = one_layer(), torch.tensor([0.3, -0.2])
    found = supporting_set(G, z, "1", most_steps=30)
    other = at_threshold(G, found, 0.3)
    again = eval(other.provenance.call, {"wb": wb, "G": G, "z": z})
    assert torch.equal(again.units, other.units) and again.threshold == 0.3
    assert found.provenance.call.startswith("wb.boundaries.supporting_set(")


@pytest.mark.parametrize("threshold", [-1, 1, math.nan])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    G = one_layer()
    found = supporting_set(G, G.latents(1), "1", most_steps=5)
    with pytest.raises(BoundaryError, match=f"threshold={threshold}; expected a probability below 1"):
        at_threshold(G, found, threshold)


def test_the_set_of_another_network_is_refused():
    found = supporting_set(with_carriers([1]), torch.zeros(3), "1", most_steps=5)
    for call in (lambda: at_threshold(one_layer(), found, 0.4), lambda: masked_outputs(one_layer(), found, [0.4])):
        with pytest.raises(BoundaryError, match="make a set for this network"):
            call()


def test_after_thresholding_the_image_is_still_that_of_the_query():
    """Figure 2: a third of the active units at most, at a tenth of the error of none."""
    G = wb.load("mnist-dcgan", device="cpu")
    found = supporting_set(G, G.latents(1, seed=1), "3", most_steps=150)
    assert len(found.units) < found.candidates / 3
    assert found.error < 0.1


def test_a_seed_gives_the_same_set_and_another_one_another_course():
    G = one_layer()
    z = G.latents(1, seed=3)
    a, b, c = (supporting_set(G, z, "1", seed=seed, most_steps=30) for seed in (0, 0, 1))
    assert torch.equal(a.theta, b.theta) and not torch.equal(a.losses, c.losses)


def test_a_cancelled_optimisation_returns_the_set_so_far_marked_partial():
    G = one_layer()
    steps = supporting_set_steps(G, G.latents(1, seed=3), "1")
    for _ in range(5):
        step = next(steps)
    found = stop(steps, step)
    assert len(found.losses) == 5 and found.provenance.partial


def test_of_a_classifier_the_scores_are_carried():
    C = wb.load("mnist-cnn", device="cpu")
    from workbench.datasets import mnist

    x = mnist.sample().tensor()[0]
    found = supporting_set(C, x, "12", most_steps=100)
    assert found.masked.shape == (10,)
    assert int(found.masked.argmax()) == int(C.scores(x[None]).argmax())
    assert 0 < len(found.units) < found.candidates


def test_it_saves_and_loads_and_its_frame_lists_the_kept_units(tmp_path):
    G = wb.load("mnist-dcgan-2d", device="cpu")
    found = supporting_set(G, torch.tensor([0.5, -0.3]), "8", most_steps=30)
    again = wb.load_result(found.save(tmp_path))
    assert torch.equal(again.theta, found.theta) and tuple(again.shape) == (96, 7, 7)
    assert torch.equal(again.units, found.units)
    table = found.frame()
    assert len(table) == len(found.units) and table["theta"].is_monotonic_decreasing
    row = table.iloc[0]
    assert row["unit"] == row["channel"] * 49 + row["position"][0] * 7 + row["position"][1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.0}, "threshold=1.0"),
        ({"sparsity": -1}, "sparsity=-1"),
        ({"masks": 0}, "masks=0"),
        ({"tolerance": math.nan}, "tolerance=nan"),
        ({"sides": "left"}, "'active' or 'both'"),
        ({"sparsity": 1e6}, "keeps no unit.*smaller sparsity"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    G = one_layer()
    with pytest.raises(BoundaryError, match=message):
        supporting_set(G, G.latents(1), "1", **settings)


def test_bad_queries_are_refused():
    G = one_layer()
    with pytest.raises(ModelError, match="NaN"):
        supporting_set(G, torch.full((2,), math.nan), "1")
    with pytest.raises(ModelError, match="masks for each step were asked for, which take"):
        supporting_set(G, torch.zeros(2), "1", masks=2**63)
    with pytest.raises(ModelError, match="shape"):
        supporting_set(G, torch.zeros(3), "1")
    U = wb.Generator(Functional(), 4, prior="uniform", device="cpu")
    with pytest.raises(BoundaryError, match=r"outside the box \[-1, 1\]"):
        supporting_set(U, torch.full((4,), 1.5), "first")


def test_a_layer_that_the_output_does_not_depend_on_is_refused():
    G = with_carriers([])
    with pytest.raises(BoundaryError, match="none carries it"):
        supporting_set(G, torch.zeros(3), "1")
    silent = with_carriers([1], bias=-5.0)
    with torch.no_grad():
        silent.module[0].weight[0] = 50.0  # so that the layer has a boundary at all
    with pytest.raises(BoundaryError, match="silent at the query"):
        supporting_set(silent, torch.zeros(3), "1")
