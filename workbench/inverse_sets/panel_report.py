"""What is on screen in the panel of inverse sets, as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from workbench.exports import Export, ExportError, Section, Stand, network
from workbench.inverse_sets.bands import Band
from workbench.inverse_sets.problem import Encoder
from workbench.inverse_sets.result import InverseSet
from workbench.models import Classifier, Generator

_IMPORTS = (
    "import pandas as pd",
    "from IPython.display import display",
    "from workbench.inverse_sets import figures",
    "from workbench.inverse_sets.browse import activity",
    "from workbench.models import Neuron",
    "from workbench.models.latent import pictures_for",
    "from workbench.ui.sample_grid import SampleGrid",
)
_TEXT = """\
Which pictures excite a neuron to a certain level? They are sampled through a generator, far apart from one another
(Hada and Carreira-Perpiñán, "Sampling the inverse set of a neuron", 2019)."""
_FACTS = """\
pd.DataFrame(
    [
        {"asked for": figures.title(one), "samples": len(one), "diversity": one.diversity, "prior": one.reference}
        for one in rows
    ]
).round(3)"""
_GRIDS = """\
for one in rows:
    print(figures.title(one))
    outputs, values = (one.outputs, one.values) if len(one) else (one.nearest_outputs, one.nearest_values)
    if not len(outputs):
        print("no samples")
        continue
    grid = SampleGrid(name="samples", multiple=False, captions=True, tile=52, height=212)
    labels = [" · ".join(f"{{value:.3g}}" for value in row) for row in values.tolist()]
    columns = dict(zip(one.neurons, values.T.tolist()))
    grid.show(outputs, value_range={value_range}, values=columns, labels=labels)
    display(grid)"""
_ROWS = "figures.rows(rows, {value_range})"
_COVERAGE = """\
for one in rows:
    if len(one):
        display(figures.coverage(one))"""
_HISTOGRAM = "figures.histogram(activations[{place!r}], {ends}, name={name!r})"


def describe(
    generator: Generator,
    classifier: Classifier,
    encoder: Encoder | None,
    rows: Sequence[tuple[InverseSet, str]],
    activations: Sequence[tuple[Band, Tensor]],
    *,
    images: Tensor | None,
    drawn: int,
    settings: Mapping[str, Any],
) -> Export:
    """The rows of samples, and the histograms of the neurons that are asked for.

    Args:
        generator, classifier, encoder: G, C and E.
        rows: the samples of each row, with the Python that makes them.
        activations: of each neuron that is asked for, on the pictures that neurons are browsed with.
        images: these pictures, or None for `drawn` draws of the generator.
        settings: what `sample` takes besides.

    Raises:
        ExportError: there are no samples yet.
    """
    if not rows:
        raise ExportError("no samples are on screen yet: choose a neuron, and wait until the first are found")
    value_range = {"value_range": generator.value_range}
    picture = len(generator.output_shape) == 3
    found = [one for one, _ in rows]
    reached = picture and all(len(one) or len(one.nearest_outputs) for one in found)
    sections = [
        Section(
            "Samples",
            "A row for each band that was asked for; the label is the activation.",
            {"rows": found},
            "rows = [\n" + "".join(f"    {code},\n" for _, code in rows) + "]",
            (
                _FACTS,
                _GRIDS.format(**value_range),
                *([_ROWS.format(**value_range)] if reached else []),
                _COVERAGE,
            ),
        )
    ]
    if activations:
        sections.append(_histograms(activations, images, drawn, settings))
    stands = [network("G", generator), network("C", classifier)]
    if encoder is not None and any("encoder=E" in code for _, code in rows):
        stands.append(_encoder(encoder, classifier))
    return Export(
        name="inverse-sets",
        title="inverse sets of neurons, as they were on screen",
        text=_TEXT,
        sections=tuple(sections),
        stands=tuple(stands),
        settings={
            "n": (settings["n"], "samples a row"),
            "seed": (settings["seed"], "of everything random"),
            "walkers": (
                settings["walkers"],
                "seeds that walk, None for one for every 50 samples, 10 to 50",
            ),
            "method": (settings["method"], 'of the sampler: "tangent", "lagrangian" or "full"'),
        },
        inputs={} if images is None else {"images": images},
        imports=_IMPORTS,
    )


def _histograms(
    activations: Sequence[tuple[Band, Tensor]],
    images: Tensor | None,
    drawn: int,
    settings: Mapping[str, Any],
) -> Section:
    """What each neuron does on the pictures that it was chosen by."""
    seen = "images.to(C.device, C.dtype)"
    if images is None:
        latents = f"G.latents({drawn}, seed={settings['seed']})"
        seen = f"pictures_for(C, G, resize={settings['resize']!r})(G.render({latents}))"
    layers = list(dict.fromkeys(band.neuron.layer for band, _ in activations))
    neurons = [band.neuron for band, _ in activations]
    return Section(
        "How often the neurons are so active",
        "On the pictures that the neurons were chosen by; the band is shaded.",
        {"activations": {str(place): values for place, (_, values) in enumerate(activations)}},
        f"read = activity(C, {seen}, {layers!r})\n"
        f"activations = {{str(i): read[one.layer].of(one) for i, one in enumerate({neurons!r})}}",
        tuple(
            _HISTOGRAM.format(
                place=str(place),
                ends=(band.low, band.high),
                name=f"activation of {band.label}",
            )
            for place, (band, _) in enumerate(activations)
        ),
    )


def _encoder(encoder: Encoder, classifier: Classifier) -> Stand:
    """E, in whose codes samples are far apart."""
    if encoder.classifier is classifier:
        return Stand("E", f"E = wb.inverse_sets.Encoder(C, {encoder.layer!r})")
    stand = network("E", encoder.classifier)
    lines = f"{stand.lines}\nE = wb.inverse_sets.Encoder(E, {encoder.layer!r})"
    return Stand("E", lines, stand.inputs, stand.device)
