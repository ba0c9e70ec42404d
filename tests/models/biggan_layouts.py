"""BigGAN's public checkpoints: their names and shapes, random ones of any size, and reference forward passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
#: Of each block: whether it doubles, channels before and after.
Layers = Sequence[tuple[int, int, int]]

#: Names that hold no trained scalars.
_BUFFERS = ("u0", "sv0", "stored_mean", "stored_var", "weight_u", "weight_v", "running_means", "running_vars")

#: Channels of BigGAN-PyTorch in units of 96: before the first block and after each; the block with attention.
PYTORCH = {128: ((16, 16, 8, 4, 2, 1), 3), 256: ((16, 16, 8, 8, 4, 2, 1), 4), 512: ((16, 16, 8, 8, 4, 2, 1, 1), 3)}
CHUNK = {128: 20, 256: 20, 512: 16}

_D128 = [(0, 16, 16), (1, 16, 16), (0, 16, 16), (1, 16, 8), (0, 8, 8), (1, 8, 4), (0, 4, 4), (1, 4, 2)]
_D256 = [*_D128[:5], (1, 8, 8), (0, 8, 8), (1, 8, 4), *_D128[6:]]
_END = [(0, 2, 2), (1, 2, 1)]
#: Layers of BigGAN-deep in Hugging Face's configs, in units of 128: doubles, before, after.
DEEP = {128: [*_D128, *_END], 256: [*_D256, *_END], 512: [*_D256, *_END, (0, 1, 1), (1, 1, 1)]}


def trained(shapes: Shapes) -> int:
    """Number of trained scalars."""
    return sum(math.prod(shape) for name, shape in shapes.items() if name.rpartition(".")[2] not in _BUFFERS)


# -- BigGAN-PyTorch ----------------------------------------------------------------------------------


def pytorch_shapes(
    widths: Sequence[int],
    attention: int | None,
    *,
    chunk: int,
    shared: int = 128,
    classes: int = 1000,
    rgb: int = 3,
) -> Shapes:
    """Names and shapes of a `G_ema.pth`."""
    shapes: Shapes = {"shared.weight": (classes, shared)}

    def normalised(name: str, *weight: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = weight
        if bias:
            shapes[f"{name}.bias"] = weight[:1]
        shapes[f"{name}.u0"] = (1, weight[0])
        shapes[f"{name}.sv0"] = (1,)

    normalised("linear", widths[0] * 16, chunk)
    for i, (before, after) in enumerate(pairwise(widths)):
        normalised(f"blocks.{i}.0.conv1", after, before, 3, 3)
        normalised(f"blocks.{i}.0.conv2", after, after, 3, 3)
        normalised(f"blocks.{i}.0.conv_sc", after, before, 1, 1)
        for bn, channels in (("bn1", before), ("bn2", after)):
            shapes[f"blocks.{i}.0.{bn}.stored_mean"] = shapes[f"blocks.{i}.0.{bn}.stored_var"] = (channels,)
            for part in ("gain", "bias"):
                normalised(f"blocks.{i}.0.{bn}.{part}", channels, shared + chunk, bias=False)
        if i == attention:
            shapes[f"blocks.{i}.1.gamma"] = ()
            for part, out, into in (("theta", 8, 1), ("phi", 8, 1), ("g", 2, 1), ("o", 1, 2)):
                normalised(f"blocks.{i}.1.{part}", after // out, after // into, 1, 1, bias=False)
    for part in ("gain", "bias", "stored_mean", "stored_var"):
        shapes[f"output_layer.0.{part}"] = (widths[-1],)
    normalised("output_layer.2", rgb, widths[-1], 3, 3)
    return shapes


def pytorch_forward(state: State, z: Tensor, y: Tensor, *, chunk: int, eps: float) -> Tensor:
    """Its eval mode straight from the stored tensors, one power iteration in every use of a weight."""

    def weight(name: str) -> Tensor:
        raw, u = state[f"{name}.weight"], state[f"{name}.u0"][0]
        matrix = raw.reshape(len(raw), -1)
        v = matrix.T @ u
        v = v / v.norm()
        u = matrix @ v
        return raw / (u / u.norm() @ (matrix @ v))

    def conv(name: str, x: Tensor, padding: int = 0) -> Tensor:
        return F.conv2d(x, weight(name), state.get(f"{name}.bias"), padding=padding)

    def bn(name: str, x: Tensor, c: Tensor) -> Tensor:
        mean, var = (state[f"{name}.stored_{what}"][:, None, None] for what in ("mean", "var"))
        gain, bias = (F.linear(c, weight(f"{name}.{part}"))[:, :, None, None] for part in ("gain", "bias"))
        return (x - mean) / (var + eps).sqrt() * (1 + gain) + bias

    def up(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    zs = z.split(chunk, 1)
    h = F.linear(zs[0], weight("linear"), state["linear.bias"]).reshape(len(z), -1, 4, 4)
    for i, part in enumerate(zs[1:]):
        c, name = torch.cat([y, part], 1), f"blocks.{i}.0"
        x = conv(f"{name}.conv1", up(bn(f"{name}.bn1", h, c).relu()), 1)
        x = conv(f"{name}.conv2", bn(f"{name}.bn2", x, c).relu(), 1)
        h = x + conv(f"{name}.conv_sc", up(h))
        name = f"blocks.{i}.1"
        if f"{name}.gamma" in state:
            theta, phi, g = (conv(f"{name}.{part}", h) for part in ("theta", "phi", "g"))
            keys, values = (F.max_pool2d(t, 2).flatten(2) for t in (phi, g))
            beta = torch.einsum("ncq,nck->nqk", theta.flatten(2), keys).softmax(-1)
            seen = torch.einsum("nqk,nck->ncq", beta, values).reshape(len(h), -1, *h.shape[2:])
            h = h + state[f"{name}.gamma"] * conv(f"{name}.o", seen)
    last = {part: state[f"output_layer.0.{part}"][:, None, None] for part in ("gain", "bias")}
    mean, var = (state[f"output_layer.0.stored_{what}"][:, None, None] for what in ("mean", "var"))
    h = ((h - mean) / (var + 1e-5).sqrt() * last["gain"] + last["bias"]).relu()
    return conv("output_layer.2", h, 1).tanh()


# -- pytorch-pretrained-biggan -----------------------------------------------------------------------


def deep_config(layers: Layers, *, unit: int = 128, position: int = 8) -> dict[str, object]:
    """A `config.json`."""
    return {
        "output_dim": 4 * 2 ** sum(up for up, _, _ in layers),
        "z_dim": 128,
        "class_embed_dim": 128,
        "channel_width": unit,
        "num_classes": 1000,
        "layers": [[bool(up), before, after] for up, before, after in layers],
        "attention_layer_position": position,
        "eps": 1e-4,
        "n_stats": 51,
    }


def deep_shapes(
    layers: Layers,
    *,
    unit: int = 128,
    position: int = 8,
    z: int = 128,
    classes: int = 1000,
) -> Shapes:
    """Names and shapes of a `pytorch_model.bin`."""
    shapes: Shapes = {"embeddings.weight": (z, classes)}

    def normalised(name: str, *weight: int, bias: bool = True) -> None:
        if bias:
            shapes[f"{name}.bias"] = weight[:1]
        shapes[f"{name}.weight_orig"] = weight
        shapes[f"{name}.weight_u"] = weight[:1]
        shapes[f"{name}.weight_v"] = (math.prod(weight[1:]),)

    def statistics(name: str, channels: int) -> None:
        shapes[f"{name}.running_means"] = shapes[f"{name}.running_vars"] = (51, channels)

    normalised("generator.gen_z", 16 * unit * layers[0][1], 2 * z)
    blocks: list[tuple[int, int, int] | None] = list(layers)
    blocks.insert(position, None)
    for i, block in enumerate(blocks):
        name = f"generator.layers.{i}"
        if block is None:
            width = unit * layers[position][1]
            shapes[f"{name}.gamma"] = (1,)
            for part, out, into in (("theta", 8, 1), ("phi", 8, 1), ("g", 2, 1), ("o_conv", 1, 2)):
                normalised(f"{name}.snconv1x1_{part}", width // out, width // into, 1, 1, bias=False)
            continue
        before, after = unit * block[1], unit * block[2]
        middle = before // 4
        convs = ((middle, before, 1), (middle, middle, 3), (middle, middle, 3), (after, middle, 1))
        for k, (out, into, size) in enumerate(convs):
            statistics(f"{name}.bn_{k}", into)
            for part in ("scale", "offset"):
                normalised(f"{name}.bn_{k}.{part}", into, 2 * z, bias=False)
            normalised(f"{name}.conv_{k}", out, into, size, size)
    end = unit * layers[-1][2]
    shapes["generator.bn.weight"] = shapes["generator.bn.bias"] = (end,)
    statistics("generator.bn", end)
    normalised("generator.conv_to_rgb", end, end, 3, 3)
    return shapes


class DeepReference(nn.Module):
    """BigGAN-deep with torch's own spectral norm in every layer and statistics chosen in every pass."""

    def __init__(self, layers: Layers, *, unit: int, position: int, z: int, classes: int):
        super().__init__()
        self.embeddings = nn.Linear(classes, z, bias=False)
        self.generator = g = nn.Module()
        g.gen_z = spectral_norm(nn.Linear(2 * z, 16 * unit * layers[0][1]))
        g.layers = nn.ModuleList(_DeepBlock(up, unit * a, unit * b, 2 * z) for up, a, b in layers)
        g.layers.insert(position, _DeepAttention(unit * layers[position][1]))
        end = unit * layers[-1][2]
        g.bn = _Statistics(end)
        g.bn.weight, g.bn.bias = nn.Parameter(torch.ones(end)), nn.Parameter(torch.zeros(end))
        g.conv_to_rgb = spectral_norm(nn.Conv2d(end, end, 3, padding=1))

    def forward(self, z: Tensor, classes: Tensor, row: float) -> Tensor:
        """Images of a batch; `row` is where in the tables the statistics are, between rows linearly."""
        g = self.generator
        one_hot = F.one_hot(classes, self.embeddings.in_features).to(z)
        c = torch.cat([z, self.embeddings(one_hot)], 1)
        h = g.gen_z(c).reshape(len(z), 4, 4, -1).permute(0, 3, 1, 2)
        for layer in g.layers:
            h = layer(h, c, row)
        h = g.bn(h, row) * g.bn.weight[:, None, None] + g.bn.bias[:, None, None]
        return g.conv_to_rgb(h.relu())[:, :3].tanh()


