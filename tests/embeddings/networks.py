"""Small networks with class embeddings whose maximisation has a closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import workbench as wb


class Additive(nn.Module):
    """Pictures (n, 1, 2, 2) that are the latent, scaled, plus the embedding: G(z, e) = s z + e."""

    def __init__(self, classes: int = 3, *, scale: float = 0.5) -> None:
        super().__init__()
        drawn = torch.randn(classes, 4, generator=torch.Generator().manual_seed(1))
        self.shared = nn.Embedding.from_pretrained(drawn / 4, freeze=False)
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, z: Tensor, rows: Tensor) -> Tensor:
        return (self.scale * z + rows).unflatten(1, (1, 2, 2))


def additive(classes: int = 3, *, scale: float = 0.5, names: list[str] | None = None) -> wb.Generator:
    return wb.Generator(
        Additive(classes, scale=scale),
        4,
        class_embeddings="shared.weight",
        class_names=names,
        value_range=(-3, 3),
        device="cpu",
        name="additive",
    )


def linear_classifier(classes: int = 3, *, names: list[str] | None = None) -> wb.Classifier:
    """Scores W x of the flattened picture."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, classes, bias=False))
    return wb.Classifier(module, (1, 2, 2), value_range=(-3, 3), class_names=names, device="cpu", name="linear")
