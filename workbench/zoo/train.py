"""Makes the zoo's weights again: `python -m workbench.zoo.train NAME`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.datasets import glyphs, mnist
from workbench.files import replace_file
from workbench.machine import versions
from workbench.zoo import architectures, measures
from workbench.zoo.recipes import classifiers, glyphs_biggan, mnist_dcgan, mnist_erf, mnist_inverter
from workbench.zoo.registry import WEIGHTS, ZooError, find, load_module


def train(
    name: str,
    *,
    out: Path = WEIGHTS,
    seed: int = 0,
    steps: int | None = None,
    device: str = "cpu",
    short: bool = False,
    threads: int = 1,
) -> list[Path]:
    """Train the network of a name and write its weights; returns the files.

    Args:
        name: `mnist-cnn`, `mnist-erf-1`, `mnist-erf-2`, `mnist-dcgan` (writes its discriminator too),
            `mnist-dcgan-2d`, `mnist-inverter`, `glyphs-biggan`, `glyphs-cnn` or `glyphs-cnn-judge`.
        out: folder for the safetensors files; checkpoints go there too, and are resumed.
        seed: of initialisation, batches and noise.
        steps: optimiser steps of a generator, epochs of a classifier; by default the recipe's.
        device: to train on; the shipped weights were made on the CPU.
        short: a few steps on the embedded sample, to see that the recipe runs.
        threads: of torch; the shipped weights were made with one.

    Raises:
        ZooError: no such name, or no recipe of ours made its weights.
        FileNotFoundError: the full MNIST, or the fonts, are not here.
    """
    entry = find(name)
    if not entry.recipe:
        raise ZooError(f"{name} has no recipe here; its weights come from {entry.source}")
    if entry.kind == "discriminator":
        raise ZooError(f"{name} is written by the recipe of its generator: {entry.recipe}")
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    if name.startswith("glyphs"):
        return [_glyphs(name, out, seed, steps, device, short)]
    digits = mnist.sample() if short else mnist.load("train")
    if entry.kind == "classifier":
        test = mnist.sample() if short else mnist.load("test")
        make = _classifier if name == "mnist-cnn" else partial(_erf_classifier, name)
        return [make(digits, test, out, seed, steps or (1 if short else None), device)]
    if name == "mnist-inverter":
        test = mnist.sample() if short else mnist.load("test")
        return [_inverter(digits, test, out, seed, steps or (3 if short else None), device)]
    return _generator(name, digits, out, seed, steps or (3 if short else None), device)


def _classifier(
    digits: mnist.Digits, test: mnist.Digits, out: Path, seed: int, epochs: int | None, device: str
) -> Path:
    settings = classifiers.SETTINGS["mnist-cnn"]
    settings = replace(settings, seed=seed, epochs=epochs or settings.epochs)
    labels = torch.from_numpy(digits.labels).long().to(device)
    images = digits.tensor().to(device)
    weights = classifiers.train(architectures.mnist_classifier, images, labels, settings, report=_print)
    module = architectures.mnist_classifier()
    module.load_state_dict(weights)
    accuracy = classifiers.accuracy(module, test.tensor(), torch.from_numpy(test.labels).long())
    metrics = {"test_accuracy": accuracy, "test_images": len(test)}
    print(metrics)
    return _write(out, "mnist-cnn", weights, asdict(settings), metrics)


def _erf_classifier(
    name: str, digits: mnist.Digits, test: mnist.Digits, out: Path, seed: int, epochs: int | None, device: str
) -> Path:
    settings = mnist_erf.SETTINGS[name]
    settings = replace(settings, seed=seed, epochs=epochs or settings.epochs)
    images, labels = digits.tensor(), torch.from_numpy(digits.labels).long()
    weights = mnist_erf.train(images.to(device), labels.to(device), settings, report=_print)
    module = architectures.mnist_erf_network()
    module.load_state_dict(weights)
    own, other = mnist_erf.halves(images, labels, settings.half)
    metrics = {
        "own_half_accuracy": classifiers.accuracy(module, *own),
        "other_half_accuracy": classifiers.accuracy(module, *other),
        "test_accuracy": classifiers.accuracy(module, test.tensor(), torch.from_numpy(test.labels).long()),
        "sigmas": mnist_erf.sigmas(module),
    }
    print(metrics)
    return _write(out, name, weights, asdict(settings), metrics)


def _glyphs(name: str, out: Path, seed: int, steps: int | None, device: str, short: bool) -> Path:
    """A network of the glyphs: `seed` is added to the recipe's own."""
    if short:
        steps = steps or (3 if name == "glyphs-biggan" else 1)
        few = glyphs.sample()
        train_set = test_set = glyphs.Glyphs(few.images[::4], few.labels[::4])
    else:
        from workbench.zoo.recipes import glyphs as recipe  # needs fontTools, as nothing else does

        rendered = recipe.render()
        train_set, test_set = rendered.split(held_out=False), rendered.split(held_out=True)
    labels = torch.from_numpy(train_set.labels).to(device)
    images = train_set.tensor().to(device)
    if name == "glyphs-biggan":
        return _glyph_generator(images * 2 - 1, labels, out, seed, steps, each=2 if short else 40)
    settings = classifiers.SETTINGS[name]
    settings = replace(settings, seed=settings.seed + seed, epochs=steps or settings.epochs)
    build = find(name).build
    weights = classifiers.train(build, images, labels, settings, report=_print)
    module = build()
    module.load_state_dict(weights)
    metrics = measures.reading(module, test_set)
    print(metrics)
    return _write(out, name, weights, asdict(settings), metrics)


