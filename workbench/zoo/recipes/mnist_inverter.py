"""Trains the inverter of mnist-cnn: a generator that turns the codes of its first dense layer back into digits.

Dosovitskiy and Brox, "Generating images with perceptual similarity metrics based on deep networks", NeurIPS 2016:
an image term, a feature term and an adversarial term. The features are those that the classifier has before its
dense layers, and the code itself. Half of each batch are codes between those of two digits: samplers go there,
and a generator that was shown codes of digits alone makes smears of them. For these there is no image to compare
with, only the code and the discriminator.

The networks run in bfloat16, the weights and losses stay in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from workbench.zoo.architectures import INVERTED_LAYER, baked, mnist_discriminator, mnist_inverter
from workbench.zoo.recipes import adversarial

#: The features before the dense layers, after the last ReLU of the convolutions.
_FEATURES = 8


@dataclass(frozen=True)
class Settings:
    """What the training depends on, beside the images and the classifier."""

    steps: int = 8000
    batch: int = 64
    rate: float = 1e-3
    average: float = 0.999
    image: float = 10.0
    feature: float = 2.0
    code: float = 2.0
    adversarial: float = 0.5
    seed: int = 0


def encode(classifier: nn.Module, images: Float[Tensor, "n 1 28 28"]) -> tuple[Tensor, Tensor]:
    """Features (n, 48, 7, 7) and codes (n, 128) of images in [-1, 1], by `mnist-cnn`."""
    layers = list(classifier.children())
    features = nn.Sequential(*layers[: _FEATURES + 1])((images + 1) / 2)
    return features, nn.Sequential(*layers[_FEATURES + 1 : int(INVERTED_LAYER) + 1])(features)


def train(
    images: Float[Tensor, "n 1 28 28"],
    classifier: nn.Module,
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    report: Callable[[int, nn.Module, str], None] = lambda step, generator, text: None,
    every: int = 500,
) -> dict[str, Tensor]:
    """Train on images in [-1, 1]; returns the averaged weights.

    Args:
        classifier: `mnist-cnn`, in eval mode; on the device of the images, where the training runs.
        checkpoint: the state is written there every `every` steps, and training goes on from it.
    """
    torch.manual_seed(settings.seed)
    generator = mnist_inverter().to(images.device)
    discriminator = mnist_discriminator(spectral_norm=True).to(images.device)
    averaged = copy.deepcopy(generator).eval().requires_grad_(False)
    modules: dict[str, nn.Module] = {
        "generator": generator,
        "discriminator": discriminator,
        "averaged": averaged,
    }
    optimisers = tuple(
        torch.optim.Adam(module.parameters(), settings.rate, betas=(0.5, 0.99))
        for module in (generator, discriminator)
    )
    classifier.requires_grad_(False)
    with torch.no_grad():
        some = encode(classifier, images[:1000])
        spreads = tuple(float(values.var(0).mean()) for values in some)
    random = torch.Generator().manual_seed(settings.seed)
    adversarial.run(
        modules,
        optimisers,
        lambda step: _step(modules, optimisers, images, classifier, spreads, settings, random),
        steps=settings.steps,
        keeping=settings.average,
        random=random,
        checkpoint=checkpoint,
        report=report,
        every=every,
    )
    with torch.no_grad():
        adversarial.settle(averaged, lambda: averaged(_codes(images, classifier, settings, random)[1]))
    return baked(averaged.cpu())


def _codes(
    images: Tensor, classifier: nn.Module, settings: Settings, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Digits, their codes and as many between two of them, and the digits' features."""
    rows = torch.randint(len(images), (settings.batch // 2,), generator=random).to(images.device)
    share = torch.rand(settings.batch // 2, 1, generator=random).to(images.device)
    real = images[rows]
    with torch.no_grad():
        features, codes = encode(classifier, real)
    between = codes + share * (codes.roll(1, 0) - codes)
    return real, torch.cat([codes, between]), features


def _step(
    modules: dict[str, nn.Module],
    optimisers: tuple[torch.optim.Optimizer, ...],
    images: Tensor,
    classifier: nn.Module,
    spreads: tuple[float, ...],
    settings: Settings,
    random: torch.Generator,
) -> dict[str, float]:
    generator, discriminator = modules["generator"], modules["discriminator"]
    real, codes, features = _codes(images, classifier, settings, random)
    faster = torch.autocast(images.device.type, dtype=torch.bfloat16)
    with faster:
        fake = generator(codes).float()
        scores = discriminator(torch.cat([real, fake.detach()])).float()
    real_scores, fake_scores = scores.split([len(real), len(fake)])
    discriminator_loss = F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()
    optimisers[1].zero_grad()
    discriminator_loss.backward()
    optimisers[1].step()
    discriminator.requires_grad_(False)
    with faster:
        score = discriminator(fake).float().mean()
        seen, read = encode(classifier, fake)
    terms = {
        "image": F.mse_loss(fake[: len(real)], real),
        "feature": F.mse_loss(seen[: len(real)].float(), features) / spreads[0],
        "code": F.mse_loss(read.float(), codes) / spreads[1],
        "adversarial": -score,
    }
    optimisers[0].zero_grad()
    sum((getattr(settings, name) * term for name, term in terms.items()), torch.zeros(())).backward()
    optimisers[0].step()
    discriminator.requires_grad_(True)
    return {name: term.item() for name, term in terms.items()} | {"discriminator": discriminator_loss.item()}
