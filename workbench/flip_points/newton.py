"""Newton steps of many rows at once: stage 4 of the batched solver, see `workbench.flip_points.batched`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.flip_points.rows import Constraints, Rows
from workbench.numerics.projections import onto_polyhedron

#: Newton's step of a row that rests: shorter than so much of the way from the query, or shortened so much in vain.
SETTLED, SHORTEST = 1e-7, 0.02


def newton(
    rows: Rows, v: Float[Tensor, "rows d"], constraints: Constraints, *, steps: int
) -> Iterator[Float[Tensor, "rows d"]]:
    """Stage 4, from points near the boundary: the nearest point where the constraints hold.

    Each step projects v - t (v - x) on the linearised constraints; t = 1 is the query itself, and other t
    take the boundary's curvature into account (Barzilai and Borwein 1988, on the Lagrangian's gradient).
    A step that raises the exact penalty |v - x|^2 / 2 + rho (|h_0| + sum max(h_k, 0)) by more than a
    twentieth is shortened; a little is allowed, as curved boundaries need it (the Maratos effect). A row rests
    when its step is negligible, or when no step is short enough, as at a kink.
    Yields v after every step; the last one has been landed on the boundary.
    """
    every = rows
    ended = v.clone()
    going = torch.arange(len(v), device=v.device)
    _, values, gradients = rows.heights(v, *constraints.functions)
    t = torch.ones_like(v[:, :1])
    shorter = torch.ones_like(t)
    rho = torch.zeros_like(v[:, 0])
    best, kept = torch.full_like(rho, torch.inf), v
    for _ in range(steps + 1):
        away = v - rows.origin
        off = constraints.unmet(values) / gradients[:, 0].norm(dim=1).clamp_min(1e-12)
        length = away.norm(dim=1)
        reach = torch.where(off <= 0.02 * length, length + 2 * off, torch.inf)  # about where landing would end
        kept = torch.where((reach < best)[:, None], v, kept)
        best = torch.minimum(reach, best)
        aim, lam = _linearised(rows, v, v - t * away, values, gradients, constraints, sweeps=20)
        lam = lam / t
        rho = torch.maximum(0.7 * rho, 1.5 * lam.abs().amax(1))
        tried = rows.clip(v + shorter * (aim - v))
        _, new_values, new_gradients = rows.heights(tried, *constraints.functions)
        before = away.square().sum(1) / 2 + rho * constraints.unmet(values)
        after = (tried - rows.origin).square().sum(1) / 2 + rho * constraints.unmet(new_values)
        fine = (after <= 1.05 * before + 0.05 * rho * constraints.unmet(values))[:, None]
        change = tried - v
        bent = change + torch.einsum("nmd,nm->nd", new_gradients - gradients, lam)
        curvature = (change * bent).sum(1, keepdim=True)
        size = change.square().sum(1, keepdim=True)
        fitted = torch.where(curvature > 1e-300, size / curvature.clamp_min(1e-300), 2.0).clamp(0.05, 4.0)
        rests = (size[:, 0].sqrt() <= SETTLED * length) | (~fine & (shorter <= SHORTEST))[:, 0]
        t = torch.where(fine & (size > 1e-24), fitted, t)
        shorter = torch.where(fine, 1.0, (shorter * 0.4).clamp_min(SHORTEST))
        v = torch.where(fine, tried, v)
        values = torch.where(fine, new_values, values)
        gradients = torch.where(fine[..., None], new_gradients, gradients)
        ended[going] = torch.where(torch.isinf(best)[:, None], v, kept)
        if bool(rests.any()):
            on = ~rests
            rows, going = rows[on], going[on]
            v, values, gradients, t, shorter, rho, best, kept = (
                part[on] for part in (v, values, gradients, t, shorter, rho, best, kept)
            )
        yield ended
        if not len(going):
            break
    yield restored(every, ended, constraints, steps=4)


def restored(
    rows: Rows, v: Float[Tensor, "rows d"], constraints: Constraints, *, steps: int
) -> Float[Tensor, "rows d"]:
    """A point close to `v` where the constraints hold better, by Gauss-Newton steps, halved where they fail."""
    _, values, gradients = rows.heights(v, *constraints.functions)
    share = torch.ones_like(v[:, :1])
    for _ in range(steps):
        aim, _ = _linearised(rows, v, v, values, gradients, constraints, sweeps=40)
        tried = v + share * (aim - v)
        _, new_values, new_gradients = rows.heights(tried, *constraints.functions)
        better = (constraints.unmet(new_values) < constraints.unmet(values))[:, None]
        v = torch.where(better, tried, v)
        values = torch.where(better, new_values, values)
        gradients = torch.where(better[..., None], new_gradients, gradients)
        share = torch.where(better, 1.0, share / 2)
    return v


def _linearised(
    rows: Rows,
    v: Tensor,
    near: Tensor,
    values: Tensor,
    gradients: Tensor,
    constraints: Constraints,
    *,
    sweeps: int,
) -> tuple[Tensor, Tensor]:
    """The point nearest to `near` where the constraints, linearised at `v`, hold; and their multipliers."""
    return onto_polyhedron(
        near,
        gradients,
        torch.einsum("nmd,nd->nm", gradients, v) - values,
        low=rows.low,
        high=rows.high,
        equality=torch.arange(gradients.shape[1], device=v.device) < constraints.equalities,
        rounds=6,
        sweeps=sweeps,
    )
