"""Networks that break assumptions: each is run as it is, or refused with what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.models import Called, Classifier, Generator, LayerError, ModelError
from workbench.numerics.tangents import linearised


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))


class Through(nn.Module):
    """A plain network with something done to its input or output."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = plain()
        self._forward = forward

    def forward(self, z: Tensor) -> Tensor:
        return self._forward(self.inner, z)


class Attention(nn.Module):
    """Scaled dot-product attention, whose fast kernels have no rule for forward mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(*self.project(x).chunk(3, dim=-1))


class Clamp(torch.autograd.Function):
    """A ReLU written for reverse mode alone."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, slope):
        return slope * (ctx.saved_tensors[0] > 0)


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(64), nn.Unflatten(1, (1, 8, 8)))


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return plain()


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(plain(), torch.zeros(2, 6))


@pytest.mark.parametrize(
    ("network", "advice"),
    [
        (lazy, "run it once on a batch"),
        (on_meta, "load them first"),
        (scripted, r"give the torch\.nn\.Module that it was made of"),
        (lambda: Through(lambda net, z: net(z) + torch.randn(len(z), 1, 8, 8)), "Fix that noise"),
        (lambda: Through(lambda net, z: net(z - z.mean(0))), "Make each row its own"),
        (lambda: Through(lambda net, z: net(z).squeeze()), "Make each row its own"),
        (lambda: Through(lambda net, z: net(z.reshape(1, 6))), "Check the declared input shape"),
        (lambda: nn.Sequential(nn.Embedding(5, 6), plain()), "give it their embeddings"),
    ],
)
def test_is_refused_with_what_to_do(network: Callable[[], nn.Module], advice: str) -> None:
    with pytest.raises(ModelError, match=advice):
        Generator(network(), latent_shape=(6,))


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, z: torch.no_grad()(net)(z),
        lambda net, z: torch.from_numpy(net(z).detach().numpy()),
    ],
    ids=["no_grad", "numpy"],
)
def test_methods_that_follow_gradients_refuse_a_network_that_gives_none(forward: Callable[..., Tensor]) -> None:
    G = Generator(Through(forward), latent_shape=(6,))
    C = Classifier(Through(lambda net, z: forward(net, z).flatten(1)), input_shape=(6,))
    z = G.latents(1)[0]
    for call in (
        lambda: wb.subspaces.subspace(G, z),
        lambda: wb.subspaces.Search(G),
        lambda: wb.boundaries.supporting_set(G, z, "inner.1"),
        lambda: wb.flip_points.closest(C, torch.rand(6)),
        lambda: wb.inverse_sets.sample(G, wb.inverse_sets.band(_flat(), "1", 0, 0, 1), 2, distance="pixel"),
    ):
        with pytest.raises(ModelError, match="has no derivative by its input"):
            call()


def _flat() -> Classifier:
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), input_shape=(1, 8, 8))


def test_a_forward_that_changes_its_input_changes_no_tensor_of_the_caller() -> None:
    G = Generator(Through(lambda net, z: net(z.mul_(2))), latent_shape=(6,))
    z = G.latents(3)
    before = z.clone()
    G(z), G.render(z), G.read(z, ["inner.0"])
    torch.testing.assert_close(z, before)
    torch.testing.assert_close(G.render(z), plain()(2 * before).detach())
    assert wb.subspaces.subspace(G, z[0]).spectrum[0] > 0


def test_a_compiled_network_is_run_as_it_was_before() -> None:
    inside = plain()
    inside[0] = torch.compile(inside[0])
    expected = Generator(plain(), latent_shape=(6,))
    for network in (torch.compile(plain()), inside):
        G = Generator(network, latent_shape=(6,))
        assert G.layers.names == expected.layers.names and G.name == "Sequential"
        torch.testing.assert_close(G.sample(2).outputs, expected.sample(2).outputs)


def test_steps_that_take_more_than_one_tensor_are_no_chain() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor, scale: float, *, shift: Tensor | None = None) -> Tensor:
            return super().forward(x) * scale if shift is None else super().forward(x) * scale + shift

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Scaled(6, 64), nn.Unflatten(1, (1, 8, 8))

        def forward(self, z: Tensor) -> Tensor:
            return self.second(self.first(z, 0.5, shift=None))

    G = Generator(Stack(), latent_shape=(6,))
    z = G.latents(2)
    assert G.tail("first") is None
    torch.testing.assert_close(G.replay(z, "first", G.until("first")(z)), G(z))


