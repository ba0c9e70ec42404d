"""What is on screen in the panel of class embeddings, as a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from workbench.embeddings.class_map import place
from workbench.exports import Export, ExportError, Section, Stand, network

if TYPE_CHECKING:
    from workbench.embeddings.panel import Panel
    from workbench.embeddings.panel_repair import RepairView

_IMPORTS = (
    "from workbench.embeddings import figures",
    "from workbench.metrics import pixel_difference",
    "from workbench.ui.class_map import ClassMapView",
    "from workbench.ui.map_plot import MapPlot",
    "from workbench.ui.sample_grid import SampleGrid",
)
_TEXT = """\
A class-conditional generator may draw a class badly that another embedding of it would draw well: activation
maximisation looks for that embedding, the network unchanged (Li, "Understanding and improving generative
adversarial networks", 2020; BigGAN-AM)."""
_MAP = """\
plot = MapPlot(
    class_map.positions, class_map.names, thumbnails={thumbnails}, value_range={value_range}, width=640, height=520
)
{placing}ClassMapView(plot)"""
_FACTS = """\
low, high = {value_range}
spread = {{name: pixel_difference(pictures) / (high - low) for name, pictures in drawn.items()}}
print(f"{{class_name}}, mean pixel difference of two pictures:")
print(", ".join(f"{{name}} {{value:.4f}}" for name, value in spread.items()))"""
_GRID = """\
{name}_grid = SampleGrid(name="{name}", multiple=False, tile=40, height=180)
{name}_grid.show(drawn["{name}"], value_range={value_range})
{name}_grid"""


def describe(panel: Panel) -> Export:
    """The map with the classes that were edited, and the pictures of the chosen class before and after.

    Raises:
        ExportError: the map is not laid out yet, and nothing was searched.
    """
    repair, found = panel.repair, panel.map.found
    if found is None and repair.trials is None:
        raise ExportError("nothing is on screen yet: wait for the map, or choose a class and press “Search”")
    sections, inputs = [], {}
    if found is not None:
        sections.append(_map(panel))
        if panel.table.changed:
            inputs["edited"] = panel.table.matrix[panel.table.changed]
    stands = [network("G", panel.generator)]
    if repair.trials is not None:
        sections.append(_repair(panel, repair))
        if repair.edited:
            lines = 'repaired = G.with_embeddings(tensors["embeddings"])'
            stands.append(Stand("repaired", lines, {"embeddings": repair.matrix}))
        if panel.classifier is not None:
            stands.append(network("C", panel.classifier))
    settings: dict[str, tuple[Any, str]] = {
        "seed": (panel.seed, "of everything random"),
        "class_name": (panel.table.key(panel.class_index), "class that is repaired"),
    }
    if repair.trials is not None:
        settings |= {
            "variant": (repair.trials.variant, "of activation maximisation, or noise"),
            "trials": (repair.asked.get("trials"), "embeddings that are searched for at once"),
            "steps": (repair.asked.get("steps"), "of Adam"),
        }
    return Export(
        name="class-embeddings",
        title="class embeddings, as they were on screen",
        text=_TEXT,
        sections=tuple(sections),
        stands=tuple(stands),
        settings=settings,
        inputs=inputs,
        imports=_IMPORTS,
    )


def _map(panel: Panel) -> Section:
    """The map of all classes, and where the edited ones have gone."""
    found, thumbnails, changed = panel.map.found, panel.map.thumbnails, panel.table.changed
    assert found is not None
    values: dict[str, Any] = {"class_map": found}
    make = [f"class_map = wb.embeddings.class_map(G, seed={panel.seed})"]
    placing = ""
    if thumbnails is not None:
        values["thumbnails"] = thumbnails
        make.append(f"thumbnails = figures.thumbnails(G, G.class_embeddings, seed={panel.seed})")
    if changed:
        rows = panel.table.matrix[changed]
        values["placed"] = lambda: place(found, rows)
        make.append("placed = wb.embeddings.place(class_map, edited)")
        placing = f"plot.place(placed, of={changed!r})\n"
    drawn = "thumbnails" if thumbnails is not None else None
    look = {"thumbnails": drawn, "value_range": panel.generator.value_range, "placing": placing}
    text = "Classes with similar embeddings lie near one another; an arrow leads to where an edited one is now."
    return Section("The map of all classes", text, values, "\n".join(make), (_MAP.format(**look),))


def _repair(panel: Panel, repair: RepairView) -> Section:
    """The search for the chosen class, and its pictures under the same latents."""
    trials, generator = repair.trials, panel.generator
    assert trials is not None
    symbol, row, z = "repaired" if repair.edited else "G", repair.place, repair.z
    chosen = trials.embeddings[row]

    def drawn() -> dict[str, Tensor]:
        return {"before": generator.render(z, trials.original), "after": generator.render(z, chosen)}

    value_range = {"value_range": generator.value_range}
    code = repair.code(generator=symbol, class_name="class_name", variant="variant")
    make = [
        f"found = {code.removeprefix('trials = ')}",
        f"z = G.latents({len(z)}, seed={panel.seed})",
        f'drawn = {{"before": G.render(z, found.original), "after": G.render(z, found.embeddings[{row}])}}',
    ]
    show = [_FACTS.format(**value_range)]
    if len(trials.probability):
        show.append("figures.history(found)")
    show += [_GRID.format(name=name, **value_range) for name in ("before", "after")]
    text = "How the trials went, and pictures with the embedding before and after, under the same latents."
    values: dict[str, Any] = {"found": trials, "drawn": drawn}
    return Section("The chosen class", text, values, "\n".join(make), (*show, "found.frame().round(4)"))
