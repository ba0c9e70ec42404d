"""The map of a generator's pictures to what a classifier takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.models import ModelError
from workbench.models.latent import pictures_for
from workbench.models.pictures import Pictures


def generator(channels=1, side=4):
    module = nn.Sequential(
        nn.Linear(2, channels * side * side), nn.Tanh(), nn.Unflatten(1, (channels, side, side))
    )
    return wb.Generator(module, 2, device="cpu", name="made")


def classifier(channels, side):
    module = nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, 3))
    return wb.Classifier(module, (channels, side, side), device="cpu", name="taken")


def test_the_value_range_is_mapped_into_the_classifiers():
    x = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)
    torch.testing.assert_close(pictures_for(classifier(1, 4), generator())(x), (x + 1) / 2)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_with_resize_pictures_become_larger_and_coloured(mode):
    x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    fitted = pictures_for(classifier(3, 6), generator(), resize=mode)(x)
    expected = nn.functional.interpolate((x + 1) / 2, (6, 6), mode=mode).expand(-1, 3, -1, -1)
    torch.testing.assert_close(fitted, expected)


def test_other_shapes_are_refused():
    with pytest.raises(ModelError, match=r"makes \(1, 4, 4\), taken takes \(1, 6, 6\).*resizes first"):
        pictures_for(classifier(1, 6), generator())
    with pytest.raises(ModelError, match="turns the one into the other"):
        pictures_for(classifier(1, 4), generator(channels=3), resize="nearest")


def test_a_latent_classifier_takes_its_two_parts_along_to_another_device(monkeypatch):
    monkeypatch.setattr("workbench.models.model.resolve_device", torch.device)  # any machine has the meta device
    table = torch.eye(3, 2)
    made = wb.Generator(_Shifted(), 2, class_embeddings=table, device="cpu").of_class(1)
    moved = classifier(1, 4).on(made).to("meta")
    for part in (moved, moved.classifier, moved.generator):
        assert part.device.type == "meta" and all(p.is_meta for p in part.module.parameters())
    assert made.bound.is_meta and made.class_embeddings.is_meta


class _Shifted(nn.Module):
    def __init__(self):
        super().__init__()
        self.made = nn.Linear(2, 16)

    def forward(self, z, y):
        return self.made(z + y).view(-1, 1, 4, 4)


@pytest.mark.parametrize("given", [None, "a picture", nn.Linear(2, 2)])
def test_pictures_of_what_is_no_model_are_refused(given):
    with pytest.raises(ModelError, match="expected a Classifier"):
        Pictures(given)
