"""Strategies that propose one slider after another: differential subspace search and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.subspaces.drawing import DirectionPool
from workbench.subspaces.objectives import Directions, Objective, Slider
from workbench.subspaces.search import MIDDLE
from workbench.subspaces.sequential_line_search import SequentialLineSearch

#: Of subspaces and random embeddings that are searched by sliders, as in the paper.
_DIMENSIONS = 6
#: Sliders after which the hybrid draws new directions.
_RENEWAL = 10


class LineStrategy(Protocol):
    """Proposes sliders and is told only where each was left: like a tool, it never sees the loss."""

    def propose(self) -> Slider:
        """The next slider; asked again before `accept`, the same one."""
        ...

    def accept(self, t: float) -> None:
        """The slider was left at `t` in [0, 1]."""
        ...


class _Centred:
    """Sliders of one length around a centre, which moves to wherever the last slider was left."""

    def __init__(self, centre: Float[Tensor, " n"], *, half_length: float) -> None:
        self.centre = centre
        self.half_length = half_length
        self._slider: Slider | None = None

    def direction(self) -> Float[Tensor, " n"]:
        """The unit direction of the next slider."""
        raise NotImplementedError

    def moved(self, t: float) -> None:
        """Called after the centre has moved from t = 0.5 to `t`."""

    def propose(self) -> Slider:
        """A slider through the centre."""
        if self._slider is None:
            self._slider = Slider.around(self.centre, self.direction(), self.half_length)
        return self._slider

    def accept(self, t: float) -> None:
        """Move the centre."""
        self.centre = self.propose().at(t)
        self._slider = None
        self.moved(t)


class DifferentialSubspaceSearch(_Centred):
    """Chiu et al. 2020: a singular vector of the Jacobian at the centre, drawn by its singular value.

    Without replacement, and with the same Jacobian, while sliders are left within 5 % of their
    length from the middle. As in the authors' simulations (not in their application) the centre
    moves there too.

    Args:
        spectrum: singular values (r,) and directions (r, n) at a point.
    """

    def __init__(
        self,
        centre: Float[Tensor, " n"],
        *,
        half_length: float,
        spectrum: Callable[[Tensor], Directions],
        generator: torch.Generator,
    ) -> None:
        super().__init__(centre, half_length=half_length)
        self._spectrum, self._generator = spectrum, generator
        self._current: tuple[DirectionPool, Tensor] | None = None

    def direction(self) -> Float[Tensor, " n"]:
        """A direction not yet shown here."""
        if self._current is None:
            values, directions = self._spectrum(self.centre)
            self._current = DirectionPool(values), directions
        pool, directions = self._current
        return directions[int(pool.draw(self._generator))]

    def moved(self, t: float) -> None:
        """Forget the Jacobian unless the slider was left near its middle."""
        if abs(t - 0.5) > MIDDLE:
            self._current = None


class RandomDirections(_Centred):
    """Directions uniform on the sphere, or as in the authors' code: normalised draws of U(0, 1)^n.

    The latter have positive components only, so that they all lie within 90 degrees of each other
    and about 30 of the diagonal.
    """

    def __init__(
        self,
        centre: Float[Tensor, " n"],
        *,
        half_length: float,
        generator: torch.Generator,
        positive: bool = False,
    ) -> None:
        super().__init__(centre, half_length=half_length)
        self._draw = torch.rand if positive else torch.randn
        self._generator = generator

    def direction(self) -> Float[Tensor, " n"]:
        """A fresh one each time."""
        drawn = self._draw(len(self.centre), generator=self._generator).to(self.centre)
        return drawn / drawn.norm()


class FixedDirections(_Centred):
    """Directions from one list, the same everywhere, drawn without replacement by their weights."""

    def __init__(
        self,
        centre: Float[Tensor, " n"],
        *,
        half_length: float,
        directions: Float[Tensor, "r n"],
        weights: Float[Tensor, " r"],
        generator: torch.Generator,
    ) -> None:
        super().__init__(centre, half_length=half_length)
        self._directions, self._pool = directions, DirectionPool(weights)
        self._generator = generator

    @classmethod
    def coordinates(
        cls, centre: Float[Tensor, " n"], *, half_length: float, generator: torch.Generator
    ) -> FixedDirections:
        """One latent at a time, all once in random order, then again."""
        n = len(centre)
        directions = torch.eye(n, dtype=centre.dtype, device=centre.device)
        return cls(
            centre,
            half_length=half_length,
            directions=directions,
            weights=torch.ones(n),
            generator=generator,
        )

    def direction(self) -> Float[Tensor, " n"]:
        """One not yet shown."""
        return self._directions[int(self._pool.draw(self._generator))]


def principal_directions(latents: Float[Tensor, "count n"], outputs: Float[Tensor, "count m"]) -> Directions:
    """Global directions as in GANSpace (Härkönen et al. 2020): principal components of sampled outputs.

    Each component becomes a latent direction by the least-squares regression of the latents on the
    samples' coordinates along the components.

    Returns:
        Standard deviations (r,) of the components, descending, and unit directions (r, n), with
        r = min(n, count - 1, m).

    Raises:
        ValueError: fewer than three samples, or not one output a latent.
    """
    if len(latents) != len(outputs) or len(latents) < 3:
        raise ValueError(f"{len(latents)} latents and {len(outputs)} outputs; give at least 3 of each")
    count = min(latents.shape[1], len(latents) - 1, outputs.shape[1])
    centred = (outputs - outputs.mean(0)).double()
    left, scales, _ = torch.linalg.svd(centred, full_matrices=False)
    left, scales = left[:, :count], scales[:count]
    regressed = left.T @ (latents - latents.mean(0)).double() / scales[:, None].clamp_min(1e-12)
    directions = regressed / regressed.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return scales / (len(latents) - 1) ** 0.5, directions.to(latents)


class EmbeddedLineSearch:
    """Sequential line search in the cube z = origin + frame y, |y_i| <= half.

    With the identity as frame it searches the whole space, with a Gaussian matrix (n, 6) a random
    embedding (REMBO, Wang et al. 2016; latents outside the prior's box are not clipped, as in the
    simulations of Chiu et al.).

    Args:
        frame: (n, k).
        origin: (n,) middle of the cube.
        start: (k,) y of the first slider's middle.
    """

    def __init__(
        self,
        frame: Float[Tensor, "n k"],
        origin: Float[Tensor, " n"],
        *,
        half: float,
        start: Float[Tensor, " k"],
        generator: torch.Generator,
    ) -> None:
        self._frame, self._origin, self._half = frame, origin, half
        middle = start.double().cpu() / (2 * half) + 0.5
        self._search = SequentialLineSearch(frame.shape[1], middle, generator)
        self._slider: Slider | None = None

    def _latent(self, y: Float[Tensor, " k"]) -> Float[Tensor, " n"]:
        return self._origin + self._frame @ ((2 * y - 1) * self._half).to(self._frame)

    def propose(self) -> Slider:
        """From the best point so far to the one of the highest expected improvement."""
        if self._slider is None:
            left, right = map(self._latent, self._search.ends)
            self._slider = Slider(left, right - left)
        return self._slider

    def accept(self, t: float) -> None:
        """Learn the preference and open the next slider."""
        self._search.accept(t)
        self._slider = None


class HybridSubspaceSearch:
    """Chiu et al. 2020's hybrid: sequential line search in the span of six singular vectors drawn at once.

    After ten sliders the centre moves to where the last one was left, and six new directions are
    drawn from the Jacobian there.
    """

    def __init__(
        self,
        centre: Float[Tensor, " n"],
        *,
        half_length: float,
        spectrum: Callable[[Tensor], Directions],
        generator: torch.Generator,
    ) -> None:
        self.centre, self.half_length = centre, half_length
        self._spectrum, self._generator = spectrum, generator
        self._open()

    def _open(self) -> None:
        values, directions = self._spectrum(self.centre)
        k = min(_DIMENSIONS, len(values))
        frame = directions[DirectionPool(values).draw(self._generator, k)].T
        self._inner = EmbeddedLineSearch(
            frame, self.centre, half=self.half_length, start=torch.zeros(k), generator=self._generator
        )
        self._shown = 0

    def propose(self) -> Slider:
        """A slider inside the current subspace."""
        return self._inner.propose()

    def accept(self, t: float) -> None:
        """Learn the preference, or move on to a new subspace."""
        self._shown += 1
        if self._shown < _RENEWAL:
            self._inner.accept(t)
        else:
            self.centre = self._inner.propose().at(t)
            self._open()


def random_embedding(objective: Objective, generator: torch.Generator) -> Float[Tensor, "n k"]:
    """A Gaussian matrix whose cube holds the point closest to the optimum, resampled until it does.

    This knows the optimum, as the paper's simulation does, in REMBO's favour.
    """
    optimum = objective.optimum.double().cpu()
    for _ in range(1000):
        frame = torch.randn(len(optimum), _DIMENSIONS, generator=generator, dtype=torch.float64)
        if float((torch.linalg.pinv(frame) @ optimum).abs().max()) < objective.box:
            return frame.to(objective.optimum)
    raise ValueError(
        f"no embedding of {_DIMENSIONS} in {len(optimum)} dimensions whose cube of half-side "
        f"{objective.box:g} holds the optimum's projection in 1,000 draws; is the optimum inside the box?"
    )
