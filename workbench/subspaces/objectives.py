"""Objectives of the search simulations: losses over a latent space with a line search per slider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models import Generator
from workbench.models.priors import Prior, Uniform
from workbench.numerics.spectra import spectrum_steps
from workbench.progress import run
from workbench.subspaces.line import PAPER_SHARE, half_length

#: Singular values and right singular vectors (rows) of an objective's Jacobian, strongest first.
Directions = tuple[Float[Tensor, " r"], Float[Tensor, "r n"]]

#: The synthetic objective's Jacobian: of x_d squared, as in the authors' code, or of x_d itself.
JacobianOf = Literal["squared", "exact"]


@dataclass(frozen=True)
class Slider:
    """A straight line z = anchor + u direction, scrubbed from t = 0 (u = low) to t = 1 (u = high).

    The anchor is the point that the searcher stands on; it need not be an end.
    """

    anchor: Float[Tensor, " n"]
    direction: Float[Tensor, " n"]
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def around(cls, centre: Tensor, direction: Tensor, half: float) -> Slider:
        """The line through `centre` (at t = 0.5) along a unit `direction`, `half` long on each side."""
        return cls(centre, direction, -half, half)

    def at(self, t: float) -> Float[Tensor, " n"]:
        """The latent at position `t`."""
        return self.anchor + self.along(t) * self.direction

    def along(self, t: float) -> float:
        """u at position `t`."""
        return self.low + t * (self.high - self.low)


@dataclass(frozen=True)
class Settled:
    """Where an ideal user leaves each of k sliders.

    Attributes:
        positions: (k,) t in [0, 1].
        losses: (k,) float64, the lowest loss found on each.
    """

    positions: Float[Tensor, " k"]
    losses: Float[Tensor, " k"]


class Objective(Protocol):
    """A loss over latents (n,), lower is better, with what the searchers may ask of the model under it."""

    dimension: int
    #: Half-length of a slider around a centre.
    half_length: float
    #: Half-side of the cube that Bayesian optimisation searches.
    box: float
    #: A latent of the lowest loss; known to the simulation, never to a searcher.
    optimum: Tensor

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "count n"]:
        """Draws of the prior."""
        ...

    def outputs(self, z: Float[Tensor, "batch n"]) -> Float[Tensor, "batch m"]:
        """What the model makes of latents."""
        ...

    def loss(self, z: Float[Tensor, "batch n"]) -> Float[Tensor, " batch"]:
        """The loss, float64."""
        ...

    def spectrum(self, z: Float[Tensor, " n"], *, of: JacobianOf = "squared") -> Directions:
        """All min(n, m) directions of the outputs' Jacobian."""
        ...

    def sampled_spectrum(self, z: Float[Tensor, " n"], rows: int, generator: torch.Generator) -> Directions:
        """The same from the gradients of `rows` random outputs only."""
        ...

    def search(self, sliders: Sequence[Slider]) -> Settled:
        """The lowest loss on each slider."""
        ...


