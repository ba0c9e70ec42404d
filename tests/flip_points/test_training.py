"""Which rows are nearest, farthest or drawn, and which label a flip point is trained with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import workbench as wb
from workbench.flip_points import (
    FlipPointError,
    FlipPoints,
    closest,
    farthest_rows,
    nearest_rows,
    random_rows,
    training_data,
)


@dataclass(frozen=True)
class Rows:
    distances: Tensor
    found: Tensor


ROWS = Rows(torch.tensor([0.5, 0.1, math.inf, 0.3, 0.9]), torch.tensor([True, True, False, True, True]))


def test_the_nearest_come_in_order_and_the_farthest_have_a_flip_point_too():
    assert nearest_rows(ROWS, 3).tolist() == [1, 3, 0]
    assert farthest_rows(ROWS, 2).tolist() == [4, 0]  # row 2 has none, so its distance is not known


def test_random_rows_are_some_of_those_with_a_flip_point_and_the_same_for_a_seed():
    drawn = {tuple(random_rows(ROWS, 2, seed=seed).tolist()) for seed in range(40)}
    assert len(drawn) == 12  # every ordered pair of the four rows
    assert all(2 not in pair and len(set(pair)) == 2 for pair in drawn)
    assert torch.equal(random_rows(ROWS, 3, seed=7), random_rows(ROWS, 3, seed=7))


@pytest.mark.parametrize("choose", [nearest_rows, farthest_rows, random_rows])
@pytest.mark.parametrize("count", [0, 5])
def test_more_rows_than_there_are_is_refused(choose, count):
    with pytest.raises(FlipPointError, match="expected 1 to 4"):
        choose(ROWS, count)


@pytest.fixture(scope="module")
def found() -> FlipPoints:
    """Flip points of the classifier x_0 against x_1, whose boundary is the diagonal."""
    C = wb.Classifier(nn.Identity(), (2,), value_range=(0, 1), device="cpu")
    return closest(C, torch.tensor([[0.8, 0.2], [0.1, 0.7], [0.9, 0.5]]), effort="fast")


def test_a_mistakes_flip_point_gets_the_label_that_the_mistake_should_have(found):
    points, labels = training_data(found, [1, 1, 0]).tensors  # only the first is misread
    torch.testing.assert_close(points, torch.tensor([[0.5, 0.5]]))
    assert labels.tolist() == [1]
    assert (points.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_a_correct_querys_flip_point_keeps_its_label(found):
    points, labels = training_data(found, [1, 1, 0], "correct").tensors
    torch.testing.assert_close(points, torch.tensor([[0.4, 0.4], [0.7, 0.7]]))
    assert labels.tolist() == [1, 0]
    assert len(training_data(found, [1, 1, 0], "all")) == 3


def test_of_several_targets_every_flip_point_has_its_querys_label():
    C = wb.Classifier(nn.Identity(), (3,), value_range=(0, 1), device="cpu")
    three = closest(C, torch.tensor([[0.8, 0.2, 0.4], [0.1, 0.2, 0.7]]), targets="all", effort="fast")
    data = training_data(three, [2, 2], "all")
    assert [int(label) for _, label in data] == [2, 2, 2, 2]
    assert len(training_data(three, [2, 2], "mistakes")) == 2


def test_labels_of_another_number_of_queries_are_refused(found):
    with pytest.raises(FlipPointError, match="one class for each query"):
        training_data(found, [0, 1])
    with pytest.raises(FlipPointError, match="has 0 to 1"):
        training_data(found, [0, 3, 0])
    with pytest.raises(FlipPointError, match="'mistakes', 'correct' or 'all'"):
        training_data(found, [0, 1, 0], "wrong")


def test_training_on_a_mistakes_flip_point_moves_the_boundary_toward_the_mistake(found):
    """A linear network that is trained on with the flip point of one mistake takes it for the right class."""
    x, truth = found.inputs.float(), torch.tensor([1, 1, 0])
    extra, labels = training_data(found, truth).tensors
    network = nn.Linear(2, 2)
    with torch.no_grad():
        network.weight.copy_(torch.eye(2) * 4)
        network.bias.zero_()
    before = network(x)[0].softmax(0)[1].item()
    optimiser = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(extra), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert network(x)[0].softmax(0)[1].item() > before + 0.1
