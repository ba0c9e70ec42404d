"""What is on screen in the panel of subspace search, as a report."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from workbench.exports import Export, ExportError, Section, Stand, network
from workbench.numerics.spectra import Spectrum
from workbench.subspaces.features import Downsampled, Features, LayerFeatures, Pixels
from workbench.subspaces.line import Line
from workbench.subspaces.search import Path, Search

_IMPORTS = (
    "from workbench.subspaces import figures",
    "from workbench.ui.film_strip import FilmStrip",
    "from workbench.ui.sample_grid import SampleGrid",
)
_TEXT = """\
Differential subspace search (Chiu et al., ACM Transactions on Graphics 39(4), 2020) goes through the latent space
of a generator on one line after another, each along a direction in which the output changes most."""
_LINE = """\
strip = FilmStrip(height=288, accept_on_release=False, status="Drag along the line")
figures.show_line(strip, line, {value_range})
strip"""
_SPECTRUM = "figures.singular_values(singular_values{drawn})"
_POINTS = """\
points = SampleGrid(arrangement="strip", name="points")
points.show(
    path.outputs,
    value_range={value_range},
    labels=[str(i) for i in range(len(path.outputs))],
    parents=[None if parent < 0 else parent for parent in path.parents.tolist()],
    current=path.current,
)
points"""


def describe(search: Search, line: Line | None, shown: tuple[int, int]) -> Export:
    """The line on screen and the points that were accepted.

    Args:
        search: the session.
        line: on screen.
        shown: its point and which direction drawn there it has.

    Raises:
        ExportError: there is no line yet.
    """
    if line is None:
        raise ExportError("no line is on screen yet: wait until the first one is computed")
    point, draw = shown
    generator, spectrum = search.generator, search.spectrum(point)
    path = search.path()
    values: dict[str, Any] = {"line": line, "path": path}
    make = [_way(search), f"line = search.line({draw}{'' if point == search.current else f', point={point}'})"]
    make.append("path = search.path()")
    look = {"value_range": generator.value_range}
    show = [_LINE.format(**look)]
    if spectrum is not None:
        values["singular_values"] = spectrum.singular_values
        make.append(f"singular_values = search.spectrum({point}).singular_values")
        index = place_in(spectrum, line)
        show.append(_SPECTRUM.format(drawn=f", {index}" if index >= 0 else ""))
    show += [_POINTS.format(**look), "path.frame().round(4)"]
    section = Section(
        "The line and the way to it",
        "The line through the latest point, the singular values there, and the points that were accepted.",
        values,
        "\n".join(make),
        tuple(show),
    )
    return Export(
        name="subspace-search",
        title="a search through a latent space, as it was on screen",
        text=_TEXT,
        sections=(section,),
        stands=(network("G", generator), *_features(search.features)),
        settings={
            "seed": (search.seed, "of the start and of every direction"),
            "route": (search.route, 'to the singular vectors: "auto", "exact", "matrix-free" or "stochastic"'),
            "scale": (search.scale, 'in which lines are as long as one another: "output" or "latent"'),
            "share": (search.share, "of a typical change that a line's ends reach"),
            "steps": (search.steps, "frames of a line"),
        },
        inputs=_inputs(search, path),
        imports=_IMPORTS,
    )


def place_in(spectrum: Spectrum, line: Line) -> int:
    """Which singular vector a line runs along; -1 for a direction outside those that there are."""
    cosines = (spectrum.directions @ line.direction.flatten()).abs()
    return int(cosines.argmax()) if float(cosines.max()) > 0.99 else -1


def _way(search: Search) -> str:
    """The lines that go the way of a search, with all branches."""
    begun = search.beginning()
    points = search.points[1:]
    if all(point.parent == point.index - 1 for point in points) and search.current == len(points):
        moves = [(point.draw, point.t) for point in points]
        return f"search = {begun}" + (f".follow({moves!r})" if moves else "")
    legs = [(point.parent, point.draw, point.t) for point in points]
    return (
        f"search = {begun}\nfor parent, draw, t in {legs!r}:\n    search.go_to(parent)\n"
        f"    search.follow([(draw, t)])\nsearch.go_to({search.current})"
    )


def _inputs(search: Search, path: Path) -> dict[str, Tensor]:
    given: dict[str, Tensor] = {"z": search.points[0].latent} if path.given_start else {}
    return given | ({"condition": search.condition} if isinstance(search.condition, Tensor) else {})


def _features(features: Features) -> list[Stand]:
    """What the features stand on: a classifier, or features of one's own."""
    if isinstance(features, LayerFeatures):
        return [network("C", features.classifier)]
    if isinstance(features, Pixels | Downsampled):
        return []
    lines = (
        "features = None  # put the features here that the panel had\n"
        'if features is None:\n    raise ValueError("features are of your own; put them in place of None")'
    )
    return [Stand("features", lines)]
