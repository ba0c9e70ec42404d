"""The distribution that a generator's latents are drawn from, and its typical set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from scipy.stats import chi, gamma, truncnorm
from torch import Tensor, nn

from workbench.models.checks import check_settings
from workbench.models.errors import ModelError

#: Share of the prior's draws whose norm lies in the shell that counts as typical.
TYPICAL_MASS = 0.999
#: Where the truncated normal is cut, in standard deviations, in every BigGAN that was released.
_CUT = 2.0


@runtime_checkable
class Prior(Protocol):
    """What the methods ask of a prior; implement it for a distribution of your own."""

    def sample(self, n: int, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "n *latent"]:
        """`n` independent draws, on the CPU, float32."""
        ...

    def expected_distance(self, shape: tuple[int, ...]) -> float:
        """Mean Euclidean distance between two independent draws."""
        ...

    def project(self, z: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch *latent"]:
        """The nearest point of the typical set, for each row."""
        ...

    def contains(self, z: Float[Tensor, "batch *latent"]) -> Bool[Tensor, " batch"]:
        """Whether each row lies in the typical set."""
        ...


@dataclass(frozen=True)
class Normal:
    """Independent N(0, std²); its typical set is the shell that holds 99.9 % of the draws' norms.

    Raises:
        ModelError: an `std` that is not above 0.
    """

    std: float = 1.0

    def __post_init__(self) -> None:
        check_settings(ModelError, ("std", self.std, 0 < self.std < math.inf, "a number above 0"))

    def sample(self, n: int, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "n *latent"]:
        """`n` draws of shape `shape`."""
        return self.std * torch.randn(n, *shape, generator=generator)

    def expected_distance(self, shape: tuple[int, ...]) -> float:
        """`std · 2 Γ((n+1)/2) / Γ(n/2)` for n latents: the mean of a chi distribution times √2."""
        n = math.prod(shape)
        return self.std * 2.0 * math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2))

    def shell(self, latents: int) -> tuple[float, float]:
        """Smallest and largest norm of the typical set."""
        tail = (1 - TYPICAL_MASS) / 2
        low, high = chi.ppf([tail, 1 - tail], df=latents)
        return self.std * float(low), self.std * float(high)

    def project(self, z: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch *latent"]:
        """Rows rescaled to the shell where their norm lies outside it.

        Every point of the inner sphere is equally near to the origin, which goes to the one with equal components.
        """
        rows = z.flatten(1)
        norms = rows.norm(dim=1, keepdim=True)
        low, high = self.shell(rows.shape[1])
        at_origin = norms <= low / torch.finfo(z.dtype).max
        rows, norms = torch.where(at_origin, rows.shape[1] ** -0.5, rows), torch.where(at_origin, 1.0, norms)
        return (rows * (norms.clamp(low, high) / norms)).reshape(z.shape)

    def contains(self, z: Float[Tensor, "batch *latent"]) -> Bool[Tensor, " batch"]:
        """Whether each row's norm lies in the shell (up to rounding)."""
        rows = z.flatten(1)
        norms, (low, high) = rows.norm(dim=1), self.shell(rows.shape[1])
        return (norms >= low * (1 - 1e-5)) & (norms <= high * (1 + 1e-5))


