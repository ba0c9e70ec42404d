"""Trains the classifiers of digits and of glyphs: AdamW with a one-cycle rate, images moved a little."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Settings:
    """What the training depends on, beside the images."""

    epochs: int = 6
    batch: int = 128
    rate: float = 3e-3
    shift: float = 2.0
    turn: float = 10.0
    seed: int = 0


#: The settings of the classifiers that ship, by name. A glyph is turned and shifted less: its place on the line
#: and its slant are part of what it is.
SETTINGS = {
    "mnist-cnn": Settings(),
    "glyphs-cnn": Settings(epochs=10, shift=1.0, turn=3.0),
    "glyphs-cnn-judge": Settings(epochs=10, shift=1.0, turn=3.0, seed=1),
}


def train(
    build: Callable[[], nn.Module],
    images: Tensor,
    labels: Tensor,
    settings: Settings,
    *,
    report: Callable[[int, nn.Module, str], None] = lambda epoch, module, text: None,
) -> dict[str, Tensor]:
    """Train what `build` makes on `images` (n, 1, edge, edge) in [0, 1] with `labels` (n,); returns the weights.

    Runs on the device of the images.
    """
    torch.manual_seed(settings.seed)
    module = build().to(images.device)
    optimiser = torch.optim.AdamW(module.parameters(), settings.rate, weight_decay=0.05)
    steps = settings.epochs * math.ceil(len(images) / settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=steps)
    random = torch.Generator().manual_seed(settings.seed)
    began = time.monotonic()
    for epoch in range(1, settings.epochs + 1):
        module.train()
        for rows in torch.randperm(len(images), generator=random).split(settings.batch):
            loss = F.cross_entropy(
                module(_moved(images[rows], settings, random)), labels[rows], label_smoothing=0.05
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        report(epoch, module.eval(), f"epoch {epoch} loss {loss.item():.4f} {time.monotonic() - began:.0f} s")
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def accuracy(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of `images` (n, 1, edge, edge) in [0, 1] that get their label."""
    module.eval()
    with torch.no_grad():
        right = sum(
            int((module(x).argmax(1) == y).sum())
            for x, y in zip(images.split(1000), labels.split(1000), strict=True)
        )
    return right / len(images)


def _moved(images: Tensor, settings: Settings, random: torch.Generator) -> Tensor:
    """Each image turned and shifted a little."""
    n = len(images)
    angle = (2 * torch.rand(n, generator=random) - 1) * settings.turn * math.pi / 180
    shift = (2 * torch.rand(n, 2, generator=random) - 1) * settings.shift * 2 / images.shape[-1]
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)]
    matrix = torch.stack(rows, 1).to(images.device)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
