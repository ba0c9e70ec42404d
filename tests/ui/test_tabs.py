"""All panels in tabs: made when first opened, and what is chosen in one becomes the query of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.models import ModelError


def networks() -> tuple[wb.Generator, wb.Classifier]:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), nn.Sigmoid(), nn.Unflatten(1, (1, 2, 2))]
    G = wb.Generator(nn.Sequential(*layers), latent_shape=4, value_range=(0, 1), device="cpu", name="small")
    C = wb.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), device="cpu")
    return G, C


@pytest.fixture
def tabs() -> Iterator:
    opened = wb.open(*networks())
    yield opened
    opened.close()


def test_there_is_a_tab_for_each_method_that_applies(tabs):
    assert tabs._tab.titles == ("Subspace search", "Boundaries", "Inverse sets", "Flip points")
    G, C = networks()
    for given, titles in (
        ((G,), ("Subspace search", "Boundaries")),
        ((None, C), ("Flip points",)),
    ):
        other = wb.open(*given)
        assert other._tab.titles == titles
        other.close()


def test_a_panel_is_made_when_its_tab_is_opened_and_only_then(tabs):
    assert list(tabs.panels) == ["subspaces"] and tabs.current == "subspaces"
    panel = tabs.show("flip_points")
    assert isinstance(panel, wb.flip_points.Panel) and list(tabs.panels) == ["subspaces", "flip_points"]
    assert tabs.show("flip_points") is panel
    assert len(panel.x) == 60  # pictures of the generator


def test_the_point_of_the_search_becomes_the_query_of_the_other_methods(tabs):
    z = tabs.panels["subspaces"].search.points[0].latent
    tabs.handover.buttons["boundaries"].click()
    assert tabs.current == "boundaries" and torch.equal(tabs.panels["boundaries"].query, z)
    tabs.handover.buttons["flip_points"].click()
    assert tabs.current == "flip_points"
    expected = tabs.generator.render(z[None])
    assert torch.allclose(tabs.panels["flip_points"].query, expected)
    assert torch.equal(tabs.sample.code, z) and torch.equal(tabs.sample.picture, expected[0])


def test_a_picture_is_sent_on_by_the_code_that_an_encoder_gives_it():
    G, C = networks()
    torch.manual_seed(1)
    inverse = wb.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 4)), (1, 2, 2), device="cpu")
    opened = wb.open(G, C, encoder=wb.inverse_sets.Encoder(inverse, "1"))
    try:
        picture = opened.show("flip_points").query
        opened.handover.buttons["subspaces"].click()
        assert opened.current == "subspaces"
        assert torch.allclose(opened.sample.code, inverse.scores(picture)[0])
        assert torch.equal(opened.sample.picture, picture[0])
    finally:
        opened.close()


def test_where_nothing_can_be_sent_that_is_said(tabs):
    tabs.show("flip_points")
    tabs.handover.buttons["subspaces"].click()
    assert tabs.current == "flip_points"
    assert "no latent is known for what is chosen in Flip points" in tabs.handover._said.value
    tabs.show("inverse_sets")
    tabs.handover.buttons["subspaces"].click()
    assert tabs.current == "inverse_sets" and "nothing is chosen" in tabs.handover._said.value


def test_a_generator_alone_sends_its_points_to_the_methods_that_apply():
    opened = wb.open(networks()[0])
    try:
        assert opened.handover.buttons["flip_points"].layout.display == "none"
        opened.handover.buttons["boundaries"].click()
        z = opened.panels["subspaces"].search.points[0].latent
        assert torch.equal(opened.panels["boundaries"].query, z)
    finally:
        opened.close()


def test_a_generator_with_classes_has_its_first_one_fixed_but_for_the_map_of_all():
    G = wb.load("glyphs-biggan", device="cpu")
    opened = wb.open(G, wb.load("glyphs-cnn", device="cpu"))
    try:
        assert "Classes" in opened._tab.titles
        assert torch.equal(opened.generator.bound, G.class_embeddings[0]) and opened.whole is G
        assert torch.equal(wb.open(G.of_class(3)).generator.bound, G.class_embeddings[3])
    finally:
        opened.close()


def test_what_cannot_be_opened_is_refused():
    G, C = networks()
    with pytest.raises(ModelError, match="nothing to open"):
        wb.open()
    with pytest.raises(ModelError, match=r"the generator is a Classifier; expected wb\.open\(G, C\)"):
        wb.open(C, G)
    opened = wb.open(G)
    with pytest.raises(
        ModelError, match="'flip_points' does not apply here; expected one of subspaces, boundaries"
    ):
        opened.show("flip_points")
    opened.close()


def test_the_class_on_the_map_goes_on_with_its_edited_embedding():
    G = wb.load("glyphs-biggan", device="cpu")
    opened = wb.open(G, wb.load("glyphs-cnn", device="cpu"), seed=2)
    try:
        name = G.class_names[4]
        old = opened.panels["subspaces"]
        classes = opened.show("embeddings")
        classes.ask(4)
        opened.handover.buttons["subspaces"].click()
        panel = opened.panels["subspaces"]
        assert opened.current == "subspaces" and panel is not old
        assert torch.equal(panel.generator.fixed, G.class_embeddings[4])
        assert f"about glyphs-biggan of {name}<" in opened._about.value
        # sent again, the same class leaves the panel as it is; repaired, it is another generator
        opened.show("embeddings")
        opened.handover.buttons["subspaces"].click()
        assert opened.panels["subspaces"] is panel
        repaired = G.class_embeddings[4] + 0.2
        classes.table.keep(4, repaired)
        opened.show("embeddings")
        classes.repair.after.show(torch.rand(24, *G.output_shape))
        classes.repair.after.selected = [7]
        opened.handover.buttons["boundaries"].click()
        assert opened.current == "boundaries"
        assert torch.equal(opened.panels["boundaries"].model.fixed, repaired)
        assert torch.equal(opened.panels["boundaries"].query, classes.repair.z[7])
        assert f"{name}, repaired<" in opened._about.value and "subspaces" not in opened.panels
        opened.show("embeddings")
        opened.handover.buttons["flip_points"].click()
        expected = G.render(classes.repair.z[7:8], repaired)
        assert torch.allclose(opened.panels["flip_points"].query, (expected + 1) / 2, atol=1e-5)
    finally:
        opened.close()
