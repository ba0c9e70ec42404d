"""What is on screen in the panel of generative boundaries, as a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from workbench.boundaries import figures
from workbench.boundaries.baselines import BASELINES
from workbench.boundaries.claims import OURS
from workbench.boundaries.explore import Exploration
from workbench.boundaries.panel_plane import MOST_CELLS, RESOLUTION, PlaneView, drawable
from workbench.boundaries.panel_set import thresholds
from workbench.boundaries.sign_layer import AnyModel
from workbench.boundaries.supporting_set import SupportingSet, masked_outputs
from workbench.exports import Export, ExportError, Section, Stand, network
from workbench.exports.kept import Value
from workbench.models import Classifier, Generator
from workbench.models.pictures import Pictures
from workbench.results import call

if TYPE_CHECKING:
    from workbench.boundaries.panel import Panel
    from workbench.boundaries.panel_layers import LayersView

_IMPORTS = (
    "from html import escape",
    "from workbench.boundaries import figures",
    "from workbench.boundaries.baselines import BASELINES",
    "from workbench.boundaries.panel_set import thresholds",
    "from workbench.models.pictures import Pictures",
    "from workbench.ui.film_strip import FilmStrip",
    "from workbench.ui.galleries import gallery",
    "from workbench.ui.sample_grid import SampleGrid",
)
_TEXT = """\
Which boundaries of a layer carry a picture, and what else lies in the region that they bound? A small set of units
is found that keeps the picture when all others are switched off, and a tree of samples is grown inside their signs
(Jeon, Jeong and Choi, "An efficient explorative sampling considering the generative boundaries of deep generative
neural networks", AAAI 2020)."""
_KEPT = """\
strip = FilmStrip(height=252, accept_on_release=False, label="Threshold", status="Drag to keep fewer boundaries")
figures.show_thresholds(strip, supporting_set, thresholds(supporting_set), masked, {look})
strip"""
_BESIDE = """\
beside = SampleGrid(arrangement="strip", name="pictures", tile=104)
figures.show_kept(beside, supporting_set, {value_range})
beside"""
_SET = """\
kept_of = f"{len(supporting_set.units):,} of {supporting_set.candidates:,} boundaries"
print(f"layer {supporting_set.layer}: {kept_of} are kept, error {supporting_set.error:.1%}")"""
_SAMPLES = """\
grid = SampleGrid(name="samples", multiple=False, tile=52, height=300)
distances = (exploration.samples - exploration.query).flatten(1).norm(dim=1)
grid.show(pictures["{ours}"], value_range={value_range}, values={{"distance": distances.tolist()}})
grid"""
_KINDS = "gallery(pictures, {value_range})"
_PLANE = """\
region = wb.boundaries.Region(tuple(line.numpy() for line in outlines.values()), area={area}, exact={exact})
figures.arrangement(drawn, kept=supporting_set, region=region, exploration={exploration})"""
_LAYERS = """\
rows = {{f"layer {{escape(sets[int(i)].layer)}}": pictures for i, pictures in shown.items()}}
gallery(rows, {value_range})"""


def describe(panel: Panel) -> Export:
    """The supporting set, its samples, the plane, and the layers that were compared.

    Raises:
        ExportError: there is no supporting set yet.
    """
    found, tree, model = panel.supporting_set, panel.exploration, panel.model
    lines = panel.code.code.split("\n")
    if found is None or len(lines) < 3:
        raise ExportError("no supporting set is on screen yet: choose a query, and wait until it is found")
    symbol = "G" if isinstance(model, Generator) else "C"
    source = lines[0].removeprefix("z = ")
    drawn_anew = source.startswith((f"{symbol}.latents(", "C.generator.latents(", "torch.tensor("))
    inputs = {} if drawn_anew else {"z": found.query}
    sections = [_kept(model, found, "\n".join(lines[:2] if drawn_anew else lines[1:2]), symbol)]
    if tree is not None and len(tree.samples):
        sections.append(_samples(model, tree, panel.samples.kinds, lines[2], symbol))
    stands = [network(symbol, model)]
    plane = _plane(panel.plane, found, tree if len(sections) > 1 else None, symbol)
    if plane is not None:
        sections.append(plane[0])
        stands.append(plane[1])
    if panel.layers.asked is not None and any(result.tree is not None for result in panel.layers.results):
        sections.append(_layers(model, panel.layers, symbol))
        inputs["z_of_layers"] = panel.layers.asked[0]
    return Export(
        name="generative-boundaries",
        title="generative boundaries, as they were on screen",
        text=_TEXT,
        sections=tuple(sections),
        stands=tuple(stands),
        settings={
            "seed": (found.provenance.seed, "of everything random"),
            "threshold": (found.threshold, "above which a unit is kept"),
            "sparsity": (found.sparsity, "price of keeping a boundary"),
            "samples": (panel.samples.samples.value, "that were asked for"),
            "interval": (panel.samples.interval.value, "half the side of the box of targets"),
            "step": (panel.samples.step.value, "length of a step"),
        },
        inputs=inputs,
        imports=_IMPORTS,
    )


def _kept(model: AnyModel, found: SupportingSet, code: str, symbol: str) -> Section:
    """What the supporting set keeps of the query, at each threshold."""
    value_range = None if isinstance(model, Classifier) else model.value_range
    names = list(model.class_names) if isinstance(model, Classifier) else []
    look = f"{value_range}" + (f", {names!r}" if names else "")
    return Section(
        "What carries the query",
        "What is left of the query at each threshold: the fewer boundaries are kept, the less.",
        {"supporting_set": found, "masked": lambda: masked_outputs(model, found, thresholds(found))},
        f"{code}\nmasked = wb.boundaries.masked_outputs({symbol}, supporting_set, thresholds(supporting_set))",
        (_KEPT.format(look=look), _BESIDE.format(value_range=value_range), _SET),
    )


def _samples(model: AnyModel, tree: Exploration, kinds: Any, code: str, symbol: str) -> Section:
    """The tree's samples, and those of the baselines that were there."""
    draw = Pictures(model)
    others = [name for name in BASELINES if name in kinds]
    value_range = {"value_range": draw.value_range}

    def pictures() -> Value:
        return {OURS: draw(tree.samples)} | {name: draw(kinds[name].points) for name in others}

    made = f"draw = Pictures({symbol})\npictures = {{{OURS!r}: draw(exploration.samples)}}"
    if others:
        points = f"BASELINES[name]({symbol}, exploration, seed={tree.provenance.seed}).points"
        made += f"\nfor name in {others!r}:\n    pictures[name] = draw({points})"
    images = len(draw.shape) == 3
    show = [_SAMPLES.format(ours=OURS, **value_range), *([_KINDS.format(**value_range)] if images else [])]
    return Section(
        "Samples of its region",
        "The tree's samples, and beside them those of balls around the query and of the two controls.",
        {"exploration": tree, "pictures": pictures},
        f"{code}\n{made}",
        tuple(show),
    )


def _plane(
    view: PlaneView, found: SupportingSet, tree: Exploration | None, symbol: str
) -> tuple[Section, Stand] | None:
    """The boundaries in the plane that is looked at, and the plane; None where nothing is drawn."""
    reading = view.reading
    every = None if reading is None else drawable(reading.every)
    if reading is None or (every is None and drawable(reading.kept) is None):
        return None
    units = "" if every is not None else ", units=supporting_set.units"
    options = f"most_cells={MOST_CELLS}, resolution={RESOLUTION}"
    region, plane = reading.region, reading.plane
    outlines = {str(place): torch.from_numpy(line.copy()) for place, line in enumerate(region.outlines)}
    section = Section(
        "In a plane",
        "The layer's boundaries, those that are kept, the region that they bound, and the tree on top.",
        {"drawn": reading.kept if every is None else every, "outlines": outlines},
        f"drawn = wb.boundaries.arrangement({symbol}, {found.layer!r}, plane{units}, {options})\n"
        f"inside = wb.boundaries.region({symbol}, supporting_set, plane, {options})\n"
        "outlines = {str(i): torch.from_numpy(line.copy()) for i, line in enumerate(inside.outlines)}",
        (_PLANE.format(area=region.area, exact=region.exact, exploration="exploration" if tree else None),),
    )
    origin = {"plane_origin": plane.origin, "plane_directions": plane.directions}
    made = f'plane = wb.boundaries.Plane(tensors["plane_origin"], tensors["plane_directions"], {plane.extent!r})'
    return section, Stand("plane", made, origin)


def _layers(model: AnyModel, view: LayersView, symbol: str) -> Section:
    """The same query in all layers."""
    assert view.asked is not None
    pictures = Pictures(model)
    _, keeping, growing = view.asked
    there = [result for result in view.results if result.found is not None and result.tree is not None]
    sets = [result.found for result in there if result.found is not None]
    trees = [result.tree for result in there if result.tree is not None]
    kept = call("wb.boundaries.supporting_set", symbol, "z_of_layers", "layer", **keeping)
    grown = call("wb.boundaries.explore", symbol, "z_of_layers", "one", **growing)
    shown = "{str(i): draw(figures.few(tree.samples)) for i, tree in enumerate(trees) if len(tree.samples)}"
    images = len(pictures.shape) == 3
    return Section(
        "The same query in all layers",
        "In each layer a supporting set, and a tree of the same size.",
        {
            "sets": sets,
            "trees": trees,
            "shown": lambda: {
                str(i): pictures(figures.few(t.samples)) for i, t in enumerate(trees) if len(t.samples)
            },
        },
        f"sets = [{kept} for layer in {[one.layer for one in sets]!r}]\ntrees = [{grown} for one in sets]\n"
        f"draw = Pictures({symbol})\nshown = {shown}",
        (_LAYERS.format(value_range=pictures.value_range),) if images else (),
    )
