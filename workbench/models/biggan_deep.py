"""BigGAN-deep as a plain module, and its weights in the layout of Hugging Face's pytorch-pretrained-biggan."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.biggan import ConditionalBatchNorm, SelfAttention, doubled
from workbench.models.checkpoints import StateDict, fit_state_dict
from workbench.models.errors import CheckpointError, ModelError

#: How a truncation selects among the stored statistics: as it was meant, or as pytorch-pretrained-biggan does.
Statistics = Literal["fixed", "compat"]

_EPS = 1e-4
_BOTTOM = 4


@dataclass(frozen=True)
class DeepBlock:
    """One residual block: channels before and after, and whether it doubles height and width."""

    before: int
    after: int
    doubles: bool


class Bottleneck(nn.Module):
    """A residual block of four convolutions at a quarter of the width; the skip drops the last channels.

    Args:
        block: its sizes.
        condition: width of the condition of its four batch norms.
        eps: of these.
    """

    def __init__(self, block: DeepBlock, condition: int, *, eps: float) -> None:
        super().__init__()
        middle = block.before // 4
        self.block = block
        self.bn_0 = ConditionalBatchNorm(block.before, condition, eps=eps)
        self.relu_0 = nn.ReLU()
        self.conv_0 = nn.Conv2d(block.before, middle, 1)
        self.bn_1 = ConditionalBatchNorm(middle, condition, eps=eps)
        self.relu_1 = nn.ReLU()
        self.conv_1 = nn.Conv2d(middle, middle, 3, padding=1)
        self.bn_2 = ConditionalBatchNorm(middle, condition, eps=eps)
        self.relu_2 = nn.ReLU()
        self.conv_2 = nn.Conv2d(middle, middle, 3, padding=1)
        self.bn_3 = ConditionalBatchNorm(middle, condition, eps=eps)
        self.relu_3 = nn.ReLU()
        self.conv_3 = nn.Conv2d(middle, block.after, 1)

    def forward(
        self, x: Float[Tensor, "batch before height width"], condition: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch after height2 width2"]:
        """The activation, at twice the size where the block doubles it."""
        h = self.conv_0(self.relu_0(self.bn_0(x, condition)))
        h = self.relu_1(self.bn_1(h, condition))
        skip = x[:, : self.block.after]
        if self.block.doubles:
            h, skip = doubled(h), doubled(skip)
        h = self.conv_2(self.relu_2(self.bn_2(self.conv_1(h), condition)))
        return self.conv_3(self.relu_3(self.bn_3(h, condition))) + skip


class BigGANDeep(nn.Module):
    """The generator of BigGAN-deep, called with latents and embedded classes.

    Brock, Donahue and Simonyan, "Large scale GAN training for high fidelity natural image synthesis",
    ICLR 2019, appendix B, figure 16. Every layer's condition is the whole latent with the embedding
    behind it. The statistics of its batch norms belong to one truncation, which is chosen when loading.

    Args:
        blocks: in order.
        latents: number of scalars in one latent.
        classes: rows of the table of embeddings, `embeddings.weight`.
        embedding_width: of an embedding.
        attention: position in `layers` of the self-attention, which shifts the blocks behind it; None
            for none.
        image_channels: of the image.
        eps: of the batch norms.
    """

    def __init__(
        self,
        blocks: Sequence[DeepBlock],
        *,
        latents: int,
        classes: int,
        embedding_width: int,
        attention: int | None,
        image_channels: int = 3,
        eps: float = _EPS,
    ) -> None:
        super().__init__()
        self.latents = latents
        condition = latents + embedding_width
        self.embeddings = nn.Embedding(classes, embedding_width)
        self.gen_z = nn.Linear(condition, _BOTTOM**2 * blocks[0].before)
        layers: list[nn.Module] = [Bottleneck(block, condition, eps=eps) for block in blocks]
        if attention is not None:
            layers.insert(attention, SelfAttention(blocks[attention].before))
        self.layers = nn.ModuleList(layers)
        self.bn = nn.BatchNorm2d(blocks[-1].after, eps=eps)
        self.relu = nn.ReLU()
        self.conv_to_rgb = nn.Conv2d(blocks[-1].after, image_channels, 3, padding=1)
        self.tanh = nn.Tanh()

    def forward(
        self, z: Float[Tensor, "batch latents"], y: Float[Tensor, "batch embedding_width"]
    ) -> Float[Tensor, "batch image_channels size size"]:
        """Images in [-1, 1]; `y` are rows of `embeddings.weight`, or embeddings of your own."""
        condition = torch.cat([z, y], 1)
        h = self.gen_z(condition).unflatten(1, (_BOTTOM, _BOTTOM, -1))  # TensorFlow's order: channels last
        h = h.permute(0, 3, 1, 2).contiguous()
        for layer in self.layers:
            h = layer(h, condition) if isinstance(layer, Bottleneck) else layer(h)
        return self.tanh(self.conv_to_rgb(self.relu(self.bn(h))))


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are pytorch-pretrained-biggan's."""
    return any(re.match(r"generator\.(gen_z|conv_to_rgb|layers\.\d+)\.", name) for name in state)


