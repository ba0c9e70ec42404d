"""BigGAN-PyTorch's checkpoints become plain modules that compute what its eval mode computes."""

from __future__ import annotations

import pytest
import torch
from torch.func import jacrev, jvp, vmap

from tests.models.biggan_layouts import (
    CHUNK,
    PYTORCH,
    State,
    pytorch_forward,
    pytorch_shapes,
    random_state,
    trained,
)
from workbench.models import BigGAN, CheckpointError, biggan

SMALL = {"chunk": 3, "shared": 5, "classes": 11}


def small(*, rgb: int = 3, attention: int | None = 1, seed: int = 0) -> State:
    """Random tensors of a small checkpoint, each its own."""
    shapes = pytorch_shapes((24, 16, 8), attention, rgb=rgb, **SMALL)
    generator = torch.Generator().manual_seed(seed)
    made = random_state(shapes)
    state = {n: torch.randn(v.shape, generator=generator) if "weight" in n else v.clone() for n, v in made.items()}
    state["output_layer.0.gain"] = 20 * state["output_layer.0.gain"]
    return state | {n: v / v.norm() for n, v in state.items() if n.endswith("u0")}


def inputs(state: State, n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    z = torch.randn(n, 9, generator=torch.Generator().manual_seed(5))
    return z, state["shared.weight"][:n]


@pytest.mark.parametrize(("size", "parameters"), [(128, 70_433_988), (256, 82_097_604), (512, 82_296_804)])
def test_the_public_layouts_have_the_public_number_of_parameters(size: int, parameters: int) -> None:
    widths, attention = PYTORCH[size]
    shapes = pytorch_shapes([96 * w for w in widths], attention, chunk=CHUNK[size])
    assert trained(shapes) == parameters


@pytest.mark.parametrize("attention", [None, 0, 1])
@pytest.mark.parametrize("rgb", [1, 3])
def test_the_module_computes_the_stored_network(attention: int | None, rgb: int) -> None:
    state = small(attention=attention, rgb=rgb)
    module = biggan.from_state_dict(state, eps=1e-4)
    z, y = inputs(state)
    expected = pytorch_forward(state, z, y, chunk=3, eps=1e-4)
    with torch.no_grad():
        images = module(z, y)
    assert images.shape == (4, rgb, 16, 16)
    assert expected.std() > 0.1
    assert torch.allclose(images, expected, atol=2e-5)


def test_all_sizes_are_read_off_the_tensors() -> None:
    module = biggan.from_state_dict(small())
    assert (module.chunk, module.latents, len(module.blocks), module.bottom) == (3, 9, 2, 4)
    assert module.shared.weight.shape == (11, 5)
    assert not module.training


def test_the_norm_is_the_power_iterations_not_the_exact_one() -> None:
    state = small()
    weight = biggan.from_state_dict(state).linear.weight
    exact = torch.linalg.matrix_norm(weight, 2)
    assert 1 <= exact < 2  # one iteration from u0 finds at most the norm
    assert exact > 1.001


def test_eps_is_that_of_training_or_of_conversion() -> None:
    state = small()
    untouched = state | {n: torch.ones(1) for n in state if n.endswith("sv0")}
    converted = {n: v for n, v in state.items() if not n.endswith("sv0")}
    eps = [biggan.from_state_dict(s).blocks[0][0].bn1.bn.eps for s in (state, untouched, converted)]
    assert eps == [1e-5, 1e-4, 1e-4]
    assert biggan.from_state_dict(state, eps=1e-3).blocks[1][0].bn2.bn.eps == 1e-3


def test_a_network_without_hierarchy_or_spectral_norm_is_read_too() -> None:
    state = {n: v for n, v in small().items() if not n.endswith(("u0", "sv0"))}
    state |= {n: v[:, :5] for n, v in state.items() if ".gain." in n or (".bias." in n and "bn" in n)}
    module = biggan.from_state_dict(state)
    assert (module.latents, module.hierarchical) == (3, False)
    assert torch.equal(module.linear.weight, state["linear.weight"])
    assert module(torch.zeros(2, 3), torch.zeros(2, 5)).shape == (2, 3, 16, 16)


def test_what_the_module_itself_saves_is_read_back() -> None:
    module = BigGAN([16, 16, 8], classes=7, shared_width=4, chunk=2, image_channels=1, attention=[0]).eval()
    again = biggan.from_state_dict(module.state_dict())
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(z, again.shared.weight[:3]), module(z, module.shared.weight[:3]))
    assert again.blocks[0][0].bn1.bn.eps == module.blocks[0][0].bn1.bn.eps == 1e-5


