"""The cases of the search simulations of Chiu et al. 2020, and the strategies that are run on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models import Generator
from workbench.subspaces.baselines import (
    DifferentialSubspaceSearch,
    EmbeddedLineSearch,
    FixedDirections,
    HybridSubspaceSearch,
    LineStrategy,
    RandomDirections,
    principal_directions,
    random_embedding,
)
from workbench.subspaces.objectives import HiddenTarget, Objective, Synthetic

#: Samples whose principal components are the global directions.
PCA_SAMPLES = 1024
STOCHASTIC_ROWS = 50


@dataclass(frozen=True)
class Case:
    """One objective with the start that all strategies share.

    Attributes:
        name: such as `synthetic-32`.
        seed: of everything random in it.
        objective: the loss.
        start: (n,) a draw of the prior, projected on the random embedding so that REMBO can start
            there too.
        embedding: (n, 6).
    """

    name: str
    seed: int
    objective: Objective
    start: Float[Tensor, " n"]
    embedding: Float[Tensor, "n k"]

    @classmethod
    def of(cls, name: str, seed: int, objective: Objective) -> Case:
        """Draw embedding and start."""
        generator = generator_of(name, seed, "case")
        embedding = random_embedding(objective, generator)
        drawn = objective.draws(1, generator)[0]
        return cls(name, seed, objective, embedding @ (torch.linalg.pinv(embedding) @ drawn), embedding)

    @classmethod
    def synthetic(cls, dimension: int, seed: int, *, outputs: int = 1024) -> Case:
        """Simulation (i)."""
        objective = Synthetic(dimension, outputs=outputs, seed=_number("synthetic", dimension, seed))
        return cls.of(f"synthetic-{dimension}", seed, objective)

    @classmethod
    def hidden_target(cls, generator: Generator, seed: int) -> Case:
        """Simulation (ii)."""
        objective = HiddenTarget(generator, seed=_number("target", generator.name, seed))
        return cls.of(f"target-{generator.name}", seed, objective)


def _number(*parts: object) -> int:
    """A seed that depends on nothing but `parts`, so that methods and sizes can be run in any order."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big")


def generator_of(*parts: object) -> torch.Generator:
    """Random numbers that depend on nothing but `parts`."""
    return torch.Generator().manual_seed(_number(*parts))


# -- methods ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """A strategy as the simulation runs it.

    Attributes:
        label: for tables and figures.
        build: makes the strategy for a case.
        most: sliders after which it stops, as its cost grows with every one.
    """

    label: str
    build: Callable[[Case, torch.Generator], LineStrategy]
    most: int | None = None

    def count(self, sliders: int) -> int:
        """How many of `sliders` it takes part in."""
        return sliders if self.most is None else min(sliders, self.most)


def _dss(case: Case, generator: torch.Generator) -> LineStrategy:
    return DifferentialSubspaceSearch(
        case.start,
        half_length=case.objective.half_length,
        spectrum=case.objective.spectrum,
        generator=generator,
    )


def _dss_exact(case: Case, generator: torch.Generator) -> LineStrategy:
    return DifferentialSubspaceSearch(
        case.start,
        half_length=case.objective.half_length,
        spectrum=partial(case.objective.spectrum, of="exact"),
        generator=generator,
    )


def _dss_stochastic(case: Case, generator: torch.Generator) -> LineStrategy:
    return DifferentialSubspaceSearch(
        case.start,
        half_length=case.objective.half_length,
        spectrum=lambda z: case.objective.sampled_spectrum(z, STOCHASTIC_ROWS, generator),
        generator=generator,
    )


def _hybrid(case: Case, generator: torch.Generator) -> LineStrategy:
    return HybridSubspaceSearch(
        case.start,
        half_length=case.objective.half_length,
        spectrum=case.objective.spectrum,
        generator=generator,
    )


def _random(case: Case, generator: torch.Generator, *, positive: bool = False) -> LineStrategy:
    return RandomDirections(
        case.start, half_length=case.objective.half_length, generator=generator, positive=positive
    )


def _coordinates(case: Case, generator: torch.Generator) -> LineStrategy:
    return FixedDirections.coordinates(case.start, half_length=case.objective.half_length, generator=generator)


def _pca(case: Case, generator: torch.Generator) -> LineStrategy:
    draws = case.objective.draws(PCA_SAMPLES, generator)
    weights, directions = principal_directions(draws, case.objective.outputs(draws))
    return FixedDirections(
        case.start,
        half_length=case.objective.half_length,
        directions=directions,
        weights=weights,
        generator=generator,
    )


def _sls(case: Case, generator: torch.Generator) -> LineStrategy:
    whole = torch.eye(case.objective.dimension, dtype=case.start.dtype, device=case.start.device)
    return EmbeddedLineSearch(
        whole,
        torch.zeros_like(case.start),
        half=case.objective.box,
        start=case.start,
        generator=generator,
    )


def _rembo(case: Case, generator: torch.Generator) -> LineStrategy:
    return EmbeddedLineSearch(
        case.embedding,
        torch.zeros_like(case.start),
        half=case.objective.box,
        start=torch.linalg.pinv(case.embedding) @ case.start,
        generator=generator,
    )


METHODS: Mapping[str, Method] = {
    "dss": Method("Differential subspace search", _dss),
    "dss-exact": Method("DSS, Jacobian of x instead of x²", _dss_exact),
    "dss-stochastic": Method("DSS, stochastic Jacobian (50 rows)", _dss_stochastic),
    "hybrid-6d": Method("Hybrid: line search in 6 singular vectors", _hybrid),
    "random": Method("Random directions", _random),
    "random-positive": Method("Random, positive only (authors' code)", partial(_random, positive=True)),
    "coordinates": Method("Coordinates", _coordinates),
    "pca": Method("Global PCA (GANSpace)", _pca),
    "sls": Method("Sequential line search, full space", _sls, most=100),
    "rembo-6d": Method("Sequential line search, random 6-D (REMBO)", _rembo),
}


def methods_for(case_name: str) -> tuple[str, ...]:
    """All methods that make sense for a case: a generator has only one Jacobian."""
    synthetic = case_name.startswith("synthetic")
    return tuple(name for name in METHODS if synthetic or name != "dss-exact")
