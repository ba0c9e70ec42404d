"""The panel does by its widgets what flip points do by one line of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from tests.finished import finished
from tests.models.networks import convolutional_generator
from workbench.flip_points import FlipPointError


@pytest.fixture(scope="module")
def classifier() -> wb.Classifier:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.Tanh(), nn.Linear(12, 4))
    return wb.Classifier(module, (1, 6, 6), class_names=["<a>", "b", "c", "d"], device="cpu", name="small")


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def panel(classifier, x) -> Iterator[wb.flip_points.Panel]:
    truth = classifier.scores(x).argmax(1)
    truth[:4] = (truth[:4] + 1) % 4
    made = wb.flip_points.Panel(classifier, x, truth, effort="fast", seed=5)
    finish(made)
    yield made
    made.close()


def finish(panel: wb.flip_points.Panel) -> None:
    finished(panel.one.jobs, panel.many.jobs, panel.one.drawing, panel.many.drawing)


def same(a: wb.flip_points.FlipPoints, b: wb.flip_points.FlipPoints) -> bool:
    return torch.equal(a.points.nan_to_num(), b.points.nan_to_num()) and torch.equal(a.targets, b.targets)


def run(line: str, panel: wb.flip_points.Panel) -> wb.flip_points.FlipPoints:
    return eval(line, {"wb": wb, "C": panel.one.classifier, "x": panel.x, "panel": panel})


def browser_draws(panel: wb.flip_points.Panel, image: np.ndarray) -> None:
    pen = panel.one.pen
    pen.pixels = image.astype("<f4").tobytes()
    pen.edits += 1
    finish(panel)


def browser_paints(panel: wb.flip_points.Panel, mask: np.ndarray) -> None:
    cover = panel.one.cover
    cover.mask = mask
    cover.edits += 1
    finish(panel)


def test_the_first_input_is_asked_about_toward_the_nearest_boundary_and_then_all(panel, classifier, x):
    assert same(panel.one.nearest, wb.flip_points.closest(classifier, x[:1], effort="fast", seed=5))
    assert same(panel.one.every, wb.flip_points.closest(classifier, x[:1], "all", effort="fast", seed=5))


def test_the_strip_goes_from_the_query_through_the_flip_point_and_beyond(panel, classifier):
    line = panel.one.strip.line
    distance = min(float(panel.one.nearest.distances), float(panel.one.every.distances.min()))
    assert line["t"][0] == 0 and line["t"][line["start"]] == pytest.approx(distance, rel=1e-6)
    decided = [dict(rows)["decision"] for rows in line["captions"]]
    names = classifier.class_names
    i, j = (names[int(c)] for c in (panel.one.nearest.labels[0], panel.one.nearest.targets[0]))
    assert decided[0] == decided[line["start"] - 1] == i and decided[-1] == j
    assert panel.one.trio.labels == [f"query: {i}", f"flip: {j}", "difference"]


def test_the_shown_code_gives_what_is_shown(panel):
    shown = run(panel.one.code.code, panel)
    assert float(shown.distances) == pytest.approx(float(panel.one.nearest.distances), rel=1e-6)
    panel.one.show_class(int(panel.one.every.targets[2]))
    finish(panel)
    shown = run(panel.one.code.code, panel)
    assert torch.equal(shown.points, panel.one.every.points[2:3]) or float(shown.distances) == pytest.approx(
        float(panel.one.every.distances[2]), rel=1e-6
    )


@pytest.mark.parametrize("kind", ["basis", "arrays as bounds", "numbers as bounds"])
def test_the_shown_code_names_arrays_and_writes_numbers(classifier, x, kind: str):
    low = torch.zeros(1, 6, 6)
    bounds = (low, np.ones((1, 6, 6))) if kind == "arrays as bounds" else (-0.5, 1.5)
    given = {"basis": torch.eye(36)[:20]} if kind == "basis" else {"bounds": bounds}
    panel = wb.flip_points.Panel(classifier, x, effort="fast", seed=5, **given)
    finish(panel)
    panel.many.find_all()
    finish(panel)
    variables = {} if kind == "numbers as bounds" else given
    for line in (panel.one.code.code, panel.many.code.code):
        assert len(line) < 160
        shown = eval(line, {"wb": wb, "C": classifier, "x": x, **variables})
        assert shown.found.all()
    assert same(shown, panel.many.found)
    panel.close()


def test_a_bar_shows_the_flip_toward_its_class(panel):
    target = int(panel.one.every.targets[1])
    bars = panel.one.bars.children[0].data[0]
    place = [row[0] for row in bars.customdata].index(target)
    point = {"xs": [0], "ys": [0], "point_indexes": [place], "trace_indexes": [0]}
    panel.one.bars.children[0]._js2py_pointsCallback = {"event_type": "plotly_click", "points": point}
    finish(panel)
    assert panel.one.strip.line["id"].endswith(f"to {target}")


def test_a_drawing_becomes_the_query(panel, classifier):
    image = np.linspace(0, 1, 36, dtype=np.float32).reshape(6, 6)
    browser_draws(panel, image)
    torch.testing.assert_close(panel.query, torch.from_numpy(image)[None, None])
    again = wb.flip_points.closest(classifier, panel.query, effort="fast", seed=5)
    assert same(panel.one.nearest, again) and same(run(panel.one.code.code, panel), again)


def test_what_is_painted_stays_as_it_is(panel, x):
    kept = np.zeros((6, 6), bool)
    kept[:3] = True
    browser_paints(panel, kept)
    points = panel.one.nearest.points[0, 0]
    assert torch.equal(points[:3], x[0, 0, :3].double()) and not torch.equal(points[3:], x[0, 0, 3:].double())
    assert same(run(panel.one.code.code, panel), panel.one.nearest)
    browser_paints(panel, np.zeros((6, 6), bool))
    assert panel.mask is None and not torch.equal(panel.one.nearest.points[0, 0, :3], x[0, 0, :3].double())


def test_where_nothing_may_change_the_panel_says_so_and_stays_usable(panel):
    cover = panel.one.cover
    cover.mask = np.ones((6, 6), bool)
    cover.edits += 1
    assert panel.one.jobs.wait(60)
    assert "mask lets no feature change" in panel.one.jobs.children[2].value
    panel.one.cover.clear()
    panel.ask(3)
    assert panel.one.jobs.wait(60)


def test_the_whole_set_gives_directions_trust_and_a_table(panel, classifier, x):
    panel.many.find_all()
    finish(panel)
    found = wb.flip_points.closest(classifier, x, effort="fast", seed=5)
    assert same(panel.many.found, found) and same(run(panel.many.code.code, panel), found)
    assert len(panel.many.directions.rows) == int(found.found.sum())
    assert int((~panel.many.trust.correct).sum()) == 4
    assert list(panel.many.table.df["truth"]) == [classifier.class_names[int(t)] for t in panel.many.truth]
    assert not {"lower", "certified"} & set(panel.many.table.df)  # nothing was proved
    assert panel.many.grid.count == 12 and panel.many.grid.sort["by"] == "distance"


def test_a_selection_filters_the_samples_and_shows_their_mean(panel):
    panel.many.find_all()
    finish(panel)
    panel.many.scatter._select([7, 2, 5])
    assert panel.many.grid.only == [2, 5, 7] and panel.many.selection_means.layout.display is None
    assert "3 of 12" in panel.many._selection.value
    panel.many.select([])
    assert panel.many.grid.only is None and panel.many.selection_means.layout.display == "none"


@pytest.mark.parametrize(
    "choose",
    [
        lambda many: setattr(many.grid, "selected", [6]),
        lambda many: setattr(many.table, "selected_rows", [6]),
        lambda many: many.scatter._click(6),
    ],
    ids=["grid", "table", "scatter"],
)
def test_what_is_chosen_becomes_the_query(panel, x, choose: Callable[..., object]):
    panel.many.find_all()
    finish(panel)
    choose(panel.many)
    finish(panel)
    assert torch.equal(panel.query, x[6:7])


def test_boundary_points_around_the_query(panel):
    panel.ask(2)
    finish(panel)
    panel.many.find_around()
    finish(panel)
    assert panel.many.grid.count == len(panel.many.found) > 1
    assert panel.many.trust is None
    assert same(run(panel.many.code.code, panel), panel.many.found)


def test_trust_of_the_set_is_out_of_sight_while_boundary_points_are_shown(panel):
    panel.many.find_all()
    finish(panel)
    assert panel.many.trust_plot.layout.display is None
    panel.many.find_around()
    finish(panel)
    assert panel.many.trust_plot.layout.display == "none"
    assert "whole set" in panel.many._trust_facts.value
    panel.many.find_all()
    finish(panel)
    assert panel.many.trust_plot.layout.display is None


@pytest.mark.parametrize("tried", [0, 1, 4, 8], ids="{} tried".format)
def test_what_was_found_before_a_cancel_is_shown_wherever_the_mistakes_lie(panel, tried: int):
    """The first four are mistakes, so that of the rows tried none, all or some are."""
    found = wb.flip_points.closest(panel.one.classifier, panel.x, effort="fast")
    status = found.status.clone()
    status[tried:] = 3
    points, distances = found.points.clone(), found.distances.clone()
    points[tried:], distances[tried:] = torch.nan, torch.inf
    panel.many._show(replace(found, status=status, points=points, distances=distances))
    assert len(panel.many.table.df) == 12 and panel.many.grid.count == 12
    assert ("ROC" in panel.many._trust_facts.value) == (tried == 8)
    assert ("right one" in panel.many._trust_facts.value) == (tried > 0)


def test_a_panel_on_latents_has_pictures_of_them_and_nothing_to_draw_on():
    conv = wb.Generator(convolutional_generator(), (8, 1, 1), device="cpu", name="conv")
    module = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(conv.output_shape)), 3))
    torch.manual_seed(1)
    nn.init.normal_(module[1].weight)
    C = wb.Classifier(module, conv.output_shape, value_range=conv.value_range, device="cpu", name="pictures")
    panel = wb.flip_points.Panel(C.on(conv), effort="fast")
    finish(panel)
    assert not hasattr(panel.one, "pen")
    assert panel.one.strip.line["count"] == 41 and panel.many.grid.count == 60
    panel.close()


def test_a_panel_of_signals(x):
    torch.manual_seed(0)
    C = wb.Classifier(nn.Linear(20, 3), 20, value_range=(-1, 1), device="cpu")
    panel = wb.flip_points.Panel(C, 2 * torch.rand(5, 20) - 1, effort="fast")
    finish(panel)
    panel.many.find_all()
    finish(panel)
    panel.many.select([0, 1])
    finish(panel)
    assert panel.one.trio.count == 3 and panel.many.selection_means.count == 3
    panel.close()


def test_without_inputs_there_is_a_blank_image_to_draw_on(classifier):
    panel = wb.flip_points.Panel(classifier, effort="fast")
    finish(panel)
    assert float(panel.query.abs().max()) == 0
    panel.close()


def test_bad_input_is_refused_before_anything_is_shown(classifier, x):
    with pytest.raises(FlipPointError, match="outside the bounds"):
        wb.flip_points.Panel(classifier, x + 3)
    with pytest.raises(FlipPointError, match="3 right classes were given for 12 inputs"):
        wb.flip_points.Panel(classifier, x, [0, 1, 2])
    for truth in ([99] * 12, [-1] * 12):
        with pytest.raises(FlipPointError, match="has 0 to 3"):
            wb.flip_points.Panel(classifier, x, truth)


def test_a_set_whose_directions_are_all_the_same_has_a_table_and_no_components(classifier, x):
    panel = wb.flip_points.Panel(classifier, torch.stack([x[0], x[0]]), effort="fast")
    finish(panel)
    panel.many.table.selected_rows = [30]  # what a browser may say of another set
    panel.many.find_all()
    finish(panel)
    assert panel.many.found.found.all() and panel.many.directions is None
    assert panel.many.scatter.layout.display == "none" and panel.many.table.selected_rows == []
    panel.close()


def test_a_list_of_bounds_reaches_the_report(classifier, x):
    panel = wb.flip_points.Panel(classifier, x[:2], effort="fast", bounds=[torch.full((1, 6, 6), -1.0), 2.0])
    finish(panel)
    assert "bounds" in [stand.symbol for stand in panel.report.describe().stands]
    panel.close()


def test_closing_closes_the_workers_and_every_widget(classifier, x):
    from ipywidgets.widgets.widget import _instances

    before = set(_instances)
    made = wb.flip_points.Panel(classifier, x, effort="fast")
    finish(made)
    made.close()
    left = {type(_instances[i]).__name__ for i in set(_instances) - before}
    assert all(name.endswith(("Layout", "Style")) for name in left), left
