"""Small networks whose inverse sets are known: a generator that hands its latents on, and linear neurons."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import workbench as wb


class Identity(nn.Module):
    """Signals (n, d) that are the latents themselves."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(size))

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight


def identity(size: int = 6, *, batch_size: int | None = None) -> wb.Generator:
    return wb.Generator(
        Identity(size), size, value_range=(-8, 8), device="cpu", name="identity", batch_size=batch_size
    )


def linear(size: int = 6, neurons: int = 3, *, then: nn.Module | None = None, bias: float = 0.0) -> wb.Classifier:
    """Neurons `w x + bias` in layer 0, `then` in layer 1."""
    torch.manual_seed(0)
    first = nn.Linear(size, neurons)
    nn.init.constant_(first.bias, bias)
    module = nn.Sequential(first, then or nn.Identity())
    return wb.Classifier(module, size, value_range=(-8, 8), device="cpu", name="linear")
