"""The five methods' one-line calls at tiny sizes on any model, with what a right result has to fulfil."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import workbench as wb
from workbench.boundaries.sign_layer import sign_layers

CLASSES, WIDTH = 4, 3
Model = wb.Generator | wb.Classifier


def _fixed(model: Model) -> Model:
    """A generator with classes has one fixed, as a user would."""
    return model.of_class(0) if isinstance(model, wb.Generator) and model.class_names else model


def subspaces(model: Model) -> None:
    """A subspace at a draw, and the line along its first direction."""
    model = _fixed(model)
    z = model.latents(1, seed=1)[0] if isinstance(model, wb.Generator) else torch.zeros(model.input_shape)
    found = wb.subspaces.subspace(model, z, dims=2, seed=0)
    line = wb.subspaces.line(model, found, axis=0, steps=3)
    finite(found.output, found.directions, found.singular_values, found.spectrum, line.outputs, line.change)
    directions = found.directions.flatten(1).double()
    torch.testing.assert_close(directions @ directions.T, torch.eye(2, dtype=torch.float64), rtol=0, atol=5e-3)
    assert line.outputs.shape == (3, *model.output_shape)


def boundaries(model: Model) -> None:
    """A supporting set in a middle layer, and a small tree in its region."""
    model = _fixed(model)
    z = model.latents(1, seed=1)[0] if isinstance(model, wb.Generator) else _middle(model)[0]
    layers = sign_layers(model) or [0]
    kept = wb.boundaries.supporting_set(model, z, layers[len(layers) // 2], most_steps=5, masks=2, threshold=0.2)
    tree = wb.boundaries.explore(model, z, kept, samples=3, tries=20)
    finite(kept.theta, kept.output, kept.masked, kept.losses, tree.points)
    assert kept.kept.any() and math.isfinite(kept.error)


def inverse_sets(model: Model) -> None:
    """Three samples of a score's upper range, among a companion's pictures where the model is a classifier."""
    G, C = pair(model)
    scores = C.scores(_as_inputs(G, C, G.render(G.latents(64))))[:, 0].float()
    low, high = scores.quantile(torch.tensor([0.5, 0.95])).tolist()
    band = wb.inverse_sets.band(C, C.layers[-1].name, 0, low, high)
    found = wb.inverse_sets.sample(G, band, 3, distance="pixel", walkers=2, seed_steps=20, steps=20)
    finite(found.codes, found.outputs, found.values)


def embeddings(model: Model) -> None:
    """Three steps of two trials, toward the first class."""
    G, C = pair(model, classes=True)
    found = wb.embeddings.maximize(G, C, 0, "AM-S", trials=2, steps=3, latents=4)
    finite(found.embeddings, found.probability, found.diversity, found.scores)
    assert found.embeddings.shape == (2, G.class_embeddings.shape[1])


def flip_points(model: Model) -> None:
    """The nearest boundary from one point."""
    C = model if isinstance(model, wb.Classifier) else pair(model)[1].on(pair(model)[0])
    x = _middle(C) if C is model else model.latents(1, seed=1)
    found = wb.flip_points.closest(C, x, effort="fast")
    assert len(found.points) == 1
    if bool(found.converged.all()):
        finite(found.points, found.distances)


METHODS = {m.__name__: m for m in (subspaces, boundaries, inverse_sets, embeddings, flip_points)}


def finite(*tensors: Tensor) -> None:
    """Assert that no number is NaN or infinite."""
    for tensor in tensors:
        assert torch.isfinite(tensor).all(), tensor


def _middle(model: wb.Classifier) -> Tensor:
    low, high = model.value_range
    drawn = torch.rand(1, *model.input_shape, generator=torch.Generator().manual_seed(1))
    return low + (high - low) * (0.3 + 0.4 * drawn)


def _as_inputs(G: wb.Generator, C: wb.Classifier, outputs: Tensor) -> Tensor:
    from workbench.models.latent import pictures_for

    return pictures_for(C, G)(outputs)


class _Companion(nn.Module):
    """A small generator for a stranger's classifier: pictures around the middle of the range, moved by a class."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.latents = nn.Linear(4, math.prod(shape))
        self.classes = nn.Linear(WIDTH, math.prod(shape))

    def forward(self, z: Tensor, e: Tensor | None = None) -> Tensor:
        moved = self.latents(z) + (0 if e is None else self.classes(e))
        return torch.tanh(moved).reshape(len(z), *self.shape)


def pair(model: Model, *, classes: bool = False) -> tuple[wb.Generator, wb.Classifier]:
    """A model together with a companion of the other kind; a generator with its class fixed unless `classes`."""
    torch.manual_seed(0)
    if isinstance(model, wb.Generator):
        count = len(model.class_names) if model.class_names else CLASSES
        size = math.prod(model.output_shape)
        scores = nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.Tanh(), nn.Linear(16, count)).to(model.dtype)
        C = wb.Classifier(scores, model.output_shape, value_range=model.value_range, device=model.device)
        return model if classes else _fixed(model), C
    network = _Companion(model.input_shape).to(model.dtype)
    table = torch.randn(len(model.class_names), WIDTH) if classes else None
    G = wb.Generator(network, (4,), value_range=(-1, 1), class_embeddings=table, device=model.device)
    return G, model