class Synthetic:
    """Chiu et al. 2020, section 4: a Rastrigin-like loss of m anisotropic distances from an optimum s.

    x_d = sqrt((z - s)^T A_d (z - s)) and loss = sum_d x_d^2 + a_d (1 - cos 2 pi x_d), which is the
    negative of the paper's goodness, with A_d = Q_d^T diag(alpha_d U(0.01, 1)) Q_d, alpha_d ~
    U(0.01, 10), a_d = gamma alpha_d^2 and s ~ U(-1.25, 1.25)^n. As in the authors' code each d has a
    rotation of its own, the orthogonal factor of a matrix of U(0, 1) numbers, which is not uniform
    over rotations. All A_d take 4 m n^2 bytes (1.07 GB for n = 512, m = 1024).

    Args:
        dimension: n.
        outputs: m.
        gamma: weight of the ripples; 2 in the paper's global tests, 0 in its local ones.
        seed: of the matrices and the optimum.
        dtype: of matrices and line searches; losses come back in float64.
    """

    #: Positions at which a slider is evaluated.
    positions = 10_001
    #: Every so many positions the line search looks first; divides `positions` - 1.
    stride = 20

    def __init__(
        self,
        dimension: int,
        *,
        outputs: int = 1024,
        gamma: float = 2.0,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if dimension < 1 or outputs < 1:
            raise ValueError(f"dimension={dimension}, outputs={outputs}; both must be at least 1")
        generator = torch.Generator().manual_seed(seed)
        self.dimension, self.m, self.box = dimension, outputs, 2.5
        self.prior: Prior = Uniform(-self.box, self.box)
        self.half_length = PAPER_SHARE * self.prior.expected_distance((dimension,))
        alpha = 0.01 + 9.99 * torch.rand(outputs, generator=generator, dtype=torch.float64)
        self.ripple = gamma * alpha.square()
        self.optimum = (self.box * (torch.rand(dimension, generator=generator) - 0.5)).to(dtype)
        self.matrices = torch.empty(outputs, dimension, dimension, dtype=dtype)
        for rows in torch.arange(outputs).split(max(1, 2**22 // dimension**2)):
            eigenvalues = 0.01 + 0.99 * torch.rand(len(rows), dimension, generator=generator)
            eigenvalues = (eigenvalues * alpha[rows, None]).to(dtype)
            rotation = torch.linalg.qr(torch.rand(len(rows), dimension, dimension, generator=generator))[0]
            rotation = rotation.to(dtype)
            torch.matmul(rotation.mT * eigenvalues[:, None], rotation, out=self.matrices[rows[0] : rows[-1] + 1])
        self._left: list[tuple[Tensor, Tensor]] = []

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "count n"]:
        """Draws of U(-2.5, 2.5)^n."""
        return self.prior.sample(count, (self.dimension,), generator).to(self.matrices)

    def _products(self, rows: Float[Tensor, "k n"]) -> Float[Tensor, "m k n"]:
        """A_d times each of `rows`, in one pass over the matrices (they are symmetric)."""
        return torch.matmul(rows, self.matrices)

    def _known(self, z: Float[Tensor, " n"]) -> Float[Tensor, "m n"] | None:
        """A_d (z - s) where a slider was left last: what a searcher asks for next, without a new pass."""
        return next((product for point, product in self._left if torch.equal(point, z)), None)

    def outputs(self, z: Float[Tensor, "batch n"]) -> Float[Tensor, "batch m"]:
        """x_d."""
        parts = []
        for rows in (z - self.optimum).split(64):
            squares = torch.einsum("mkn,kn->km", self._products(rows), rows)
            parts.append(squares.clamp_min(0).sqrt())
        return torch.cat(parts)

    def loss(self, z: Float[Tensor, "batch n"]) -> Float[Tensor, " batch"]:
        """sum_d x_d^2 + a_d (1 - cos 2 pi x_d), float64."""
        return self._summed(self.outputs(z).double().square(), self.ripple)

    @staticmethod
    def _summed(squares: Float[Tensor, "batch m"], ripple: Float[Tensor, " m"]) -> Float[Tensor, " batch"]:
        waves = squares.sqrt().mul_(2 * torch.pi).cos_()
        return squares.sum(1) + ripple.sum() - waves @ ripple

    def jacobian(self, z: Float[Tensor, " n"], *, of: JacobianOf = "squared") -> Float[Tensor, "m n"]:
        """Of x_d^2, 2 A_d (z - s), as the authors' code has it; or `of="exact"`, of x_d, as the text has it.

        Raises:
            ValueError: another `of`.
        """
        if of not in ("squared", "exact"):
            raise ValueError(f"of={of!r}; expected 'squared' (the authors' code) or 'exact'")
        shifted = z - self.optimum
        half = self._known(z)
        if half is None:
            half = self._products(shifted[None])[:, 0]
        if of == "squared":
            return 2 * half
        x = (half @ shifted).clamp_min(0).sqrt()
        return half / x[:, None].clamp_min(torch.finfo(half.dtype).tiny ** 0.5)

    def spectrum(self, z: Float[Tensor, " n"], *, of: JacobianOf = "squared") -> Directions:
        """From the symmetric eigenproblem of J^T J."""
        jacobian = self.jacobian(z, of=of)
        values, vectors = torch.linalg.eigh((jacobian.T @ jacobian).double())
        kept = min(jacobian.shape)
        strongest = vectors.T.flip(0)[:kept]
        return values.flip(0)[:kept].clamp_min(0).sqrt(), strongest.to(z)

    def sampled_spectrum(self, z: Float[Tensor, " n"], rows: int, generator: torch.Generator) -> Directions:
        """From `rows` random rows of the Jacobian of x_d^2."""
        chosen = torch.randperm(self.m, generator=generator)[:rows]
        gradients = self.matrices[chosen] @ (z - self.optimum)
        _, values, directions = torch.linalg.svd(2 * gradients, full_matrices=False)
        return values.double(), directions

    def search(self, sliders: Sequence[Slider]) -> Settled:
        """The lowest loss among 10,001 evenly spaced positions of each slider; exact, see `_lowest`.

        x_d^2 is a quadratic in t, so that a slider costs one product of the matrices with its direction
        (and one with its anchor, where no slider was just left there).
        """
        shifted = [slider.anchor - self.optimum for slider in sliders]
        known = [self._known(slider.anchor) for slider in sliders]
        unknown = [z for z, product in zip(shifted, known, strict=True) if product is None]
        products = iter(self._products(torch.stack([s.direction for s in sliders] + unknown)).unbind(1))
        along = [next(products) for _ in sliders]
        anchored = [next(products) if product is None else product for product in known]
        settled, self._left = [], []
        for slider, z, at_anchor, at_direction in zip(sliders, shifted, anchored, along, strict=True):
            width = slider.high - slider.low
            start = z + slider.low * slider.direction
            at_start = at_anchor + slider.low * at_direction
            slope, curvature = 2 * width * at_start @ slider.direction, width**2 * at_direction @ slider.direction
            t, loss = self._lowest(torch.stack([at_start @ start, slope, curvature]))
            settled.append((t, loss))
            self._left.append((slider.at(t), at_anchor + slider.along(t) * at_direction))
        positions, losses = torch.tensor(settled, dtype=torch.float64).unbind(1)
        return Settled(positions, losses)

    def _along(self, quadratic: Float[Tensor, "3 m"], t: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
        """The loss at positions `t` of one slider, in chunks that stay in the cache."""
        constant, slope, curvature = quadratic
        ripple = self.ripple.to(quadratic)
        parts = []
        for chunk in t.to(quadratic).split(256):
            squares = torch.addcmul(slope, curvature, chunk[:, None]).mul_(chunk[:, None]).add_(constant)
            parts.append(self._summed(squares.clamp_min_(0), ripple))
        return torch.cat(parts)

    def _lowest(self, quadratic: Float[Tensor, "3 m"]) -> tuple[float, float]:
        """Position and loss of the lowest of all positions, without evaluating those that cannot be it.

        |d^2 loss / dt^2| <= L = sum_d c_d (2 + 4 pi^2 a_d) with c_d = v^T A_d v (by x x'' + x'^2 = c
        and |sin 2 pi x| <= 2 pi x), so between two positions h apart the loss is at least the lower
        of theirs less L h^2 / 8.
        """
        grid = torch.linspace(0, 1, self.positions, dtype=torch.float64)
        coarse = self._along(quadratic, grid[:: self.stride])
        bend = float((quadratic[2].double() * (2 + 4 * torch.pi**2 * self.ripple)).sum())
        allowance = bend * float(grid[self.stride]) ** 2 / 8
        open_ = torch.minimum(coarse[:-1], coarse[1:]) - allowance <= coarse.min()
        first = torch.nonzero(open_)[:, 0] * self.stride
        inner = (first[:, None] + torch.arange(1, self.stride)).flatten()
        candidates = torch.cat([torch.arange(0, self.positions, self.stride), inner])
        losses = torch.cat([coarse, self._along(quadratic, grid[inner])]) if len(inner) else coarse
        t = grid[candidates[losses.argmin()]]
        squares = torch.stack([t**0, t, t**2]) @ quadratic.double()
        return float(t), float(self._summed(squares.clamp_min(0)[None], self.ripple))


class HiddenTarget:
    """Euclidean pixel distance, pixels in [0, 1], from an image that the generator can make.

    Args:
        generator: the generator G.
        target: (*latent_shape) the hidden latent; by default a draw of the prior with `seed`.
        seed: of that draw.

    A slider is rendered at 101 evenly spaced positions and three times at eleven positions around
    the lowest, each a fifth as far apart (8e-5 of the slider at last): the distance is smooth along
    a slider, and 10,001 renders would show the same.
    """

    coarse = 101
    refinements = 3

    def __init__(self, generator: Generator, *, target: Tensor | None = None, seed: int = 0) -> None:
        self.generator = generator
        self.dimension = generator.latent_size
        self.half_length = half_length(generator)
        latent = generator.latents(1, seed=seed)[0] if target is None else generator.point(target)
        self.optimum = latent.flatten()
        low, high = generator.value_range
        self._unit = high - low
        self.target = generator.render(latent[None]).flatten(1)
        self.box = self._box()

    def _box(self) -> float:
        """Half-side of the cube that holds 95 % of the prior's draws whole.

        The authors' boxes for N(0, 1), 3.89 for 512 latents and 3.71 for 256, follow this rule; for
        a uniform prior it gives the prior's own box.
        """
        draws = self.generator.latents(4096, seed=0).flatten(1)
        return float(draws.abs().amax(1).double().quantile(0.95))

    def draws(self, count: int, generator: torch.Generator) -> Float[Tensor, "count n"]:
        """Draws of the generator's prior."""
        drawn = self.generator.prior.sample(count, self.generator.latent_shape, generator)
        return drawn.flatten(1).to(self.optimum)

    def _shaped(self, z: Float[Tensor, "batch n"]) -> Float[Tensor, "batch *latent"]:
        return z.reshape(len(z), *self.generator.latent_shape)

    def outputs(self, z: Float[Tensor, "batch n"]) -> Float[Tensor, "batch m"]:
        """Pixels in the generator's own range."""
        return self.generator.render(self._shaped(z)).flatten(1)

    def loss(self, z: Float[Tensor, "batch n"]) -> Float[Tensor, " batch"]:
        """Pixel distance from the target, float64."""
        return ((self.outputs(z) - self.target) / self._unit).norm(dim=1).double()

    def spectrum(self, z: Float[Tensor, " n"], *, of: JacobianOf = "squared") -> Directions:
        """The exact spectrum of dG/dz; `of` changes nothing here."""
        found = run(spectrum_steps(self.generator, self._shaped(z[None])[0], route="exact"), lambda _: True)
        return found.singular_values, found.directions

    def sampled_spectrum(self, z: Float[Tensor, " n"], rows: int, generator: torch.Generator) -> Directions:
        """From the gradients of `rows` random pixels."""
        seed = int(torch.randint(2**31, (1,), generator=generator))
        steps = spectrum_steps(self.generator, self._shaped(z[None])[0], route="stochastic", rows=rows, seed=seed)
        found = run(steps, lambda _: True)
        return found.singular_values, found.directions

    def search(self, sliders: Sequence[Slider]) -> Settled:
        """The lowest distance on each slider; all sliders are rendered in one batch."""
        start = torch.stack([slider.at(0.0) for slider in sliders])
        along = torch.stack([slider.at(1.0) for slider in sliders]) - start
        spacing = 1 / (self.coarse - 1)
        t = torch.linspace(0, 1, self.coarse, dtype=torch.float64).expand(len(sliders), -1)
        best_t, best = self._lowest(start, along, t)
        for _ in range(self.refinements):
            window = torch.linspace(-spacing, spacing, 11, dtype=torch.float64)
            new_t, new = self._lowest(start, along, (best_t[:, None] + window).clamp(0, 1))
            best_t, best = torch.where(new < best, new_t, best_t), torch.minimum(new, best)
            spacing /= 5
        return Settled(best_t, best)

    def _lowest(self, start: Tensor, along: Tensor, t: Float[Tensor, "k points"]) -> tuple[Tensor, Tensor]:
        z = start[:, None] + t[..., None].to(start) * along[:, None]
        losses = self.loss(z.flatten(0, 1)).cpu().reshape(t.shape)
        lowest, where = losses.min(1)
        return t.gather(1, where[:, None])[:, 0], lowest
