"""What inverse sets are compared with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import workbench as wb
from tests.inverse_sets.networks import identity, linear
from workbench import progress
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
from workbench.progress import Step


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


def test_what_was_cancelled_says_how_many_steps_it_took() -> None:
    G, C = identity(), linear()

    def stop(step: Step) -> bool:
        return step.text != "climbing" or step.done < 3

    found = maximise_activation(G, band(C, 0, 1, 0.5, 1.0), 8, distance="pixel", progress=stop)
    assert found.provenance.partial and found.steps.tolist() == [0, 3] and found.step.unique().tolist() == [3]
    assert found.provenance.passes["vjp"] == 8 * 3


def test_rejection_with_too_few_hits_asks_for_more_draws() -> None:
    G, C = identity(), linear()
    found = rejection(G, band(C, 0, 1, 1.0, 1.1), 50, distance="pixel", draws=1000)
    assert 0 < len(found) < 50
    assert found.note == f"{len(found)} of 50 samples among 1,000 draws; give more draws, or a wider band"


def test_one_progress_is_told_the_draws_and_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[Step]] = []
    monkeypatch.setattr(progress, "terminal_progress", lambda: told.append([]) or told[-1].append)
    G, C = identity(batch_size=100), linear()
    for method in (rejection, maximise_activation):
        told.clear()
        method(G, band(C, 0, 1, 0.5, 1.0), 800, distance="pixel")
        assert len(told) == 1 and [step.text for step in told[0][:2]] == ["draws of the prior"] * 2
        assert len(told[0]) > 2


def test_the_recorded_lines_make_the_samples_again() -> None:
    G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")
    E, one = Encoder(C, "12"), band(C, "14", "3", 4.0, 5.0)
    images = mnist.sample().tensor() * 2 - 1
    for found in (
        rejection(G, one, 10, encoder=E, seed=2, draws=800),
        maximise_activation(G, one, 4, distance="pixel", steps=5, rate=0.0123456789),
        ppgn_chains(G, one, 8, encoder=E, chains=2, steps=6, noise=0.1, rate=0.0123456789),
        qualifying(G, one, images, encoder=E, seed=1),
    ):
        again = eval(found.provenance.call, {"wb": wb, "G": G, "C": C, "E": E, "images": images})
        assert torch.equal(again.codes, found.codes) and again.provenance.call == found.provenance.call


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (rejection, {"n": -5}, "n=-5; expected at least one sample"),
        (rejection, {"draws": 0}, "draws=0; expected at least one"),
        (maximise_activation, {"n": 0}, "n=0; expected at least one sample"),
        (maximise_activation, {"rate": float("nan")}, "rate=nan; expected a finite number"),
        (maximise_activation, {"steps": 0}, "steps=0; expected at least one"),
        (ppgn_chains, {"rate": float("inf")}, "rate=inf; expected a finite number"),
        (ppgn_chains, {"chains": 0}, "chains=0; expected at least one"),
    ],
)
def test_settings_that_make_no_sense_are_refused(method: Callable, settings: dict, message: str) -> None:
    G, C = identity(), linear()
    with pytest.raises(InverseSetError, match=message):
        method(G, band(C, 0, 1, 0.5, 1.0), encoder=Encoder(C, "0"), **settings)


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
