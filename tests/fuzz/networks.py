"""Small networks under the fuzz, made once."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

import workbench as wb

CLASSES = ("zero", "one", "two")


class Conditional(nn.Module):
    """Pictures of a latent and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 2)
        self.latents, self.classes = nn.Linear(4, 36), nn.Linear(2, 36)

    def forward(self, z: Tensor, e: Tensor) -> Tensor:
        return torch.tanh(self.latents(z) + self.classes(e)).reshape(-1, 1, 6, 6)


def decoder() -> nn.Module:
    """Four latents to pictures (1, 6, 6)."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 36), nn.Tanh(), nn.Unflatten(1, (1, 6, 6)))


def scorer() -> nn.Module:
    """Pictures (1, 6, 6) to three scores."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))


@cache
def generator(dtype: torch.dtype = torch.float32) -> wb.Generator:
    """A plain generator."""
    return wb.Generator(decoder().to(dtype), latent_shape=(4,), device="cpu")


@cache
def with_classes() -> wb.Generator:
    """A generator with class embeddings."""
    torch.manual_seed(2)
    return wb.Generator(Conditional(), (4,), class_embeddings="table.weight", class_names=CLASSES, device="cpu")


@cache
def classifier(dtype: torch.dtype = torch.float32) -> wb.Classifier:
    """A classifier of both generators' pictures."""
    network = scorer().to(dtype)
    return wb.Classifier(network, (1, 6, 6), value_range=(-1, 1), class_names=CLASSES, device="cpu")
