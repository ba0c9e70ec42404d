"""A linear basis under the input gives coefficients, keeps lengths where it is orthonormal, and never trains."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.models import LinearFeatures, ModelError


@pytest.fixture
def basis() -> Tensor:
    """Five orthonormal rows over images (1, 4, 4)."""
    drawn = torch.randn(16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    return torch.linalg.qr(drawn).Q.T


def test_a_coefficient_is_the_inner_product_with_its_row(basis: Tensor) -> None:
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    features = LinearFeatures(basis)(x)
    assert features.shape == (3, 5)
    for image, row in zip(x, features, strict=True):
        assert torch.allclose(row, (basis.view(5, 1, 4, 4) * image).sum((1, 2, 3)))


def test_a_step_within_the_span_is_as_long_in_features_as_in_pixels(basis: Tensor) -> None:
    x = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    step = torch.tensor([[0.3, -0.1, 0.0, 2.0, 1.0]], dtype=torch.double)
    layer = LinearFeatures(basis)
    moved = layer(x + (step @ basis).view(1, 1, 4, 4)) - layer(x)
    assert torch.allclose(moved, step)


def test_the_basis_is_stored_and_never_trained(basis: Tensor) -> None:
    layer = LinearFeatures(basis)
    assert list(layer.parameters()) == []
    assert torch.equal(layer.state_dict()["basis"], basis)
    assert repr(layer) == "LinearFeatures(inputs=16, features=5)"


@pytest.mark.parametrize("wrong", [torch.zeros(16), torch.zeros(5, 4, 4), torch.zeros(5, 16, dtype=torch.int)])
def test_a_basis_that_is_no_matrix_of_real_numbers_is_refused(wrong: Tensor) -> None:
    with pytest.raises(ModelError, match=r"of shape \(features, inputs\)"):
        LinearFeatures(wrong)


def test_inputs_of_another_size_are_refused(basis: Tensor) -> None:
    with pytest.raises(ModelError, match=r"25 numbers \(shape \(1, 5, 5\)\), the basis is over 16"):
        LinearFeatures(basis)(torch.zeros(2, 1, 5, 5))
