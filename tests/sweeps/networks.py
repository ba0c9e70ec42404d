"""A classifier whose shards take long enough to be killed, and which can be made to fail."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

import workbench as wb

SHAPE = (1, 4, 4)


class Slow(nn.Module):
    """Three classes; each pass takes a while, and an input with a 1 in its corner makes it fail."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        if bool((x[:, 0, 0, 0] == 1).any()):
            raise RuntimeError("a corner of 1")
        return self.layers(x)


def classifier(seconds: float = 0.0) -> wb.Classifier:
    """One with the same weights each time."""
    return wb.Classifier(Slow(seconds), SHAPE, device="cpu", name="slow")


def queries(n: int) -> Tensor:
    """(n, 1, 4, 4) in (0, 1)."""
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1)) * 0.9
