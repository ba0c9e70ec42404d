"""Tangents through single layers and whole networks agree with autograd, in one thread and in several."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.func import jvp
from torch.nn.utils import parametrizations

import workbench as wb
from tests.models.networks import SkipGenerator, convolutional_generator
from workbench.numerics.jacobians import Linearisation
from workbench.numerics.tangents import linearised


class Scaled(nn.Linear):
    """A linear layer whose own forward does something else."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(super().forward(x))


LAYERS = {
    "linear": (nn.Linear(6, 5), (6,)),
    "subclass": (Scaled(6, 5), (6,)),
    "spectral norm": (parametrizations.spectral_norm(nn.Linear(6, 5)), (6,)),
    "conv1d": (nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 8)),
    "conv2d, grouped": (nn.Conv2d(4, 6, 3, padding="same", groups=2, dilation=2), (4, 6, 6)),
    "conv2d, circular": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 5)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2, dilation=2), (4, 5, 5)),
    "transposed1d": (nn.ConvTranspose1d(2, 3, 4, 2, 1), (2, 7)),
    "batch norm": (nn.BatchNorm2d(3), (3, 4, 4)),
    "batch norm, no weights": (nn.BatchNorm1d(6, affine=False), (6,)),
    "batch norm of signals": (nn.BatchNorm1d(3), (3, 6)),
    "layer norm": (nn.LayerNorm(6), (6,)),
    "max pooling": (nn.MaxPool2d(2), (2, 4, 4)),
    "mean pooling": (nn.AvgPool2d(2), (2, 4, 4)),
    "upsampling": (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 4, 4)),
    "pixel shuffle": (nn.PixelShuffle(2), (4, 3, 3)),
    "dropout": (nn.Dropout(0.5), (6,)),
    "unflatten": (nn.Unflatten(1, (2, 3)), (6,)),
    "prelu": (nn.PReLU(3), (3, 4)),
    "leaky relu": (nn.LeakyReLU(0.2), (6,)),
    "gelu": (nn.GELU(), (6,)),
    "tanh": (nn.Tanh(), (6,)),
    "softmax": (nn.Softmax(1), (6,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_pushes_what_its_jacobian_says(name: str) -> None:
    layer, shape = LAYERS[name]
    torch.manual_seed(0)
    layer = layer.eval().requires_grad_(False)
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        assert layer.running_mean is not None and layer.running_var is not None
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
        if layer.weight is not None:
            layer.weight.normal_()
    x, tangents = torch.randn(1, *shape), torch.randn(5, *shape)
    push, output = linearised([layer], x)
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v).flatten(), x).reshape(output.numel(), -1)
    assert torch.allclose(output, layer(x))
    assert torch.allclose(push(tangents).flatten(1), tangents.flatten(1) @ jacobian.T, atol=1e-5)


def test_a_sequential_generator_is_pushed_through_layer_by_layer() -> None:
    G = wb.Generator(convolutional_generator(), (8, 1, 1), device="cpu")
    z, tangents = G.latents(1, seed=3)[0], torch.randn(4, 8)
    assert [type(step).__name__ for step in G.chain] == [
        "ConvTranspose2d", "BatchNorm2d", "ReLU", "ConvTranspose2d", "Tanh",
    ]  # fmt: skip
    whole = Linearisation(lambda v: G(v), z).push(tangents)
    assert torch.allclose(Linearisation(G, z).push(tangents), whole, atol=1e-6)


def test_a_network_with_hooks_or_skips_has_no_chain() -> None:
    module = convolutional_generator()
    module[2].register_forward_hook(lambda _module, _inputs, output: output + 1)
    assert wb.Generator(module, (8, 1, 1), device="cpu").chain == ()
    assert wb.Generator(SkipGenerator(), 5, device="cpu").chain == ()


