"""Generators with known subspaces."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import workbench as wb
from tests.models.networks import convolutional_generator


@pytest.fixture
def linear() -> wb.Generator:
    """x = A z with singular values 5, 4, 3, 2, 1 along the latents' axes."""
    torch.manual_seed(0)
    left = torch.linalg.qr(torch.randn(16, 5))[0]
    layer = nn.Linear(5, 16, bias=False)
    layer.weight.data = left @ torch.diag(torch.tensor([5.0, 4, 3, 2, 1]))
    return wb.Generator(
        nn.Sequential(layer, nn.Unflatten(1, (1, 4, 4))),
        5,
        value_range=(-20, 20),
        device="cpu",
        name="linear",
    )


@pytest.fixture
def conv() -> wb.Generator:
    return wb.Generator(convolutional_generator(), (8, 1, 1), device="cpu", name="conv")
