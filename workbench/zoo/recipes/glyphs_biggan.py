"""Trains the generator of glyphs: hinge loss with a projection discriminator, and a term against mode collapse.

The discriminator's features also learn to read the real glyphs, by a head that is thrown away, and the generator
is drawn to images that the head reads as their class; characters that look the same count as one there.

Without the term against collapse the generator ignores its latents in every class. It compares the mean distance
of the images of a class with that of the real glyphs of the class: `SEEK * relu(1 - ratio)`, after Mao et al.,
"Mode seeking generative adversarial networks", CVPR 2019. In the classes of `thinned()`, chosen at random, the
same term holds the ratio at `THIN` instead, so that their diversity is far below that of their real glyphs, as
in some classes of BigGAN: what a repair has to find again is known. The term sets in when the classes are drawn;
from the start on it would let the latents choose the character. The class embeddings start small and learn
faster than the rest, else they carry no structure.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.datasets.glyphs import folded
from workbench.zoo.architectures import GlyphDiscriminator, GlyphGenerator
from workbench.zoo.recipes import adversarial

#: Weight of the term against collapse.
SEEK = 2.0
#: Shares of the steps after which the term sets in and has its full weight.
_SEEK_FROM, _SEEK_FULL = 0.25, 0.4
#: Weight of the reading head.
_GUIDANCE = 0.5
#: Diversity of the thinned classes, as a share of that of their real glyphs.
THIN = 0.2
#: Images of one class in a batch.
_EACH = 4
_LATENTS = 40


@dataclass(frozen=True)
class Settings:
    """What the training depends on, beside the images."""

    steps: int = 8000
    batch: int = 64
    rate: float = 1e-3
    embedding_rate: float = 5e-3
    embedding_spread: float = 0.15
    average: float = 0.999
    thinned: int = 30
    seed: int = 0


def thinned(classes: int, settings: Settings) -> Int[Tensor, " thinned"]:
    """The classes whose diversity is held down, chosen at random by the seed."""
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(settings.seed))
    return order[: settings.thinned].sort().values


def real_diversity(images: Tensor, labels: Tensor, classes: int) -> Float[Tensor, " classes"]:
    """Mean absolute difference of two images of each class, over 400 random pairs."""
    random = torch.Generator().manual_seed(0)
    means = []
    for index in range(classes):
        rows = (labels == index).nonzero()[:, 0]
        pairs = rows[torch.randint(len(rows), (2, 400), generator=random)]
        means.append((images[pairs[0]] - images[pairs[1]]).abs().mean())
    return torch.stack(means)


def train(
    images: Tensor,
    labels: Tensor,
    classes: int,
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    report: Callable[[int, nn.Module, str], None] = lambda step, generator, text: None,
    every: int = 500,
) -> dict[str, Tensor]:
    """Train on `images` (n, 1, 32, 32) in [-1, 1] with their `labels` (n,); returns the averaged weights.

    Runs on the device of `images`. With `checkpoint`, the state is written there every `every` steps and training
    goes on from it.
    """
    torch.manual_seed(settings.seed)
    device = images.device
    generator = GlyphGenerator(classes).to(device)
    nn.init.normal_(generator.shared.weight, std=settings.embedding_spread)
    discriminator = GlyphDiscriminator(classes).to(device).to(memory_format=torch.channels_last)
    reader = nn.Linear(192, classes).to(device)
    averaged = copy.deepcopy(generator).eval().requires_grad_(False)
    modules = {"generator": generator, "discriminator": discriminator, "averaged": averaged, "reader": reader}
    rest = [p for name, p in generator.named_parameters() if name != "shared.weight"]
    groups = [
        {"params": rest, "lr": settings.rate},
        {"params": [generator.shared.weight], "lr": settings.embedding_rate},
    ]
    optimisers = (
        torch.optim.Adam(groups, betas=(0.5, 0.99)),
        torch.optim.Adam([*discriminator.parameters(), *reader.parameters()], settings.rate, betas=(0.5, 0.99)),
    )
    goal = torch.ones(classes, device=device)
    goal[thinned(classes, settings)] = THIN
    alike = folded().to(device)
    real = real_diversity(images, labels, classes).to(device)
    random = torch.Generator().manual_seed(settings.seed)

    def take(step: int) -> dict[str, float]:
        ramp = (step / settings.steps - _SEEK_FROM) / (_SEEK_FULL - _SEEK_FROM)
        seek = SEEK * min(1.0, max(0.0, ramp))
        return _step(modules, optimisers, images, (labels, alike), (goal, real, seek), settings, random)

    adversarial.run(
        modules,
        optimisers,
        take,
        steps=settings.steps,
        keeping=settings.average,
        random=random,
        checkpoint=checkpoint,
        report=report,
        every=every,
    )
    _settle(averaged, classes, settings.steps, random)
    return {name: value.detach().cpu().contiguous() for name, value in averaged.state_dict().items()}


def measures(
    generator: nn.Module, images: Tensor, labels: Tensor, settings: Settings, *, each: int = 40
) -> dict[str, Any]:
    """What the recipe states of its generator.

    Args:
        generator: a trained `GlyphGenerator`.
        images, labels: real glyphs in [-1, 1] to compare with.
        each: pictures of a class.

    Returns:
        The diversity of each class as a share of that of its real glyphs, its mean over the thinned classes (which
        are listed) and over the others, and for the embeddings of characters that look like another the rank of
        the nearest such among all other classes (median, and how often it is the first).
    """
    embeddings = generator.shared.weight.detach()  # type: ignore[union-attr, operator]
    classes = len(embeddings)
    z = torch.randn(each, _LATENTS, generator=torch.Generator().manual_seed(1))
    drawn = []
    with torch.no_grad():
        for row in embeddings:
            drawn.append(generator(z, row.expand(len(z), -1)))
    own = torch.arange(classes).repeat_interleave(len(z))
    ratio = real_diversity(torch.cat(drawn), own, classes) / real_diversity(images, labels, classes)
    thin = thinned(classes, settings)
    others = torch.ones(classes, dtype=torch.bool)
    others[thin] = False
    ranks = homograph_ranks(embeddings).double()
    return {
        "diversity": ratio.tolist(),
        "thinned": thin.tolist(),
        "mean_diversity_thinned": float(ratio[thin].mean()),
        "mean_diversity_others": float(ratio[others].mean()),
        "median_rank_of_the_nearest_homograph": float(ranks.median()),
        "nearest_is_a_homograph": float((ranks == 1).double().mean()),
    }


def homograph_ranks(embeddings: Float[Tensor, "classes width"]) -> Int[Tensor, " n"]:
    """For each class that looks like another: the rank of the nearest such among the other classes, from 1."""
    alike = folded()
    distances = torch.cdist(embeddings, embeddings)
    distances.fill_diagonal_(torch.inf)
    order = distances.argsort(dim=1)
    same = alike[order] == alike[:, None]
    same &= order != torch.arange(len(order))[:, None]
    found = same.any(1)
    return same[found].int().argmax(1) + 1


def _step(
    modules: dict[str, nn.Module],
    optimisers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    images: Tensor,
    classes_of: tuple[Tensor, Tensor],
    diversity: tuple[Tensor, Tensor, float],
    settings: Settings,
    random: torch.Generator,
) -> dict[str, float]:
    generator, discriminator = modules["generator"], modules["discriminator"]
    reader = modules["reader"]
    labels, alike = classes_of
    goal, real_distance, seek = diversity
    rows = torch.randint(len(images), (settings.batch,), generator=random).to(images.device)
    chosen = torch.randint(len(goal), (settings.batch // _EACH,), generator=random).to(images.device)
    classes = chosen.repeat_interleave(_EACH)
    z = torch.randn(settings.batch, _LATENTS, generator=random).to(images.device)
    faster = torch.autocast(images.device.type, dtype=torch.bfloat16)
    with faster:
        fake = generator(z, generator.shared(classes)).float()  # type: ignore[operator]
        seen = discriminator.features_of(torch.cat([images[rows], fake.detach()]))  # type: ignore[operator]
    real_score, fake_score = discriminator.judge(seen, torch.cat([labels[rows], classes])).chunk(2)  # type: ignore[operator]
    read = reader(seen[: settings.batch])
    discriminator_loss = F.relu(1 - real_score).mean() + F.relu(1 + fake_score).mean()
    optimisers[1].zero_grad()
    (discriminator_loss + F.cross_entropy(read, alike[labels[rows]])).backward()
    optimisers[1].step()
    discriminator.requires_grad_(False)
    with faster:
        seen = discriminator.features_of(fake)  # type: ignore[operator]
    generator_loss = -discriminator.judge(seen, classes).mean()  # type: ignore[operator]
    reading_loss = F.cross_entropy(reader(seen), alike[classes])
    ratio = _distances(fake) / real_distance[chosen]
    full = goal[chosen] == 1
    missing = torch.where(full, F.relu(1 - ratio), (ratio - goal[chosen]).abs())
    optimisers[0].zero_grad()
    (generator_loss + _GUIDANCE * reading_loss + seek * missing.mean()).backward()
    optimisers[0].step()
    discriminator.requires_grad_(True)
    return {
        "D": discriminator_loss.item(),
        "G": generator_loss.item(),
        "read": reading_loss.item(),
        "ratio": ratio[full].mean().item(),
        "thinned": ratio[~full].mean().item(),
    }


def _distances(images: Float[Tensor, "n 1 h w"]) -> Float[Tensor, " groups"]:
    """Mean absolute difference of the images within each group of `_EACH`."""
    groups = images.unflatten(0, (-1, _EACH))
    first, second = torch.triu_indices(_EACH, _EACH, 1, device=images.device)
    return (groups[:, first] - groups[:, second]).abs().flatten(1).mean(1)


def _settle(generator: nn.Module, classes: int, steps: int, random: torch.Generator) -> None:
    device = next(generator.parameters()).device

    def draw() -> Tensor:
        labels = torch.randint(classes, (256,), generator=random).to(device)
        z = torch.randn(256, _LATENTS, generator=random).to(device)
        return generator(z, generator.shared(labels))  # type: ignore[operator]

    adversarial.settle(generator, draw, batches=min(100, steps))
