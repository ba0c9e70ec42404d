"""The nearest point of a polyhedron within a box, for many small problems at once."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def onto_polyhedron(
    point: Float[Tensor, "n d"],
    normals: Float[Tensor, "n m d"],
    offsets: Float[Tensor, "n m"],
    *,
    low: Float[Tensor, "*#n d"],
    high: Float[Tensor, "*#n d"],
    equality: Bool[Tensor, " m"] | None = None,
    multipliers: Float[Tensor, "n m"] | None = None,
    rounds: int = 4,
    sweeps: int = 8,
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n m"]]:
    """argmin |u - point| subject to `normals @ u <= offsets` and `low <= u <= high`.

    By its dual in m unknowns: u = clip(point - normals^T lambda), lambda >= 0. Each round takes the box's
    active set as it is and solves the small problem that is left by coordinate ascent (a semismooth Newton
    step). A few rounds are enough for a step that is tried out anyway; for an exact answer give more.

    Args:
        offsets: +inf where a constraint is not there.
        equality: True where `<=` is `=`.
        multipliers: to start from, such as those of a neighbouring problem.

    Returns:
        The points, and lambda.
    """
    absent = torch.isinf(offsets)
    normals = normals.masked_fill(absent[..., None], 0)
    least = torch.zeros(normals.shape[1], device=point.device, dtype=point.dtype)
    if equality is not None:
        least = least.masked_fill(equality, -torch.inf)
    lam = torch.zeros_like(offsets) if multipliers is None else multipliers.masked_fill(absent, 0)
    for _ in range(rounds):
        straight = point - torch.einsum("nmd,nm->nd", normals, lam)
        u = torch.minimum(torch.maximum(straight, low), high)
        inside = normals * (straight == u)[:, None]
        gram = inside @ normals.mT
        excess = torch.einsum("nmd,nd->nm", normals, u) - offsets
        wanted = excess.masked_fill(absent, -1) + torch.einsum("nmk,nk->nm", gram, lam)
        lam = _ascend(gram, wanted, lam, least, sweeps)
    straight = point - torch.einsum("nmd,nm->nd", normals, lam)
    return torch.minimum(torch.maximum(straight, low), high), lam


def _ascend(gram: Tensor, wanted: Tensor, start: Tensor, least: Tensor, sweeps: int) -> Tensor:
    """max_lambda lambda wanted - lambda gram lambda / 2 over lambda >= least, coordinate by coordinate."""
    diagonal = gram.diagonal(dim1=1, dim2=2)
    flat = diagonal <= 1e-30
    diagonal = diagonal.masked_fill(flat, 1)
    columns = list(start.unbind(1))
    for _ in range(1 if len(columns) == 1 else sweeps):
        for c in range(len(columns)):
            slope = wanted[:, c] - (gram[:, c] * torch.stack(columns, 1)).sum(1)
            moved = torch.maximum(columns[c] + slope / diagonal[:, c], least[c])
            columns[c] = torch.where(flat[:, c], columns[c], moved)
    return torch.stack(columns, 1)
