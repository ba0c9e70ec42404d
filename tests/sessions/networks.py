"""Small networks that a session belongs to."""

from __future__ import annotations

import torch
from torch import nn

import workbench as wb


def networks(seed: int = 0) -> tuple[wb.Generator, wb.Classifier]:
    torch.manual_seed(seed)
    layers = [nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), nn.Sigmoid(), nn.Unflatten(1, (1, 2, 2))]
    G = wb.Generator(nn.Sequential(*layers), latent_shape=4, value_range=(0, 1), device="cpu", name="small")
    C = wb.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), device="cpu", name="judge")
    return G, C
