"""The networks of the zoo, as plain modules."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float, Int
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
    return nn.Sequential(*unfold, *_digit_from(code, 96))


def _digit_from(code: int, channels: int) -> list[nn.Module]:
    """The layers from a code to an image of a digit, `channels` maps wide where they are smallest."""
    return [
        nn.Linear(code, channels * 7 * 7, bias=False),
        nn.Unflatten(1, (channels, 7, 7)),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1),
        nn.Tanh(),
    ]


#: The layer of `mnist_classifier` whose output `mnist_inverter` turns into images: its first dense layer's, after
#: the ReLU.
INVERTED_LAYER = "12"


def mnist_inverter() -> nn.Sequential:
    """Codes (n, 128) of `INVERTED_LAYER` of `mnist_classifier` to images (n, 1, 28, 28) in [-1, 1].

    After Dosovitskiy and Brox, "Generating images with perceptual similarity metrics based on deep networks",
    NeurIPS 2016, in small: dense layers, then transposed convolutions.
    """
    return nn.Sequential(nn.Linear(128, 128), nn.ReLU(), *_digit_from(128, 80))


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


class GlyphBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are linear in a condition (batch, condition)."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(condition, channels, bias=False)
        self.bias = nn.Linear(condition, channels, bias=False)

    def forward(self, x: Float[Tensor, "n c h w"], condition: Float[Tensor, "n d"]) -> Float[Tensor, "n c h w"]:
        """The normalised maps under the condition's gain and bias."""
        return self.norm(x) * (1 + self.gain(condition))[:, :, None, None] + self.bias(condition)[:, :, None, None]


class _GrowingBlock(nn.Module):
    """BigGAN's residual block: twice the resolution."""

    def __init__(self, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.norm1 = GlyphBatchNorm(before, condition)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = GlyphBatchNorm(after, condition)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)
        self.relu = nn.ReLU()
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, x: Float[Tensor, "n c h w"], condition: Float[Tensor, "n d"]) -> Tensor:
        """The block's output (n, after, 2 h, 2 w)."""
        hidden = self.conv1(self.up(self.relu(self.norm1(x, condition))))
        return self.conv2(self.relu(self.norm2(hidden, condition))) + self.up(self.skip(x))


class GlyphGenerator(nn.Module):
    """BigGAN's scheme in small: latents (n, 40) and class embeddings (n, 32) to images (n, 1, 32, 32) in [-1, 1].

    Brock, Donahue and Simonyan, "Large scale GAN training for high fidelity natural image synthesis", ICLR 2019:
    one embedding of the class for the whole network, and the latents in chunks, one a stage, that steer the batch
    normalisation together with it. `shared.weight` holds the embeddings; the module is called with its rows.
    """

    def __init__(self, classes: int, *, width: int = 32, chunk: int = 10) -> None:
        super().__init__()
        channels = (96, 96, 64, 32)
        self.chunk = chunk
        self.shared = nn.Embedding(classes, width)
        self.linear = nn.Sequential(nn.Linear(chunk, channels[0] * 16), nn.Unflatten(1, (channels[0], 4, 4)))
        self.blocks = nn.ModuleList(_GrowingBlock(a, b, width + chunk) for a, b in pairwise(channels))
        self.output = nn.Sequential(
            nn.BatchNorm2d(channels[-1]), nn.ReLU(), nn.Conv2d(channels[-1], 1, 3, padding=1), nn.Tanh()
        )
        self.to(memory_format=torch.channels_last)  # a quarter faster on a CPU

    def forward(self, z: Float[Tensor, "n 40"], embeddings: Float[Tensor, "n 32"]) -> Float[Tensor, "n 1 32 32"]:
        """The images of latents under class embeddings, one a row."""
        first, *chunks = z.split(self.chunk, dim=1)
        x = self.linear(first)
        for block, chunk in zip(self.blocks, chunks, strict=True):
            x = block(x, torch.cat([embeddings, chunk], dim=1))
        return self.output(x)


class GlyphDiscriminator(nn.Module):
    """Scores (n,) of images (n, 1, 32, 32) in [-1, 1] under their classes; high for real ones.

    Miyato and Koyama, "cGANs with projection discriminator", ICLR 2018, with spectral normalisation. Used in
    training only.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        wrap = parametrizations.spectral_norm
        layers: list[nn.Module] = []
        for before, after, edge, stride in ((1, 32, 3, 1), (32, 64, 4, 2), (64, 96, 4, 2), (96, 128, 4, 2)):
            layers += [wrap(nn.Conv2d(before, after, edge, stride, 1)), nn.LeakyReLU(0.1)]
        layers += [wrap(nn.Conv2d(128, 192, 3, 1, 1)), nn.LeakyReLU(0.1)]
        self.features = nn.Sequential(*layers)
        self.score = wrap(nn.Linear(192, 1))
        self.classes = wrap(nn.Embedding(classes, 192))

    def forward(self, x: Float[Tensor, "n 1 32 32"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """One score an image."""
        return self.judge(self.features_of(x), labels)

    def features_of(self, x: Float[Tensor, "n 1 32 32"]) -> Float[Tensor, "n 192"]:
        """What the scores are made of."""
        return self.features(x).float().sum((2, 3))

    def judge(self, features: Float[Tensor, "n 192"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The scores of features under their classes."""
        return self.score(features)[:, 0] + (self.classes(labels) * features).sum(1)


def glyph_classifier(classes: int) -> nn.Sequential:
    """Scores (n, classes) of glyphs (n, 1, 32, 32) in [0, 1]: three pairs of convolutions and a dense layer."""
    layers: list[nn.Module] = []
    for before, after in ((1, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.Conv2d(after, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(96 * 16, 192), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(192, classes),
    )  # fmt: skip


class _Residual(nn.Module):
    """Two convolutions beside a shortcut; halves the resolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(before, after, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(after),
            nn.ELU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1, bias=False))
        self.elu = nn.ELU()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Tensor:
        """The block's output (n, after, h / 2, w / 2)."""
        return self.elu(self.main(x) + self.shortcut(x))


def glyph_judge(classes: int) -> nn.Sequential:
    """Scores as `glyph_classifier`, from another kind of network: residual blocks of 5 x 5 filters and ELU."""
    return nn.Sequential(
        _Residual(1, 24), _Residual(24, 48), _Residual(48, 96), nn.Flatten(), nn.Dropout(0.4),
        nn.Linear(96 * 16, classes),
    )  # fmt: skip


def baked(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of `module` with every parametrisation written into its weight."""
    from torch.nn.utils import parametrize

    with torch.no_grad():
        for submodule in module.modules():
            if parametrize.is_parametrized(submodule):
                for name in list(submodule.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(submodule, name, leave_parametrized=True)
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