def from_state_dict(
    state: Mapping[str, Tensor],
    config: Mapping[str, Any] | None = None,
    *,
    truncation: float = 1.0,
    statistics: Statistics = "fixed",
    eps: float | None = None,
    source: str = "the state dict",
) -> BigGANDeep:
    """The generator of a state dict of pytorch-pretrained-biggan, in eval mode.

    Spectral norm is written into the weights once, by the stored singular vectors. Of the last
    convolution only the channels that become the image are kept.

    Args:
        state: as `pytorch_model.bin` holds it, of any resolution and width.
        config: as `config.json` holds it. Without it every second block doubles the size, as in all
            published ones, and `eps` is 1e-4, as in these.
        truncation: in (0, 1]; selects the batch norms' statistics, which are stored for a grid of them
            (51 in the published ones, 0.02 apart).
        statistics: between two stored truncations, `"fixed"` interpolates; `"compat"` does what
            pytorch-pretrained-biggan does: it swaps the two weights, and by rounding takes the
            neighbour for 0.14, 0.28, 0.56, 0.58 and 0.94.
        eps: of the batch norms, where it is to differ from the config's.
        source: the file's name, for errors.

    Raises:
        CheckpointError: the config belongs to other weights, or tensors are missing, left over or of
            another shape.
        ModelError: a truncation out of range, or an unknown way to select the statistics.
    """
    if not 0 < truncation <= 1:
        raise ModelError(f"truncation={truncation!r}; expected a number above 0 and at most 1")
    if statistics not in ("fixed", "compat"):
        raise ModelError(f"statistics={statistics!r}; expected 'fixed' or 'compat'")
    plain = _plain(state, float(truncation), statistics, source)

    def size(name: str) -> torch.Size:
        if name not in plain:
            raise CheckpointError(f"{source} is a BigGAN-deep without {name}; it may be cut off: fetch it again")
        return plain[name].shape

    count = 1 + max((int(n.split(".")[1]) for n in plain if n.startswith("layers.")), default=0)
    attention = next((i for i in range(count) if f"layers.{i}.gamma" in plain), None)
    places = [index for index in range(count) if index != attention]
    widths = [(size(f"layers.{i}.conv_0.weight")[1], size(f"layers.{i}.conv_3.weight")[0]) for i in places]
    doubles = [index % 2 == 1 for index in range(len(widths))]
    if config is not None:
        doubles, stored_eps = _read_config(config, widths, attention, source)
        eps = stored_eps if eps is None else eps
    classes, embedding_width = size("embeddings.weight")
    module = BigGANDeep(
        [DeepBlock(before, after, up) for (before, after), up in zip(widths, doubles, strict=True)],
        latents=size("gen_z.weight")[1] - embedding_width,
        classes=classes,
        embedding_width=embedding_width,
        attention=attention,
        image_channels=size("conv_to_rgb.weight")[0],
        eps=_EPS if eps is None else eps,
    )
    fit_state_dict(module, plain, source=source)
    return module.eval()