def test_the_input_of_a_layer_that_is_called_by_keyword_is_read() -> None:
    G = Generator(Through(lambda net, z: net(input=z)), latent_shape=(6,))
    z = G.latents(2)
    torch.testing.assert_close(G.until("inner", before=True)(z), z)


def test_half_precision_boundaries_are_finite() -> None:
    G = Generator(plain().half(), latent_shape=(6,))
    kept = wb.boundaries.supporting_set(G, G.latents(1)[0], "1", most_steps=20, sparsity=0.1)
    assert torch.isfinite(kept.theta).all() and torch.isfinite(kept.losses).all()


def test_a_network_that_casts_is_refused_where_double_precision_is_needed() -> None:
    network = Called(nn.Linear(6, 3), lambda net, x: net(x.float()))
    with pytest.raises(ModelError, match="A cast in its forward"):
        wb.flip_points.closest(Classifier(network, input_shape=(6,)), torch.rand(6))


def test_a_classifier_of_pictures_in_another_precision() -> None:
    G = Generator(Called(plain().double(), lambda net, z: net(z).float()), latent_shape=(6,))
    C = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double(), (1, 8, 8))
    assert C.on(G).scores(G.latents(2)).dtype == torch.float64


def test_copies_of_torch_fx_modules_are_in_eval_mode() -> None:
    from torchvision.models import resnet18
    from torchvision.models.feature_extraction import create_feature_extractor

    network = create_feature_extractor(resnet18(num_classes=3), {"fc": "scores"})
    C = Classifier(network, input_shape=(3, 32, 32), output="scores")
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(C.in_precision(torch.float64)(x.double()).float(), C(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("step", [Attention(), lambda x: Clamp.apply(x) ** 2], ids=["attention", "own backward"])
def test_tangents_through_operations_without_a_rule_for_forward_mode(step: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    push, output = linearised([step], x)
    jacobian = torch.autograd.functional.jacobian(step, x).reshape(output.numel(), 12)
    torch.testing.assert_close(push(torch.eye(12).reshape(12, 3, 4)).flatten(1).T, jacobian)


def test_a_network_without_modules_inside_shows_no_layers() -> None:
    G = Generator(nn.Linear(6, 8), latent_shape=(6,), value_range=(-9, 9))
    with pytest.raises(LayerError, match="the network shows none"):
        G.until("0")


@pytest.mark.parametrize("number", [torch.nan, torch.inf, 1e6])
def test_numbers_that_are_not_finite_in_the_networks_precision_are_refused(number: float) -> None:
    G, C = Generator(plain().half(), latent_shape=(6,)), Classifier(plain()[:3].half(), input_shape=(6,))
    z = torch.zeros(3, 6)
    z[1, 2] = number
    for call in (G, G.render, C, C.scores):
        with pytest.raises(ModelError, match="row 1"):
            call(z)


@pytest.mark.parametrize("given", ["a classifier", "a module"])
def test_a_method_says_what_kind_of_model_it_wants(given: str) -> None:
    module = plain()
    other = Classifier(module[:3], input_shape=(6,)) if given == "a classifier" else module
    with pytest.raises(ModelError, match="expected a Generator"):
        wb.subspaces.subspace(other, torch.zeros(6))
    with pytest.raises(ModelError, match="expected a Classifier"):
        wb.flip_points.closest(Generator(module, latent_shape=(6,)), torch.zeros(6))
    with pytest.raises(wb.models.WorkbenchError, match="expected a workbench Generator or Classifier"):
        wb.boundaries.supporting_set(module, torch.zeros(6), 0)


def test_called_wants_a_network_and_a_function() -> None:
    with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module and a function"):
        Called(plain(), "decode")


@pytest.mark.parametrize("classes", [[], [0, 1, 2]])
def test_classes_are_one_or_one_for_each_latent(classes: list[int]) -> None:
    network = Called(plain(), lambda net, z, y: net(z) * (y + 1).reshape(-1, 1, 1, 1) / 3)
    G = Generator(network, latent_shape=(6,), class_names=["a", "b", "c"])
    with pytest.raises(ModelError, match="classes were given for 2 latents"):
        G(G.latents(2), classes)
