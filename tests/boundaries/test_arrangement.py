"""The exact arrangement agrees with the network's signs; the region is where all kept signs agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from tests.boundaries.networks import one_layer, two_layers
from workbench.boundaries import (
    Arrangement,
    BoundaryError,
    Plane,
    affine_cells,
    arrangement,
    region,
    supporting_set,
)
from workbench.boundaries.complexes import Complex
from workbench.boundaries.sign_layer import sign_layer
from workbench.models import ModelError


def generator(*steps: nn.Module, latents: int = 2, seed: int = 0, shift: float = 0.0) -> wb.Generator:
    torch.manual_seed(seed)
    module = nn.Sequential(*steps, nn.Tanh())
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight)
            if part.bias is not None:
                nn.init.normal_(part.bias, mean=shift)
    return wb.Generator(module.double(), latents, device="cpu")


NETWORKS = {
    "relu": (generator(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 4)), "3"),
    "leaky": (
        generator(nn.Linear(2, 12), nn.LeakyReLU(0.2), nn.Linear(12, 9), nn.PReLU(), nn.Linear(9, 7), nn.ReLU()),
        "4",
    ),
    "two kinks": (
        generator(nn.Linear(2, 9), nn.Hardtanh(-0.5, 1), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 2)),
        "3",
    ),
    "convolution": (
        generator(
            nn.Linear(2, 8),
            nn.Unflatten(1, (2, 2, 2)),
            nn.BatchNorm2d(2),
            nn.ReLU(),
            nn.Conv2d(2, 3, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(3, 1, 3, padding=1),
        ),
        "5",
    ),
}


def check_against_a_grid(drawn: Arrangement, network: wb.Generator, layer: str, side: int) -> None:
    """Between neighbours in a row a boundary is crossed an odd number of times where signs differ, else evenly."""
    x0, x1, y0, y1 = drawn.extent
    ticks = torch.linspace(x0, x1, side, dtype=torch.float64)
    rows = torch.linspace(y0, y1, 23, dtype=torch.float64)[1:-1] + 1e-5  # no vertex lies on such a row
    at = sign_layer(network, layer)
    segments, owner = drawn.segments.numpy(), drawn.unit.numpy()
    for y in rows.tolist():
        points = drawn.plane.points(torch.stack([ticks, torch.full_like(ticks, y)], 1))
        with torch.no_grad():
            positive = (at.pre_activations(points.to(network.dtype)) >= 0).numpy()
        differs = positive[1:] != positive[:-1]
        low, high = segments[:, :, 1].min(1), segments[:, :, 1].max(1)
        met = (low <= y) & (y < high)
        (a, b), unit = segments[met].transpose(1, 0, 2), owner[met]
        x = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
        counted = np.zeros_like(differs, dtype=int)
        place = np.searchsorted(ticks.numpy(), x) - 1
        inside = (place >= 0) & (place < side - 1)
        np.add.at(counted, (place[inside], unit[inside]), 1)
        np.testing.assert_array_equal(counted % 2 == 1, differs)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_exact_arrangement_agrees_with_the_networks_signs_everywhere(name):
    network, layer = NETWORKS[name]
    drawn = arrangement(network, layer, Plane.of(network))
    assert drawn.exact and not drawn.reason and drawn.cells > 10 and len(drawn.segments) > 20
    check_against_a_grid(drawn, network, layer, side=301)


@pytest.mark.parametrize("layer", ["1", "3"])
def test_it_agrees_on_the_shipped_generator_of_two_latents(layer):
    """The network computes in single precision, so that grid places within a rounding of a boundary may differ."""
    network = wb.load("mnist-dcgan-2d", device="cpu")
    network.module.double()
    network.dtype = torch.float64
    drawn = arrangement(network, layer, Plane.of(network))
    assert drawn.exact
    check_against_a_grid(drawn, network, layer, side=201)


def with_rest(*, seed: int) -> wb.Generator:
    """On a large part of the plane no unit of its first layer is on, and the next ones have no biases."""
    return generator(
        nn.Linear(2, 7),
        nn.ReLU(),
        nn.Linear(7, 12, bias=False),
        nn.ReLU6(),
        nn.Linear(12, 9, bias=False),
        nn.ReLU(),
        seed=seed,
        shift=-1.0,
    )


@pytest.mark.parametrize("seed", [0, 1, 4, 5])
def test_where_a_layer_rests_at_zero_its_units_have_no_boundary_but_the_rim(seed):
    network = with_rest(seed=seed)
    drawn = arrangement(network, "5", Plane.of(network))
    at = sign_layer(network, "5")
    with torch.no_grad():
        assert float((at.pre_activations(network.latents(500)) == 0).all(1).double().mean()) > 0.02
    assert drawn.exact
    check_against_a_grid(drawn, network, "5", side=301)


@pytest.mark.parametrize("copies", [1.0, 1 + 1e-15, -2.0])
def test_units_that_have_the_same_boundary_do_no_harm(copies):
    network = generator(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU())
    first = network.module[0]
    with torch.no_grad():
        first.weight[8:], first.bias[8:] = copies * first.weight[:8], copies * first.bias[:8]
    drawn = arrangement(network, "5", Plane.of(network))
    assert drawn.exact and len(drawn.segments) > 20
    check_against_a_grid(drawn, network, "5", side=301)


@pytest.mark.parametrize("name", NETWORKS)
def test_on_every_piece_the_pre_activation_is_zero(name):
    network, layer = NETWORKS[name]
    drawn = arrangement(network, layer, Plane.of(network))
    ends = drawn.segments.reshape(-1, 2)
    middle = drawn.segments.mean(1)
    unit = drawn.unit
    at = sign_layer(network, layer)
    with torch.no_grad():
        scale = float(at.pre_activations(network.latents(50)).abs().max())
        for xy, owner in ((ends, unit.repeat_interleave(2)), (middle, unit)):
            heights = at.pre_activations(drawn.plane.points(xy)).gather(1, owner[:, None])
            assert float(heights.abs().max()) < 1e-9 * scale


def test_a_closer_look_shows_the_same_boundaries():
    network, layer = NETWORKS["relu"]
    whole = Plane.of(network)
    close = arrangement(network, layer, whole.zoomed((-0.5, 0.5, -0.5, 0.5)))
    assert close.exact and close.cells < arrangement(network, layer, whole).cells
    check_against_a_grid(close, network, layer, side=301)


def test_held_in_parts_the_arrangement_is_the_same(monkeypatch):
    network, layer = NETWORKS["relu"]
    whole = arrangement(network, layer, Plane.of(network))
    monkeypatch.setattr(affine_cells, "_HELD", 500)
    parts = arrangement(network, layer, Plane.of(network))
    assert parts.cells == whole.cells and len(parts.segments) == len(whole.segments)
    check_against_a_grid(parts, network, layer, side=301)


def test_what_would_be_too_many_pieces_is_known_before_they_are_made(monkeypatch):
    network, layer = NETWORKS["relu"]
    cells = arrangement(network, layer, Plane.of(network)).cells
    monkeypatch.setattr(Complex, "cut", lambda *_, **__: pytest.fail("cut in vain"))
    drawn = arrangement(network, layer, Plane.of(network), most_cells=cells - 1, resolution=16)
    assert not drawn.exact and "look closer" in drawn.reason


def test_a_slice_of_a_larger_latent_space_is_exact_too():
    network = two_layers(latents=6)
    plane = Plane.through(*network.latents(3, seed=2))
    drawn = arrangement(network, "3", plane)
    assert drawn.exact
    check_against_a_grid(drawn, network, "3", side=301)


def test_lines_of_a_first_layer_are_exact_however_many_pieces_they_make():
    network = wb.load("mnist-dcgan", device="cpu")
    drawn = arrangement(network, "3", Plane.through(*network.latents(3, seed=0)))
    assert drawn.exact and drawn.cells == 1 and len(drawn.segments) > 4000


@pytest.mark.parametrize(
    ("network", "layer", "reason"),
    [
        (generator(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)), "3", "Tanh is not"),
        (NETWORKS["relu"][0], "3", "more than 20 pieces; look closer"),
    ],
)
def test_on_a_grid_boundaries_are_where_signs_change_within_a_square(network, layer, reason):
    drawn = arrangement(network, layer, Plane.of(network), resolution=128, most_cells=20)
    assert not drawn.exact and reason in drawn.reason
    with torch.no_grad():
        at = sign_layer(network, layer)
        start = drawn.plane.points(drawn.segments.mean(1))
        heights = at.pre_activations(start).gather(1, drawn.unit[:, None])[:, 0]
        start.requires_grad_()
        with torch.enable_grad():
            total = at.pre_activations(start).gather(1, drawn.unit[:, None]).sum()
            slope = torch.autograd.grad(total, start)[0].norm(dim=1)
    square = 6 / 128
    # farther than a square from the boundary the linear estimate of the distance would be larger
    assert float((heights.abs() / slope).quantile(0.99)) < square
    assert set(drawn.unit.tolist()) <= set(range(at.units))


def test_a_layer_with_a_forward_of_its_own_is_not_taken_for_the_plain_one():
    class Squared(nn.Linear):
        def forward(self, x):
            return super().forward(x).square() - 0.5

    network = generator(Squared(2, 6), nn.ReLU(), nn.Linear(6, 3))
    drawn = arrangement(network, "1", Plane.of(network), resolution=64)
    assert not drawn.exact and drawn.reason == "Squared is not piecewise linear"


def test_a_norm_that_takes_its_statistics_from_the_batch_is_refused():
    norm = nn.BatchNorm1d(8, track_running_stats=False)
    with pytest.raises(ModelError, match="rows depend on each other"):
        generator(nn.Linear(2, 8), norm, nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))


def test_the_region_is_where_all_kept_signs_agree():
    network = two_layers(latents=2)
    plane = Plane.of(network)
    found = supporting_set(network, torch.tensor([0.4, 0.3]).double(), "3", most_steps=60)
    shown = region(network, found, plane)
    assert shown.exact and len(shown.outlines) >= 1
    drawn = torch.rand(40_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 6 - 3
    at = sign_layer(network, "3")
    with torch.no_grad():
        inside = (at.pre_activations(drawn)[:, found.units] * found.signs >= 0).all(1).numpy()
    within = np.zeros(len(drawn), bool)
    for outline in shown.outlines:  # by the even-odd rule, so that holes count
        for (ax, ay), (bx, by) in itertools.pairwise(outline):
            spans = (ay > drawn[:, 1].numpy()) != (by > drawn[:, 1].numpy())
            with np.errstate(divide="ignore", invalid="ignore"):
                left = drawn[:, 0].numpy() < ax + (drawn[:, 1].numpy() - ay) * (bx - ax) / (by - ay)
            within ^= spans & left
    assert not (within & ~inside).any()
    assert shown.area == pytest.approx(36 * within.mean(), rel=0.05)
    share = region(network, found, plane, most_cells=1, resolution=256)
    assert not share.exact and share.area == pytest.approx(shown.area, rel=0.05)


def test_a_query_outside_of_what_is_looked_at_has_no_region_there():
    network = one_layer()
    found = supporting_set(network, torch.tensor([0.4, 0.3]).double(), "1", most_steps=60)
    far = region(network, found, Plane.of(network).zoomed((2, 3, -3, -2)))
    assert far.area == 0 and far.outlines == ()


def test_it_saves_and_loads(tmp_path):
    network, layer = NETWORKS["relu"]
    drawn = arrangement(network, layer, Plane.of(network), units=[0, 3])
    again = wb.load_result(drawn.save(tmp_path))
    assert torch.equal(again.segments, drawn.segments) and again.plane.extent == drawn.plane.extent
    assert set(drawn.unit.tolist()) <= {0, 3}


def test_units_and_planes_that_do_not_fit_are_refused():
    network, layer = NETWORKS["relu"]
    with pytest.raises(BoundaryError, match=r"units=\[12\].*some of 0 to 11"):
        arrangement(network, layer, Plane.of(network), units=[12])
    with pytest.raises(BoundaryError, match=r"units=\[\].*some of 0 to 11"):
        arrangement(network, layer, Plane.of(network), units=[])
    with pytest.raises(BoundaryError, match="make one for it"):
        arrangement(two_layers(), "3", Plane.of(network))


@pytest.mark.parametrize("settings", [{"resolution": 0}, {"most_cells": 0}])
def test_settings_out_of_range_are_refused(settings):
    network, layer = NETWORKS["relu"]
    plane = Plane.of(network)
    found = supporting_set(network, torch.tensor([0.4, 0.3]), layer, most_steps=5)
    with pytest.raises(BoundaryError, match=r"=0; expected at least one"):
        arrangement(network, layer, plane, **settings)
    with pytest.raises(BoundaryError, match=r"=0; expected at least one"):
        region(network, found, plane, **settings)


def test_the_region_of_another_networks_set_is_refused():
    network, layer = NETWORKS["relu"]
    found = supporting_set(network, torch.tensor([0.4, 0.3]), layer, most_steps=5)
    other = generator(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 13), nn.ReLU(), nn.Linear(13, 4))
    with pytest.raises(BoundaryError, match="make a set for this network"):
        region(other, found, Plane.of(other))