def _glyph_generator(
    images: Tensor, labels: Tensor, out: Path, seed: int, steps: int | None, *, each: int
) -> Path:
    name = "glyphs-biggan"
    settings = replace(glyphs_biggan.Settings(), seed=seed)
    settings = replace(settings, steps=steps or settings.steps)
    checkpoint = out / f"{name}.checkpoint.pt"
    classes = len(glyphs.NAMES)
    weights = glyphs_biggan.train(images, labels, classes, settings, checkpoint=checkpoint, report=_print)
    module = find(name).build()
    module.load_state_dict(weights)
    metrics = glyphs_biggan.measures(module.eval(), images.cpu(), labels.cpu(), settings, each=each)
    metrics |= measures.legibility(module, each=each // 2)
    print({key: value for key, value in metrics.items() if not isinstance(value, list)})
    path = _write(out, name, weights, asdict(settings), metrics)
    checkpoint.unlink(missing_ok=True)
    return path


def _print(step: int, module: nn.Module, text: str) -> None:
    print(text, flush=True)


def _generator(
    name: str, digits: mnist.Digits, out: Path, seed: int, steps: int | None, device: str
) -> list[Path]:
    settings = mnist_dcgan.SETTINGS[name]
    settings = replace(settings, seed=seed, steps=steps or settings.steps)
    checkpoint = out / f"{name}.checkpoint.pt"
    generator, discriminator = mnist_dcgan.train(
        digits.tensor().to(device) * 2 - 1,
        torch.from_numpy(digits.labels).long().to(device),
        settings,
        checkpoint=checkpoint,
        report=_print,
    )
    module = architectures.mnist_generator(settings.latents)
    module.load_state_dict(generator)
    metrics = measures.coverage(module.eval(), settings.latents)
    print(metrics)
    files = [_write(out, name, generator, asdict(settings), metrics)]
    if name == "mnist-dcgan":
        judged = architectures.mnist_discriminator()
        judged.load_state_dict(discriminator)
        metrics = measures.separation(module, judged, settings.latents)
        print(metrics)
        files.append(_write(out, f"{name}-discriminator", discriminator, asdict(settings), metrics))
    checkpoint.unlink(missing_ok=True)
    return files


def _inverter(
    digits: mnist.Digits, test: mnist.Digits, out: Path, seed: int, steps: int | None, device: str
) -> Path:
    name = "mnist-inverter"
    settings = replace(mnist_inverter.Settings(), seed=seed)
    settings = replace(settings, steps=steps or settings.steps)
    checkpoint = out / f"{name}.checkpoint.pt"
    classifier = load_module("mnist-cnn")
    images = digits.tensor().to(device) * 2 - 1
    weights = mnist_inverter.train(images, classifier.to(device), settings, checkpoint=checkpoint, report=_print)
    module = architectures.mnist_inverter()
    module.load_state_dict(weights)
    metrics = measures.inversion(module.eval(), classifier.cpu(), test.tensor() * 2 - 1)
    print(metrics)
    path = _write(out, name, weights, asdict(settings), metrics)
    checkpoint.unlink(missing_ok=True)
    return path


def _write(
    out: Path, name: str, weights: dict[str, Tensor], settings: dict[str, Any], metrics: dict[str, Any]
) -> Path:
    path = out / f"{name}.safetensors"
    texts = {
        "name": name,
        "recipe": find(name).recipe,
        "settings": settings,
        "versions": versions(),
        "metrics": metrics,
    }
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in texts.items()}
    tensors = {key: value.contiguous() for key, value in weights.items()}
    replace_file(path, lambda part: save_file(tensors, part, metadata=metadata))
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return path


def main(
    name: str,
    out: Annotated[Path, typer.Option(help="Folder for the weights.")] = WEIGHTS,
    seed: int = 0,
    steps: Annotated[int | None, typer.Option(help="Fewer or more steps (epochs of a classifier).")] = None,
    device: str = "cpu",
    short: Annotated[bool, typer.Option(help="A few steps on the embedded sample.")] = False,
    threads: int = 1,
) -> None:
    """Train the network NAME of the zoo."""
    train(name, out=out, seed=seed, steps=steps, device=device, short=short, threads=threads)


if __name__ == "__main__":
    typer.run(main)
