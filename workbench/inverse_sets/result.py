"""Samples of an inverse set, with what they say of the neuron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.results import Result

if TYPE_CHECKING:
    import pandas as pd

#: Parts of a band of which coverage tells how many hold a sample.
PARTS = 20


@dataclass(frozen=True, kw_only=True)
class InverseSet(Result):
    """Samples whose activations lie in their bands (equation 1; section 3.5 for several neurons).

    Attributes:
        method: that made them, such as `tangent`.
        neurons: (bands,) the neurons in short.
        limits: (bands, 2) lowest and highest activation that was asked for.
        distance: where the diversity was measured.
        codes: (n, *latent).
        outputs: (n, *output) the generator's, in its value range.
        values: (n, bands) the activations.
        walker: (n,) which seed a sample descends from.
        step: (n,) gradient steps of the sampler before it; 0 for a seed.
        steps: (2,) gradient steps for the seeds, and for the rest.
        diversity: mean Euclidean distance of two samples' features (table 1); NaN for fewer than two.
        reference: the same for draws of the generator's prior.
        nearest_codes, nearest_outputs, nearest_values: (m, …) what came nearest for the seeds that did not reach
            the bands; none where all did.
        note: why there are fewer samples than were asked for; empty where there are not.
    """

    method: str
    neurons: tuple[str, ...]
    limits: Float[Tensor, "bands 2"]
    distance: str
    codes: Float[Tensor, "n *latent"]
    outputs: Float[Tensor, "n *output"]
    values: Float[Tensor, "n bands"]
    walker: Int[Tensor, " n"]
    step: Int[Tensor, " n"]
    steps: Int[Tensor, "2"]
    diversity: float
    reference: float
    nearest_codes: Float[Tensor, "m *latent"]
    nearest_outputs: Float[Tensor, "m *output"]
    nearest_values: Float[Tensor, "m bands"]
    note: str = ""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def covered(self) -> Float[Tensor, "bands 2"]:
        """Smallest and largest activation of the samples, for each band; NaN without samples."""
        if not len(self):
            return torch.full_like(self.limits, torch.nan)
        return torch.stack([self.values.amin(0), self.values.amax(0)], dim=1).to(self.limits)

    @property
    def coverage(self) -> Float[Tensor, " bands"]:
        """Share of each band's twenty equal parts that hold a sample; one outside the band fills none."""
        low, high = self.limits.to(self.values).unbind(1)
        inside = (self.values >= low) & (self.values <= high)
        part = ((self.values - low) / (high - low) * PARTS).long().clamp(0, PARTS - 1)
        counts = [len(part[rows, i].unique()) for i, rows in enumerate(inside.unbind(1))]
        return torch.tensor([count / PARTS for count in counts])

    def frame(self) -> pd.DataFrame:
        """One row a sample: its walker, its step, and its activation for each neuron."""
        import pandas as pd

        columns = {"walker": self.walker.tolist(), "step": self.step.tolist()}
        for name, column in zip(self.neurons, self.values.unbind(1), strict=True):
            columns[name] = column.tolist()
        return pd.DataFrame(columns)
