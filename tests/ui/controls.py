"""Every control of the five panels that starts a computation: how an event is sent, what the last one shows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.finished import PATIENCE, finished
from tests.ui.gated import NAMES, ROW
from workbench.inverse_sets.browse import rounded
from workbench.metrics import pixel_difference

EVENTS = 10_000
#: Sends event number i, as the browser would.
Send = Callable[[int], object]
#: Whether the last event is what is shown.
Check = Callable[[], bool]
#: By method and control: from a panel to the two.
CONTROLS: dict[tuple[str, str], Callable[[Any], tuple[Send, Check]]] = {}
LAST = EVENTS - 1


def control(method: str, name: str) -> Callable[[Any], Any]:
    def listed(make: Callable[[Any], tuple[Send, Check]]) -> Callable[[Any], tuple[Send, Check]]:
        CONTROLS[method, name] = make
        return make

    return listed


def set_to(widget: Any, values: Callable[[int], Any], trait: str = "value") -> Send:
    return lambda i: setattr(widget, trait, values(i))


def released(strip: Any, frame: Callable[[int], int]) -> Send:
    line = strip.line["id"]
    return lambda i: setattr(strip, "accepted", {"line": line, "index": frame(i), "t": 0.0, "serial": i + 1})


def number(i: int) -> float:
    """A number of its own for each event, from 0.1 on."""
    return 0.1 + i / EVENTS


# -- subspace search ---------------------------------------------------------------------------------


@control("subspaces", "film strip")
def _(panel: Any) -> tuple[Send, Check]:
    line = panel.line
    frames = [i for i in range(len(line.latents)) if i != line.middle]
    chosen = lambda i: frames[i % len(frames)]  # noqa: E731
    there = line.latents[chosen(LAST)]
    return released(panel.strip, chosen), lambda: torch.equal(panel.line.centre, there)


@control("subspaces", "another direction")
def _(panel: Any) -> tuple[Send, Check]:
    return lambda i: panel._buttons["another"].click(), lambda: panel.shown == (0, 2)  # the first was known


@control("subspaces", "new start")
def _(panel: Any) -> tuple[Send, Check]:
    seed = panel.search.seed
    send = lambda i: panel._buttons["start"].click()  # noqa: E731
    return send, lambda: panel.search.seed == seed + 1 and panel.shown == (0, 0)


@control("subspaces", "start among samples")
def _(panel: Any) -> tuple[Send, Check]:
    panel.show_starts()
    finished(panel.jobs)
    latents = panel._start_latents
    send = set_to(panel.starts, lambda i: [i % len(latents)], "selected")
    return send, lambda: torch.equal(panel.line.centre, latents[LAST % len(latents)])


def walked(panel: Any) -> None:
    """Take two steps, whose lines nobody has asked for."""
    for _ in range(2):
        panel.search.accept(panel.line, 0.1, draw=panel.shown[1], point=panel.shown[0])
    panel._show_history()


@control("subspaces", "history strip")
def _(panel: Any) -> tuple[Send, Check]:
    walked(panel)
    point = lambda i: 1 + i % 2  # noqa: E731
    send = set_to(panel.history, lambda i: {"index": point(i), "serial": i + 1}, "activated")
    return send, lambda: panel.search.current == point(LAST) and panel.shown == (point(LAST), 0)


@control("subspaces", "replay")
def _(panel: Any) -> tuple[Send, Check]:
    walked(panel)
    return lambda i: panel.replay(), lambda: panel.strip.line["id"] == "replay"


@control("subspaces", "load")
def _(panel: Any) -> tuple[Send, Check]:
    folders = [tempfile.mkdtemp() for _ in range(2)]
    panel.search.path().save(folders[0])
    walked(panel)
    panel.search.path().save(folders[1])

    def send(i: int) -> None:
        panel._folder.value = folders[i % 2]
        panel.load()

    return send, lambda: len(panel.search.points) == 1 + 2 * (LAST % 2)


@control("subspaces", "animation")
def _(panel: Any) -> tuple[Send, Check]:
    walked(panel)
    panel._folder.value = tempfile.mkdtemp()
    return lambda i: panel.export_gif(), lambda: (Path(panel._folder.value) / "path.gif").is_file()


# -- boundaries --------------------------------------------------------------------------------------


@control("boundaries", "layer")
def _(panel: Any) -> tuple[Send, Check]:
    names = [name for _, name in panel.region.layer.options]
    send = set_to(panel.region.layer, lambda i: names[i % len(names)])
    return send, lambda: panel.supporting_set.layer == names[LAST % len(names)]


@control("boundaries", "sparsity")
def _(panel: Any) -> tuple[Send, Check]:
    return set_to(panel.region.sparsity, number), lambda: panel.supporting_set.sparsity == number(LAST)


@control("boundaries", "threshold")
def _(panel: Any) -> tuple[Send, Check]:
    at, start = panel.region.thresholds, panel.region.strip.line["start"]
    frames = [i for i in range(len(at)) if i != start]
    chosen = lambda i: frames[i % len(frames)]  # noqa: E731
    check = lambda: panel.exploration is not None and panel.supporting_set.threshold == at[chosen(LAST)]  # noqa: E731
    return released(panel.region.strip, chosen), check


@control("boundaries", "interval")
def _(panel: Any) -> tuple[Send, Check]:
    return set_to(panel.samples.interval, number), lambda: panel.exploration.interval == number(LAST)


@control("boundaries", "step")
def _(panel: Any) -> tuple[Send, Check]:
    return set_to(panel.samples.step, number), lambda: panel.exploration.step == number(LAST)


@control("boundaries", "samples")
def _(panel: Any) -> tuple[Send, Check]:
    wanted = lambda i: 5 + i % 7  # noqa: E731
    check = lambda: f"samples={wanted(LAST)}," in panel.exploration.provenance.call  # noqa: E731
    return set_to(panel.samples.samples, wanted), check


@control("boundaries", "query")
def _(panel: Any) -> tuple[Send, Check]:
    points = panel.points
    send = set_to(panel.grid, lambda i: [(i + 1) % len(points)], "selected")
    return send, lambda: torch.equal(panel.supporting_set.query, points[EVENTS % len(points)])


@control("boundaries", "zoom of the plane")
def _(panel: Any) -> tuple[Send, Check]:
    window = lambda i: (-number(i), number(i), -number(i), number(i))  # noqa: E731
    return lambda i: panel.plane.plot._zoom(window(i)), lambda: panel.plane.reading.plane.extent == window(LAST)


@control("boundaries", "cursor on the plane")
def _(panel: Any) -> tuple[Send, Check]:
    pointed = lambda i: panel.plane.plot._hover(i % 3000)  # noqa: E731

    def check() -> bool:
        shown = panel.plane.picture.value
        pointed(LAST)
        assert panel.plane.peek.wait(PATIENCE)
        return shown == panel.plane.picture.value

    return pointed, check


@control("boundaries", "plane")
def _(panel: Any) -> tuple[Send, Check]:
    names, first = panel.plane.through.options, panel.plane.plane
    send = set_to(panel.plane.through, lambda i: names[(i + 1) % len(names)])
    return send, lambda: torch.equal(panel.plane.reading.plane.directions, first.directions)


@control("boundaries", "all layers")
def _(panel: Any) -> tuple[Send, Check]:
    send = lambda i: panel.layers.start.click()  # noqa: E731
    return send, lambda: len(panel.layers.results) == len(panel.region.layer.options)


# -- inverse sets ------------------------------------------------------------------------------------


@control("inverse_sets", "band on the histogram")
def _(panel: Any) -> tuple[Send, Check]:
    send = lambda i: panel.plot._span(0.0, number(i))  # noqa: E731
    return send, lambda: panel.found.limits[0].tolist() == pytest.approx([0.0, rounded(number(LAST))])


@control("inverse_sets", "end of the band")
def _(panel: Any) -> tuple[Send, Check]:
    check = lambda: float(panel.found.limits[0, 1]) == pytest.approx(number(LAST))  # noqa: E731
    return set_to(panel.high, number), check


@control("inverse_sets", "samples")
def _(panel: Any) -> tuple[Send, Check]:
    wanted = lambda i: 5 + i % 7  # noqa: E731
    return set_to(panel.count, wanted), lambda: len(panel.found) == wanted(LAST)


@control("inverse_sets", "where samples are far apart")
def _(panel: Any) -> tuple[Send, Check]:
    names = ["pixel", "latent"]
    check = lambda: f"distance={names[LAST % 2]!r}" in panel.found.provenance.call  # noqa: E731
    return set_to(panel.distance, lambda i: names[i % 2]), check


@control("inverse_sets", "neuron")
def _(panel: Any) -> tuple[Send, Check]:
    send = set_to(panel.neurons.grid, lambda i: [(i + 1) % len(NAMES)], "selected")
    return send, lambda: panel.found.neurons == (f"class {NAMES[EVENTS % len(NAMES)]}",)


@control("inverse_sets", "layer")
def _(panel: Any) -> tuple[Send, Check]:
    names = panel.classifier.layers.names[1:4]
    send = set_to(panel.neurons.layer, lambda i: names[i % len(names)])
    units = panel.classifier.layers[names[LAST % len(names)]].shape[0]
    return send, lambda: names[LAST % len(names)] in panel.neurons.activities and panel.neurons.grid.count == units


# -- class embeddings --------------------------------------------------------------------------------


def spread(panel: Any, row: torch.Tensor) -> str:
    """What is written of the pictures of an embedding."""
    low, high = panel.generator.value_range
    return f"{pixel_difference(panel.repair.pictures(row)) / (high - low):.4f}"


@control("embeddings", "class")
def _(panel: Any) -> tuple[Send, Check]:
    send = set_to(panel.choice, lambda i: NAMES[(i + 1) % len(NAMES)])
    last = EVENTS % len(NAMES)

    def check() -> bool:
        return panel.class_index == last and spread(panel, panel.table.original[last]) in panel.repair.facts.value

    return send, check


@control("embeddings", "search")
def _(panel: Any) -> tuple[Send, Check]:
    return (
        lambda i: panel.repair.start.click(),
        lambda: len(panel.trials) == 2 and not panel.trials.provenance.partial,
    )


@control("embeddings", "trial")
def _(panel: Any) -> tuple[Send, Check]:
    panel.repair.search()
    finished(panel.jobs, panel.repair.drawing)
    first = 1 - panel.trials.best
    send = set_to(panel.repair.trial, lambda i: (i + first) % 2, "index")
    last = (LAST + first) % 2
    return send, lambda: spread(panel, panel.trials.embeddings[last]) in panel.repair.facts.value


@control("embeddings", "way to a class")
def _(panel: Any) -> tuple[Send, Check]:
    panel._more.selected_index = 0
    finished(panel.ways.jobs)
    names = NAMES[1:]
    send = set_to(panel.ways.other, lambda i: names[(i + 1) % 2])
    return send, lambda: panel.ways.across.line["ends"] == [NAMES[0], names[EVENTS % 2]]


@control("embeddings", "keep and undo")
def _(panel: Any) -> tuple[Send, Check]:
    panel.repair.search()
    finished(panel.jobs, panel.repair.drawing)
    panel._more.selected_index = 0  # its ways are drawn anew with every edit
    finished(panel.ways.jobs)
    buttons = panel.repair.keep, panel.repair.undo
    return lambda i: buttons[i % 2].click(), lambda: panel.table.changed == [] and panel.repair.undo.disabled


@control("embeddings", "lasso on the map")
def _(panel: Any) -> tuple[Send, Check]:
    pairs = [(0, 1), (1, 2), (2, 0)]
    check = lambda: panel.map.grid.labels == [NAMES[k] for k in pairs[LAST % 3]]  # noqa: E731
    return lambda i: panel.map._selected(pairs[i % 3]), check


# -- flip points -------------------------------------------------------------------------------------


@control("flip_points", "drawing")
def _(panel: Any) -> tuple[Send, Check]:
    pen = panel.one.pen

    def send(i: int) -> None:
        pen.pixels = torch.full((16,), i / EVENTS).numpy().astype("<f4").tobytes()
        pen.edits += 1

    return send, lambda: bool((panel.one.nearest.inputs == torch.tensor(LAST / EVENTS)).all())


@control("flip_points", "what stays fixed")
def _(panel: Any) -> tuple[Send, Check]:
    cover = panel.one.cover

    def send(i: int) -> None:
        cover.painted = bytes(int(k == i % 16) for k in range(16))
        cover.edits += 1

    def check() -> bool:
        moved = (panel.one.nearest.points[0] - panel.one.nearest.inputs[0]).flatten()
        return moved[LAST % 16] == 0 and int((moved == 0).sum()) == 1

    return send, check


@control("flip_points", "effort")
def _(panel: Any) -> tuple[Send, Check]:
    names = ["accurate", "fast"]
    check = lambda: f"effort={names[LAST % 2]!r}" in panel.one.nearest.provenance.call  # noqa: E731
    return set_to(panel.one.effort, lambda i: names[i % 2]), check


@control("flip_points", "query")
def _(panel: Any) -> tuple[Send, Check]:
    send = set_to(panel.many.grid, lambda i: [(i + 1) % ROW], "selected")
    return send, lambda: torch.equal(panel.one.nearest.inputs, panel.x[EVENTS % ROW][None])


@control("flip_points", "bar of a class")
def _(panel: Any) -> tuple[Send, Check]:
    targets = panel.one.every.targets.tolist()
    last = targets[LAST % len(targets)]
    return lambda i: panel.one.bars._click(targets[i % len(targets)]), lambda: panel.one.way.target == last


@control("flip_points", "the whole set")
def _(panel: Any) -> tuple[Send, Check]:
    return lambda i: panel.many.analyse.click(), lambda: len(panel.many.found) == ROW


@control("flip_points", "around the query")
def _(panel: Any) -> tuple[Send, Check]:
    return lambda i: panel.many.around.click(), lambda: panel.many.around_query
