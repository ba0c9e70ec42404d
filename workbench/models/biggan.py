"""BigGAN as a plain module, and its weights in the layout of the authors' BigGAN-PyTorch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.checkpoints import StateDict, fit_state_dict
from workbench.models.errors import CheckpointError

#: Of batch norm in weights that BigGAN-PyTorch trained, and in those that it converted from TensorFlow Hub.
TRAINED_EPS, CONVERTED_EPS = 1e-5, 1e-4


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain (about 1) and bias are linear in a condition.

    Args:
        channels: of the activation.
        condition: width of the condition.
        eps: added to the variance.
    """

    def __init__(self, channels: int, condition: int, *, eps: float) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=eps, affine=False)
        self.gain = nn.Linear(condition, channels, bias=False)
        self.bias = nn.Linear(condition, channels, bias=False)

    def forward(
        self, x: Float[Tensor, "batch channels height width"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch channels height width"]:
        """The normalised activation times `1 + gain(condition)` plus `bias(condition)`."""
        gain, bias = 1 + self.gain(condition), self.bias(condition)
        return self.bn(x) * gain[..., None, None] + bias[..., None, None]


class SelfAttention(nn.Module):
    """Each place attends to all 2x2 patches; the result is added, weighted by a scalar `gamma`.

    Zhang et al., "Self-attention generative adversarial networks", ICML 2019, with the max pooling of
    the keys and values that their code and BigGAN's have.

    Args:
        channels: of the activation, at least 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.phi = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.o = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.softmax = nn.Softmax(-1)  # a layer, so that its many places count when batches are sized
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """`x` plus `gamma` times what was attended to."""
        query = self.theta(x).flatten(2)
        key = F.max_pool2d(self.phi(x), 2).flatten(2)
        value = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = self.softmax(query.transpose(1, 2) @ key)
        attended = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[-2:])
        return x + self.gamma * self.o(attended)


class Block(nn.Module):
    """A residual block that doubles height and width.

    Args:
        before, after: channels.
        condition: width of the condition of its two batch norms.
        eps: of these.
    """

    def __init__(self, before: int, after: int, condition: int, *, eps: float) -> None:
        super().__init__()
        self.bn1 = ConditionalBatchNorm(before, condition, eps=eps)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.bn2 = ConditionalBatchNorm(after, condition, eps=eps)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.conv_sc = nn.Conv2d(before, after, 1)

    def forward(
        self, x: Float[Tensor, "batch before height width"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch after height2 width2"]:
        """The activation at twice the size."""
        h = self.conv1(doubled(self.relu1(self.bn1(x, condition))))
        h = self.conv2(self.relu2(self.bn2(h, condition)))
        # the published order doubles first; a 1x1 convolution commutes with that, at a quarter of the cost
        return h + doubled(self.conv_sc(x))


def doubled(
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height2 width2"]:
    """Every pixel as a square of four."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


class BigGAN(nn.Module):
    """The generator of BigGAN, called with latents and embedded classes.

    Brock, Donahue and Simonyan, "Large scale GAN training for high fidelity natural image synthesis",
    ICLR 2019, appendix B, figure 15. Spectral norm is no part of it: what is loaded has the normalised
    weights, and a recipe that trains with it wraps the layers itself.

    Args:
        widths: channels before the first block, and after each; every block doubles the size.
        classes: rows of the table of embeddings, `shared.weight`.
        shared_width: of an embedding, which all layers share.
        chunk: latents that feed the first layer; when hierarchical, as many more go to each block.
        image_channels: of the image.
        attention: blocks that self-attention follows.
        bottom: height and width before the first block.
        hierarchical: whether each block's condition is the embedding with a chunk of the latents behind
            it, or the embedding alone.
        eps: of the conditional batch norms (the last one, without condition, has 1e-5).
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        classes: int,
        shared_width: int,
        chunk: int,
        image_channels: int = 3,
        attention: Sequence[int] = (),
        bottom: int = 4,
        hierarchical: bool = True,
        eps: float = TRAINED_EPS,
    ) -> None:
        super().__init__()
        self.chunk, self.bottom, self.hierarchical = chunk, bottom, hierarchical
        condition = shared_width + (chunk if hierarchical else 0)
        self.shared = nn.Embedding(classes, shared_width)
        self.linear = nn.Linear(chunk, widths[0] * bottom**2)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    Block(before, after, condition, eps=eps),
                    *([SelfAttention(after)] if index in attention else []),
                ]
            )
            for index, (before, after) in enumerate(pairwise(widths))
        )
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], image_channels, 3, padding=1)
        )
        self.tanh = nn.Tanh()

    @property
    def latents(self) -> int:
        """Number of scalars in one latent."""
        return self.chunk * (1 + len(self.blocks)) if self.hierarchical else self.chunk

    def forward(
        self, z: Float[Tensor, "batch latents"], y: Float[Tensor, "batch shared_width"]
    ) -> Float[Tensor, "batch image_channels size size"]:
        """Images in [-1, 1]; `y` are rows of `shared.weight`, or embeddings of your own."""
        first, *others = z.split(self.chunk, 1)
        h = self.linear(first).unflatten(1, (-1, self.bottom, self.bottom))
        for index, level in enumerate(self.blocks):
            block, *attention = level.children()
            h = block(h, torch.cat([y, others[index]], 1) if self.hierarchical else y)
            for layer in attention:
                h = layer(h)
        return self.tanh(self.output_layer(h))


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are BigGAN-PyTorch's, of a generator or a discriminator."""
    return any(re.match(r"blocks\.\d+\.0\.(conv1|bn1)\.", name) for name in state)


def from_state_dict(
    state: Mapping[str, Tensor], *, eps: float | None = None, source: str = "the state dict"
) -> BigGAN:
    """The generator of a state dict of BigGAN-PyTorch, in eval mode; all sizes are read off its tensors.

    Spectral norm is written into the weights once, as BigGAN-PyTorch does in every pass of eval mode: by
    the norm that one power iteration from the stored `u0` finds.

    Args:
        state: as `G_ema.pth` holds it, of any resolution and width. One trained with cross-replica batch
            norm runs as in its parallel training; BigGAN-PyTorch's own eval mode adds the gains of such a
            one instead of multiplying by them.
        eps: of the conditional batch norms, which no tensor tells. By default 1e-5, as the published
            training at 128 pixels had, or 1e-4 where the logs of the spectral norms (`sv0`) are missing or
            untouched, as in weights converted from TensorFlow Hub. The code of the thesis on BigGAN-AM has
            1e-4 for both.
        source: the file's name, for errors.

    Raises:
        CheckpointError: a discriminator, a generator without shared embeddings, or tensors that are
            missing, left over or of another shape.
    """
    _check_kind(state, source)
    if eps is None:
        normalised = any(name.endswith(".u0") for name in state)
        logged = any(name.endswith(".sv0") and bool((value != 1).any()) for name, value in state.items())
        eps = CONVERTED_EPS if normalised and not logged else TRAINED_EPS
    plain = _plain(state, source)

    def size(name: str) -> torch.Size:
        if name not in plain:
            raise CheckpointError(f"{source} is a BigGAN without {name}; it may be cut off: fetch it again")
        return plain[name].shape

    count = 1 + max(int(name.split(".")[1]) for name in plain if name.startswith("blocks."))
    first = size("blocks.0.0.conv1.weight")[1]
    widths = [first, *(size(f"blocks.{index}.0.conv1.weight")[0] for index in range(count))]
    classes, shared_width = size("shared.weight")
    rows, chunk = size("linear.weight")
    module = BigGAN(
        widths,
        classes=classes,
        shared_width=shared_width,
        chunk=chunk,
        image_channels=size("output_layer.2.weight")[0],
        attention=[index for index in range(count) if f"blocks.{index}.1.gamma" in plain],
        bottom=math.isqrt(rows // first),
        hierarchical=size("blocks.0.0.bn1.gain.weight")[1] != shared_width,
        eps=eps,
    )
    fit_state_dict(module, plain, source=source)
    return module.eval()


def _check_kind(state: Mapping[str, Tensor], source: str) -> None:
    if not any(".bn1." in name for name in state):
        raise CheckpointError(
            f"{source} is a discriminator of BigGAN-PyTorch (it has no batch norm); load the generator that "
            "was saved with it, G_ema.pth"
        )
    if "shared.weight" not in state:
        gain = state.get("blocks.0.0.bn1.gain.weight")
        seen = "" if gain is None else f", and blocks.0.0.bn1.gain.weight is {tuple(gain.shape)}"
        raise CheckpointError(
            f"{source} is a BigGAN without shared class embeddings (no shared.weight{seen}): each layer has a "
            "table of its own. Only checkpoints trained with --G_shared can be loaded; the published ones "
            "were, with --hier --dim_z 120 --shared_dim 128"
        )


def _plain(state: Mapping[str, Tensor], source: str) -> StateDict:
    """`state` under the names of `BigGAN`, with the norms of its weights divided out."""
    plain: StateDict = {}
    for name, value in state.items():
        owner, _, last = name.rpartition(".")
        if re.fullmatch(r"u\d+|sv\d+|num_batches_tracked|accumulation_counter", last):
            continue
        value = value.float() if value.is_floating_point() else value
        if last == "weight" and f"{owner}.u0" in state:
            value = value / _norm(value, state[f"{owner}.u0"].float(), source=source, name=name)
        if owner.startswith("output_layer.0"):
            last = {"gain": "weight", "bias": "bias"}.get(last, last)
        if last in ("stored_mean", "stored_var", "running_mean", "running_var"):
            owner = owner.removesuffix(".bn")  # where cross-replica or the authors' own batch norm keeps them
            owner += "" if owner == "output_layer.0" else ".bn"
            last = last.replace("stored", "running")
        plain[f"{owner}.{last}"] = value
    return plain


def _norm(weight: Tensor, u: Tensor, *, source: str, name: str) -> Tensor:
    """The spectral norm of `weight` as one power iteration from `u` (1, rows) finds it."""
    matrix = weight.flatten(1)
    if tuple(u.shape) != (1, len(matrix)):
        raise CheckpointError(
            f"{source}: {name} {tuple(weight.shape)} comes with a singular vector u0 of shape {tuple(u.shape)}, "
            f"expected (1, {len(matrix)})"
        )
    v = F.normalize(u @ matrix, dim=1)
    u = F.normalize(v @ matrix.T, dim=1)
    return (v @ matrix.T @ u.T).squeeze()
