"""Projections onto polyhedra in a box against closed forms and an independent solver."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from workbench.numerics.projections import onto_polyhedron


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


UNBOUNDED = {"low": torch.tensor(-math.inf).double(), "high": torch.tensor(math.inf).double()}


def test_one_halfspace_gives_the_orthogonal_projection():
    point, normal = drawn(5, 7), drawn(5, 1, 7, seed=1)
    offset = (normal[:, 0] * point).sum(1) - 1.0
    u, lam = onto_polyhedron(point, normal, offset[:, None], **UNBOUNDED)
    torch.testing.assert_close(u, point - normal[:, 0] / normal[:, 0].square().sum(1, keepdim=True))
    assert (lam > 0).all()


def test_a_point_inside_stays():
    point, normal = drawn(5, 7), drawn(5, 3, 7, seed=1)
    offsets = torch.einsum("nmd,nd->nm", normal, point) + 1
    u, lam = onto_polyhedron(point, normal, offsets, **UNBOUNDED)
    assert torch.equal(u, point)
    assert not lam.any()


def test_an_equality_holds_from_either_side():
    point, normal = drawn(6, 4), drawn(6, 1, 4, seed=1)
    for shift in (-1.0, 1.0):
        offset = (normal[:, 0] * point).sum(1) + shift
        u, _ = onto_polyhedron(point, normal, offset[:, None], equality=torch.tensor([True]), **UNBOUNDED)
        torch.testing.assert_close((normal[:, 0] * u).sum(1), offset)


def test_absent_constraints_change_nothing():
    point, normals = drawn(4, 6), drawn(4, 3, 6, seed=1)
    offsets = torch.einsum("nmd,nd->nm", normals, point) - 1
    offsets[:, 1] = math.inf
    u, lam = onto_polyhedron(point, normals, offsets, **UNBOUNDED, rounds=8, sweeps=200)
    two, _ = onto_polyhedron(point, normals[:, ::2], offsets[:, ::2], **UNBOUNDED, rounds=8, sweeps=200)
    torch.testing.assert_close(u, two)
    assert not lam[:, 1].any()


@pytest.mark.parametrize("equalities", [0, 1])
def test_several_constraints_in_a_box_agree_with_slsqp(equalities):
    point = torch.rand(6, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    normals = drawn(6, 3, 8, seed=3)
    offsets = torch.einsum("nmd,nd->nm", normals, point) - 0.4
    equality = torch.tensor([k < equalities for k in range(3)])
    low, high = torch.zeros(8).double(), torch.ones(8).double()
    u, _ = onto_polyhedron(point, normals, offsets, low=low, high=high, equality=equality, rounds=40, sweeps=200)
    for p, a, b, found in zip(point.numpy(), normals.numpy(), offsets.numpy(), u.numpy(), strict=True):
        constraints = [
            {"type": "eq" if eq else "ineq", "fun": lambda v, r=r, c=c: c - r @ v, "jac": lambda v, r=r: -r}
            for r, c, eq in zip(a, b, equality, strict=True)
        ]
        best = minimize(
            lambda v, p=p: 0.5 * ((v - p) ** 2).sum(), p, jac=lambda v, p=p: v - p,
            bounds=[(0, 1)] * 8, constraints=constraints, options={"ftol": 1e-10, "maxiter": 500},
        )  # fmt: skip
        assert best.success
        np.testing.assert_allclose(found, best.x, atol=1e-4)