@dataclass(frozen=True)
class Uniform:
    """Independent U(low, high); its typical set is the box.

    Raises:
        ModelError: a `low` that is not below `high`.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        holds = -math.inf < self.low < self.high < math.inf
        check_settings(ModelError, ("(low, high)", (self.low, self.high), holds, "two finite numbers, ascending"))

    def sample(self, n: int, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "n *latent"]:
        """`n` draws of shape `shape`."""
        return self.low + (self.high - self.low) * torch.rand(n, *shape, generator=generator)

    def expected_distance(self, shape: tuple[int, ...]) -> float:
        """Mean over 20,000 seeded pairs (there is no closed form); within 0.5 % for one latent and up."""
        return _mean_distance(self, shape)

    def project(self, z: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch *latent"]:
        """Components clipped to the box."""
        return z.clamp(self.low, self.high)

    def contains(self, z: Float[Tensor, "batch *latent"]) -> Bool[Tensor, " batch"]:
        """Whether each row lies in the box (up to rounding)."""
        slack = 1e-5 * (self.high - self.low)
        return ((z >= self.low - slack) & (z <= self.high + slack)).flatten(1).all(1)


@dataclass(frozen=True)
class TruncatedNormal:
    """`truncation` times independent N(0, 1) drawn again outside [-2, 2], as released BigGANs are sampled.

    Brock et al., "Large scale GAN training for high fidelity natural image synthesis", ICLR 2019,
    section 3.1, the "truncation trick", in the form of the authors' TensorFlow Hub modules. Its typical set is
    the part of the box ±2 truncation whose norms lie where 99.9 % of the draws' norms do.

    Args:
        truncation: above 0; smaller values trade variety for fidelity.
    """

    truncation: float = 1.0

    def __post_init__(self) -> None:
        check_settings(
            ModelError, ("truncation", self.truncation, 0 < self.truncation < math.inf, "a number above 0")
        )

    @property
    def limit(self) -> float:
        """Largest absolute value of a component."""
        return _CUT * self.truncation

    def sample(self, n: int, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "n *latent"]:
        """`n` draws of shape `shape`."""
        drawn = nn.init.trunc_normal_(torch.empty(n, *shape), a=-_CUT, b=_CUT, generator=generator)
        return self.truncation * drawn

    def expected_distance(self, shape: tuple[int, ...]) -> float:
        """Mean over 20,000 seeded pairs, as there is no closed form."""
        return _mean_distance(self, shape)

    def shell(self, latents: int) -> tuple[float, float]:
        """Smallest and largest norm of the typical set.

        By the gamma distribution with the squared norm's first two moments; what the set holds is within
        0.1 % of what it should from 20 latents up, and within 0.5 % below.
        """
        second, fourth = (truncnorm.moment(order, -_CUT, _CUT) for order in (2, 4))
        scale = (fourth - second**2) / second
        tail = (1 - TYPICAL_MASS) / 2
        low, high = gamma.ppf([tail, 1 - tail], latents * second / scale, scale=scale)
        return self.truncation * math.sqrt(low), self.truncation * min(math.sqrt(high), _CUT * math.sqrt(latents))

    def project(self, z: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch *latent"]:
        """The nearest point: components clipped after the row was rescaled so that the norm fits.

        Rows with so few components other than zero that none of their multiples fits are only clipped.
        """
        rows = z.flatten(1)

        def clipped(factor: Tensor) -> Tensor:
            return (rows * factor).clamp(-self.limit, self.limit)

        def norms(points: Tensor) -> Tensor:
            return points.norm(dim=1, keepdim=True)

        small, large = torch.zeros_like(rows[:, :1]), torch.ones_like(rows[:, :1])
        as_given = clipped(large)
        wanted = norms(as_given).clamp(*self.shell(rows.shape[1]))
        for _ in range(40):  # the norm grows with the factor, until all components are clipped
            large = torch.where(norms(clipped(large)) < wanted, 2 * large, large)
        for _ in range(60):
            middle = (small + large) / 2
            short = norms(clipped(middle)) < wanted
            small, large = torch.where(short, middle, small), torch.where(short, large, middle)
        return torch.where(norms(as_given) == wanted, as_given, clipped(large)).reshape(z.shape)

    def contains(self, z: Float[Tensor, "batch *latent"]) -> Bool[Tensor, " batch"]:
        """Whether each row lies in the box, and its norm in the shell (up to rounding)."""
        rows = z.flatten(1)
        norms, (low, high) = rows.norm(dim=1), self.shell(rows.shape[1])
        in_box = (rows.abs() <= self.limit * (1 + 1e-5)).all(1)
        return in_box & (norms >= low * (1 - 1e-5)) & (norms <= high * (1 + 1e-5))


class Empirical:
    """Points that were observed, such as an encoder's codes of images; a draw is one of them, with replacement.

    The typical set is their bounding box: for each number its smallest to its largest value among the points.

    Args:
        points: (points, *latent), two at least.

    Raises:
        ModelError: fewer than two points, or numbers that are not finite.
    """

    def __init__(self, points: Float[Tensor, "points *latent"]) -> None:
        if points.ndim < 2 or len(points) < 2 or not torch.isfinite(points).all():
            raise ModelError(
                f"points of shape {tuple(points.shape)} were given; expected two at least, one a row, all finite"
            )
        self.points = points.detach().cpu().float()

    def __repr__(self) -> str:
        return f"Empirical({len(self.points)} points)"

    def sample(self, n: int, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "n *latent"]:
        """`n` of the points, with replacement.

        Raises:
            ModelError: the points have another shape than `shape`.
        """
        if tuple(self.points.shape[1:]) != tuple(shape):
            raise ModelError(f"the prior has points of shape {tuple(self.points.shape[1:])}, not {tuple(shape)}")
        return self.points[torch.randint(len(self.points), (n,), generator=generator)]

    def expected_distance(self, shape: tuple[int, ...]) -> float:
        """Mean over 20,000 seeded pairs of different points."""
        random = torch.Generator().manual_seed(0)
        first = torch.randint(len(self.points), (20_000,), generator=random)
        second = (first + torch.randint(1, len(self.points), (20_000,), generator=random)) % len(self.points)
        return float((self.points[first] - self.points[second]).flatten(1).norm(dim=1).mean())

    def project(self, z: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch *latent"]:
        """Numbers clipped to the box."""
        low, high = (bound.to(z) for bound in self.points.aminmax(dim=0))
        return z.clamp(low, high)

    def contains(self, z: Float[Tensor, "batch *latent"]) -> Bool[Tensor, " batch"]:
        """Whether each row lies in the box (up to rounding)."""
        low, high = (bound.to(z) for bound in self.points.aminmax(dim=0))
        slack = 1e-5 * (high - low)
        return ((z >= low - slack) & (z <= high + slack)).flatten(1).all(1)


def _mean_distance(prior: Prior, shape: tuple[int, ...]) -> float:
    a, b = prior.sample(40_000, (math.prod(shape),), torch.Generator().manual_seed(0)).chunk(2)
    return float((a - b).norm(dim=1).mean())


def resolve_prior(prior: str | Prior) -> Prior:
    """`"normal"` is N(0, 1), `"uniform"` U(-1, 1); anything with the methods of `Prior` passes."""
    named: dict[str, Prior] = {"normal": Normal(), "uniform": Uniform()}
    if isinstance(prior, str) and prior in named:
        return named[prior]
    if not isinstance(prior, str) and isinstance(prior, Prior):
        return prior
    raise ModelError(
        f"prior={prior!r} is no prior; use 'normal', 'uniform', Normal(std=…), Uniform(low=…, high=…), "
        "TruncatedNormal(truncation=…) or an object with the methods of workbench.models.Prior"
    )