def test_half_precision_and_cross_replica_statistics_are_read_as_their_like() -> None:
    state = small()
    z, y = inputs(state)
    images = biggan.from_state_dict(state, eps=1e-4)(z, y)
    replicas = {}
    for name, value in state.items():
        owner, _, last = name.rpartition(".")
        renamed = f"{owner}.bn.{last.replace('stored', 'running')}" if "stored" in last else name
        replicas[renamed] = value
    assert torch.equal(biggan.from_state_dict(replicas, eps=1e-4)(z, y), images)
    half = biggan.from_state_dict({n: v.half() for n, v in state.items()}, eps=1e-4)
    assert half.linear.weight.dtype == torch.float32
    assert torch.allclose(half(z, y), images, atol=0.05)


def test_derivatives_forward_and_backward_agree() -> None:
    module = biggan.from_state_dict(small())
    z, y = inputs(small(), 1)

    def image(latent: torch.Tensor) -> torch.Tensor:
        return module(latent[None], y)[0].flatten()

    backward = jacrev(image)(z[0]).detach()
    forward = vmap(lambda t: jvp(image, (z[0],), (t,))[1])(torch.eye(9)).T
    assert backward.abs().max() > 0.1
    assert torch.allclose(backward, forward, atol=1e-4 * float(backward.abs().max()))


def test_a_fresh_module_learns_statistics_and_serves_grey_images() -> None:
    module = BigGAN([16, 16, 8, 8], classes=7, shared_width=4, chunk=2, image_channels=1)
    before = module.blocks[0][0].bn1.bn.running_var.clone()
    images = module(torch.randn(6, 8), module.shared(torch.arange(6)))
    images.mean().backward()
    assert images.shape == (6, 1, 32, 32)
    assert module.shared.weight.grad is not None
    assert not torch.equal(module.blocks[0][0].bn1.bn.running_var, before)


# -- mistakes ----------------------------------------------------------------------------------------


def test_a_discriminator_is_named_as_one() -> None:
    state = {"blocks.0.0.conv1.weight": torch.zeros(8, 3, 3, 3), "embed.weight": torch.zeros(11, 8)}
    assert biggan.recognises(state)
    with pytest.raises(CheckpointError, match=r"D\.pth is a discriminator.*G_ema\.pth"):
        biggan.from_state_dict(state, source="D.pth")


def test_a_network_without_shared_embeddings_says_how_it_was_trained() -> None:
    state = {n: v for n, v in small().items() if n != "shared.weight"}
    state["blocks.0.0.bn1.gain.weight"] = torch.zeros(1000, 24)
    with pytest.raises(CheckpointError, match=r"gain\.weight is \(1000, 24\).*--G_shared"):
        biggan.from_state_dict(state)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"blocks.1.0.conv2.weight": None}, r"missing: blocks\.1\.0\.conv2\.weight"),
        ({"linear.weight": None}, r"without linear\.weight; it may be cut off"),
        ({"output_layer.2.weight": None}, r"without output_layer\.2\.weight"),
        ({"blocks.1.0.bn2.stored_mean": torch.zeros(9)}, r"another shape: .*running_mean \(9,\) for \(8,\)"),
        ({"blocks.0.0.conv3.weight": torch.zeros(2)}, r"left over: blocks\.0\.0\.conv3\.weight"),
        ({"linear.u0": torch.zeros(1, 4)}, r"u0 of shape \(1, 4\), expected \(1, 384\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change: dict[str, torch.Tensor | None], says: str) -> None:
    state = {n: v for n, v in (small() | change).items() if v is not None}
    with pytest.raises(CheckpointError, match=says):
        biggan.from_state_dict(state, source="G_ema.pth")
