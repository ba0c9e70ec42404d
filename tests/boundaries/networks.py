"""Small networks whose boundaries and regions are known."""

from __future__ import annotations

import torch
from torch import nn

import workbench as wb


def one_layer(latents: int = 2, units: int = 12, seed: int = 0) -> wb.Generator:
    """Linear, ReLU, linear: the boundaries of layer "1" are hyperplanes, its regions polytopes."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(latents, units), nn.ReLU(), nn.Linear(units, 16), nn.Unflatten(1, (1, 4, 4)))
    with torch.no_grad():
        module[0].bias.uniform_(-1, 1)
    return wb.Generator(module.double(), latents, value_range=(-10, 10), device="cpu", name="one layer")


def two_layers(latents: int = 3, seed: int = 1) -> wb.Generator:
    """Its second layer's boundaries are bent."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(latents, 24), nn.ReLU(), nn.Linear(24, 16), nn.LeakyReLU(0.2), nn.Linear(16, 8), nn.Tanh()
    )
    return wb.Generator(module.double(), latents, device="cpu", name="two layers")


class Functional(nn.Module):
    """A network whose activations are functions, one of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 10), nn.Linear(10, 6)

    def forward(self, z):
        return torch.tanh(self.second(torch.relu_(self.first(z))))
