"""pytorch-pretrained-biggan's checkpoints become plain modules that compute what its layers compute."""

from __future__ import annotations

import pytest
import torch
from torch.func import jacrev, jvp, vmap

from tests.models.biggan_layouts import DEEP, DeepReference, State, deep_config, deep_shapes, random_state, trained
from workbench.models import CheckpointError, ModelError, biggan_deep

LAYERS = [(0, 4, 4), (1, 4, 2), (0, 2, 2), (1, 2, 1)]
SETTINGS = {"unit": 8, "position": 2, "z": 6, "classes": 10}
CONFIG = deep_config(LAYERS, unit=8, position=2)


@pytest.fixture(scope="module")
def reference() -> DeepReference:
    """A small network with random statistics for every truncation, its spectral norms settled."""
    torch.manual_seed(0)
    net = DeepReference(LAYERS, **SETTINGS)
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if "running_vars" in name:
            tensor.data.uniform_(0.5, 2)
        elif "running_means" in name or "gamma" in name:
            tensor.data.normal_(0, 0.5)
    for _ in range(3):  # in training mode each pass is a power iteration
        net.train()(torch.randn(2, 6), torch.tensor([0, 1]), 50)
    return net.eval()


def images(state: State, z: torch.Tensor, classes: torch.Tensor, **settings: object) -> torch.Tensor:
    module = biggan_deep.from_state_dict(state, CONFIG, **settings)  # type: ignore[arg-type]
    with torch.no_grad():
        return module(z, module.embeddings(classes))


Z = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
CLASSES = torch.tensor([3, 0, 9])


@pytest.mark.parametrize(("size", "parameters"), [(128, 50_388_609), (256, 55_880_833), (512, 56_163_905)])
def test_the_public_layouts_have_the_public_number_of_parameters(size: int, parameters: int) -> None:
    assert trained(deep_shapes(DEEP[size])) == parameters
    assert deep_config(DEEP[size])["output_dim"] == size


def test_the_references_tensors_are_named_as_in_the_layout(reference: DeepReference) -> None:
    shapes = {name: tuple(value.shape) for name, value in reference.state_dict().items()}
    assert shapes == deep_shapes(LAYERS, **SETTINGS)


@pytest.mark.parametrize("truncation", [1.0, 0.5, 0.02, 0.14, 0.58, 0.33, 0.999, 0.401])
def test_the_module_computes_the_stored_network_with_the_truncations_statistics(
    reference: DeepReference, truncation: float
) -> None:
    with torch.no_grad():
        expected = reference(Z, CLASSES, 50 * truncation)
    seen = images(reference.state_dict(), Z, CLASSES, truncation=truncation)
    assert seen.shape == (3, 3, 16, 16)
    assert expected.std() > 0.1
    assert torch.allclose(seen, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("truncation", "row"),
    [(1.0, 50), (0.5, 25), (0.14, 8), (0.28, 15), (0.56, 29), (0.58, 28), (0.94, 46), (0.405, 20.75)],
)
def test_compat_repeats_the_swapped_weights_and_the_rounding(
    reference: DeepReference, truncation: float, row: float
) -> None:
    # 0.14 / 0.02 rounds to just above 7: the large share goes to row 8; 0.58 / 0.02 to just below 29: to row 28
    with torch.no_grad():
        expected = reference(Z, CLASSES, row)
    seen = images(reference.state_dict(), Z, CLASSES, truncation=truncation, statistics="compat")
    assert torch.allclose(seen, expected, atol=2e-5)


def test_truncations_differ(reference: DeepReference) -> None:
    state = reference.state_dict()
    assert not torch.allclose(images(state, Z, CLASSES), images(state, Z, CLASSES, truncation=0.5), atol=0.01)


