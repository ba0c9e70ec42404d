"""What inverse sets are compared with."""

from __future__ import annotations

import pytest
import torch

import workbench as wb
from tests.inverse_sets.networks import identity, linear
from workbench.datasets import mnist
from workbench.inverse_sets import (
    Encoder,
    InverseSetError,
    band,
    maximise_activation,
    ppgn_chains,
    qualifying,
    rejection,
)
from workbench.models import ModelError


def test_rejection_keeps_draws_of_the_prior_that_lie_in_the_band() -> None:
    G, C = identity(), linear()
    found = rejection(G, band(C, 0, 1, 0.5, 1.0), 50, distance="pixel", seed=4)
    draws = G.latents(50_000, seed=4)
    values = C.scores(draws)[:, 1]
    expected = draws[(values > 0.5005) & (values < 0.9995)][:50]
    assert torch.equal(found.codes, expected)
    assert len(rejection(G, band(C, 0, 1, 6.0, 6.01), 50, distance="pixel", draws=1000)) < 50


def test_activation_maximisation_climbs_beyond_every_draw() -> None:
    G, C = identity(), linear()
    found = maximise_activation(G, band(C, 0, 1, 0.5, 1.0), 20, distance="pixel", steps=100)
    assert found.values.min() > C.scores(G.latents(5000))[:, 1].max()
    assert found.provenance.passes["vjp"] == 20 * 100


def test_training_images_qualify_as_they_are() -> None:
    G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")
    images = mnist.sample().tensor() * 2 - 1
    found = qualifying(G, band(C, "14", "3", 4.0, 5.0), images, encoder=Encoder(C, "12"))
    scores = C.scores((images + 1) / 2)[:, 3]
    assert 0 < len(found) == int(((scores > 4.001) & (scores < 4.999)).sum())
    assert torch.equal(found.outputs, images[found.walker])
    with pytest.raises(ModelError, match="images has shape"):
        qualifying(G, band(C, "14", "3", 4.0, 5.0), images[:, 0], encoder=Encoder(C, "12"))


def test_ppgn_chains_climb_for_their_class_within_the_box_of_codes() -> None:
    G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")
    found = ppgn_chains(G, band(C, "14", "3", 4.0, 5.0), 40, encoder=Encoder(C, "12"), chains=5, steps=60)
    assert len(found) == 40 and len(found.walker.unique()) == 5
    assert G.prior.contains(found.codes).all()
    last = found.values[found.step > 40]
    assert (last > 0).all() and last.mean() > found.values[found.step <= 10].mean()
    assert found.provenance.passes["vjp"] == 5 * 60


def test_ppgn_chains_need_an_encoder_that_inverts_the_generator() -> None:
    G, C = wb.load("mnist-dcgan", device="cpu"), wb.load("mnist-cnn", device="cpu")
    with pytest.raises(InverseSetError, match=r"codes have shape \(128,\), mnist-dcgan takes \(64,\)"):
        ppgn_chains(G, band(C, "14", "3", 4.0, 5.0), encoder=Encoder(C, "12"))
    with pytest.raises(InverseSetError, match="give 1 to 2000 samples"):
        ppgn_chains(
            wb.load("mnist-inverter", device="cpu"), band(C, "14", "3", 4, 5), 5000, encoder=Encoder(C, "12")
        )
