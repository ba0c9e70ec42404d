"""Singular values and right singular vectors of a network's Jacobian: exact, matrix-free, stochastic."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.numerics.jacobians import Linearisation, Passes
from workbench.numerics.randomness import seeded
from workbench.numerics.tangents import BatchedFunction
from workbench.progress import Step

Route = Literal["auto", "exact", "matrix-free", "stochastic"]

#: The exact route holds latents x outputs numbers; beyond this many bytes `auto` goes matrix-free.
EXACT_BYTES = 1 << 30
#: Up to this many latents the full Jacobian costs no more than a good randomised range finder.
EXACT_LATENTS = 512
#: Of the matrix-free route: multiplications with J^T J, and rows beyond those that are wanted.
_ITERATIONS, _OVERSAMPLING = 2, 6


@dataclass(frozen=True)
class Spectrum:
    """The (leading) singular values and right singular vectors of J = dphi(G(z))/dz at one point.

    Attributes:
        singular_values: (r,), descending.
        directions: (r, n), orthonormal rows.
        latents: n.
        energy: the squared Frobenius norm of J (estimated from random probes unless `complete`).
        complete: whether the directions that are not listed are known to change nothing.
        route: how it was computed.
        passes: what it cost.
        output: (*output) the function's value at the point.
    """

    singular_values: Float[Tensor, " r"]
    directions: Float[Tensor, "r n"]
    latents: int
    energy: float
    complete: bool
    route: str
    passes: Passes
    output: Tensor

    @property
    def remaining_scale(self) -> float:
        """Root mean square singular value of the directions that are not listed (0 if complete)."""
        rest = self.latents - len(self.singular_values)
        if rest == 0 or self.complete:
            return 0.0
        return max(self.energy - float(self.singular_values.double().square().sum()), 0.0) ** 0.5 / rest**0.5


def choose_route(latents: int, outputs: int, element_size: int = 4) -> Route:
    """`exact` while the whole Jacobian is cheap and small, else `matrix-free`."""
    small = latents * outputs * element_size <= EXACT_BYTES
    return "exact" if latents <= EXACT_LATENTS and small else "matrix-free"


def spectrum_steps(
    function: BatchedFunction,
    point: Float[Tensor, " *latent"],
    *,
    route: Route = "auto",
    rank: int = 16,
    rows: int = 50,
    seed: int = 0,
) -> Generator[Step, None, Spectrum]:
    """The spectrum at `point`, yielding after every chunk of passes; see the routes' own functions.

    Args:
        rank: directions of the matrix-free route.
        rows: output elements of the stochastic route.
    """
    linear = Linearisation(function, point)
    if route == "auto":
        route = choose_route(linear.latents, linear.output.numel(), point.element_size())
    if route == "exact":
        return (yield from _exact(linear))
    if route == "matrix-free":
        return (yield from _block_krylov(linear, rank=rank, seed=seed))
    if route == "stochastic":
        return (yield from _stochastic(linear, rows=rows, seed=seed))
    raise ValueError(f"route={route!r}; expected 'auto', 'exact', 'matrix-free' or 'stochastic'")


def _exact(linear: Linearisation) -> Generator[Step, None, Spectrum]:
    """All columns of J by forward mode, then the symmetric eigenproblem of the n x n matrix J^T J.

    In double precision, so that squaring the condition number costs nothing that float32 had.
    """
    n = linear.latents
    identity = torch.eye(n, device=linear.point.device, dtype=linear.point.dtype)
    parts = []
    for part in linear.push_chunks(identity):
        parts.append(part)
        yield Step(sum(map(len, parts)), n, "Jacobian")
    columns = torch.cat(parts)  # row i is dG/dz_i
    wide = _double(columns)
    m = wide.shape[1]
    values, vectors = torch.linalg.eigh(wide @ wide.T)
    keep = min(n, m)
    order = torch.arange(n - 1, n - 1 - keep, -1, device=values.device)
    singular = values[order].clamp_min(0).sqrt().to(linear.point)
    return Spectrum(
        singular_values=singular,
        directions=_signed(vectors[:, order].T.to(linear.point)),
        latents=n,
        energy=float(wide.square().sum()),
        complete=True,
        route="exact",
        passes=linear.passes,
        output=linear.output.detach(),
    )


def _block_krylov(linear: Linearisation, *, rank: int, seed: int) -> Generator[Step, None, Spectrum]:
    """The leading `rank` directions from products with J and J^T only (randomised block Krylov).

    Musco and Musco, "Randomized block Krylov methods for stronger and faster approximate singular
    value decomposition", NeurIPS 2015, algorithm 2, on the latents' side of J. At most
    `rank + _OVERSAMPLING` rows of the outputs' size are held at a time.
    """
    n = linear.latents
    block = min(n, rank + _OVERSAMPLING)
    total = 2 * block * (_ITERATIONS + 1)
    current = torch.randn(block, n, generator=seeded(seed)).to(linear.point)
    basis: list[Tensor] = []
    products: list[Tensor] = []  # rows of J^T J q for the rows q of the basis
    energy = done = 0.0
    for index in range(_ITERATIONS + 1):
        rows = _orthonormal(current, basis)
        if not len(rows):  # the Krylov space is exhausted, so it is exact
            break
        pushed = linear.push(rows)
        if index == 0:  # E |J q|² = |J|_F² / n for a random unit vector q
            energy = float(_double(pushed).square().sum()) * n / len(rows)
        current = linear.pull(pushed)
        basis.append(_double(rows))
        products.append(_double(current))
        done += 2 * len(rows)
        yield Step(int(done), total, "block Krylov")
    subspace = torch.cat(basis)
    gram = torch.cat(products) @ subspace.T
    values, vectors = torch.linalg.eigh((gram + gram.T) / 2)
    keep = min(rank, len(subspace))
    order = torch.arange(len(values) - 1, len(values) - 1 - keep, -1, device=values.device)
    singular = values[order].clamp_min(0).sqrt()
    directions = vectors[:, order].T @ subspace
    return Spectrum(
        singular_values=singular.to(linear.point),
        directions=_signed(directions.to(linear.point)),
        latents=n,
        energy=max(energy, float(singular.square().sum())),
        complete=keep == n,
        route="matrix-free",
        passes=linear.passes,
        output=linear.output.detach(),
    )


def _stochastic(linear: Linearisation, *, rows: int, seed: int) -> Generator[Step, None, Spectrum]:
    """The SVD of the gradients of `rows` random output elements: the authors' "stochastic Jacobian"."""
    linear.linearise()  # gives the output too, in the same pass
    outputs = linear.output.numel()
    rows = min(rows, outputs)
    chosen = torch.randperm(outputs, generator=seeded(seed))[:rows]
    cotangents = torch.zeros(rows, outputs, device=linear.point.device, dtype=linear.point.dtype)
    cotangents[torch.arange(rows), chosen.to(cotangents.device)] = 1
    gradients = linear.pull(cotangents)
    yield Step(rows, rows, "gradients of random outputs")
    scaled = _double(gradients) * (outputs / rows) ** 0.5  # an unbiased estimate of J^T J
    _, singular, directions = torch.linalg.svd(scaled, full_matrices=False)
    return Spectrum(
        singular_values=singular.to(linear.point),
        directions=_signed(directions.to(linear.point)),
        latents=linear.latents,
        energy=float(scaled.square().sum()),
        complete=len(singular) == linear.latents,
        route="stochastic",
        passes=linear.passes,
        output=linear.output.detach(),
    )


def _double(tensor: Tensor) -> Tensor:
    """`tensor` in double precision, on the CPU where the device has none (MPS)."""
    return tensor.double() if tensor.device.type != "mps" else tensor.cpu().double()


def _orthonormal(rows: Tensor, against: list[Tensor]) -> Tensor:
    """Orthonormal rows spanning `rows` outside the span of `against`; fewer where they are dependent."""
    wide = _double(rows)
    wide = wide / wide.norm(dim=1, keepdim=True).clamp_min(1e-300)
    for _ in range(2):  # twice is enough (Kahan and Parlett)
        for other in against:
            wide = wide - (wide @ other.T) @ other
    _, singular, right = torch.linalg.svd(wide, full_matrices=False)
    kept = right[singular > 1e-6 * max(float(singular[0]), 1e-300)] if len(singular) else right
    room = rows.shape[1] - sum(len(b) for b in against)
    return kept[: max(room, 0)].to(rows)


def _signed(directions: Tensor) -> Tensor:
    """Each row with its largest component positive: a singular vector's sign is otherwise arbitrary."""
    largest = directions.abs().argmax(1, keepdim=True)
    return directions * directions.gather(1, largest).sign()
