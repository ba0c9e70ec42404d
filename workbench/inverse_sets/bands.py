"""What a sample has to fulfil: a neuron's activation between two levels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.models import Classifier, Neuron
from workbench.models.errors import WorkbenchError
from workbench.results import call


class InverseSetError(WorkbenchError, ValueError):
    """A band, an encoder or a setting that cannot be sampled with."""


@dataclass(frozen=True)
class Band:
    """Activations of a neuron that are sampled: `low <= f(x) <= high` (equation 1).

    Args:
        classifier: the network that has the neuron.
        neuron: a scalar of one of its layers.
        low, high: z1 and z2, in the units of the activation.

    Raises:
        LayerError: no such layer, channel or position.
        InverseSetError: ends that are swapped, equal, or not finite.
    """

    classifier: Classifier
    neuron: Neuron
    low: float
    high: float

    def __post_init__(self) -> None:
        if not isinstance(self.classifier, Classifier) or not isinstance(self.neuron, Neuron):
            raise InverseSetError(
                f"a band of a {type(self.classifier).__name__} and a {type(self.neuron).__name__} was asked for; "
                "expected band(C, layer, channel, low, high) with a workbench Classifier"
            )
        self.classifier.neuron(self.neuron)
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise InverseSetError(
                f"the band of {self.label} reaches from {self.low} to {self.high}; both ends must be finite. For "
                "an open end give the largest activation that you have seen"
            )
        if not self.low < self.high:
            advice = f": swap them, ({self.high:g}, {self.low:g})" if self.low > self.high else ""
            raise InverseSetError(
                f"the band of {self.label} reaches from {self.low:g} to {self.high:g}; the first end must lie "
                f"below the second{advice}"
            )

    @property
    def label(self) -> str:
        """The neuron in short, such as `14[3]`, by the class's name where the layer gives the scores."""
        return label(self.classifier, self.neuron)

    def written(self, classifier: str = "C") -> str:
        """The Python that makes it, with the classifier as the variable of that name."""
        where = "".join(
            f", {name}={value!r}"
            for name, value in (("position", self.neuron.position), ("reduce", self.neuron.reduce))
            if value is not None
        )
        # as short as they may be, and exact
        ends = ", ".join(f"{end:g}" if float(f"{end:g}") == end else repr(end) for end in (self.low, self.high))
        return f"wb.inverse_sets.band({classifier}, {self.neuron.layer!r}, {self.neuron.channel}, {ends}{where})"


def gives_score(classifier: Classifier, neuron: Neuron) -> bool:
    """Whether a neuron is a class's score: a unit of the last layer, which has one for each class."""
    last = classifier.layers[-1]
    return neuron.layer == last.name and last.shape == (len(classifier.class_names),)


def label(classifier: Classifier, neuron: Neuron) -> str:
    """A neuron in short: `14[3]`, `6[12, mean]`, `6[12, (6, 6)]`, or `class cat` for a score.

    Of several classes of one name each has its index besides.
    """
    if gives_score(classifier, neuron):
        name = classifier.class_names[neuron.channel]
        same = classifier.class_names.count(name) > 1
        return f"class {name} ({neuron.channel})" if same else f"class {name}"
    where = neuron.reduce or (neuron.position if neuron.position is not None else "")
    return f"{neuron.layer}[{neuron.channel}{f', {where}' if where != '' else ''}]"


def labels(bands: Sequence[Band]) -> tuple[str, ...]:
    """The neurons in short, no two the same: those that share a label are told apart by their classifiers."""
    times = Counter(b.label for b in bands)
    names = [f"{b.label} of {b.classifier.name}" if times[b.label] > 1 else b.label for b in bands]
    times = Counter(names)  # classifiers, too, may share a name
    return tuple(f"{n}, {names[: i + 1].count(n)}" if times[n] > 1 else n for i, n in enumerate(names))


def line(function: str, bands: Sequence[Band], *arguments: str, **options: Any) -> str:
    """The Python that calls a function of `wb.inverse_sets` for bands, with G, C and E for the networks.

    Several classifiers are C1, C2 and so on, in the order of their first bands.
    """
    found = list(dict.fromkeys(id(b.classifier) for b in bands))
    names = {key: f"C{i}" if len(found) > 1 else "C" for i, key in enumerate(found, 1)}
    each = [b.written(names[id(b.classifier)]) for b in bands]
    wanted = each[0] if len(each) == 1 else f"[{', '.join(each)}]"
    written = call(f"wb.inverse_sets.{function}", "G", wanted, *arguments, **options)
    return written.replace("encoder=encoder", "encoder=E")


def band(
    classifier: Classifier,
    layer: str | int,
    channel: int | str,
    low: float,
    high: float,
    *,
    position: tuple[int, ...] | None = None,
    reduce: Literal["mean", "max"] | None = None,
) -> Band:
    """The band of a neuron: a unit of `layer`, or a channel's centre, position, mean or maximum.

    Args:
        classifier: the network that has the neuron.
        layer: its layer, by name or index (`C.layers` lists them); -1 is the last one.
        channel: 0-based index, or in the layer of the scores a class's name.
        low, high: the levels, in the units of the activation.
        position, reduce: of a channel with several positions; see `workbench.models.Neuron`.

    Raises:
        LayerError: no such layer, channel or position.
        ModelError: no class of that name.
        InverseSetError: ends that are swapped, equal, or not finite.
    """
    if not isinstance(classifier, Classifier):
        raise InverseSetError(
            f"a {type(classifier).__name__} was given, expected a Classifier; wrap your network: "
            "wb.Classifier(module, input_shape=…)"
        )
    name = classifier.layers[layer].name
    if isinstance(channel, str):
        from workbench.models import checks

        channel = checks.class_index(channel, classifier.class_names, of=classifier.name)
    return Band(classifier, Neuron(name, channel, position, reduce), float(low), float(high))


def as_bands(neurons: Band | Sequence[Band]) -> tuple[Band, ...]:
    """One or several bands, as a tuple.

    Raises:
        InverseSetError: none, something else, or two disjoint bands of one neuron.
    """
    bands = (neurons,) if isinstance(neurons, Band) else tuple(neurons)
    wrong = [type(b).__name__ for b in bands if not isinstance(b, Band)]
    if wrong or not bands:
        raise InverseSetError(
            f"neurons={neurons!r}; expected wb.inverse_sets.band(C, layer, channel, low, high), or a list of them"
        )
    for i, one in enumerate(bands):
        for other in bands[:i]:
            if (other.classifier, other.neuron) == (one.classifier, one.neuron):
                raise InverseSetError(f"{one.label} was given two bands; give each neuron one")
    return bands
