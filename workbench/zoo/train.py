"""Makes the zoo's weights again: `python -m workbench.zoo.train NAME`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.datasets import mnist
from workbench.results import versions
from workbench.zoo import architectures
from workbench.zoo.recipes import mnist_cnn, mnist_dcgan
from workbench.zoo.registry import WEIGHTS, find, load_module

#: Samples that class coverage is measured on.
_COUNTED = 2000


def train(name: str, *, out: Path = WEIGHTS, seed: int = 0, short: bool = False, threads: int = 1) -> list[Path]:
    """Train the network of a name and write its weights; returns the files.

    Args:
        name: `mnist-cnn`, `mnist-dcgan` (writes its discriminator too) or `mnist-dcgan-2d`.
        out: folder for the safetensors files; checkpoints go there too, and are resumed.
        seed: of initialisation, batches and noise.
        short: a few steps on the embedded sample, to see that the recipe runs.
        threads: of torch; the shipped weights were made with one.
    """
    torch.set_num_threads(threads)
    digits = mnist.sample() if short else mnist.load("train")
    out.mkdir(parents=True, exist_ok=True)
    if find(name).name == "mnist-cnn":
        return [_classifier(digits, out, seed, short)]
    if name not in ("mnist-dcgan", "mnist-dcgan-2d"):
        raise ValueError(f"{name} has no recipe here: {find(name).source}")
    return _generator(name, digits, out, seed, short)


def _classifier(digits: mnist.Digits, out: Path, seed: int, short: bool) -> Path:
    settings = mnist_cnn.Settings(seed=seed)
    if short:
        settings = replace(settings, epochs=1)
    labels = torch.from_numpy(digits.labels).long()
    weights = mnist_cnn.train(digits.tensor(), labels, settings, report=lambda e, m, text: print(text, flush=True))
    module = architectures.mnist_classifier()
    module.load_state_dict(weights)
    test = mnist.sample() if short else mnist.load("test")
    accuracy = mnist_cnn.accuracy(module, test.tensor(), torch.from_numpy(test.labels).long())
    print(f"accuracy on {len(test)} test images: {accuracy:.4f}")
    return _write(out, "mnist-cnn", weights, asdict(settings), {"test_accuracy": accuracy})


def _generator(name: str, digits: mnist.Digits, out: Path, seed: int, short: bool) -> list[Path]:
    settings = mnist_dcgan.SETTINGS[name]
    settings = replace(settings, seed=seed)
    if short:
        settings = replace(settings, steps=3)
    checkpoint = out / f"{name}.checkpoint.pt"
    generator, discriminator = mnist_dcgan.train(
        digits.tensor() * 2 - 1,
        settings,
        checkpoint=checkpoint,
        report=lambda step, module, text: print(text, flush=True),
    )
    module = architectures.mnist_generator(settings.latents)
    module.load_state_dict(generator)
    metrics = coverage(module.eval(), settings.latents)
    print(metrics)
    files = [_write(out, name, generator, asdict(settings), metrics)]
    if name == "mnist-dcgan":
        files.append(_write(out, f"{name}-discriminator", discriminator, asdict(settings), {}))
    checkpoint.unlink()
    return files


def coverage(generator: nn.Module, latents: int) -> dict[str, Any]:
    """How mnist-cnn reads 2,000 samples: share of each digit, and its mean confidence."""
    judge = load_module("mnist-cnn")
    z = torch.randn(_COUNTED, latents, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        images = torch.cat([generator(rows) for rows in z.split(250)])
        probabilities = judge((images + 1) / 2).softmax(1)
    counts = probabilities.argmax(1).bincount(minlength=10)
    return {
        "share_of_each_digit": (counts / _COUNTED).tolist(),
        "mean_confidence": float(probabilities.amax(1).mean()),
    }


def _write(
    out: Path, name: str, weights: dict[str, Tensor], settings: dict[str, Any], metrics: dict[str, Any]
) -> Path:
    path = out / f"{name}.safetensors"
    texts = {"name": name, "settings": settings, "versions": versions(), "metrics": metrics}
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in texts.items()}
    save_file({key: value.contiguous() for key, value in weights.items()}, path, metadata=metadata)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return path


def main(
    name: str,
    out: Annotated[Path, typer.Option(help="Folder for the weights.")] = WEIGHTS,
    seed: int = 0,
    short: Annotated[bool, typer.Option(help="A few steps on the embedded sample.")] = False,
    threads: int = 1,
) -> None:
    """Train the network NAME of the zoo."""
    train(name, out=out, seed=seed, short=short, threads=threads)


if __name__ == "__main__":
    typer.run(main)
