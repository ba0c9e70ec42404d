"""Samples lie in their bands and cover them, far apart; what cannot be reached is said."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.inverse_sets.networks import identity, linear
from workbench.inverse_sets import (
    Encoder,
    InverseSet,
    InverseSetError,
    band,
    maximise_activation,
    rejection,
    sample,
)
from workbench.inverse_sets.problem import Problem, Seen
from workbench.inverse_sets.sample import Sampled, sample_steps
from workbench.inverse_sets.seeds import MEASURED
from workbench.models import LayerError, ModelError
from workbench.progress import Step, run

METHODS = ["tangent", "lagrangian"]


@pytest.fixture(scope="module")
def digits() -> tuple[wb.Generator, wb.Classifier, Encoder]:
    C = wb.load("mnist-cnn", device="cpu")
    return wb.load("mnist-inverter", device="cpu"), C, Encoder(C, "12")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (-2.0, -1.9), (-3.0, 3.0)])
def test_of_a_linear_neuron_the_samples_lie_in_the_slab_and_cover_its_width(
    method: str, low: float, high: float
) -> None:
    G, C = identity(), linear()
    found = sample(G, band(C, 0, 1, low, high), 300, distance="pixel", method=method, length=0.1)  # type: ignore[arg-type]
    weight, bias = C.module[0].weight[1], C.module[0].bias[1]  # type: ignore[index]
    values = found.outputs @ weight + bias
    assert len(found) == 300 and not found.note and not found.provenance.partial
    assert (values >= low).all() and (values <= high).all()
    assert torch.allclose(values, found.values[:, 0], atol=1e-5)
    if method == "tangent":
        assert float(values.max() - values.min()) > 0.9 * (high - low)
        assert found.coverage.tolist() == [1.0]
    assert found.frame()[found.neurons[0]].between(low, high).all()


def test_the_samples_of_two_linear_neurons_lie_in_both_slabs_and_cover_both() -> None:
    G, C = identity(), linear()
    found = sample(G, [band(C, 0, 0, 0.2, 0.6), band(C, 0, 2, -1.0, -0.5)], 300, distance="pixel")
    values = C.scores(found.outputs)[:, [0, 2]]
    assert len(found) == 300
    assert ((values >= torch.tensor([0.2, -1.0])) & (values <= torch.tensor([0.6, -0.5]))).all()
    assert (found.coverage > 0.9).all()


def test_samples_spread_further_than_draws_that_happen_to_lie_in_the_band() -> None:
    G, C = identity(), linear()
    found = sample(G, band(C, 0, 1, 0.5, 1.0), 200, distance="pixel")
    without = sample(G, band(C, 0, 1, 0.5, 1.0), 200, distance="pixel", diversity=False)
    assert found.diversity > 1.2 * found.reference
    assert found.diversity > 1.2 * without.diversity


def test_every_activation_is_in_the_band_when_it_is_computed_again_in_other_batches(
    digits: tuple[wb.Generator, wb.Classifier, Encoder],
) -> None:
    G, C, E = digits
    bands = [band(C, "14", "3", 3.0, 4.0), band(C, "6", 10, 0.2, 0.8)]
    found = sample(G, bands, 60, encoder=E)
    assert len(found) == 60
    pictures = (found.outputs + 1) / 2
    for size in (1, 7, 60):
        values = torch.cat([C.activations(rows, [b.neuron for b in bands]) for rows in pictures.split(size)])
        assert ((values >= torch.tensor([3.0, 0.2])) & (values <= torch.tensor([4.0, 0.8]))).all()
    assert torch.allclose(G.render(found.codes), found.outputs, atol=1e-4)
    assert found.neurons == ("class 3", "6[10]") and found.distance == "layer 12 of mnist-cnn"


def test_the_same_seed_gives_the_same_samples_and_another_seed_others() -> None:
    G, C = identity(), linear()

    def codes(seed: int) -> torch.Tensor:
        return sample(G, band(C, 0, 1, 0.5, 1.0), 50, distance="pixel", seed=seed).codes

    assert torch.equal(codes(3), codes(3))
    assert not torch.equal(codes(3), codes(4))


def test_batches_of_any_size_give_the_same_samples() -> None:
    whole, parts, C = identity(), identity(batch_size=3), linear()
    one, other = (sample(G, band(C, 0, 1, 0.5, 1.0), 60, distance="pixel") for G in (whole, parts))
    assert torch.allclose(one.codes, other.codes, atol=1e-3)


def test_passes_are_counted_and_stay_below_the_papers(
    digits: tuple[wb.Generator, wb.Classifier, Encoder],
) -> None:
    """400 gradient steps for the seeds, 85 for 490 samples at K = 10 (section 3.3, footnote 1)."""
    G, C, E = digits
    found = sample(G, band(C, "14", "8", 4.0, 5.0), 500, encoder=E)
    seeds, rest = found.steps.tolist()
    assert len(found) == 500 and seeds <= 400 and rest <= 85
    assert found.provenance.passes["vjp"] == 10 * (seeds + 1 + 2 * rest)
    # besides: the draws that units are measured on, the seeds as they were kept, and the last look at all samples
    assert found.provenance.passes["forward"] == 256 + 10 * (seeds + 1) + 10 + 10 * rest + 500


def test_full_optimisation_keeps_all_samples_in_the_band_and_spreads_them_further_than_it_found_them() -> None:
    G, C = identity(), linear()
    given = band(C, 0, 1, 0.5, 1.0)
    few, many = (sample(G, given, 30, distance="pixel", method="full", seed_steps=n) for n in (20, 150))
    assert len(many) == 30 and many.steps.tolist() == [150, 0]
    assert many.diversity > 1.1 * few.diversity


def test_codes_stay_in_the_typical_set_if_that_is_asked_for() -> None:
    G, C = identity(), linear()
    given = band(C, 0, 1, 0.5, 1.0)
    free, clipped = (sample(G, given, 200, distance="pixel", clip=clip) for clip in (False, True))
    assert G.prior.contains(clipped.codes).all()
    assert not G.prior.contains(free.codes).all()


def test_there_is_a_walker_for_every_fifty_samples_between_ten_and_fifty() -> None:
    G, C = identity(), linear()
    for n, walkers in ((40, 10), (500, 10), (1000, 20), (4000, 50)):
        found = sample(G, band(C, 0, 1, 0.5, 1.0), n, distance="pixel")
        assert len(found) == n and len(found.walker.unique()) == walkers
    found = sample(G, band(C, 0, 1, 0.5, 1.0), 300, distance="pixel", walkers=300)
    assert found.steps[1] == 0 and len(found.walker.unique()) == 300


def test_a_band_that_cannot_be_reached_returns_what_came_nearest_and_says_how_near() -> None:
    G, C = identity(), linear(then=nn.Tanh())
    found = sample(G, band(C, 1, 0, 2.0, 3.0), 20, distance="pixel", seed_steps=100)
    assert len(found) == 0 and found.outputs.shape == (0, 6)
    assert found.nearest_values.shape == (10, 1)
    assert 0.95 < float(found.nearest_values.max()) <= 1
    assert "no seed reached the band" in found.note and "for [2, 3]" in found.note
    assert torch.isnan(found.covered).all() and found.coverage.tolist() == [0.0]


def test_a_start_may_be_given_and_alike_seeds_part_only_by_the_diversity(
    digits: tuple[wb.Generator, wb.Classifier, Encoder],
) -> None:
    G, C, E = digits
    start = G.latents(1, seed=5).expand(10, -1) + 1e-3 * torch.randn(10, 128, generator=torch.Generator())
    given = band(C, "14", "3", 2.0, 3.0)
    apart, alike = (
        sample(G, given, 100, encoder=E, initial=start, diversity=diverse) for diverse in (True, False)
    )
    assert len(apart) == len(alike) == 100
    assert apart.diversity > 1.5 * alike.diversity


def test_a_cancelled_run_keeps_what_there_is() -> None:
    G, C = identity(), linear()
    given = band(C, 0, 1, 0.5, 1.0)

    def stop(step: Step) -> bool:
        return step.done < 100

    found = sample(G, given, 500, distance="pixel", progress=stop)
    assert found.provenance.partial and 100 <= len(found) < 130 and not found.note
    early = sample(G, band(C, 0, 1, 6.0, 6.1), 500, distance="pixel", progress=lambda step: False)
    assert early.provenance.partial


def test_each_step_shows_the_samples_so_far() -> None:
    G, C = identity(), linear()
    numbers = []

    def watch(step: Step) -> bool:
        if isinstance(step, Sampled) and step.so_far is not None:
            shown = step.so_far()
            assert len(shown) == step.done and shown.provenance.partial
            numbers.append(len(shown))
        return True

    watched = run(sample_steps(G, band(C, 0, 1, 0.5, 1.0), 50, distance="pixel"), watch)
    assert numbers and numbers == sorted(numbers)
    # whoever watches, and however often: the record says what the samples cost
    assert watched.provenance.passes == sample(G, band(C, 0, 1, 0.5, 1.0), 50, distance="pixel").provenance.passes


def test_a_result_is_saved_and_loaded(tmp_path: Path) -> None:
    G, C = identity(), linear()
    found = sample(G, [band(C, 0, 0, 0.2, 0.6), band(C, 0, 2, -1.0, -0.5)], 20, distance="pixel")
    again = wb.load_result(found.save(tmp_path))
    assert isinstance(again, InverseSet) and len(again) == 20
    assert torch.equal(again.codes, found.codes) and again.neurons == found.neurons
    assert again.provenance == found.provenance
    assert "wb.inverse_sets.band(C, '0', 2, -1, -0.5)" in found.provenance.call


def test_the_recorded_line_makes_the_samples_again(
    digits: tuple[wb.Generator, wb.Classifier, Encoder],
) -> None:
    G, C, E = digits
    given = [band(C, "14", "3", 3.0, 4.0), band(C, "6", 10, 0.2, 0.8)]
    options = {"encoder": E, "seed": 3, "walkers": 6, "length": 0.1234567890123, "clip": True, "steps": 20}
    found = sample(G, given[:1], 15, **options)
    assert "encoder=E" in found.provenance.call and "method" not in found.provenance.call
    again = eval(found.provenance.call, {"wb": wb, "G": G, "C": C, "E": E})
    assert torch.equal(again.codes, found.codes) and again.provenance.call == found.provenance.call
    initial = G.latents(5, seed=9)
    started = sample(G, given[1], 8, distance="pixel", resize="nearest", initial=initial, seed_steps=100)
    assert "initial=initial" in started.provenance.call and "resize='nearest'" in started.provenance.call
    again = eval(started.provenance.call, {"wb": wb, "G": G, "C": C, "initial": initial})
    assert torch.equal(again.codes, started.codes)


def test_the_line_of_two_classifiers_tells_them_apart() -> None:
    G, C, D = identity(), linear(), linear(bias=-0.5)
    bands = [band(D, 0, 0, 0.2, 0.6), band(C, 0, 2, -1.0, -0.5), band(D, 0, 1, -1.0, 1.0)]
    found = sample(G, bands, 8, distance="pixel", seed_steps=60)
    again = eval(found.provenance.call, {"wb": wb, "G": G, "C1": D, "C2": C})
    assert torch.equal(again.codes, found.codes) and again.provenance.call == found.provenance.call


def test_neurons_of_several_classifiers_or_classes_of_one_name_keep_a_column_each() -> None:
    G, C = identity(), linear()
    D = wb.Classifier(C.module, 6, value_range=(-8, 8), device="cpu", name="other")
    named = wb.Classifier(C.module, 6, value_range=(-8, 8), device="cpu", class_names=["crane", "ant", "crane"])
    for classifiers, channels, expected in (
        ((C, D), (0, 0), ("class 0 of linear", "class 0 of other")),
        ((C, linear()), (0, 0), ("class 0 of linear, 1", "class 0 of linear, 2")),
        ((named, named), (0, 2), ("class crane (0)", "class crane (2)")),
    ):
        bands = [band(c, 1, channel, -1.0, 1.0) for c, channel in zip(classifiers, channels, strict=True)]
        found = sample(G, bands, 10, distance="pixel")
        assert found.neurons == expected
        assert found.frame()[list(expected)].to_numpy() == pytest.approx(found.values.numpy())


def test_the_seconds_hold_the_draws_that_the_passes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    G, C = identity(), linear()
    look = Problem.look

    def slow(problem: Problem, codes: torch.Tensor) -> Seen:
        time.sleep(0.3 if len(codes) == MEASURED else 0)
        return look(problem, codes)

    monkeypatch.setattr(Problem, "look", slow)
    for method in (sample, rejection, maximise_activation):
        assert method(G, band(C, 0, 1, 0.5, 1.0), 10, distance="pixel").provenance.seconds > 0.3


def test_a_generator_works_without_an_encoder_in_a_layer_that_is_named() -> None:
    G, C = wb.load("mnist-dcgan", device="cpu"), wb.load("mnist-cnn", device="cpu")
    found = sample(G, band(C, "14", "7", 3.0, 5.0), 30, distance="12")
    assert len(found) == 30 and found.distance == "layer 12 of mnist-cnn"


def test_pictures_of_another_size_are_resized_on_request() -> None:
    G = wb.load("mnist-dcgan", device="cpu")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 900, 5))
    C = wb.Classifier(module, (3, 32, 32), device="cpu", name="coloured")
    given = band(C, "1", 2, 0.01, 1.0, reduce="mean")
    with pytest.raises(ModelError, match="takes"):
        sample(G, given, 20, distance="pixel")
    found = sample(G, given, 20, distance="pixel", resize="bilinear")
    assert len(found) == 20 and found.neurons == ("1[2, mean]",)


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (2.0, 1.0, r"from 2 to 1; the first end must lie below the second: swap them, \(1, 2\)"),
        (1.0, 1.0, "from 1 to 1; the first end must lie below"),
        (0.0, float("inf"), "both ends must be finite"),
        (float("nan"), 1.0, "both ends must be finite"),
    ],
)
def test_a_band_with_bad_ends_is_refused(low: float, high: float, message: str) -> None:
    with pytest.raises(InverseSetError, match=message):
        band(linear(), 0, 1, low, high)


def test_a_neuron_that_is_not_there_is_refused() -> None:
    C = linear()
    with pytest.raises(LayerError, match="channels 0 to 2"):
        band(C, 0, 3, 0, 1)
    with pytest.raises(LayerError, match="no layer 'fc8'"):
        band(C, "fc8", 0, 0, 1)
    with pytest.raises(ModelError, match="'cat'"):
        band(C, -1, "cat", 0, 1)
    with pytest.raises(InverseSetError, match="expected a Classifier"):
        band(nn.Linear(2, 2), 0, 0, 0, 1)  # type: ignore[arg-type]


def test_a_dead_neuron_is_named() -> None:
    G, C = identity(), linear(then=nn.ReLU(), bias=-100.0)
    with pytest.raises(
        InverseSetError, match=r"class 1 is dead here: it gives 0 for all of 256 draws of identity"
    ):
        sample(G, band(C, 1, 1, 0.5, 1.0), 20, distance="pixel")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "say where distances are taken: distance='pixel', 'latent', or a layer of linear: 0, 1"),
        ({"distance": "encoder"}, "needs an encoder"),
        ({"encoder": "12"}, "encoder is a str"),
        ({"distance": "pixel", "n": 0}, "n=0; expected at least one"),
        ({"distance": "pixel", "walkers": 1}, "walkers=1; expected at least two"),
        ({"distance": "pixel", "method": "fast"}, "method='fast'; expected 'tangent'"),
        ({"distance": "pixel", "length": 0.0}, "length=0.0; expected a finite number above 0"),
        ({"distance": "pixel", "seed_steps": -1}, "seed_steps=-1; expected 0 or more"),
        ({"distance": "pixel", "initial": torch.zeros(3, 5)}, r"initial has shape \(3, 5\)"),
        ({"distance": "pixel", "initial": torch.full((3, 6), torch.nan)}, "finite codes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict, message: str) -> None:
    G, C = identity(), linear()
    with pytest.raises(InverseSetError, match=message):
        sample(G, band(C, 0, 1, 0.5, 1.0), **settings)


@pytest.mark.parametrize("draw", [sample, rejection, maximise_activation])
def test_more_samples_than_memory_holds_are_refused(draw: Any) -> None:
    with pytest.raises(ModelError, match=r"were asked for, which take .* GiB are free on cpu"):
        draw(identity(), band(linear(), 0, 1, 0.5, 1.0), 10**30, distance="pixel")


def test_a_list_must_hold_bands_one_a_neuron() -> None:
    G, C = identity(), linear()
    with pytest.raises(InverseSetError, match=r"expected wb\.inverse_sets\.band"):
        sample(G, [], 20, distance="pixel")
    with pytest.raises(InverseSetError, match="give each neuron one"):
        sample(G, [band(C, 0, 1, 0, 1), band(C, 0, 1, 2, 3)], 20, distance="pixel")


def test_a_layer_that_does_not_exist_for_distances_is_refused() -> None:
    G, C = identity(), linear()
    with pytest.raises(LayerError, match="no layer 'fc6'"):
        sample(G, band(C, 0, 1, 0.5, 1.0), 20, distance="fc6")
