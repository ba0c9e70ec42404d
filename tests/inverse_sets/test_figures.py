"""Figures say what the numbers say: where the bands lie, and how samples fill them."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import workbench as wb
from workbench.inverse_sets import InverseSet, figures


@pytest.fixture(scope="module")
def found() -> InverseSet:
    torch.manual_seed(0)
    G = wb.Generator(nn.Sequential(nn.Linear(4, 9), nn.Unflatten(1, (1, 3, 3))), latent_shape=4, device="cpu")
    C = wb.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), (1, 3, 3), device="cpu")
    return wb.inverse_sets.sample(G, wb.inverse_sets.band(C, -1, 1, 0.0, 0.4), 30, distance="pixel")


def test_the_histogram_holds_every_picture_and_shades_the_band():
    figure = figures.histogram(torch.linspace(0, 1, 200), (0.5, 1.5), others=[(0.0, 0.2)], name="<i>a</i>")
    assert sum(figure.data[0].y) == pytest.approx(100)
    assert [(s.x0, s.x1) for s in figure.layout.shapes] == [(0.5, 1.5), (0.0, 0.2)]
    low, high = figure.layout.xaxis.range
    assert low < 0 and high > 1.5
    assert figure.layout.xaxis.title.text == "&lt;i&gt;a&lt;/i&gt;"


def test_a_bar_far_above_the_others_is_cut_and_says_how_high_it_is():
    values = torch.cat([torch.zeros(90), torch.linspace(0.5, 1, 10)])
    figure = figures.histogram(values)
    assert figure.layout.yaxis.range[1] < max(figure.data[0].y) == pytest.approx(90)
    assert [note.text for note in figure.layout.annotations] == ["90 %"]
    assert not figures.histogram(torch.linspace(0, 1, 200)).layout.annotations


def test_every_histogram_can_be_drawn_in_the_same_widget():
    empty, dead = figures.histogram(None), figures.histogram(torch.ones(5), samples=torch.ones(2))
    assert [trace.type for trace in empty.data] == [trace.type for trace in dead.data] == ["bar", "scatter"]


def test_the_bars_of_the_coverage_that_are_not_empty_are_the_parts_that_count(found):
    bars = figures.coverage(found).data[0]
    assert sum(bars.y) == len(found) and len(bars.y) == 20
    assert sum(y > 0 for y in bars.y) / 20 == pytest.approx(float(found.coverage[0]))


def test_samples_outside_the_band_fill_no_part_of_it(found):
    beside = replace(found, limits=torch.tensor([[4.0, 5.0]]), values=torch.tensor([[3.6], [8.7]]))
    ends = replace(beside, values=torch.tensor([[4.0], [5.0], [5.01]]))
    assert beside.coverage.tolist() == [0.0] and ends.coverage.tolist() == pytest.approx([0.1])
    for one in (beside, ends):
        filled = sum(y > 0 for y in figures.coverage(one).data[0].y)
        assert filled / 20 == pytest.approx(float(one.coverage[0]))


def test_a_row_shows_samples_in_the_order_of_their_activations(found):
    figure = figures.rows([found, found], (0, 1), columns=5)
    assert len(figure.data) == 2
    titles = [note.text.strip() for note in figure.layout.annotations]
    assert titles == ["class 1 from 0 to 0.4"] * 2
    order = found.values[:, 0].argsort()
    expected = (255 * found.outputs[order[0], 0].clamp(0, 1)).round()
    drawn = Image.open(io.BytesIO(base64.b64decode(figure.data[0].source.partition(",")[2])))
    assert np.array_equal(np.asarray(drawn)[1:4, 1:4], expected)


def test_a_row_of_a_band_that_was_not_reached_says_so(found):
    none = {name: getattr(found, name)[:0] for name in ("codes", "outputs", "values", "walker", "step")}
    near = {f"nearest_{name}": getattr(found, name)[:2] for name in ("codes", "outputs", "values")}
    figure = figures.rows([replace(found, **none, **near)], (0, 1))
    assert "not reached" in figure.layout.annotations[0].text
