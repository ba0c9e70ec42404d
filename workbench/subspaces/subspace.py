"""The differential subspace at a latent: singular vectors of the Jacobian, drawn by their singular values."""

from __future__ import annotations

import time
from collections.abc import Generator as Steps
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.models import Generator, as_generator
from workbench.models.generator import Condition
from workbench.numerics.randomness import seeded
from workbench.numerics.spectra import Route, Spectrum, spectrum_steps
from workbench.progress import Progress, Step, run
from workbench.results import Provenance, Result, call
from workbench.subspaces.drawing import DirectionPool
from workbench.subspaces.features import Features, Pixels, composed, written

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Subspace(Result):
    """The directions drawn at one latent, with the spectrum that they were drawn from.

    Attributes:
        centre: (*latent) the point.
        output: (*output) its image or signal.
        directions: (dims, *latent) orthonormal, drawn without replacement with probability
            proportional to the singular value (plus 1e-6).
        singular_values: (dims,) change of the features for a unit step along each.
        indices: (dims,) place of each in the spectrum, 0 the strongest; -1 for a random direction
            outside the computed part of a matrix-free spectrum.
        spectrum: (r,) the singular values that were computed, descending.
        complete: whether that is the whole spectrum.
        remaining_scale: root mean square singular value of the directions not in `spectrum`.
        route: how the spectrum was computed: exact, matrix-free or stochastic.
    """

    centre: Float[Tensor, " *latent"]
    output: Float[Tensor, " *output"]
    directions: Float[Tensor, "dims *latent"]
    singular_values: Float[Tensor, " dims"]
    indices: Int[Tensor, " dims"]
    spectrum: Float[Tensor, " r"]
    complete: bool
    remaining_scale: float
    route: str

    def frame(self) -> pd.DataFrame:
        """One row a computed direction: singular value, probability of being drawn first, drawn place."""
        import pandas as pd

        values = self.spectrum.double().cpu()
        rest = (self.centre.numel() - len(values)) * (self.remaining_scale + DirectionPool.floor)
        weights = values + DirectionPool.floor
        drawn = {int(i): place for place, i in enumerate(self.indices)}
        return pd.DataFrame(
            {
                "singular_value": values.numpy(),
                "probability": (weights / (weights.sum() + rest)).numpy(),
                "drawn": pd.array([drawn.get(i) for i in range(len(values))], dtype="Int64"),
            }
        )


class Draws:
    """The endless sequence of directions at one point, the same for a seed however it is walked.

    Directions that a matrix-free spectrum does not list are drawn too, with the root mean square of
    what is left of the Jacobian's energy, as random unit vectors orthogonal to all others: the
    search stays ergodic.
    """

    def __init__(self, spectrum: Spectrum, *, seed: int) -> None:
        self.spectrum = spectrum
        listed = len(spectrum.singular_values)
        weights = torch.full((spectrum.latents,), spectrum.remaining_scale, dtype=torch.float64)
        weights[:listed] = spectrum.singular_values.double().cpu()
        self._listed = listed
        self._pool = DirectionPool(weights)
        self._generator = seeded(seed)
        self._drawn: list[tuple[int, Tensor, float]] = []

    def __getitem__(self, number: int) -> tuple[int, Float[Tensor, " n"], float]:
        """Draw `number` (0 the first): place in the spectrum, unit direction, singular value."""
        while len(self._drawn) <= number:
            self._drawn.append(self._next())
        return self._drawn[number]

    def _next(self) -> tuple[int, Tensor, float]:
        index = int(self._pool.draw(self._generator))
        if index < self._listed:
            return index, self.spectrum.directions[index], float(self.spectrum.singular_values[index])
        return -1, self._outside(), self.spectrum.remaining_scale

    def _outside(self) -> Tensor:
        """A random unit vector orthogonal to the spectrum's directions and to those given before."""
        like = self.spectrum.directions
        known = torch.cat([like, *(d[None] for i, d, _ in self._drawn if i < 0)]).double().cpu()
        known = known[-(self.spectrum.latents - 1) :]
        vector = torch.randn(self.spectrum.latents, generator=self._generator, dtype=torch.float64)
        for _ in range(2):
            vector = vector - known.T @ (known @ vector)
        return (vector / vector.norm()).to(like)