def _at_once(count: int, work: object) -> list[object]:
    """What `work(i)` returns or raises in `count` threads that start together."""
    found: list[object] = [None] * count
    barrier = threading.Barrier(count)

    def run(index: int) -> None:
        barrier.wait()
        try:
            found[index] = work(index)  # type: ignore[operator]
        except Exception as error:
            found[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("kind", ["chain", "skips"])
def test_threads_do_not_disturb_each_other(kind: str) -> None:
    if kind == "chain":
        G = wb.Generator(convolutional_generator(), (8, 1, 1), device="cpu")
    else:
        G = wb.Generator(SkipGenerator(), 5, device="cpu")
    identity = torch.eye(G.latent_size)
    points = G.latents(8, seed=0)
    expected = [Linearisation(G, z, chunk=1).push(identity) for z in points]

    def work(index: int) -> bool:
        return all(
            torch.allclose(Linearisation(G, points[i], chunk=1).push(identity), expected[i], atol=1e-6)
            for i in [(index + k) % 8 for k in range(8)] * 3
        )

    assert _at_once(4, work) == [True] * 4


class Attention(nn.Module):
    """Attention over three tokens, which notes whether another kernel was forbidden to the whole process."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.fused = kind, []
        self.project = nn.Linear(4, 12)
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True)
        self.block = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        self.fused.append(torch.backends.cuda.flash_sdp_enabled())
        x = x.unflatten(1, (3, 4))
        if self.kind == "function":
            return nn.functional.scaled_dot_product_attention(*self.project(x).chunk(3, -1)).flatten(1)
        return (self.heads(x, x, x, need_weights=False)[0] if self.kind == "heads" else self.block(x)).flatten(1)


@pytest.mark.parametrize("kind", ["function", "heads", "block"])
def test_attention_is_pushed_through_without_a_setting_of_the_whole_process(kind: str) -> None:
    torch.manual_seed(0)
    layer = Attention(kind).eval()
    x, tangents = torch.randn(1, 12), torch.randn(5, 12)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x)[0], x)[:, 0]
    layer.fused.clear()
    pushed = linearised([layer], x)[0](tangents)
    torch.testing.assert_close(pushed, tangents @ jacobian.T, rtol=1e-5, atol=1e-5)
    assert layer.fused and all(layer.fused)


def test_scripted_attention_is_pushed_through_and_the_setting_is_as_before() -> None:
    def attend(x: Tensor) -> Tensor:
        x = x.unflatten(1, (3, 4))
        return nn.functional.scaled_dot_product_attention(x, x, x).flatten(1)

    layer = torch.jit.trace(attend, torch.randn(2, 12))
    x, tangents = torch.randn(1, 12), torch.randn(5, 12)
    jacobian = torch.autograd.functional.jacobian(lambda x: attend(x)[0], x)[:, 0]
    pushed = linearised([layer], x)[0](tangents)
    torch.testing.assert_close(pushed, tangents @ jacobian.T, rtol=1e-5, atol=1e-5)
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_users_own_forward_mode_is_not_disturbed_by_a_sequential_generator() -> None:
    G = wb.Generator(convolutional_generator(), (8, 1, 1), device="cpu")
    z, identity = G.latents(1, seed=0), torch.eye(8)
    expected = jvp(torch.sin, (z,), (torch.ones_like(z),))[1]
    pushed = Linearisation(G, z[0]).push(identity)

    def work(index: int) -> bool:
        if index == 0:
            return all(torch.equal(jvp(torch.sin, (z,), (torch.ones_like(z),))[1], expected) for _ in range(300))
        return all(torch.allclose(Linearisation(G, z[0]).push(identity), pushed) for _ in range(100))

    assert _at_once(2, work) == [True, True]


def test_memory_that_runs_out_is_not_taken_for_a_missing_rule() -> None:
    calls: list[int] = []

    def step(x: Tensor) -> Tensor:
        calls.append(len(x))
        if len(calls) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return 2 * x

    push, _ = linearised([step], torch.ones(1, 3))
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        push(torch.ones(2, 3))
    assert len(calls) == 2
