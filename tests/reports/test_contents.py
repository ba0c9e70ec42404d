"""What counts as the same content: the numbers, not where they lie or what made them."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.models import Classifier, Generator
from workbench.reports.contents import ContentError, Contents, source
from workbench.results import Provenance, Result


@dataclass(frozen=True, kw_only=True)
class Kept(Result):
    values: Tensor
    note: str = ""


@dataclass(frozen=True)
class Options:
    rate: float
    layers: tuple[str, ...] = ()


class Colour(Enum):
    RED = 1
    BLUE = 2


class Scaled(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.inner = nn.Linear(2, 4)
        self.register_buffer("shift", torch.zeros(4), persistent=False)
        nn.init.constant_(self.inner.weight, 0.1)
        nn.init.zeros_(self.inner.bias)

    def forward(self, z: Tensor) -> Tensor:
        return self.inner(z) * self.scale + self.shift


def digest(value: object) -> str:
    return Contents().digest(value, "value")


def generator(module: nn.Module | None = None, **options: object) -> Generator:
    return Generator(module or Scaled(), latent_shape=2, name="tiny", device="cpu", **options)


def made(seconds: float = 0.0) -> Provenance:
    return Provenance(call="f()", seed=0, model="m", fingerprint="f", device="cpu", dtype="d", seconds=seconds)


X = torch.arange(6.0).view(2, 3)
TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
SAME = [
    (X, X.clone()),
    (X, X.t().contiguous().t()),  # the same numbers, laid out otherwise
    (X.requires_grad_(False), X.clone().requires_grad_(True)),
    (np.arange(3), np.arange(3)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({3, 1}, {1, 3}),
    (float("nan"), float("nan")),
    (torch.device("cpu"), torch.device("meta")),
    (Options(0.1, ("3",)), Options(0.1, ("3",))),
    (Kept(provenance=made(1.0), values=X), Kept(provenance=made(2.0), values=X.clone())),
    (TABLE, TABLE.copy()),
    (functools.partial(sorted, reverse=True), functools.partial(sorted, reverse=True)),
    (generator(), generator()),
]
ONE_MORE = X.clone()
ONE_MORE[1, 2] += 1e-6
OTHERS = [
    (X, ONE_MORE),
    (X, X.double()),
    (X, X.view(3, 2)),
    (X, X.numpy()),
    (np.arange(3), np.arange(3, dtype=np.int32)),
    (1, 1.0),
    (1, True),
    (0.1, 0.1 + 1e-17 + 1e-16),
    ("1", 1),
    (None, "None"),
    ([1, [2]], [[1], 2]),
    ((1, 2), [1, 2]),
    ({"a": 1}, {"a": 2}),
    (Colour.RED, Colour.BLUE),
    (torch.float32, torch.float64),
    (Options(0.1), Options(0.2)),
    (Kept(provenance=made(), values=X), Kept(provenance=made(), values=ONE_MORE)),
    (Kept(provenance=made(), values=X), Kept(provenance=made(), values=X, note="n")),
    (TABLE, TABLE.assign(a=[1, 3])),
    (functools.partial(sorted, reverse=True), functools.partial(sorted, reverse=False)),
    (lambda x: x + 1, lambda x: x + 2),
    (torch.tanh, torch.relu),
    (nn.ReLU(), nn.LeakyReLU()),
    (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=range(len(SAME)))
def test_the_same_content_has_the_same_hash(one, other):
    assert digest(one) == digest(other)


@pytest.mark.parametrize(("one", "other"), OTHERS, ids=range(len(OTHERS)))
def test_other_content_has_another_hash(one, other):
    assert digest(one) != digest(other)


def test_a_model_is_its_weights_its_structure_and_its_settings():
    reference = digest(generator())
    weights, buffer = Scaled(), Scaled()
    with torch.no_grad():
        weights.inner.weight[0, 0] += 1e-6
        buffer.shift[0] = 1e-3  # in no state dict, so in no fingerprint
    models = [
        generator(weights),
        generator(buffer),
        generator(Scaled(0.5)),  # an attribute that no weight tells
        generator(Scaled().double()),
        generator(value_range=(-2, 2)),
        generator(prior="uniform"),
        Classifier(Scaled(), input_shape=2, device="cpu", name="tiny"),
    ]
    found = [digest(model) for model in models]
    assert len({reference, *found}) == 1 + len(models)


def test_a_hook_and_the_code_of_a_module_count():
    def halved(module: nn.Module, given: object, output: Tensor) -> Tensor:
        return output / 2

    hooked = Scaled()
    hooked.register_forward_hook(halved)

    class Other(Scaled):
        def forward(self, z: Tensor) -> Tensor:
            return self.inner(z) * self.scale - self.shift

    Other.__qualname__ = Scaled.__qualname__
    assert len({digest(module) for module in (Scaled(), hooked, Other())}) == 3


def test_what_a_function_closes_over_and_its_defaults_count():
    def adding(n: int):
        return lambda x, m=n: x + n + m

    assert digest(adding(1)) == digest(adding(1)) != digest(adding(2))


def test_a_model_that_was_met_inside_other_values_is_known():
    contents, model = Contents(), generator()
    contents.digest({"options": [Options(0.1), {"model": model}]}, "value")
    assert list(contents.models) == [model.fingerprint]


@pytest.mark.parametrize("value", [threading.Lock(), iter([1]), np.array([object()])])
def test_what_has_no_content_is_refused_with_its_place(value):
    with pytest.raises(ContentError, match=r"query\['key'\] is a .* give numbers, strings, tensors"):
        Contents().digest({"key": value}, "query")


def test_a_value_that_holds_itself_is_refused():
    value: list[object] = []
    value.append(value)
    with pytest.raises(ContentError, match="holds itself"):
        digest(value)


def test_the_source_is_that_of_what_computes(tmp_path):
    def written(**files: str) -> str:
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return source(tmp_path)

    before = written(progress="a", method__study="b", method__figures="c", method__panel_rows="d", ui__plot="e")
    assert written(method__figures="other", method__panel_rows="other", ui__plot="other", cli="other") == before
    assert written(method__study="other") != before
    assert digest(replace(Options(0.1), rate=0.2)) == digest(Options(0.2))


def test_a_method_that_ran_leaves_the_models_digest_as_it_was():
    G = generator(nn.Sequential(nn.Linear(2, 9), nn.Tanh(), nn.Unflatten(1, (1, 3, 3))))
    before = digest(G)
    wb.subspaces.subspace(G, torch.zeros(2))
    assert digest(G) == before