def subspace_steps(
    generator: Generator,
    z: Any,
    dims: int = 1,
    *,
    seed: int = 0,
    features: Features | None = None,
    condition: Condition = None,
    route: Route = "auto",
    rank: int = 16,
) -> Steps[Step, None, Subspace]:
    """The steps of `subspace`, one a chunk of passes."""
    as_generator(generator).check_differentiable()
    centre = generator.point(z)
    if not 1 <= dims <= centre.numel():
        raise ValueError(
            f"dims={dims}; a latent of {centre.numel()} numbers has subspaces of 1 to {centre.numel()}"
        )
    phi = features or Pixels()
    started = time.perf_counter()
    spectrum = yield from spectrum_steps(
        composed(generator, phi, condition), centre, route=route, rank=max(rank, dims), seed=seed
    )
    drawn = Draws(spectrum, seed=seed)
    chosen = [drawn[i] for i in range(dims)]
    output = spectrum.output if isinstance(phi, Pixels) else generator.render(centre[None], condition)[0]
    options: dict[str, Any] = {"dims": dims, "seed": seed, "route": route, "rank": rank}
    if condition is not None:
        options["condition"] = condition
    line = call("wb.subspaces.subspace", "G", "z", f"features={written(phi)}", **options)
    return Subspace(
        provenance=Provenance.of(generator, call=line, seed=seed, passes=asdict(spectrum.passes), started=started),
        centre=centre,
        output=output,
        directions=torch.stack([d for _, d, _ in chosen]).reshape(dims, *centre.shape),
        singular_values=torch.tensor([s for _, _, s in chosen]),
        indices=torch.tensor([i for i, _, _ in chosen]),
        spectrum=spectrum.singular_values,
        complete=spectrum.complete,
        remaining_scale=spectrum.remaining_scale,
        route=spectrum.route,
    )


def subspace(
    generator: Generator,
    z: Any,
    dims: int = 1,
    *,
    seed: int = 0,
    features: Features | None = None,
    condition: Condition = None,
    route: Route = "auto",
    rank: int = 16,
    progress: Progress | None = None,
) -> Subspace:
    """The `dims`-dimensional differential subspace of a generator at the latent `z`.

    Chiu et al., "Human-in-the-loop differential subspace search in high-dimensional latent space",
    ACM Transactions on Graphics 39(4), 2020: right singular vectors of the Jacobian, drawn at random
    with probability proportional to their singular values.

    Args:
        generator: the generator.
        z: one latent, (*latent_shape) or (1, *latent_shape).
        dims: directions to draw.
        seed: of the draws, and of the random start of the matrix-free route.
        features: what counts as a change, a differentiable map of the output; pixels by default.
        condition: class or embedding of a class-conditional generator.
        route: `"exact"` (the full Jacobian by forward mode, then the eigenproblem of J^T J),
            `"matrix-free"` (randomised block Krylov on products with J and J^T; J is never built),
            `"stochastic"` (the gradients of 50 random outputs, the authors' short cut), or `"auto"`:
            exact up to 512 latents while J is below 1 GiB, else matrix-free.
        rank: directions that the matrix-free route computes.
        progress: told each step; returning False cancels.

    Raises:
        ModelError: `z` has another shape or is not finite.
        ValueError: `dims` or `route` out of range.
        Cancelled: `progress` returned False.
    """
    steps = subspace_steps(
        generator, z, dims, seed=seed, features=features, condition=condition, route=route, rank=rank
    )
    return run(steps, progress)