class _Statistics(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_means", torch.zeros(51, channels))
        self.register_buffer("running_vars", torch.ones(51, channels))

    def forward(self, x: Tensor, row: float) -> Tensor:
        low, high = math.floor(row), math.ceil(row)
        tables = (self.running_means, self.running_vars)
        mean, var = ((t[low] + (row - low) * (t[high] - t[low]))[:, None, None] for t in tables)
        return (x - mean) / (var + 1e-4).sqrt()


class _DeepNorm(_Statistics):
    def __init__(self, channels: int, condition: int) -> None:
        super().__init__(channels)
        self.scale = spectral_norm(nn.Linear(condition, channels, bias=False))
        self.offset = spectral_norm(nn.Linear(condition, channels, bias=False))

    def __call__(self, x: Tensor, c: Tensor, row: float) -> Tensor:
        scale, offset = self.scale(c)[:, :, None, None], self.offset(c)[:, :, None, None]
        return super().forward(x, row) * (1 + scale) + offset


class _DeepBlock(nn.Module):
    def __init__(self, up: int, before: int, after: int, condition: int) -> None:
        super().__init__()
        self.up, self.after = up, after
        middle = before // 4
        sizes = ((before, middle, 1), (middle, middle, 3), (middle, middle, 3), (middle, after, 1))
        for k, (a, b, size) in enumerate(sizes):
            self.add_module(f"bn_{k}", _DeepNorm(a, condition))
            self.add_module(f"conv_{k}", spectral_norm(nn.Conv2d(a, b, size, padding=size // 2)))

    def forward(self, x: Tensor, c: Tensor, row: float) -> Tensor:
        h = x
        for k in range(4):
            h = self.get_submodule(f"bn_{k}")(h, c, row).relu()
            if k == 1 and self.up:
                h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
            h = self.get_submodule(f"conv_{k}")(h)
        skip = x[:, : self.after]
        return h + (skip.repeat_interleave(2, 2).repeat_interleave(2, 3) if self.up else skip)


class _DeepAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        for part, into, out in (("theta", 1, 8), ("phi", 1, 8), ("g", 1, 2), ("o_conv", 2, 1)):
            conv = nn.Conv2d(width // into, width // out, 1, bias=False)
            self.add_module(f"snconv1x1_{part}", spectral_norm(conv))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, c: Tensor, row: float) -> Tensor:
        theta, phi, g = (self.get_submodule(f"snconv1x1_{part}")(x) for part in ("theta", "phi", "g"))
        keys, values = (F.max_pool2d(t, 2).flatten(2) for t in (phi, g))
        beta = torch.einsum("ncq,nck->nqk", theta.flatten(2), keys).softmax(-1)
        seen = torch.einsum("nqk,nck->ncq", beta, values).reshape(len(x), -1, *x.shape[2:])
        return x + self.gamma * self.get_submodule("snconv1x1_o_conv")(seen)


# -- random checkpoints ------------------------------------------------------------------------------


def random_state(shapes: Shapes, *, seed: int = 0) -> State:
    """Random tensors of these names and shapes, made and saved quickly.

    All are views of one pool, and the large kernels repeat one value, so that the file of a full-size
    checkpoint stays small. Singular vectors are nearly those of their weights and variances are positive, as
    in a trained network, and the last gains are small: otherwise the images were nothing but -1 and 1.
    """
    generator = torch.Generator().manual_seed(seed)
    size = max(math.prod(shape[:2]) for shape in shapes.values()) + 1999 * len(shapes)
    pool = torch.randn(size, generator=generator)
    positive = pool[:200_000].abs() + 0.5
    state: State = {}
    for i, (name, shape) in enumerate(shapes.items()):
        last = name.rpartition(".")[2]
        start = i if "var" in last else 1999 * i
        flat = (positive if "var" in last else pool)[start : start + math.prod(shape[:2])]
        values = flat.reshape(shape[:2] + (1,) * len(shape[2:])).expand(shape)
        if last in ("u0", "weight_u"):
            values = _leading(state[name.replace("u0", "weight").replace("weight_u", "weight_orig")], values)
        elif last == "weight_v":
            v = state[name[:-1] + "orig"].flatten(1).T @ state[name[:-1] + "u"]
            values = v / v.norm()
        elif name in ("shared.weight", "embeddings.weight"):
            values = 0.15 * values  # the deviation of the published embeddings
        elif name in ("output_layer.0.gain", "generator.bn.weight"):
            values = 0.03 * values
        elif last in ("gamma", "bias", "stored_mean", "running_means"):
            values = 0.3 * values
        state[name] = values
    return state


def _leading(weight: Tensor, start: Tensor) -> Tensor:
    """Roughly the leading left singular vector of a weight, in the shape of `start`."""
    matrix, u = weight.flatten(1), start.flatten()
    for _ in range(4):
        u = matrix @ (matrix.T @ u)
        u = u / u.norm()
    return u.reshape(start.shape)
