"""The networks of the zoo, as plain modules."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from workbench.models import Erf, LinearFeatures


def mnist_generator(latents: int) -> nn.Sequential:
    """A DCGAN for digits: latents (n, latents) to images (n, 1, 28, 28) in [-1, 1].

    Radford, Metz and Chintala, "Unsupervised representation learning with deep convolutional
    generative adversarial networks", ICLR 2016, in small. Piecewise linear up to the tanh. With two
    latents, dense layers come first: one alone could only vary along rays from the origin.
    """
    code = latents
    unfold: list[nn.Module] = []
    if latents <= 2:
        code = 64
        unfold = [nn.Linear(latents, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, code)]
    return nn.Sequential(
        *unfold,
        nn.Linear(code, 96 * 7 * 7, bias=False),
        nn.Unflatten(1, (96, 7, 7)),
        nn.BatchNorm2d(96),
        nn.ReLU(),
        nn.Conv2d(96, 96, 3, padding=1, bias=False),
        nn.BatchNorm2d(96),
        nn.ReLU(),
        nn.ConvTranspose2d(96, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1),
        nn.Tanh(),
    )


def mnist_discriminator(*, spectral_norm: bool = False) -> nn.Sequential:
    """Scores (n, 1) of images (n, 1, 28, 28) in [-1, 1]; high for real ones.

    Args:
        spectral_norm: train with spectral normalisation (Miyato et al., ICLR 2018) of all but the last
            layer, which sets the scale that the hinge loss needs; what ships has the normalised
            weights written into plain layers.
    """
    wrap = parametrizations.spectral_norm if spectral_norm else (lambda module: module)
    return nn.Sequential(
        wrap(nn.Conv2d(1, 32, 4, 2, 1)),
        nn.LeakyReLU(0.1),
        wrap(nn.Conv2d(32, 64, 4, 2, 1)),
        nn.LeakyReLU(0.1),
        wrap(nn.Conv2d(64, 96, 3, 1, 1)),
        nn.LeakyReLU(0.1),
        wrap(nn.Conv2d(96, 96, 3, 2, 1)),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(96 * 4 * 4, 1),
    )


def mnist_encoder(latents: int) -> nn.Sequential:
    """Images (n, 1, 28, 28) in [-1, 1] to codes (n, latents); used in training only."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, latents),
    )


class Standardise(nn.Module):
    """Pixels in [0, 1] to zero mean and unit deviation over MNIST's training set."""

    def forward(self, x: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 1 28 28"]:
        """The standardised images."""
        return (x - 0.1307) / 0.3081


def mnist_classifier() -> nn.Sequential:
    """Scores (n, 10) of digits (n, 1, 28, 28) in [0, 1]: two pairs of convolutions and two dense layers."""
    return nn.Sequential(
        Standardise(),
        nn.Conv2d(1, 24, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(24, 24, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(24, 48, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(48, 48, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(48 * 7 * 7, 128),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Linear(128, 10),
    )


def mnist_erf_network(basis: Float[Tensor, "100 784"] | None = None) -> nn.Sequential:
    """Scores (n, 10) of digits (n, 1, 28, 28) in [0, 1]: 100 wavelets, then 12 dense layers of erf neurons.

    Yousefzadeh and O'Leary, "Deep learning interpretation: flip points and homotopy methods", MSML 2020,
    section 3.2 and table A1; the paper's softmax is left to whoever reads the scores.

    Args:
        basis: the wavelets, one a row; None leaves zeros for a checkpoint to fill.
    """
    widths = (100, 500, 500, 500, 400, 300, 250, 250, 250, 200, 150, 150, 100)
    layers: list[nn.Module] = [LinearFeatures(torch.zeros(100, 784) if basis is None else basis)]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), Erf()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def face_generator() -> nn.Module:
    """The DCGAN of `gan-face-generate`: latents (n, 100, 1, 1) to faces (n, 3, 64, 64) in [-1, 1]."""
    widths = (100, 512, 256, 128, 64)
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    layers += [nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1, bias=False), nn.Tanh()]
    return _Main(nn.Sequential(*layers))


class _Main(nn.Module):
    """A network under the name `main`, as the checkpoint has it."""

    def __init__(self, main: nn.Sequential) -> None:
        super().__init__()
        self.main = main

    def forward(self, z: Float[Tensor, "batch 100 1 1"]) -> Float[Tensor, "batch 3 64 64"]:
        """The images of a batch of latents."""
        return self.main(z)


def baked(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of `module` with every parametrisation written into its weight."""
    from torch.nn.utils import parametrize

    with torch.no_grad():
        for submodule in module.modules():
            if parametrize.is_parametrized(submodule):
                for name in list(submodule.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(submodule, name, leave_parametrized=True)
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
