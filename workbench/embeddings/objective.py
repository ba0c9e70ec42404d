"""What class embeddings are searched by: what a classifier says of their pictures, and how far these lie apart."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.embeddings.variants import EmbeddingError
from workbench.models import Classifier, Generator
from workbench.models.errors import ModelError, nearest_names
from workbench.models.latent import Resize, check_together, pictures_for

#: Latents for which every row is tried to find the best rows of a foreign class (section 3.9).
_TRIED = 10


class Objective:
    """What a classifier says of a generator's pictures, and how far apart the pictures of two latents are.

    Args:
        generator: with class embeddings.
        classifier: of its pictures. They are mapped into its value range, their channels repeated where it takes
            three, and resized where it takes another size; what else it wants, such as a mean and deviation taken
            off, belongs into it.
        target: the classifier's class.
        distance: `pixel`, `softmax`, or the name of a layer of the classifier.
        resize: how pictures are resized, as in `torch.nn.functional.interpolate`; the published code's is nearest.

    Raises:
        ModelError: pictures that do not fit the classifier, or the two are on different devices.
        LayerError: no such layer.
    """

    def __init__(
        self, generator: Generator, classifier: Classifier, target: int, *, distance: str, resize: Resize
    ) -> None:
        self.generator, self.classifier, self.target, self.distance = generator, classifier, target, distance
        check_together(classifier, generator, alike=("device",))  # a classifier casts what it is given
        self._fit = pictures_for(classifier, generator, resize=resize)
        if distance not in ("pixel", "softmax"):
            classifier.layers[distance]

    def __call__(
        self, z: Float[Tensor, "n *latent"], embeddings: Float[Tensor, "n width"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n d"]]:
        """The log probability of the target for each row, and what the rows' distances are measured on.

        Both are NaN of a picture that overflows.
        """
        pictures = self.generator(z, embeddings)
        finite = torch.isfinite(pictures.flatten(1)).all(1, keepdim=True)
        given = self._fit(torch.where(finite.unflatten(1, (1,) * (pictures.ndim - 1)), pictures, 0))
        if self.distance in ("pixel", "softmax"):
            logs = self.classifier(given).log_softmax(1)
            seen = pictures if self.distance == "pixel" else logs.exp()
        else:
            scores, outputs = self.classifier.with_layers(given, [self.distance])
            logs, seen = scores.log_softmax(1), outputs[self.distance]
        return torch.where(finite[:, 0], logs[:, self.target], math.nan), torch.where(
            finite, seen.flatten(1), math.nan
        )


def limits_of(table: Float[Tensor, "classes width"]) -> tuple[float, float]:
    """The smallest and largest entry, rounded outwards to two digits.

    For BigGAN's 256-pixel table [-0.6, 0.6] (the thesis: [-0.59, 0.61]), for its 128-pixel table the published
    code's [-0.88, 0.83].
    """
    low, high = float(table.min()), float(table.max())
    slack = 1e-4  # of what single precision adds to a round number
    return math.floor(100 * low + slack) / 100, math.ceil(100 * high - slack) / 100


def embeddings_of(generator: Generator) -> Float[Tensor, "classes width"]:
    """The generator's class embeddings.

    Raises:
        EmbeddingError: it has none.
    """
    if not isinstance(generator, Generator) or generator.class_embeddings is None:
        has = "classes but no class_embeddings" if getattr(generator, "class_names", None) else "no classes"
        raise EmbeddingError(
            f"{getattr(generator, 'name', type(generator).__name__)} has {has}; make it with "
            "Generator(module, …, class_embeddings='name of the parameter'), the module called with its rows"
        )
    return generator.class_embeddings


def target_index(generator: Generator, classifier: Classifier, index: int, target: int | str | None) -> int:
    """The classifier's class for a class of the generator.

    Raises:
        EmbeddingError: the classifier has no class of that name, or several; says which and what to do.
    """
    if target is not None:
        return classifier_index(classifier, target)
    ours, theirs = names_of(generator), classifier.class_names
    if ours == theirs:  # also where several classes have one name
        return index
    if theirs.count(ours[index]) > 1:
        same = ", ".join(str(i) for i, name in enumerate(theirs) if name == ours[index])
        raise EmbeddingError(
            f"{classifier.name} has several classes {ours[index]!r}, of index {same}; say which: target=<index>"
        )
    if ours[index] in theirs:
        return theirs.index(ours[index])
    missing = [name for name in ours if name not in theirs]
    if len(missing) == len(ours) and theirs == [str(i) for i in range(len(ours))]:
        return index  # a classifier whose classes were never named
    few = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    raise EmbeddingError(
        f"{classifier.name} has no class {ours[index]!r}; of {generator.name}'s {len(ours)} classes it lacks "
        f"{few}. Name the class that the pictures should be taken for, and start from the rows that come nearest: "
        "maximize(…, 'Top-5', target='…')"
    )


def classifier_index(classifier: Classifier, target: int | str) -> int:
    """The index of a classifier's class by name or index."""
    names = classifier.class_names
    if isinstance(target, str):
        if target not in names:
            raise EmbeddingError(f"{classifier.name} has no class {target!r}: {nearest_names(target, names)}")
        return names.index(target)
    if not 0 <= int(target) < len(names):
        raise EmbeddingError(f"target={target}; {classifier.name} has classes 0 to {len(names) - 1}")
    return int(target)


def rows_for(objective: Objective, *, seed: int = 0) -> Float[Tensor, " classes"]:
    """For each class of the generator: the mean probability of the target over ten pictures (section 3.9)."""
    table = embeddings_of(objective.generator)
    z = objective.generator.latents(_TRIED, seed=seed)
    return mean_probability(objective, table, z)


def mean_probability(
    objective: Objective, embeddings: Float[Tensor, "rows width"], z: Float[Tensor, "n *latent"]
) -> Float[Tensor, " rows"]:
    """Mean probability of the target over the same latents for each embedding."""

    def logs(latents: Tensor, rows: Tensor) -> Tensor:
        with torch.no_grad():
            return objective(latents, rows)[0]

    n = len(z)
    latents = z.repeat(len(embeddings), *[1] * (z.ndim - 1))
    found = objective.generator.batches.map(logs, latents, embeddings.repeat_interleave(n, dim=0))
    return found.exp().unflatten(0, (-1, n)).mean(1)


def names_of(generator: Generator) -> list[str]:
    """The names of the generator's classes."""
    if generator.class_names is None:
        raise ModelError(f"{generator.name} has no classes")
    return generator.class_names
