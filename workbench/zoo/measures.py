"""What is measured of the zoo's networks once they are trained, and stored with their weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workbench.datasets import glyphs, mnist
from workbench.zoo.recipes import mnist_inverter
from workbench.zoo.registry import load_module

#: Samples that class coverage is measured on.
_COUNTED = 2000


def reading(module: nn.Module, test: glyphs.Glyphs) -> dict[str, Any]:
    """How often a classifier of glyphs is right, over all classes and with those folded that look the same."""
    labels, folded = torch.from_numpy(test.labels), glyphs.folded()
    module.eval()
    with torch.no_grad():
        read = torch.cat([module(x).argmax(1) for x in test.tensor().split(500)])
    return {
        "test_accuracy": float((read == labels).float().mean()),
        "test_accuracy_folded": float((folded[read] == folded[labels]).float().mean()),
        "test_images": len(test),
    }


def legibility(generator: nn.Module, *, each: int = 20) -> dict[str, Any]:
    """How often the two classifiers of glyphs read samples of each class rightly, homographs folded."""
    classes = len(glyphs.NAMES)
    alike = glyphs.folded()
    labels = torch.arange(classes).repeat_interleave(each)
    z = torch.randn(len(labels), 40, generator=torch.Generator().manual_seed(2))
    found = {}
    with torch.no_grad():
        embeddings = generator.shared.weight[labels]  # type: ignore[union-attr, index]
        pairs = zip(z.split(500), embeddings.split(500), strict=True)
        images = (torch.cat([generator(*pair) for pair in pairs]) + 1) / 2
        for name in ("glyphs-cnn", "glyphs-cnn-judge"):
            judge = load_module(name)
            read = torch.cat([judge(x).argmax(1) for x in images.split(500)])
            found[f"read_folded_by_{name}"] = float((alike[read] == alike[labels]).float().mean())
    return found


def inversion(inverter: nn.Module, classifier: nn.Module, images: Tensor) -> dict[str, Any]:
    """How images (n, 1, 28, 28) in [-1, 1] come back from their codes.

    The share that the classifier, and `mnist-erf-1`, take for what they took the original for; the mean absolute
    difference of the pixels, in the range's width; and the codes' error as a share of their variance.
    """
    other = load_module("mnist-erf-1")
    same: list[Tensor] = []
    judged: list[Tensor] = []
    apart, errors, encoded = [], [], []
    with torch.no_grad():
        for real in images.split(500):
            codes = mnist_inverter.encode(classifier, real)[1]
            made = inverter(codes)
            again = mnist_inverter.encode(classifier, made)[1]
            for found, judge in ((same, classifier), (judged, other)):
                found.append(judge((made + 1) / 2).argmax(1) == judge((real + 1) / 2).argmax(1))
            apart.append((made - real).abs().flatten(1).mean(1) / 2)
            errors.append((again - codes).square())
            encoded.append(codes)
    return {
        "classified_as_original": float(torch.cat(same).float().mean()),
        "classified_as_original_by_mnist_erf_1": float(torch.cat(judged).float().mean()),
        "pixel_difference": float(torch.cat(apart).mean()),
        "code_error": float(torch.cat(errors).mean() / torch.cat(encoded).var(0).mean()),
        "test_images": len(images),
    }


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


def separation(generator: nn.Module, discriminator: nn.Module, latents: int) -> dict[str, Any]:
    """Mean scores of the embedded real digits and of as many fakes, and how often a real one beats a fake."""
    real = mnist.sample().tensor() * 2 - 1
    z = torch.randn(len(real), latents, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        real_scores, fake_scores = discriminator(real), discriminator(generator(z))
    return {
        "mean_score_of_real": float(real_scores.mean()),
        "mean_score_of_fake": float(fake_scores.mean()),
        "real_above_fake": float((real_scores > fake_scores.T).float().mean()),
    }
