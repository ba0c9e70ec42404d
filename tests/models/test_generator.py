"""A generator adapter runs any module without changing it, and says clearly what does not fit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import kstest, truncnorm
from torch import nn

import workbench as wb
from tests.models.networks import Conditional, SkipGenerator, convolutional_generator, linear_generator
from workbench.models import Empirical, LayerError, ModelError, Normal, TruncatedNormal, Uniform


@pytest.fixture
def conv() -> wb.Generator:
    return wb.Generator(convolutional_generator(), (8, 1, 1), device="cpu")


def test_the_users_module_keeps_its_mode_gradients_weights_and_buffers() -> None:
    module = convolutional_generator().train()
    before = copy.deepcopy(module.state_dict())
    G = wb.Generator(module, (8, 1, 1), device="cpu")
    G.sample(5)
    assert module.training and module[2].inplace and all(p.requires_grad for p in module.parameters())
    assert not module._forward_hooks and not module[0]._forward_hooks
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert not G.module.training and not any(p.requires_grad for p in G.module.parameters())


def test_weights_are_shared_not_copied_on_the_same_device() -> None:
    module = linear_generator()
    G = wb.Generator(module, 6, device="cpu", value_range=(-3, 3))
    assert G.module[0].weight.data_ptr() == module[0].weight.data_ptr()


def test_samples_agree_with_the_module_in_eval_mode() -> None:
    module = convolutional_generator()
    G = wb.Generator(module, (8, 1, 1), device="cpu")
    drawn = G.sample(7, seed=3)
    with torch.no_grad():
        assert torch.allclose(drawn.outputs, module.eval()(drawn.latents), atol=1e-6)
    assert torch.equal(drawn.latents, G.sample(7, seed=3).latents)
    assert not torch.equal(drawn.latents, G.sample(7, seed=4).latents)


def test_outputs_are_differentiable_in_the_latents_only(conv: wb.Generator) -> None:
    z = conv.latents(2).requires_grad_()
    conv(z).sum().backward()
    assert z.grad is not None and z.grad.abs().sum() > 0
    assert all(p.grad is None for p in conv.module.parameters())


def test_signals_of_any_latent_shape() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 50))
    G = wb.Generator(module, (2, 3, 2), device="cpu", value_range=(-4, 4))
    assert G.kind == "signal" and G.output_shape == (50,)
    assert G(np.zeros((3, 2, 3, 2))).shape == (3, 50)


@pytest.mark.parametrize(
    ("shape", "says"),
    [((8, 1, 1), r"z\[None\]"), ((2, 8), "reshape"), ((2, 9, 1, 1), "expected"), ((), "expected")],
)
def test_a_latent_of_another_shape_is_refused(conv: wb.Generator, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        conv(torch.zeros(shape))


def test_a_latent_with_nan_is_refused_as_a_point(conv: wb.Generator) -> None:
    with pytest.raises(ModelError, match="NaN"):
        conv.point(torch.full((8, 1, 1), float("nan")))


def test_an_output_that_is_neither_image_nor_signal_is_refused() -> None:
    with pytest.raises(ModelError, match=r"images \(batch, 1 or 3, height, width\)"):
        wb.Generator(nn.Sequential(nn.Linear(4, 200), nn.Unflatten(1, (10, 4, 5))), 4, device="cpu")


def test_channels_last_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelError, match="permute"):
        wb.Generator(nn.Sequential(nn.Linear(4, 48), nn.Unflatten(1, (4, 4, 3))), 4, device="cpu")


def test_nan_weights_are_named() -> None:
    module = convolutional_generator()
    module[3].weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"weights hold NaN or infinity in 3\.weight"):
        wb.Generator(module, (8, 1, 1), device="cpu")


def test_a_layer_that_makes_nan_is_named() -> None:
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x - 100).sqrt()

    module = nn.Sequential(nn.Linear(4, 16), Root(), nn.Unflatten(1, (1, 4, 4)))
    with pytest.raises(ModelError, match=r"after layer '1' \(Root\)"):
        wb.Generator(module, 4, device="cpu")


def test_a_wrong_latent_shape_names_the_failure_of_the_network() -> None:
    with pytest.raises(ModelError, match="Check the declared input shape"):
        wb.Generator(linear_generator(latents=6), 7, device="cpu")


def test_a_range_that_is_clearly_wrong_is_refused() -> None:
    class Bytes(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return 255 * torch.sigmoid(z).reshape(-1, 1, 2, 2)

    assert wb.Generator(Bytes(), 4, value_range=(0, 255), device="cpu").kind == "image"
    with pytest.raises(ModelError, match="value_range"):
        wb.Generator(Bytes(), 4, value_range=(-1, 1), device="cpu")
    with pytest.raises(ModelError, match="the smaller first"):
        wb.Generator(Bytes(), 4, value_range=(1, -1), device="cpu")


def test_a_part_of_several_outputs_is_chosen() -> None:
    class Several(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = linear_generator(4)

        def forward(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"image": self.net(z), "norm": z.norm(dim=1)}

    G = wb.Generator(Several(), 4, output="image", device="cpu", value_range=(-4, 4))
    assert G.output_shape == (1, 4, 4)
    with pytest.raises(ModelError, match=r"dict with keys \['image', 'norm'\]"):
        wb.Generator(Several(), 4, device="cpu")
    with pytest.raises(ModelError, match="does not fit"):
        wb.Generator(Several(), 4, output="picture", device="cpu")


def test_not_a_module_is_refused() -> None:
    with pytest.raises(ModelError, match=r"torch\.nn\.Module"):
        wb.Generator(lambda z: z, 4)  # type: ignore[arg-type]


def test_a_named_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(ModelError, match="not on this machine"):
        wb.Generator(linear_generator(), 6, device="cuda:99")
    with pytest.raises(ModelError, match="is no device"):
        wb.Generator(linear_generator(), 6, device="gpu")


# -- layers ------------------------------------------------------------------------------------------


def test_layers_come_in_execution_order_with_shapes(conv: wb.Generator) -> None:
    assert conv.layers.names == ["0", "1", "2", "3", "4"]
    assert conv.layers["0"].shape == (16, 4, 4) and conv.layers[-1].kind == "Tanh"


def test_an_unknown_layer_suggests_the_nearest_names() -> None:
    G = wb.Generator(SkipGenerator(), 5, device="cpu")
    with pytest.raises(LayerError, match=r"did you mean 'block\.conv'"):
        G.layers["block.convv"]


def test_what_is_read_before_an_in_place_relu_is_the_pre_activation(conv: wb.Generator) -> None:
    z = conv.latents(4)
    read = conv.read(z, ["1", "2"])
    assert read["1"].min() < 0
    assert torch.equal(read["2"], read["1"].clamp_min(0))


def test_stopping_at_a_layer_does_not_run_what_lies_behind() -> None:
    class Counting(nn.Module):
        runs = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Counting.runs += 1
            return x

    module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), Counting(), nn.Unflatten(1, (1, 4, 4)))
    G = wb.Generator(module, 4, device="cpu", value_range=(-4, 4))
    Counting.runs = 0
    G.until("1")(G.latents(3))
    assert Counting.runs == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: wb.Generator(convolutional_generator(), (8, 1, 1), device="cpu"),
        lambda: wb.Generator(SkipGenerator(), 5, device="cpu"),
    ],
)
def test_replaying_a_layers_own_output_changes_nothing(make: object) -> None:
    G = make()  # type: ignore[operator]
    z = G.latents(3)
    for layer in G.layers:
        assert torch.allclose(G.replay(z, layer, G.until(layer)(z)), G(z), atol=1e-6), layer.name


def test_replay_with_another_activation_keeps_the_latents_other_way_through_a_skip() -> None:
    G = wb.Generator(SkipGenerator(), 5, device="cpu")
    z, other = G.latents(2, seed=0), G.latents(2, seed=1)
    h = G.until("block")(other)
    replayed = G.replay(z, "block", h)
    module = G.module
    expected = torch.tanh(module.last(h + module.shift(z)[:, :, None, None]))
    assert torch.allclose(replayed, expected, atol=1e-6)
    assert not torch.allclose(replayed, G(other), atol=1e-3)


def test_only_plain_sequential_networks_have_a_tail_of_the_layer_alone(conv: wb.Generator) -> None:
    tail = conv.tail("2")
    assert tail is not None
    z = conv.latents(2)
    assert torch.allclose(tail(conv.until("2")(z)), conv(z), atol=1e-6)
    assert wb.Generator(SkipGenerator(), 5, device="cpu").tail("block") is None


def test_a_skip_through_a_stored_attribute_is_not_taken_for_a_chain() -> None:
    class Remember(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = x
            return x

    class Recall(nn.Module):
        def __init__(self, memory: Remember) -> None:
            super().__init__()
            self.memory = [memory]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.memory[0].seen

    memory = Remember()
    module = nn.Sequential(memory, nn.Linear(4, 4), nn.ReLU(), Recall(memory), nn.Unflatten(1, (1, 2, 2)))
    G = wb.Generator(module, 4, device="cpu", value_range=(-5, 5))
    z, other = G.latents(2, seed=0), G.latents(2, seed=1)
    h = G.until("2")(z)
    G(other)
    assert torch.allclose(G.replay(z, "2", h), G(z))


def test_an_activation_of_another_shape_is_refused(conv: wb.Generator) -> None:
    with pytest.raises(LayerError, match=r"layer '2' gives \(2, 16, 4, 4\)"):
        conv.replay(conv.latents(2), "2", torch.zeros(2, 16, 4, 5))


def test_two_threads_read_different_layers_of_one_network_without_mixing(conv: wb.Generator) -> None:
    from concurrent.futures import ThreadPoolExecutor

    z = conv.latents(8)
    expected = {name: conv.until(name)(z) for name in ("0", "3")}
    with ThreadPoolExecutor(4) as pool:
        names = ["0", "3"] * 40
        for name, got in zip(names, pool.map(lambda n: conv.until(n)(z), names), strict=True):
            assert torch.equal(got, expected[name])


# -- classes -----------------------------------------------------------------------------------------


def test_class_embeddings_are_looked_up_or_given() -> None:
    module = Conditional()
    G = wb.Generator(module, 4, class_embeddings="shared.weight", class_names=list("abcdefg"), device="cpu")
    z = G.latents(3)
    by_index, by_name = G(z, 2), G(z, "c")
    by_row = G(z, module.shared.weight[2].detach())
    assert torch.equal(by_index, by_name) and torch.allclose(by_index, by_row)
    assert torch.allclose(G.of_class("c")(z), by_index)
    assert torch.allclose(G(z, [0, 1, 2])[2], by_index[2])


def test_classes_that_do_not_exist_are_refused() -> None:
    G = wb.Generator(Conditional(), 4, class_embeddings="shared.weight", device="cpu")
    z = G.latents(2)
    with pytest.raises(ModelError, match="classes 0 to 6"):
        G(z, 7)
    with pytest.raises(ModelError, match=r"expected \(3,\)"):
        G(z, torch.zeros(4))
    with pytest.raises(ModelError, match="has classes: pass one"):
        G(z)
    with pytest.raises(ModelError, match=r"no parameter 'shard\.weight': did you mean 'shared\.weight'"):
        wb.Generator(Conditional(), 4, class_embeddings="shard.weight", device="cpu")


@pytest.mark.parametrize("given", [3.7, torch.tensor(3.7), np.float64(3.7), float("nan"), [3.7, 1.2]])
def test_real_numbers_are_no_classes(given: object) -> None:
    plain = wb.Generator(_OneHot(), 4, class_names=list("abcdefg"), device="cpu")
    embedded = wb.Generator(Conditional(), 4, class_embeddings="shared.weight", device="cpu")
    with pytest.raises(ModelError, match=r"takes classes by index, a whole number, or by name"):
        plain(plain.latents(2), given)
    with pytest.raises(ModelError, match=r"real numbers were given as the class|the embedding has shape"):
        embedded(embedded.latents(2), given)


class _OneHot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.made = nn.Linear(11, 16)

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.made(torch.cat([z, nn.functional.one_hot(y, 7).to(z)], 1)).view(-1, 1, 4, 4)


def test_a_class_is_a_whole_number_or_a_name_of_a_generator_with_classes() -> None:
    G = wb.Generator(Conditional(), 4, class_embeddings="shared.weight", device="cpu")
    assert G.class_index(3) == G.class_index(np.int64(3)) == G.class_index(torch.tensor(3)) == G.class_index("3")
    for given in (3.7, float("nan"), float("inf"), None):
        with pytest.raises(ModelError, match="expected a whole number, or a name"):
            G.class_index(given)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="class 3 was asked for; Linear has no classes"):
        wb.Generator(nn.Linear(6, 10), 6, device="cpu", value_range=(-4, 4)).class_index(3)


def test_an_embedding_that_is_not_finite_fixes_no_class() -> None:
    G = wb.Generator(Conditional(), 4, class_embeddings="shared.weight", device="cpu")
    with pytest.raises(ModelError, match="the class's embedding holds NaN or infinity"):
        G.of_class(torch.tensor([0.0, float("nan"), 0.0]))


# -- weights -----------------------------------------------------------------------------------------


def test_the_fingerprint_follows_the_weights_that_the_user_trains_further() -> None:
    module = linear_generator()
    G = wb.Generator(module, 6, device="cpu", value_range=(-3, 3))
    before = G.fingerprint
    assert G.fingerprint == before == wb.Generator(module, 6, device="cpu", value_range=(-3, 3)).fingerprint
    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    module(torch.ones(2, 6)).square().sum().backward()
    optimiser.step()
    after = wb.Generator(module, 6, device="cpu", value_range=(-30, 30)).fingerprint
    assert G.fingerprint == after != before


def test_a_generator_that_is_moved_still_knows_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    G = wb.Generator(Conditional(), 4, class_embeddings="shared.weight", device="cpu").of_class(2)
    before = G.fingerprint
    assert G.to("cpu") is G and G.fingerprint == before


# -- priors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [Normal(), Normal(0.2), Uniform(), Uniform(0, 2), TruncatedNormal(0.5)])
@pytest.mark.parametrize("n", [2, 64])
def test_the_expected_distance_is_that_of_many_pairs(prior: object, n: int) -> None:
    a, b = prior.sample(40_000, (n,), torch.Generator().manual_seed(1)).chunk(2)  # type: ignore[attr-defined]
    measured = float((a - b).norm(dim=1).mean())
    assert prior.expected_distance((n,)) == pytest.approx(measured, rel=0.02)  # type: ignore[attr-defined]


@pytest.mark.parametrize("prior", [Normal(), Uniform(), TruncatedNormal()])
def test_projection_leaves_typical_points_and_brings_others_back(prior: object) -> None:
    z = prior.sample(2000, (30,), torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
    inside = prior.contains(z)  # type: ignore[attr-defined]
    assert inside.float().mean() > 0.99
    assert torch.allclose(prior.project(z)[inside], z[inside], atol=1e-6)  # type: ignore[attr-defined]
    assert prior.contains(prior.project(5 * z)).all()  # type: ignore[attr-defined]
    assert prior.contains(prior.project(z / 5)).all() or isinstance(prior, Uniform)  # type: ignore[attr-defined]


def test_the_truncated_normal_is_a_scaled_normal_within_two_deviations() -> None:
    drawn = TruncatedNormal(0.5).sample(20_000, (4,), torch.Generator().manual_seed(0))
    assert 0.999 < drawn.abs().max() <= 1
    expected = truncnorm(-2, 2, scale=0.5)
    assert kstest(drawn.flatten().double(), expected.cdf).pvalue > 0.01


@pytest.mark.parametrize(("n", "slack"), [(1, 0.005), (2, 0.005), (20, 0.001), (140, 0.001)])
def test_the_truncated_normals_shell_holds_what_it_says(n: int, slack: float) -> None:
    prior = TruncatedNormal(0.7)
    drawn = prior.sample(20_000, (n,), torch.Generator().manual_seed(0))
    assert float(prior.contains(drawn).float().mean()) == pytest.approx(0.999, abs=slack)


def test_the_truncated_normals_projection_is_the_nearest_typical_point() -> None:
    prior = TruncatedNormal()
    z = 4 * torch.randn(20, 6, generator=torch.Generator().manual_seed(0)) ** 3
    nearest = prior.project(z)
    others = prior.sample(20_000, (6,), torch.Generator().manual_seed(1))
    others = others[prior.contains(others)]
    distances = torch.cdist(z, others).amin(1)
    assert ((z - nearest).norm(dim=1) <= distances + 1e-5).all()
    assert torch.equal(prior.project(torch.zeros(1, 6)), torch.zeros(1, 6))


def test_a_truncation_must_be_positive() -> None:
    with pytest.raises(ModelError, match="above 0"):
        TruncatedNormal(0)


def test_an_empirical_prior_draws_its_points_and_projects_into_their_box() -> None:
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    prior = Empirical(points)
    drawn = prior.sample(1000, (3,), torch.Generator().manual_seed(1))
    assert set(map(tuple, drawn.tolist())) == set(map(tuple, points.tolist()))
    assert prior.expected_distance((3,)) == pytest.approx(float(torch.pdist(points).mean()), rel=0.02)
    assert prior.contains(points).all() and not prior.contains(3 * points).all()
    assert prior.contains(prior.project(3 * points)).all()
    assert torch.equal(prior.project(points), points)
    with pytest.raises(ModelError, match=r"has points of shape \(3,\), not \(4,\)"):
        prior.sample(1, (4,), torch.Generator())
    with pytest.raises(ModelError, match="two at least"):
        Empirical(points[:1])


def test_a_generator_with_other_embeddings_shares_the_network_and_leaves_the_first_alone() -> None:
    G = wb.Generator(Conditional(), 4, class_embeddings="shared.weight", device="cpu")
    assert G.class_embeddings is not None
    before, z = G.class_embeddings.clone(), G.latents(3)
    other = G.of_class(1).with_embeddings(before.flip(0), name="turned")
    assert torch.equal(other(z, 0), G(z, len(before) - 1)) and torch.equal(G.class_embeddings, before)
    assert (other.name, other.fingerprint) == ("turned", G.fingerprint) and other.module is G.module
    with pytest.raises(ModelError, match="pass one"):
        other(z)
    with pytest.raises(ModelError, match=r"embeddings of shape \(1, 2\)"):
        G.with_embeddings(torch.zeros(1, 2))
    with pytest.raises(ModelError, match="finite"):
        G.with_embeddings(before * torch.nan)


@pytest.mark.parametrize("prior", [Normal(), Normal(0.2)])
@pytest.mark.parametrize("scale", [0.0, 1e-38, 1e-42])
def test_the_origin_and_points_beside_it_are_projected_into_the_shell(prior: Normal, scale: float) -> None:
    projected = prior.project(scale * torch.ones(2, 64))
    assert torch.isfinite(projected).all() and prior.contains(projected).all()


@pytest.mark.parametrize("prior", [Normal(), Uniform(), TruncatedNormal()])
def test_no_points_are_no_typical_points(prior: object) -> None:
    none = torch.empty(0, 4, 1, 1)
    assert prior.contains(none).shape == (0,) and prior.project(none).shape == none.shape  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Normal(0), "std=0; expected a number above 0"),
        (lambda: Normal(-1), "std=-1; expected"),
        (lambda: Normal(float("nan")), "std=nan; expected"),
        (lambda: Uniform(1, -1), r"\(low, high\)=\(1, -1\); expected two finite numbers, ascending"),
        (lambda: Uniform(0, float("inf")), "expected two finite numbers"),
    ],
)
def test_a_prior_without_a_distribution_is_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        make()
