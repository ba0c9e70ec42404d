"""The map of all classes: t-SNE of their embeddings, into which new embeddings are placed without moving it.

van der Maaten and Hinton, "Visualizing Data using t-SNE" (2008); placing after Poličar, Stražar and Zupan,
"Embedding to reference t-SNE space" (2023), by their openTSNE. Figure 4.21 of the BigGAN-AM thesis is such a map.
"""

from __future__ import annotations

import time
from collections.abc import Generator as Steps
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from openTSNE import TSNEEmbedding, affinity, initialization
from torch import Tensor

from workbench.models.errors import WorkbenchError
from workbench.models.generator import Generator
from workbench.progress import Cancelled, Progress, Step, run
from workbench.results import Provenance, Result, sha256_of

Metric = Literal["cosine", "euclidean"]

#: Iterations and exaggeration of the attraction, which falls from step to step: on BigGAN's 1,000 embeddings this
#: ends at a lower divergence, after fewer iterations, than one long phase at 12.
_PHASES = ((200, 4.0), (100, 2.0), (300, 1.0))
#: A map of neighbourhoods needs so many classes.
FEWEST = 4
_CHUNK = 50  # iterations between two steps
#: A new embedding is drawn to few of the old ones, so that it comes to lie beside its nearest.
_PLACING_PERPLEXITY = 3.0


class MapError(WorkbenchError, ValueError):
    """Embeddings that cannot be mapped, or that do not belong to the map."""


@dataclass(frozen=True, kw_only=True)
class ClassMap(Result):
    """Places of all classes in the plane.

    Attributes:
        embeddings: (classes, width) what was mapped.
        positions: (classes, 2), float64; only distances within the map mean anything.
        names: of the classes, as they were given: data, to be escaped wherever it meets HTML.
        divergence: Kullback-Leibler divergence of the map's neighbourhoods from those of the embeddings, in nats.
        perplexity: effective number of neighbours of each class, after it was adapted to few classes.
        metric: "cosine" maps the directions of the embeddings, "euclidean" the embeddings themselves.
    """

    embeddings: Float[Tensor, "classes width"]
    positions: Float[Tensor, "classes 2"]
    names: tuple[str, ...]
    divergence: float
    perplexity: float
    metric: Metric

    def frame(self) -> Any:
        """A row a class: `name`, `x`, `y`."""
        import pandas as pd

        x, y = self.positions.numpy().T
        return pd.DataFrame({"name": self.names, "x": x, "y": y})


