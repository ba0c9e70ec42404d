"""Adapters and their calls under wrong shapes, dtypes, devices, ranges, classes and numbers."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import workbench as wb
from tests.fuzz import networks, values
from tests.fuzz.outcomes import Refused, attempt, finite

_DIMS = st.one_of(
    st.just((4,)),
    st.integers(-2, 6),
    st.lists(st.integers(-1, 5), max_size=4),
    st.sampled_from([None, "4", (4.5,)]),
)
_RANGES = st.one_of(
    st.just((-1, 1)),
    st.tuples(values.numbers, values.numbers),
    st.sampled_from([None, (1,), "ab", (0, 255), (2, -2)]),
)
_NAMES = st.one_of(st.none(), st.lists(values.words, max_size=4))
_OUTPUTS = st.one_of(st.none(), st.integers(-3, 3), values.words, st.just(lambda raw: raw), st.just(len))
_DEVICES = st.one_of(st.sampled_from(["auto", "cpu", "cuda:99", "meta", "mps"]), values.words)
_PRECISIONS = st.sampled_from([torch.float32, torch.float16])
_CALLS = st.sampled_from(["call", "render", "read", "until", "before", "replay", "point"])


@st.composite
def modules(draw: st.DrawFn) -> object:
    """A network, some with a flaw, or no network."""
    network = draw(st.sampled_from([networks.decoder, networks.scorer, networks.Conditional]))()
    flaw = draw(st.sampled_from(["", "", "half", "double", "nan", "infinite", "no module"]))
    if flaw in ("half", "double"):
        network = network.to(torch.float16 if flaw == "half" else torch.float64)
    elif flaw in ("nan", "infinite"):
        with torch.no_grad():
            next(network.parameters()).view(-1)[0] = float("nan") if flaw == "nan" else float("inf")
    return draw(st.sampled_from([None, "network", nn.ReLU])) if flaw == "no module" else network


@given(modules(), _DIMS, _RANGES, _NAMES, _OUTPUTS, _DEVICES, values.words)
def test_a_generator_is_made_or_refused(module, shape, value_range, names, output, device, prior):
    made = attempt(
        lambda: wb.Generator(
            module,
            shape,
            value_range=value_range,
            class_names=names,
            output=output,
            device=device,
            prior="normal" if len(prior) % 2 else prior,
        )
    )
    if not isinstance(made, Refused):
        finite(made.sample(2, condition=0 if made.class_names else None).outputs)


@given(modules(), _DIMS, _RANGES, _NAMES, _OUTPUTS, _DEVICES)
def test_a_classifier_is_made_or_refused(module, shape, value_range, names, output, device):
    given_shape = (1, 6, 6) if shape == (4,) else shape
    made = attempt(
        lambda: wb.Classifier(
            module, given_shape, value_range=value_range, class_names=names, output=output, device=device
        )
    )
    if not isinstance(made, Refused):
        finite(made.scores(torch.zeros(2, *made.input_shape)))


@given(
    _PRECISIONS,
    values.batches(4),
    _CALLS,
    values.layers,
    values.batches(8),
    values.mostly(st.none(), st.one_of(values.classes, values.batches(2)), of=3),
)
def test_a_generator_answers_or_refuses(dtype, z, call, layer, activation, condition):
    G = networks.generator(dtype) if condition is None else networks.with_classes()
    calls = {
        "call": lambda: G(z, condition),
        "render": lambda: G.render(z, condition),
        "read": lambda: torch.cat([v.flatten() for v in G.read(z, [layer], condition).values()]),
        "until": lambda: G.until(layer)(z, condition),
        "before": lambda: G.until(layer, before=True)(z, condition),
        "replay": lambda: G.replay(z, layer, activation, condition),
        "point": lambda: G.point(z),
    }
    found = attempt(calls[call])
    if not isinstance(found, Refused):
        finite(found)


@given(
    st.sampled_from([torch.float32, torch.float16]),
    values.batches(1, 6, 6),
    _CALLS,
    values.layers,
    values.batches(8),
)
def test_a_classifier_answers_or_refuses(dtype, x, call, layer, activation):
    C = networks.classifier(dtype)
    calls = {
        "call": lambda: C(x),
        "render": lambda: C.probabilities(x),
        "read": lambda: torch.cat([v.flatten() for v in C.read(x, [layer]).values()]),
        "until": lambda: C.until(layer)(x),
        "before": lambda: C.until(layer, before=True)(x),
        "replay": lambda: C.replay(x, layer, activation),
        "point": lambda: C.scores(x),
    }
    found = attempt(calls[call])
    if not isinstance(found, Refused):
        finite(found)


@given(values.counts, values.seeds, st.one_of(st.none(), values.classes))
def test_so_many_samples_are_drawn_or_refused(n, seed, condition):
    G = networks.with_classes()
    found = attempt(lambda: G.sample(n, seed=seed, condition=condition))
    if not isinstance(found, Refused):
        assert len(found) == n
        finite(found.latents, found.outputs)
