"""What is on screen in the panel of flip points, as a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from workbench.exports import Export, ExportError, Section, Stand, network
from workbench.flip_points.batched import EFFORTS
from workbench.models import LatentClassifier
from workbench.models.pictures import Pictures

if TYPE_CHECKING:
    from workbench.flip_points.panel_query import QueryView
    from workbench.flip_points.panel_set import SetView

_IMPORTS = (
    "from workbench.flip_points import figures",
    "from workbench.ui.sample_grid import SampleGrid",
)
_TEXT = """\
A flip point of an input is the closest one at which a classifier changes its mind (Yousefzadeh and O'Leary, "Deep
learning interpretation: flip points and homotopy methods", 2020). Each comes with its proof: `gap` is the
difference of the two scores there, `angle` how far the step is from the boundary's normal."""
_WAY = """\
strip = figures.way_strip()
figures.show_way(strip, way)
strip"""
_FLIP = """\
flip = figures.flip_grid()
figures.show_flip(flip, way)
flip"""
_DIRECTIONS = """\
directions = wb.flip_points.directions(found, 8)
figures.pca_scatter(directions)"""
_GRID = """\
grid = SampleGrid(name="inputs", multiple=False, height=420)
figures.show_samples(grid, found, {pictures}, {value_range})
grid.filter(selected or None)
grid"""


def describe(one: QueryView, many: SetView, settings: Mapping[str, Any]) -> Export:
    """The query's flip points, and those of the set or around the query.

    Args:
        one, many: the two views.
        settings: what `closest` takes besides query, targets, mask and effort.

    Raises:
        ExportError: there are none yet.
    """
    sections: list[Section] = []
    inputs: dict[str, Any] = {}
    if one.shown is not None and one.query is not None:
        sections.append(_query(one))
        inputs |= {"query": one.query} | ({} if one.mask is None else {"mask": one.mask})
    if many.found is not None:
        sections.append(_set(many))
        inputs["x"] = many.found.inputs
        inputs |= {} if many.mask is None else {"mask_around": many.mask}
        inputs |= {} if many.trust is None else {"truth": many.trust.truth}
    if not sections:
        raise ExportError("no flip point is there yet that a report could hold: draw or choose a query first")
    return Export(
        name="flip-points",
        title="flip points, as they were on screen",
        text=_TEXT,
        sections=tuple(sections),
        stands=(network("C", one.classifier), *_arrays(settings)),
        settings={
            "effort": (one.effort.value, f"of the search: {', '.join(map(repr, EFFORTS))}"),
            "seed": (settings["seed"], "of the starts"),
            "selected": (many.selected, "rows of the set that are selected; [] for all"),
        },
        inputs=inputs,
        imports=_IMPORTS,
    )


def _query(one: QueryView) -> Section:
    """The flip points of one input, and the way to the one in sight."""
    assert one.shown is not None and one.nearest is not None
    values: dict[str, Any] = {"nearest": one.nearest}
    lines = [f"nearest = {one.line(query='query', mask='mask')}"]
    show = ["nearest.frame().round(4).T"]
    found, row = one.shown
    if one.every is not None:
        values["every"] = one.every
        lines.append(f"every = {one.line(repr('all'), query='query', mask='mask')}")
        show = [f"figures.distances(every, shown={int(found.targets[row])})", "every.frame().round(4)"]
    if one.way is not None:
        values["way"] = one.way
        name = "every" if found is one.every else "nearest"
        lines.append(f"way = wb.flip_points.way(C, {name}, {row})")
        show = [_WAY, _FLIP, *show]
    return Section(
        "One query",
        "The way from the query straight to its flip point and beyond, and the distances to all classes.",
        values,
        "\n".join(lines),
        tuple(show),
    )


def _set(many: SetView) -> Section:
    """The flip points of the set, or boundary points around a query."""
    found, pictures = many.found, Pictures(many.classifier)
    assert found is not None
    values: dict[str, Any] = {"found": found}
    code = many.code.code.replace("panel.query", "x").replace("panel.mask", "mask_around")
    lines = [f"found = {code}"]
    points = "found.points" if many.around_query else "found.inputs"
    show, table = [], "figures.table(found)"
    if many.directions is not None:
        show += [_DIRECTIONS, "figures.explained_variance(directions)"]
    if many.trust is not None:
        values["trust"] = many.trust
        lines.append("trust = wb.flip_points.trust(C, x, truth, found)")
        show.append("figures.trust(trust)")
        table = "figures.table(found, trust)"
    if isinstance(many.classifier, LatentClassifier):
        values["pictures"] = lambda: pictures(found.points if many.around_query else found.inputs)
        lines.append(f"pictures = wb.models.pictures.Pictures(C)({points})")
        points = "pictures"
    show += [_GRID.format(pictures=points, value_range=pictures.value_range), table]
    what = "Boundary points around one query" if many.around_query else "The whole set"
    text = "Principal directions of the flips, how far to trust each classification, and the table of all."
    return Section(what, text, values, "\n".join(lines), tuple(show))


def _arrays(settings: Mapping[str, Any]) -> list[Stand]:
    """Arrays among the settings, which the code has by their names."""
    stands = []
    basis, bounds = settings.get("basis"), settings.get("bounds")
    if basis is not None:
        stands.append(Stand("basis", 'basis = tensors["basis"]', {"basis": torch.as_tensor(basis)}))
    if isinstance(bounds, tuple) and not all(isinstance(end, int | float) for end in bounds):
        ends = {f"bounds_{name}": torch.as_tensor(end) for name, end in zip(("low", "high"), bounds, strict=True)}
        lines = 'bounds = (tensors["bounds_low"], tensors["bounds_high"])'
        stands.append(Stand("bounds", lines, ends))
    return stands
