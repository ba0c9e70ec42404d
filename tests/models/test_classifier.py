"""A classifier adapter gives scores, layers and neurons, and refuses what is no classifier."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

import workbench as wb
from tests.models.networks import small_classifier
from workbench.models import LayerError, ModelError


@pytest.fixture
def C() -> wb.Classifier:
    return wb.Classifier(small_classifier(), (1, 8, 8), class_names=["a", "b", "c"], device="cpu")


def test_scores_are_the_modules_and_probabilities_sum_to_one(C: wb.Classifier) -> None:
    x = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(C.scores(x), small_classifier().eval()(x))
    assert torch.allclose(C.probabilities(x).sum(1), torch.ones(5))


def test_scores_are_differentiable_in_the_input(C: wb.Classifier) -> None:
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    C(x)[:, 0].sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_names_must_fit_the_scores() -> None:
    with pytest.raises(ModelError, match="2 class names were given for 3 scores"):
        wb.Classifier(small_classifier(), (1, 8, 8), class_names=["a", "b"], device="cpu")


def test_an_output_that_is_no_row_of_scores_is_refused() -> None:
    with pytest.raises(ModelError, match=r"expected scores \(batch, classes\)"):
        wb.Classifier(nn.Conv2d(1, 3, 3), (1, 8, 8), device="cpu")


def test_neurons_are_units_means_and_maxima_of_channels(C: wb.Classifier) -> None:
    x = torch.rand(4, 1, 8, 8)
    neurons = [
        wb.Neuron("0", 2, position=(1, 5)),
        wb.Neuron("0", 2),
        wb.Neuron("1", 3, reduce="mean"),
        wb.Neuron("1", 3, reduce="max"),
        wb.Neuron("4", 1),
    ]
    values = C.activations(x, neurons)
    conv, relu = C.until("0")(x), C.until("1")(x)
    assert torch.equal(values[:, 0], conv[:, 2, 1, 5])
    assert torch.equal(values[:, 1], conv[:, 2, 4, 4])
    assert torch.allclose(values[:, 2], relu[:, 3].mean((1, 2)))
    assert torch.equal(values[:, 3], relu[:, 3].amax((1, 2)))
    assert torch.equal(values[:, 4], C(x)[:, 1])


@pytest.mark.parametrize(
    ("neuron", "says"),
    [
        (wb.Neuron("0", 4), "channels 0 to 3"),
        (wb.Neuron("0", 0, position=(8, 0)), r"a channel has shape \(8, 8\)"),
        (wb.Neuron("0", 0, position=(1,)), r"a channel has shape \(8, 8\)"),
        (wb.Neuron("first", 0), "no layer 'first'"),
    ],
)
def test_neurons_that_do_not_exist_are_refused(C: wb.Classifier, neuron: wb.Neuron, says: str) -> None:
    with pytest.raises(LayerError, match=says):
        C.neuron(neuron)


def test_a_position_and_a_reduction_exclude_each_other() -> None:
    with pytest.raises(LayerError, match="not both"):
        wb.Neuron("0", 0, position=(1, 1), reduce="mean")


def test_replay_gives_the_scores_behind_a_layer(C: wb.Classifier) -> None:
    x = torch.rand(3, 1, 8, 8)
    for layer in C.layers:
        assert torch.allclose(C.replay(x, layer, C.until(layer)(x)), C(x), atol=1e-6)


def test_scores_and_layers_come_from_one_differentiable_pass(C: wb.Classifier) -> None:
    x = torch.rand(3, *C.input_shape, requires_grad=True)
    name = C.layers[1].name
    scores, layers = C.with_layers(x, [name])
    assert torch.equal(scores, C(x)) and torch.equal(layers[name], C.read(x, [name])[name])
    (gradient,) = torch.autograd.grad(scores.sum() + layers[name].sum(), x)
    assert float(gradient.abs().max()) > 0


def test_a_classifier_can_be_sent_to_another_process_with_its_layers():
    classifier = wb.load("mnist-cnn", device="cpu")
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    sent = pickle.loads(pickle.dumps(classifier))
    assert torch.equal(sent.scores(x), classifier.scores(x))
    layer = classifier.layers.names[2]
    assert torch.equal(sent.until(layer)(x), classifier.until(layer)(x))
    assert sent.fingerprint == classifier.fingerprint
    assert sent.to("cpu") is sent
    with pytest.raises(ModelError, match="is no device"):
        sent.to("nowhere")


def test_a_classifier_on_another_device_knows_still_whether_it_has_a_derivative(monkeypatch):
    monkeypatch.setattr("workbench.models.model.resolve_device", torch.device)  # any machine has the meta device
    classifier = wb.load("mnist-cnn", device="cpu").to("meta")
    classifier.check_differentiable()
    assert all(probed.is_meta for probed in classifier._probed)


def test_no_layers_are_refused(C: wb.Classifier) -> None:
    with pytest.raises(LayerError, match="no layers were asked for"):
        C.read(torch.rand(1, 1, 8, 8), [])


def test_a_classifier_takes_no_class(C: wb.Classifier) -> None:
    with pytest.raises(ModelError, match="takes inputs alone, but a class was given: 3"):
        C.until(0)(torch.rand(1, 1, 8, 8), 3)
