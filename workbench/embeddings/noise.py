"""Noise on a class's embedding: the baseline that makes pictures no more diverse (section 3.2 of Li, 2020)."""

from __future__ import annotations

import time

import torch

from workbench.embeddings.objective import embeddings_of, names_of
from workbench.embeddings.result import EmbeddingTrials
from workbench.embeddings.variants import EmbeddingError
from workbench.models import Generator
from workbench.models.errors import nearest_names
from workbench.numerics.randomness import seeded
from workbench.results import Provenance, call, differing

#: Standard deviation of the noise by name, for BigGAN's tables, whose own is 0.14 and 0.16.
NOISES = {"Noise-S": 0.1, "Noise-L": 0.3}


def noise(
    generator: Generator,
    class_index: int | str,
    name: str = "Noise-S",
    *,
    seed: int = 0,
    trials: int = 5,
    spread: float | None = None,
) -> EmbeddingTrials:
    """A class's embedding with normal noise on every number.

    Args:
        generator: with class embeddings.
        class_index: the class, by index or name.
        name: `Noise-S` (0.1) or `Noise-L` (0.3).
        seed: of the noise.
        trials: independent draws.
        spread: the noise's standard deviation; by default that of the name, which suits BigGAN's tables.

    Returns:
        The trials, without a history; all have score 0, so that the first counts as the best.

    Raises:
        EmbeddingError: no class embeddings, no such name, or settings out of range.
        ModelError: no such class.
    """
    started = time.perf_counter()
    if not isinstance(name, str) or name not in NOISES:
        raise EmbeddingError(f"no noise {name!r}: {nearest_names(name, NOISES)}")
    deviation = NOISES[name] if spread is None else spread
    if trials < 1 or not 0 <= deviation < float("inf"):
        raise EmbeddingError(
            f"trials={trials}, spread={deviation}; expected at least one trial and a finite spread"
        )
    table = embeddings_of(generator)
    index = generator.class_index(class_index)
    given = differing(noise, seed=seed, trials=trials, spread=spread)
    drawn = torch.randn(trials, table.shape[1], generator=seeded(seed)).to(table)
    found = table[index] + deviation * drawn
    return EmbeddingTrials(
        provenance=Provenance.of(
            generator,
            call=call("wb.embeddings.noise", "G", str(index), repr(name), **given),
            seed=seed,
            started=started,
        ),
        class_index=index,
        class_name=names_of(generator)[index],
        target=-1,
        target_name="",
        variant=name,
        original=table[index].clone(),
        initial=found,
        embeddings=found.clone(),
        probability=torch.empty(0, trials),
        diversity=torch.empty(0, trials),
        distance="none",
        scores=torch.zeros(trials),
        scored_by="none",
    )