def test_without_a_config_every_second_block_doubles(reference: DeepReference) -> None:
    module = biggan_deep.from_state_dict(reference.state_dict())
    assert torch.equal(module(Z, module.embeddings(CLASSES)), images(reference.state_dict(), Z, CLASSES))
    assert (module.latents, module.embeddings.weight.shape) == (6, (10, 6))
    assert torch.equal(module.embeddings.weight, reference.embeddings.weight.T)


def test_only_the_config_tells_which_blocks_double(reference: DeepReference) -> None:
    config = CONFIG | {"layers": [[True, 4, 4], [False, 4, 2], [False, 2, 2], [True, 2, 1]], "eps": 1e-3}
    module = biggan_deep.from_state_dict(reference.state_dict(), config)
    blocks = [layer.block for layer in module.layers if hasattr(layer, "block")]
    assert [block.doubles for block in blocks] == [True, False, False, True]
    assert module.bn.eps == module.layers[0].bn_0.bn.eps == 1e-3


def test_derivatives_forward_and_backward_agree(reference: DeepReference) -> None:
    module = biggan_deep.from_state_dict(reference.state_dict(), CONFIG)
    y = module.embeddings(CLASSES[:1]).detach()

    def image(latent: torch.Tensor) -> torch.Tensor:
        return module(latent[None], y)[0].flatten()

    backward = jacrev(image)(Z[0]).detach()
    forward = vmap(lambda t: jvp(image, (Z[0],), (t,))[1])(torch.eye(6)).T
    assert backward.abs().max() > 0.1
    assert torch.allclose(backward, forward, atol=1e-4 * float(backward.abs().max()))


# -- mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (deep_config(DEEP[128]), r"belongs to other weights than .*describes 10 blocks .*weights hold 4"),
        (CONFIG | {"attention_layer_position": 1}, "with attention at 1, the weights .* with attention at 2"),
        ({"model_type": "bert"}, "the config of .* is none of BigGAN-deep.*channel_width"),
        (CONFIG | {"layers": [3]}, "is none of BigGAN-deep"),
    ],
)
def test_the_config_of_other_weights_is_refused(
    reference: DeepReference, config: dict[str, object], says: str
) -> None:
    with pytest.raises(CheckpointError, match=says):
        biggan_deep.from_state_dict(reference.state_dict(), config)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"generator.layers.3.conv_1.bias": None}, r"missing: layers\.3\.conv_1\.bias"),
        ({"generator.layers.3.conv_3.weight_orig": None}, r"without layers\.3\.conv_3\.weight; it may be cut off"),
        ({"generator.gen_z.weight_u": None}, r"gen_z\.weight_orig .* have the shapes \[None, \(12,\)\]"),
        ({"generator.layers.0.bn_9.bias": torch.zeros(2)}, r"left over: layers\.0\.bn_9\.bias"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    reference: DeepReference, change: dict[str, torch.Tensor | None], says: str
) -> None:
    state = {n: v for n, v in (reference.state_dict() | change).items() if v is not None}
    with pytest.raises(CheckpointError, match=says):
        biggan_deep.from_state_dict(state, CONFIG)


@pytest.mark.parametrize("truncation", [0.0, -1, 1.5, float("nan")])
def test_a_truncation_out_of_range_is_refused(reference: DeepReference, truncation: float) -> None:
    with pytest.raises(ModelError, match="above 0 and at most 1"):
        biggan_deep.from_state_dict(reference.state_dict(), truncation=truncation)


def test_an_unknown_way_to_select_statistics_is_refused(reference: DeepReference) -> None:
    with pytest.raises(ModelError, match="expected 'fixed' or 'compat'"):
        biggan_deep.from_state_dict(reference.state_dict(), statistics="exact")  # type: ignore[arg-type]


def test_random_full_size_layouts_are_recognised() -> None:
    assert biggan_deep.recognises(random_state(deep_shapes(LAYERS, **SETTINGS)))
    assert not biggan_deep.recognises({"generator.0.weight": torch.zeros(1)})
