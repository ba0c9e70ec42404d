"""What the study measures of a set of samples, the same for every method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.inverse_sets.bands import Band, gives_score
from workbench.inverse_sets.result import InverseSet
from workbench.metrics import frechet_distance, mean_distance, pixel_difference
from workbench.models import Generator
from workbench.models.latent import pictures_for

if TYPE_CHECKING:
    from workbench.inverse_sets.study import Models, Run

#: Nearest real pictures that say how far "among real pictures" reaches.
_NEIGHBOURS = 3


class Meter:
    """Measures sets of samples, all of them in the same way, whatever space their method took distances in."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._layer = models.judge.layers[-2].name
        self._real = self._judged(models.real, models.generator)[0]
        self._reach = torch.cdist(self._real, self._real).kthvalue(_NEIGHBOURS + 1, dim=1).values
        low, high = models.generator.value_range
        self._unit = 1 / (high - low)
        self._digits = models.real.flatten(1) * self._unit

    def of(self, found: InverseSet, run: Run) -> dict[str, object]:
        """One row of `sets.csv`, beside the run's key."""
        values, limits = found.values, found.limits.to(found.values)
        inside = ((values >= limits[:, 0]) & (values <= limits[:, 1])).all(1)
        row: dict[str, object] = {
            "samples": len(found),
            "inside": float(inside.double().mean()) if len(found) else math.nan,
            "lowest": float(found.covered[0, 0]),
            "highest": float(found.covered[0, 1]),
            "coverage": float(found.coverage.min()),
            "reference": found.reference,
            "seed_steps": int(found.steps[0]),
            "steps": int(found.steps[1]),
            **found.provenance.passes,
            "seconds": found.provenance.seconds,
        }
        if len(found) < 2:
            return {**row, "note": found.note}
        encoder = self._models.encoder
        codes = encoder(pictures_for(encoder.classifier, run.generator)(found.outputs)).flatten(1)
        features, scores = self._judged(found.outputs, run.generator)
        confidence, read = scores.softmax(1).max(1)
        seeds = codes[found.step == 0]
        row |= {
            "diversity": mean_distance(codes),
            "diversity inside": mean_distance(codes[inside]),
            "diversity of seeds": mean_distance(seeds),
            "pixels": pixel_difference(found.outputs * self._unit, pairs=2000),
            "frechet": frechet_distance(self._real, features),
            "precision": self._precision(features),
            "confidence": float(confidence.double().mean()),
            "nearest": float(torch.cdist(found.outputs.flatten(1) * self._unit, self._digits).amin(1).mean()),
            "extreme": float(found.codes.flatten(1).abs().amax(1).mean()),
        }
        if run.part == "4.1":
            row["white"] = self._white(found.outputs) / self._white(self._models.real)
        kind = class_of(run.bands)
        if kind is not None:
            own = inside & (read == kind)
            row["read"] = float((read == kind).double().mean())
            row["diversity inside and read"] = mean_distance(codes[own])
        return {**row, "note": found.note}

    def _white(self, outputs: Float[Tensor, "n *output"]) -> float:
        """Share of the pixels brighter than the middle of the range: section 4.1 sees large white spots."""
        low, high = self._models.generator.value_range
        return float((outputs > (low + high) / 2).double().mean())

    def _precision(self, features: Float[Tensor, "n d"]) -> float:
        """Share of pictures that lie among real ones: as near to one of them as its third nearest is to it.

        Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019,
        in the judge's features. Unlike the Fréchet distance it does not ask for variety.
        """
        return float((torch.cdist(features, self._real) <= self._reach).any(1).double().mean())

    def _judged(
        self, outputs: Float[Tensor, "n *output"], generator: Generator
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n classes"]]:
        """The judge's last hidden layer and its scores for pictures of a generator."""
        judge = self._models.judge
        given = pictures_for(judge, generator)(outputs)
        with torch.no_grad():
            features = judge.batches.map(judge.until(self._layer), given).flatten(1)
        return features, judge.scores(given)


def class_of(bands: Sequence[Band]) -> int | None:
    """The class whose score a single neuron gives; None for hidden neurons and for several."""
    one = bands[0]
    return one.neuron.channel if len(bands) == 1 and gives_score(one.classifier, one.neuron) else None