def _read_config(
    config: Mapping[str, Any], widths: Sequence[tuple[int, int]], attention: int | None, source: str
) -> tuple[list[bool], float]:
    """Which blocks double the size, and eps; the rest must agree with the tensors."""
    try:
        unit = int(config["channel_width"])
        described = [(unit * int(before), unit * int(after)) for _, before, after in config["layers"]]
        doubles = [bool(up) for up, _, _ in config["layers"]]
        position = int(config["attention_layer_position"])
        eps = float(config.get("eps", _EPS))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the config of {source} is none of BigGAN-deep ({type(error).__name__}: {error}); expected "
            "channel_width, layers as [[doubles, before, after], …], attention_layer_position and eps"
        ) from error
    there = position if position < len(described) else None
    if described != list(widths) or there != attention:
        raise CheckpointError(
            f"the config belongs to other weights than {source}: it describes {len(described)} blocks of "
            f"{described} channels with attention at {there}, the weights hold {len(widths)} of {list(widths)} "
            f"with attention at {attention}; take the config.json that came with the weights"
        )
    return doubles, eps


def _plain(state: Mapping[str, Tensor], truncation: float, statistics: Statistics, source: str) -> StateDict:
    """`state` under the names of `BigGANDeep`: norms divided out, statistics chosen, unused channels dropped."""
    plain: StateDict = {}
    for name, value in state.items():
        owner, _, last = name.removeprefix("generator.").rpartition(".")
        if last in ("weight_u", "weight_v", "num_batches_tracked"):
            continue
        value = value.float() if value.is_floating_point() else value
        if last == "weight_orig":
            value, last = value / _norm(state, name, source), "weight"
        if last in ("running_means", "running_vars"):
            value, last = _select(value, truncation, statistics), last.removesuffix("s")
            owner += "" if owner == "bn" else ".bn"
        if owner == "embeddings":
            value = value.T.contiguous()  # a linear layer from one-hot classes: a class is a column
        elif owner == "conv_to_rgb":
            value = value[:3].clone()  # as many filters as channels are stored; three make the image
        elif last == "gamma":
            value = value.reshape(())
        owner = re.sub(r"\bscale$", "gain", re.sub(r"\boffset$", "bias", owner))
        owner = re.sub(r"snconv1x1_(theta|phi|g|o)(_conv)?$", r"\1", owner)
        plain[f"{owner}.{last}"] = value
    return plain


def _norm(state: Mapping[str, Tensor], name: str, source: str) -> Tensor:
    """The spectral norm of the raw weight `name` by its stored singular vectors."""
    matrix = state[name].float().flatten(1)
    vectors = [state.get(name.replace("weight_orig", key)) for key in ("weight_u", "weight_v")]
    found = [None if vector is None else tuple(vector.shape) for vector in vectors]
    if found != [(len(matrix),), (matrix.shape[1],)]:
        raise CheckpointError(
            f"{source}: {name} as a matrix is {tuple(matrix.shape)}, but its singular vectors weight_u and "
            f"weight_v have the shapes {found}; they may be cut off: fetch the file again"
        )
    u, v = (vector.float() for vector in vectors if vector is not None)
    return u @ matrix @ v


def _select(
    table: Float[Tensor, "truncations channels"], truncation: float, statistics: Statistics
) -> Float[Tensor, " channels"]:
    """The statistics of a truncation, out of those stored for 0, 1/n, 2/n … 1."""
    last = len(table) - 1
    if statistics == "compat":
        share, start = math.modf(truncation / (1.0 / last))
        row = int(start)
        return table[row] * share + table[row + 1] * (1 - share) if share else table[row].clone()
    position = truncation * last
    row = min(int(position), last - 1)
    return torch.lerp(table[row], table[row + 1], position - row)