def class_map(
    embeddings: Float[Tensor, "classes width"] | Generator,
    names: Sequence[str] | None = None,
    *,
    metric: Metric = "cosine",
    perplexity: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> ClassMap:
    """Lay all classes out in the plane, those with similar embeddings near one another.

    Args:
        embeddings: (classes, width), or a generator with `class_embeddings`.
        names: of the classes; by default the generator's, or the classes' numbers.
        metric: what nearness of embeddings is.
        perplexity: effective number of neighbours each class is drawn to; by default a tenth of the classes, from
            5 to 30. It is lowered to a third of the other classes where there are too few.

    Raises:
        MapError: fewer than four classes, NaN or infinity, another number of names, or a generator without
            class embeddings.
    """
    steps = class_map_steps(embeddings, names, metric=metric, perplexity=perplexity, seed=seed)
    return run(steps, progress)


def class_map_steps(
    embeddings: Float[Tensor, "classes width"] | Generator,
    names: Sequence[str] | None = None,
    *,
    metric: Metric = "cosine",
    perplexity: float | None = None,
    seed: int = 0,
) -> Steps[Step, None, ClassMap]:
    """`class_map` in steps of 50 iterations; cancelled, it returns the map as it is then, marked as partial."""
    started = time.perf_counter()
    given = "G" if isinstance(embeddings, Generator) else "embeddings, names"
    matrix, named, model, fingerprint = _resolve(embeddings, names)
    if metric not in ("cosine", "euclidean"):
        raise MapError(f"metric={metric!r}; choose 'cosine' or 'euclidean'")
    if perplexity is None:
        perplexity = min(30.0, max(5.0, len(matrix) / 10))
    if not 1 <= perplexity < float("inf"):
        raise MapError(f"perplexity={perplexity}; expected a number from 1 on, such as 30")
    perplexity = min(float(perplexity), (len(matrix) - 1) / 3)
    points = rows_to_map(matrix, metric)
    affinities = joint_probabilities(points, perplexity, seed=seed)
    # equal rows all the way have no principal components to start from
    start = initialization.random if np.ptp(points, axis=0).max() == 0 else initialization.pca
    layout = TSNEEmbedding(start(points, random_state=seed), affinities, random_state=seed, n_jobs=1)
    done, total, partial = 0, sum(n for n, _ in _PHASES), False
    try:
        for iterations, exaggeration in _PHASES:
            for _ in range(iterations // _CHUNK):
                layout = layout.optimize(_CHUNK, exaggeration=exaggeration, momentum=0.8, learning_rate="auto")
                done += _CHUNK
                yield Step(done, total, "laying out the classes")
    except Cancelled:
        partial = True
    positions = np.array(layout, dtype=np.float64)
    # openTSNE moves a map so before it places into it, and would give what it places in another frame
    positions -= (positions.max(0) + positions.min(0)) / 2
    return ClassMap(
        embeddings=matrix,
        positions=torch.from_numpy(positions),
        names=named,
        divergence=divergence(affinities.P, positions),
        perplexity=perplexity,
        metric=metric,
        provenance=Provenance(
            call=f"wb.embeddings.class_map({given}, metric={metric!r}, perplexity={perplexity:.17g}, seed={seed})",
            seed=seed,
            model=model,
            fingerprint=fingerprint,
            device="cpu",
            dtype="torch.float64",
            seconds=time.perf_counter() - started,
            partial=partial,
        ),
    )


def place(
    found: ClassMap, embeddings: Float[Tensor, "n width"], *, perplexity: float = _PLACING_PERPLEXITY
) -> Float[Tensor, "n 2"]:
    """Positions of new embeddings in a map that stays as it is.

    Each is placed by itself: it is drawn to the classes it resembles and pushed off by all, not by other new ones.
    The same map and embedding give the same place, also after the map was saved and loaded.

    Args:
        embeddings: (n, width); one alone may be (width,).
        perplexity: effective number of classes that each is drawn to.

    Raises:
        MapError: another width, NaN or infinity.
    """
    new = torch.as_tensor(embeddings).detach().cpu()
    new = new[None] if new.ndim == 1 else new
    width = found.embeddings.shape[1]
    if new.ndim != 2 or new.shape[1] != width:
        raise MapError(f"the embeddings have shape {tuple(new.shape)}; this map places rows of ({width},)")
    _check_finite(new, "the embeddings to place")
    if not len(new):
        return torch.zeros(0, 2, dtype=torch.float64)
    seed = found.provenance.seed
    affinities = joint_probabilities(rows_to_map(found.embeddings, found.metric), found.perplexity, seed=seed)
    layout = TSNEEmbedding(found.positions.numpy(), affinities, random_state=seed, n_jobs=1)
    # starting at the nearest class, not amid the nearest 25, which may lie in several parts of the map
    placed = layout.transform(rows_to_map(new, found.metric), perplexity=perplexity, k=1)
    return torch.from_numpy(np.array(placed, dtype=np.float64))


def nearest(
    points: Float[Tensor, "n width"], among: Float[Tensor, "m width"] | None = None, k: int = 5
) -> Int[Tensor, "n k"]:
    """The `k` nearest rows of `among` for each point, nearest first; without `among`, its neighbours in `points`.

    Args:
        k: at most as many as there are others.
    """
    distance = torch.cdist(points.double(), (points if among is None else among).double())
    if among is None:
        distance.fill_diagonal_(float("inf"))
    return distance.topk(min(k, distance.shape[1] - (among is None)), largest=False).indices


def rank_of_own(
    points: Float[Tensor, "n width"], among: Float[Tensor, "m width"], own: Int[Tensor, " n"]
) -> Int[Tensor, " n"]:
    """The place of row `own` of `among` when all are ordered by their distance from a point; 1 is the nearest."""
    distance = torch.cdist(points.double(), among.double())
    return 1 + (distance < distance.gather(1, own[:, None])).sum(1)


def joint_probabilities(
    points: Float[np.ndarray, "n width"], perplexity: float, *, seed: int
) -> affinity.PerplexityBasedNN:
    """How likely any two rows are to be neighbours, as openTSNE holds it; `P` is the sparse matrix (n, n).

    Args:
        perplexity: lowered to a third of the neighbours where there are few.
    """
    neighbours = min(len(points) - 1, max(1, int(3 * perplexity)))
    return affinity.PerplexityBasedNN(
        points,
        perplexity=min(perplexity, neighbours / 3),
        k_neighbors=neighbours,
        method="exact",
        n_jobs=1,
        random_state=seed,
    )


def rows_to_map(embeddings: Float[Tensor, "n width"], metric: Metric) -> Float[np.ndarray, "n width"]:
    """What is mapped: rows of unit length for "cosine", whose squared distance is twice one less the cosine."""
    rows = embeddings.double()
    if metric == "cosine":
        rows = torch.nn.functional.normalize(rows, dim=1)
    return np.ascontiguousarray(rows.numpy())


def divergence(affinities: Any, positions: Float[np.ndarray, "n 2"]) -> float:
    """Kullback-Leibler divergence of Student-t neighbourhoods in the plane from `affinities`, computed exactly.

    Args:
        affinities: (n, n) joint probabilities as a SciPy sparse matrix, zero on the diagonal.
    """
    squared = ((positions[:, None] - positions[None]) ** 2).sum(-1)
    kernel = 1 / (1 + squared)
    total = kernel.sum() - len(positions)
    p = affinities.tocoo()
    held = p.data > 0
    p_ij, q_ij = p.data[held], kernel[p.row[held], p.col[held]] / total
    return float((p_ij * np.log(p_ij / q_ij)).sum())


def _resolve(given: Any, names: Sequence[str] | None) -> tuple[Tensor, tuple[str, ...], str, str]:
    """The matrix, the names, and what the result calls their origin."""
    model, fingerprint = "embeddings", None
    if isinstance(given, Generator):
        if given.class_embeddings is None:
            raise MapError(
                f"{given.name} has no class embeddings; pass class_embeddings=… when you make the Generator, "
                "or give the matrix itself"
            )
        names = given.class_names if names is None else names
        model, fingerprint = given.name, given.fingerprint
        given = given.class_embeddings
    matrix = torch.as_tensor(given).detach().cpu()
    if matrix.ndim != 2 or not matrix.is_floating_point():
        raise MapError(
            f"the embeddings have shape {tuple(matrix.shape)} and dtype {matrix.dtype}; expected a matrix "
            "(classes, width) of real numbers"
        )
    if len(matrix) < FEWEST:
        raise MapError(f"{len(matrix)} classes were given; a map of neighbourhoods needs four or more")
    _check_finite(matrix, "the embeddings")
    named = tuple(map(str, range(len(matrix)) if names is None else names))
    if len(named) != len(matrix):
        raise MapError(f"{len(named)} names were given for {len(matrix)} embeddings; give one a row, or none")
    if fingerprint is None:
        fingerprint = sha256_of(matrix)
    return matrix.clone(), named, model, fingerprint


def _check_finite(matrix: Tensor, what: str) -> None:
    bad = (~torch.isfinite(matrix)).any(1).nonzero().flatten().tolist()
    if bad:
        raise MapError(f"{what} hold NaN or infinity in {len(bad)} of {len(matrix)} rows, first in row {bad[0]}")
