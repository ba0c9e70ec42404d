"""Small networks with known answers, shared by the tests of models."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def linear_generator(latents: int = 6, size: int = 4, *, seed: int = 0) -> nn.Module:
    """x = A z as an image (1, size, size): its Jacobian is A everywhere."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(latents, size * size, bias=False), nn.Unflatten(1, (1, size, size)))


def convolutional_generator(*, channels: int = 3, seed: int = 0) -> nn.Module:
    """A plain sequential generator with batch norm and in-place ReLUs, latents (8, 1, 1)."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.ConvTranspose2d(8, 16, 4),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(16, channels, 4, 2, 1),
        nn.Tanh(),
    )


class Residual(nn.Module):
    """y = x + conv(relu(x)), with an in-place ReLU on a copy."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(self.act(x))


class SkipGenerator(nn.Module):
    """A generator whose latents also reach the last layer, past all others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 16)
        self.block = Residual(4)
        self.shift = nn.Linear(5, 4)
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.first(z).reshape(-1, 4, 2, 2)
        h = self.block(h)
        return torch.tanh(self.last(h + self.shift(z)[:, :, None, None]))


class Conditional(nn.Module):
    """A generator of an embedded class: x = A z + B e."""

    def __init__(self, classes: int = 7, width: int = 3) -> None:
        super().__init__()
        self.shared = nn.Embedding(classes, width)
        self.z = nn.Linear(4, 16)
        self.e = nn.Linear(width, 16)

    def forward(self, z: Tensor, e: Tensor) -> Tensor:
        return torch.tanh(self.z(z) + self.e(e)).reshape(-1, 1, 4, 4)


def small_classifier(*, seed: int = 0) -> nn.Module:
    """Scores of 3 classes for images (1, 8, 8)."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
