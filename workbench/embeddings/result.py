"""What a search for a class's embedding gives: every trial, its history, and which one is the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.results import Result

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class EmbeddingTrials(Result):
    """Embeddings found for one class, one a trial.

    Attributes:
        class_index, class_name: of the generator's class that they are for.
        target, target_name: the classifier's class that was maximised; -1 and "" where none was (noise).
        variant: name of the variant.
        original: (width,) the class's own embedding.
        initial: (trials, width) where each trial started.
        embeddings: (trials, width) where each ended.
        probability: (steps, trials) mean probability of the target over the step's latents.
        diversity: (steps, trials) mean distance of the pictures of two latents, over that of the latents
            (equation 2.1), in the space that `distance` names.
        distance: `pixel`, `softmax`, or the layer of the classifier whose output was compared.
        scores: (trials,) by which the best was chosen, higher is better.
        scored_by: what the scores are.
    """

    class_index: int
    class_name: str
    target: int
    target_name: str
    variant: str
    original: Float[Tensor, " width"]
    initial: Float[Tensor, "trials width"]
    embeddings: Float[Tensor, "trials width"]
    probability: Float[Tensor, "steps trials"]
    diversity: Float[Tensor, "steps trials"]
    distance: str
    scores: Float[Tensor, " trials"]
    scored_by: str

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def best(self) -> int:
        """The trial with the highest score; one whose score is NaN never wins."""
        return int(torch.nan_to_num(self.scores, nan=-torch.inf).argmax())

    @property
    def embedding(self) -> Float[Tensor, " width"]:
        """The best trial's embedding."""
        return self.embeddings[self.best]

    def frame(self) -> pd.DataFrame:
        """One row a trial: its last probability and diversity, how far it moved from the original, its score."""
        import pandas as pd

        last = -1 if len(self.probability) else None
        return pd.DataFrame(
            {
                "trial": range(len(self)),
                "probability": [None] * len(self) if last is None else self.probability[-1].tolist(),
                "diversity": [None] * len(self) if last is None else self.diversity[-1].tolist(),
                "moved": (self.embeddings - self.original).norm(dim=1).tolist(),
                self.scored_by: self.scores.tolist(),
            }
        )
