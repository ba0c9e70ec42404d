"""Trains the erf networks on Haar wavelets: Adam with a decaying rate after unit-variance initialisation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pywt
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.linalg import qr
from torch import Tensor, nn

from workbench.models import Erf
from workbench.zoo.architectures import mnist_erf_network

#: Images that the initialisation measures variances on.
_MEASURED = 2000


@dataclass(frozen=True)
class Settings:
    """What the training depends on, beside the images.

    Attributes:
        half: of the training set that is learnt, 0 or 1; the other one is held out.
        epochs, batch, rate: of Adam; the rate falls to zero along a cosine.
        seed: of initialisation and batches.
    """

    half: int
    epochs: int = 30
    batch: int = 128
    rate: float = 1e-3
    seed: int = 0


#: The paper's NET1 learns the first half of the training set, NET2 the second.
SETTINGS = {"mnist-erf-1": Settings(half=0), "mnist-erf-2": Settings(half=1)}


def haar_wavelets() -> Float[np.ndarray, "784 784"]:
    """The orthonormal Haar transform of 28 × 28 images over two levels, one wavelet a row.

    Two levels are as many as halve 28 without padding, which would make the transform redundant.
    """
    pixels = np.eye(784).reshape(784, 28, 28)
    levels = pywt.wavedec2(pixels, "haar", mode="periodization", level=2, axes=(1, 2))
    coefficients, _ = pywt.coeffs_to_array(levels, axes=(1, 2))
    return coefficients.reshape(784, 784).T


def basis(images: Float[Tensor, "n 1 28 28"], k: int = 100) -> Float[Tensor, "k 784"]:
    """The `k` most significant wavelets of `images`, most significant first.

    Chosen by pivoted QR of the images' wavelet coefficients (section 6.1 of the paper): each is the one
    whose coefficients those before it explain least.
    """
    wavelets = haar_wavelets()
    coefficients = images.flatten(1).double().cpu().numpy() @ wavelets.T
    # the triangular factor has the pivots of the tall matrix, on which pivoting takes several times as long
    triangle = np.linalg.qr(coefficients, mode="r")
    _, chosen = qr(triangle, mode="r", pivoting=True)
    return torch.from_numpy(wavelets[chosen[:k]]).float()


def halves(images: Tensor, labels: Tensor, half: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The images and labels of a half of the training set (0 or 1), then those of the other half."""
    middle = len(images) // 2
    parts = [(images[:middle], labels[:middle]), (images[middle:], labels[middle:])]
    return parts[half], parts[1 - half]


def train(
    images: Float[Tensor, "n 1 28 28"],
    labels: Tensor,
    settings: Settings,
    *,
    report: Callable[[int, nn.Module, str], None] = lambda epoch, module, text: None,
) -> dict[str, Tensor]:
    """Train on a half of `images` in [0, 1] with `labels` (n,), on their device; returns the weights.

    The wavelets are chosen on all `images`, so that the networks of both halves share them.
    """
    own, _ = halves(images, labels, settings.half)
    module = fit(
        basis(images),
        *own,
        epochs=settings.epochs,
        batch=settings.batch,
        rate=settings.rate,
        seed=settings.seed,
        report=report,
    )
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def fit(
    wavelets: Float[Tensor, "100 784"],
    images: Float[Tensor, "n 1 28 28"],
    labels: Tensor,
    *,
    epochs: int = Settings.epochs,
    batch: int = Settings.batch,
    rate: float = Settings.rate,
    seed: int = Settings.seed,
    report: Callable[[int, nn.Module, str], None] = lambda epoch, module, text: None,
) -> nn.Sequential:
    """A network of these wavelets, trained on all of `images` with `labels` (n,), on their device.

    `epochs`, `batch`, `rate` and `seed` are those of `Settings`.
    """
    torch.manual_seed(seed)
    module = mnist_erf_network(wavelets).to(images.device)
    _spread(module, images[:_MEASURED])
    optimiser = torch.optim.Adam(module.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * math.ceil(len(images) / batch))
    random = torch.Generator().manual_seed(seed)
    began = time.monotonic()
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(images), generator=random).split(batch):
            loss = F.cross_entropy(module(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        report(epoch, module, f"epoch {epoch} loss {loss.item():.4f} {time.monotonic() - began:.0f} s")
    return module.eval()


def sigmas(module: nn.Module) -> list[float]:
    """The sigma of each erf layer, first to last."""
    return [layer.sigma.item() for layer in module.modules() if isinstance(layer, Erf)]


@torch.no_grad()
def _spread(module: nn.Sequential, x: Tensor) -> None:
    """Layer by layer, orthogonal weights scaled to pre-activations of zero mean and unit variance on `x`.

    Mishkin and Matas, "All you need is a good init", ICLR 2016. Torch's own initialisation would let the
    signal shrink by a third from layer to layer.
    """
    for layer in module:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
            c = layer(x)
            layer.weight /= (c - c.mean(0)).square().mean().sqrt()
            layer.bias.copy_(-layer(x).mean(0))
        x = layer(x)
