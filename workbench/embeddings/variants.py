"""The variants of activation maximisation: their start, their rate, and whether diversity is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.models.errors import WorkbenchError, nearest_names


class EmbeddingError(WorkbenchError, ValueError):
    """Class embeddings that were asked for what they cannot do."""


@dataclass(frozen=True)
class Variant:
    """One way to search for a class's embedding (sections 3.3, 3.4 and 3.9 of Li, 2020).

    Attributes:
        name: as in Table 3.1.
        start: what a trial starts near: the `class`'s own embedding, the `mean` of all, or the rows whose
            pictures the classifier takes for the class most (`top`, for a foreign label set).
        rate: of Adam.
        diversity_weight: λ of equation (2.3); 0 maximises the probability alone.
    """

    name: str
    start: Literal["class", "mean", "top"]
    rate: float
    diversity_weight: float = 0.0


#: The variants by name; `Top-5` is that of section 3.9, AM-L from each of the five best rows.
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("AM-S", "class", 0.01),
        Variant("AM-L", "mean", 0.1),
        Variant("AM-D-S", "class", 0.01, 2.0),
        Variant("AM-D-L", "mean", 0.1, 2.0),
        Variant("Top-5", "top", 0.1),
    )
}


def variant(given: str | Variant) -> Variant:
    """The variant of a name.

    Raises:
        EmbeddingError: no such name.
    """
    if isinstance(given, Variant):
        return given
    if not isinstance(given, str) or given not in VARIANTS:
        raise EmbeddingError(f"no variant {given!r}: {nearest_names(given, VARIANTS)}")
    return VARIANTS[given]
