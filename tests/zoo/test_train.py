"""The recipes run, resume, repeat themselves, and write what the zoo loads."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from typer import Typer
from typer.testing import CliRunner

from workbench.datasets import mnist
from workbench.models import Generator
from workbench.zoo import ZooError, architectures, load, registry
from workbench.zoo.recipes import classifiers, mnist_dcgan, mnist_erf
from workbench.zoo.train import main, train

TRAINED = [
    *("mnist-cnn", "mnist-erf-1", "mnist-erf-2", "mnist-dcgan", "mnist-dcgan-2d", "mnist-inverter"),
    *("glyphs-biggan", "glyphs-cnn", "glyphs-cnn-judge"),
]


@pytest.fixture(autouse=True)
def threads():
    """Training sets torch's threads for its own process; the other tests get theirs back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", TRAINED)
def test_a_short_run_of_each_recipe_writes_weights_that_load(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = train(name, out=tmp_path, seed=3, short=True)
    assert sorted(tmp_path.iterdir()) == sorted(written)
    if name == "mnist-inverter":  # whose latents are mnist-cnn's codes
        (tmp_path / "mnist-cnn.safetensors").symlink_to(registry.WEIGHTS / "mnist-cnn.safetensors")
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    for path in written:
        entry = registry.find(path.stem)
        model = load(path.stem, device="cpu")
        given = torch.zeros(2, *entry.input_shape)
        outputs = model.sample(2).outputs if isinstance(model, Generator) else model.scores(given)
        assert outputs.shape == (2, *entry.output_shape)
        assert entry.metrics
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata()
        assert (metadata["name"], metadata["recipe"]) == (path.stem, entry.recipe)
        assert json.loads(metadata["settings"])["seed"] == (4 if path.stem == "glyphs-cnn-judge" else 3)
        assert "torch" in json.loads(metadata["versions"])


def test_the_command_line_trains(tmp_path: Path) -> None:
    app = Typer()
    app.command()(main)
    arguments = ["mnist-dcgan-2d", "--out", str(tmp_path), "--short", "--steps", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "mnist-dcgan-2d.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "message"), [("digiface-dcgan", "no recipe here"), ("mnist-dcgan-discriminator", "of its generator")]
)
def test_what_has_no_recipe_of_its_own_says_where_it_comes_from(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=message):
        train(name, out=tmp_path, short=True)


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    digits = mnist.sample()
    return digits.tensor() * 2 - 1, torch.from_numpy(digits.labels).long()


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-dcgan-2d"])
def test_a_seed_fixes_the_generator_that_comes_out(name: str) -> None:
    settings = replace(mnist_dcgan.SETTINGS[name], steps=2, batch=16)
    first, again = (mnist_dcgan.train(*_digits(), settings) for _ in range(2))
    other = mnist_dcgan.train(*_digits(), replace(settings, seed=1))
    assert all(_same(a, b) for a, b in zip(first, again, strict=True))
    assert not _same(first[0], other[0])


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    settings = replace(mnist_dcgan.SETTINGS["mnist-dcgan-2d"], steps=4, batch=16)
    whole = mnist_dcgan.train(*_digits(), settings)

    class Stopped(Exception):
        pass

    def stop(step: int, generator: torch.nn.Module, text: str) -> None:
        if step == 3:
            raise Stopped

    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        mnist_dcgan.train(*_digits(), settings, checkpoint=checkpoint, report=stop, every=1)
    assert torch.load(checkpoint, weights_only=True)["step"] == 2
    resumed = mnist_dcgan.train(*_digits(), settings, checkpoint=checkpoint)
    assert all(_same(a, b) for a, b in zip(whole, resumed, strict=True))


def test_a_few_epochs_on_the_embedded_digits_already_read_most_of_them() -> None:
    digits = mnist.sample()
    labels = torch.from_numpy(digits.labels).long()
    module = architectures.mnist_classifier()
    settings = classifiers.Settings(epochs=4, batch=32)
    module.load_state_dict(classifiers.train(architectures.mnist_classifier, digits.tensor(), labels, settings))
    assert classifiers.accuracy(module, digits.tensor(), labels) > 0.7


def test_the_two_level_haar_transform_is_orthonormal() -> None:
    wavelets = mnist_erf.haar_wavelets()
    assert wavelets @ wavelets.T == pytest.approx(np.eye(784), abs=1e-12)


def test_each_wavelet_chosen_is_the_one_that_those_before_explain_least() -> None:
    images = mnist.sample().tensor()
    wavelets = torch.from_numpy(mnist_erf.haar_wavelets())
    left = images.flatten(1).double() @ wavelets.T
    for row in mnist_erf.basis(images, 12):
        most = left.norm(dim=0).argmax()
        assert torch.equal(row, wavelets[most].float())
        explained = left[:, most] / left[:, most].norm()
        left = left - explained[:, None] * (explained @ left)


def test_the_initialisation_gives_every_layer_centred_pre_activations_of_unit_variance() -> None:
    images = mnist.sample().tensor()
    torch.manual_seed(0)
    module = architectures.mnist_erf_network(mnist_erf.basis(images))
    mnist_erf._spread(module, images)
    x = images
    for layer in module:
        x = layer(x)
        if isinstance(layer, torch.nn.Linear):
            assert x.mean(0).abs().max() < 1e-4
            assert x.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_a_seed_fixes_the_erf_network_and_each_half_makes_its_own() -> None:
    digits = mnist.sample()
    data = digits.tensor(), torch.from_numpy(digits.labels).long()
    first, second = (replace(mnist_erf.SETTINGS[name], epochs=1) for name in ("mnist-erf-1", "mnist-erf-2"))
    weights = mnist_erf.train(*data, first)
    assert _same(weights, mnist_erf.train(*data, first))
    other = mnist_erf.train(*data, second)
    assert torch.equal(weights["0.basis"], other["0.basis"])
    assert not torch.equal(weights["1.weight"], other["1.weight"])


def test_the_halves_are_the_two_ends_of_the_set() -> None:
    images, labels = torch.arange(6), 10 * torch.arange(6)
    (own, own_labels), (other, _) = mnist_erf.halves(images, labels, 1)
    assert (own.tolist(), own_labels.tolist(), other.tolist()) == ([3, 4, 5], [30, 40, 50], [0, 1, 2])


def test_classes_that_are_sure_and_even_are_the_least_undecided() -> None:
    sure_and_even = 50 * torch.eye(10)
    sure_of_one = sure_and_even[:1].repeat(10, 1)
    unsure = torch.zeros(10, 10)
    assert mnist_dcgan._indecision(sure_and_even).item() == pytest.approx(-math.log(10), abs=1e-3)
    assert mnist_dcgan._indecision(sure_of_one).item() == pytest.approx(0, abs=1e-3)
    assert mnist_dcgan._indecision(unsure).item() == pytest.approx(0, abs=1e-3)


def test_settling_gives_the_batch_statistics_of_the_weights_at_hand() -> None:
    settings = replace(mnist_dcgan.SETTINGS["mnist-dcgan"], batch=16)
    generator = architectures.mnist_generator(64)
    norm = next(module for module in generator if isinstance(module, torch.nn.BatchNorm2d))
    mnist_dcgan._settle(generator, settings, torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = generator[0](torch.randn(4096, 64, generator=torch.Generator().manual_seed(1)))
    assert not generator.training
    assert torch.allclose(norm.running_var, before.view(-1, 96, 49).var((0, 2)), rtol=0.1)


def test_codes_spread_like_the_prior_have_no_discrepancy_and_codes_in_a_heap_have() -> None:
    random = torch.Generator().manual_seed(0)
    prior, spread = torch.randn(2, 512, 2, generator=random)
    heap = 0.1 * torch.randn(512, 2, generator=random)
    assert abs(mnist_dcgan._discrepancy(spread, prior)) < 0.02
    assert mnist_dcgan._discrepancy(heap, prior) > 0.5
