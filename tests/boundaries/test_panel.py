"""The panel does by its widgets what generative boundaries do by a few lines of Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from tests.finished import finished
from workbench.boundaries import BoundaryError, panel_samples
from workbench.boundaries.panel_plane import THROUGH
from workbench.boundaries.panel_set import thresholds
from workbench.models import ModelError


def digits(latents: int = 4) -> wb.Generator:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(latents, 24),
        nn.ReLU(),
        nn.Linear(24, 32),
        nn.ReLU(),
        nn.Linear(32, 36),
        nn.Unflatten(1, (1, 6, 6)),
    )
    return wb.Generator(module, latents, value_range=(-1, 1), device="cpu", name="digits")


@pytest.fixture(scope="module")
def generator() -> wb.Generator:
    return digits()


@pytest.fixture
def panel(generator) -> Iterator[wb.boundaries.Panel]:
    made = wb.boundaries.Panel(generator, samples=60, seed=3)
    finish(made)
    yield made
    made.close()


def finish(panel: wb.boundaries.Panel) -> None:
    finished(panel.jobs, panel.plane.jobs, panel.layers.jobs, panel.plane.peek)


def run(code: str, panel: wb.boundaries.Panel, **names: Any) -> dict[str, Any]:
    space = {"wb": wb, "torch": torch, "G": panel.model, "C": panel.model, "panel": panel, **names}
    exec(code, space)
    return space


def browser_releases(panel: wb.boundaries.Panel, index: int) -> None:
    strip = panel.region.strip
    strip.accepted = {"line": strip.line["id"], "index": index, "t": strip.line["t"][index], "serial": 1}
    finish(panel)


def browser_points(panel: wb.boundaries.Panel, event: str, row: int) -> None:
    plot = panel.plane.plot.children[0]
    last = len(plot.data) - 1
    point = {"xs": [0], "ys": [0], "point_indexes": [row], "trace_indexes": [last]}
    plot._js2py_pointsCallback = {"event_type": event, "points": point}


def frames(panel: wb.boundaries.Panel) -> list[dict[str, str]]:
    return [dict(rows) for rows in panel.region.strip.line["captions"]]


def test_the_shown_code_gives_what_is_shown(panel):
    space = run(panel.code.code, panel)
    assert torch.equal(space["supporting_set"].theta, panel.supporting_set.theta)
    assert torch.equal(space["exploration"].points, panel.exploration.points)
    assert len(panel.exploration.samples) > 0 and panel.samples.grid.count == len(panel.exploration.samples)


def test_what_another_panel_found_is_shown_with_its_own_seed_and_settings(panel, generator):
    other = wb.boundaries.Panel(generator, samples=60, seed=5, sides="both")
    finish(other)
    other.restore(panel.state())
    finish(other)
    assert "seed=3" in other.code.code and "seed=5" not in other.code.code and "sides" not in other.code.code
    space = run(other.code.code, other)
    assert torch.equal(space["supporting_set"].theta, other.supporting_set.theta)
    assert torch.equal(space["exploration"].points, other.exploration.points)
    other.close()


def test_a_threshold_is_that_of_the_set_that_was_found_however_often_it_is_changed(panel):
    for place in (-1, 0, len(panel.region.thresholds) // 2):
        panel.region.accept(panel.region.thresholds[place])
        finish(panel)
    assert panel.supporting_set.provenance.call.count("at_threshold(") == 1


def test_a_layer_that_is_named_by_what_stands_before_it_is_restored(panel, generator):
    before = wb.boundaries.Panel(generator, layer="0", samples=20)
    finish(before)
    panel.restore(before.state())
    finish(panel)
    assert panel.region.layer.value == panel.supporting_set.layer == "0"
    before.close()


def test_every_threshold_of_the_strip_keeps_something_and_ever_less(panel):
    found = panel.supporting_set
    kept = [int((found.theta > p).sum()) for p in panel.region.thresholds]
    assert kept[0] == found.candidates and kept[-1] >= 1
    assert kept == sorted(set(kept), reverse=True) and found.threshold in panel.region.thresholds
    assert [frame["kept"] for frame in frames(panel)] == [f"{n} of {found.candidates}" for n in kept]


def test_units_with_the_same_theta_stay_or_go_together(panel):
    from dataclasses import replace

    theta = torch.tensor([0.9, 0.9, 0.9, 0.4, 0.4, 1.0, 1.0, 0.0])
    at = thresholds(replace(panel.supporting_set, theta=theta, threshold=0.5))
    assert [int((theta > p).sum()) for p in at] == [7, 5, 2]


def test_releasing_the_strip_accepts_its_threshold_and_grows_the_tree_anew(panel):
    before = panel.exploration
    browser_releases(panel, len(panel.region.thresholds) - 1)
    threshold = panel.region.thresholds[-1]
    assert panel.supporting_set.threshold == threshold and len(panel.supporting_set.units) < len(before.units)
    assert panel.exploration.units.tolist() == panel.supporting_set.units.tolist()
    assert panel.region.trio.labels[1] == f"{len(panel.supporting_set.units)} kept"
    space = run(panel.code.code, panel)
    assert torch.equal(space["exploration"].points, panel.exploration.points)


def test_releasing_where_it_stands_changes_nothing(panel):
    before = panel.exploration
    browser_releases(panel, panel.region.strip.line["start"])
    assert panel.exploration is before


def test_a_threshold_that_keeps_nothing_is_refused_and_what_there_was_stays(panel):
    before = panel.supporting_set
    with pytest.raises(BoundaryError, match="keeps no unit"):
        panel.region.accept(0.9999999)
    assert panel.supporting_set is before


def test_a_price_that_leaves_nothing_is_told_where_the_strip_stands_and_the_panel_stays_usable(panel):
    panel.region.sparsity.value = 1000
    assert panel.jobs.wait(60)
    assert "keeps no unit" in panel.region.strip.empty_text and panel.region.strip.line == {}
    assert panel.supporting_set is None and panel.exploration is None and panel.code.code == ""
    panel.region.sparsity.value = 0.3
    finish(panel)
    assert torch.equal(run(panel.code.code, panel)["exploration"].points, panel.exploration.points)


def test_another_layer_and_other_settings_grow_another_tree(panel):
    assert panel.region.layer.value == "3"
    panel.region.layer.value = "1"
    finish(panel)
    assert panel.exploration.layer == "1"
    panel.samples.samples.value = 20
    finish(panel)
    panel.samples.step.value = 0.05
    finish(panel)
    assert panel.exploration.step == 0.05 and len(panel.exploration.samples) <= 20
    assert torch.equal(run(panel.code.code, panel)["exploration"].points, panel.exploration.points)


def test_a_sample_that_is_chosen_becomes_the_query(panel, generator):
    panel.grid.selected = [7]
    finish(panel)
    assert torch.equal(panel.query, generator.latents(60, seed=3)[7])
    assert torch.equal(panel.exploration.query, panel.query)
    assert torch.equal(run(panel.code.code, panel)["z"], panel.query)


def test_a_latent_handed_over_becomes_the_query_and_one_outside_the_shape_is_refused(panel):
    z = torch.full((4,), 0.3)
    panel.ask(z)
    finish(panel)
    assert torch.equal(panel.exploration.query, z)
    assert torch.equal(run(panel.code.code, panel)["exploration"].points, panel.exploration.points)
    with pytest.raises(wb.models.ModelError, match="shape"):
        panel.ask(torch.zeros(5))


def test_samples_appear_while_the_tree_grows_and_cancel_keeps_them(panel, monkeypatch):
    monkeypatch.setattr("workbench.ui.jobs._DRAW_EVERY", 0)
    shown: list[int] = []
    show = panel.samples._growing

    def growing(step: Any) -> None:
        show(step)
        shown.append(panel.samples.grid.count)
        if len(shown) == 3:
            panel.jobs.cancel()

    monkeypatch.setattr(panel.samples, "_growing", growing)
    panel.samples.step.value = 0.01
    finish(panel)
    shown.clear()
    panel.samples.samples.value = 3000
    finish(panel)
    assert shown == sorted(shown) and 0 < shown[0] < shown[2]
    tree = panel.exploration
    assert tree.provenance.partial and "stopped" in tree.reason and "stopped" in panel.samples.facts.value
    assert panel.samples.grid.count == len(tree.samples) >= shown[2]
    torch.testing.assert_close(panel.samples.kinds["E-GBAS"].pictures, panel.model.render(tree.samples))
    assert set(panel.samples.kinds) | set(panel.samples.missing) == {"E-GBAS", *panel_samples.BASELINES}


def test_a_stopped_supporting_set_is_kept_and_sampled_only_when_asked(panel, monkeypatch):
    monkeypatch.setattr("workbench.ui.jobs._SHOW_EVERY", 0)
    panel.jobs._show = lambda label, step, elapsed: panel.jobs.cancel() if step.done == 60 else None
    panel.region.layer.value = "1"
    finish(panel)
    assert panel.supporting_set.provenance.partial and len(panel.supporting_set.losses) < 300
    assert panel.exploration is None and "Grow the tree" in panel.samples.grid.empty_text
    panel.samples.again.click()
    finish(panel)
    assert len(panel.exploration.samples) > 0


def test_baselines_stand_beside_the_samples_with_their_deviation(panel):
    from workbench.metrics import pixel_deviation

    own = pixel_deviation(panel.model.render(panel.exploration.samples), (-1, 1))
    assert f"{own:.4f}" in panel.samples.comparison.value
    made = wb.boundaries.same_radii(panel.model, panel.exploration, seed=3)
    panel.samples.kind.value = "same radii"
    assert torch.equal(panel.samples.kinds["same radii"].points, made.points)
    assert (
        panel.samples.statistics.labels[2]
        == f"deviation {pixel_deviation(panel.model.render(made.points), (-1, 1)):.4f}"
    )
    assert panel.samples.grid.values["distance"] == pytest.approx(made.radii.tolist())


def test_undefined_radii_are_a_line_of_text(panel):
    panel.samples.interval.value = 0.001
    finish(panel)
    panel.samples.step.value = 1e-5
    finish(panel)
    assert not bool(panel.exploration.left_region.any()) and len(panel.exploration.samples) > 0
    panel.samples.kind.value = "epsilon-L2"
    assert "radius of an epsilon ball is undefined" in panel.samples._line.value
    assert panel.samples.grid.count == 0
    panel.samples.kind.value = "E-GBAS"
    assert panel.samples._line.value == "" and panel.samples.grid.count == len(panel.exploration.samples)


def test_a_region_without_a_step_says_why(panel):
    panel.samples.step.value = 500
    finish(panel)
    assert len(panel.exploration.samples) == 0
    assert panel.exploration.reason[1:] in panel.samples.grid.empty_text


def test_layers_are_compared_by_trees_of_the_same_settings(panel, generator):
    panel.layers.start.click()
    finish(panel)
    assert [result.layer for result in panel.layers.results] == wb.boundaries.sign_layers(generator)
    space = run(panel.layers.code.code, panel)
    for result in panel.layers.results:
        assert torch.equal(result.tree.points, space["trees"][result.layer].points)
    assert len(panel.layers.rows.children) == len(panel.layers.results)


def test_cancelling_the_comparison_keeps_the_layers_that_are_done(panel, monkeypatch):
    monkeypatch.setattr("workbench.ui.jobs._SHOW_EVERY", 0)
    panel.layers.jobs._show = lambda label, step, elapsed: panel.layers.jobs.cancel() if step.done == 1 else None
    panel.layers.start.click()
    finish(panel)
    assert [result.layer for result in panel.layers.results] == ["1"]


def grid(panel: wb.boundaries.Panel) -> torch.Tensor:
    """The places that the cursor finds."""
    x0, x1, y0, y1 = panel.plane.plane.extent
    x, y = torch.linspace(x0, x1, 61), torch.linspace(y1, y0, 61)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)


class TestPlane:
    @pytest.fixture
    def flat(self) -> Iterator[wb.boundaries.Panel]:
        made = wb.boundaries.Panel(digits(2), layer="1", samples=40)
        finish(made)
        yield made
        made.close()

    def test_a_click_makes_the_place_the_query(self, flat):
        browser_points(flat, "plotly_click", 1234)
        finish(flat)
        place = grid(flat)[1234]
        torch.testing.assert_close(flat.query, place, atol=0.005, rtol=0)
        assert torch.equal(run(flat.code.code, flat)["exploration"].points, flat.exploration.points)

    def test_a_click_gives_a_line_that_runs_whatever_the_shape_of_a_latent_and_the_zoom(self):
        module = nn.Sequential(nn.Flatten(), *digits(2).module)
        made = wb.boundaries.Panel(wb.Generator(module, (2, 1, 1), value_range=(-1, 1), device="cpu"), samples=20)
        finish(made)
        made.plane._zoomed((0.1, 0.1001, 0.2, 0.2001))
        finish(made)
        browser_points(made, "plotly_click", 1234)
        finish(made)
        place = grid(made)[1234].reshape(2, 1, 1)
        torch.testing.assert_close(made.query, place, atol=1e-6, rtol=0)
        assert torch.equal(run(made.code.code, made)["exploration"].points, made.exploration.points)
        made.close()

    def test_the_picture_at_the_cursor_is_that_of_its_latent(self, flat):
        from workbench.ui.sprites import data_url, png

        browser_points(flat, "plotly_hover", 77)
        assert flat.plane.peek.wait(10)
        place = grid(flat)[77]
        assert data_url(png(flat.model.render(place[None])[0], (-1, 1))) in flat.plane.picture.value

    def test_the_drawn_region_is_that_of_the_kept_signs_and_the_tree_lies_in_it(self, flat):
        reading, found = flat.plane.reading, flat.supporting_set
        again = wb.boundaries.region(flat.model, found, wb.boundaries.Plane.of(flat.model))
        assert reading.region.exact and reading.region.area == pytest.approx(again.area)
        outline = flat.plane.plot.children[0].data[0]
        assert outline.name == "region" and outline.fill == "toself"
        assert len(outline.x) == sum(len(one) + 1 for one in again.outlines)

    def test_all_boundaries_are_drawn_and_the_kept_ones_among_them(self, flat):
        reading, found = flat.plane.reading, flat.supporting_set
        again = wb.boundaries.arrangement(flat.model, "1", wb.boundaries.Plane.of(flat.model))
        assert torch.equal(reading.every.segments, again.segments)
        assert set(reading.kept.unit.tolist()) == set(again.unit.tolist()) & set(found.units.tolist())
        drawn = {trace.name: len(trace.x) for trace in flat.plane.plot.children[0].data}
        # straight lines of one piece each, and a gap
        assert drawn["boundaries"] == 3 * len(again.segments)
        assert drawn["kept boundaries"] == 3 * len(reading.kept.segments) < drawn["boundaries"]

    def test_what_is_too_dense_to_be_drawn_is_told(self, flat, monkeypatch):
        monkeypatch.setattr("workbench.boundaries.panel_plane._MOST_SEGMENTS", 3)
        flat.plane._arrived(flat.plane.reading)
        assert "too dense" in flat.plane._hint.value
        assert len(flat.plane.plot.children[0].data[1].x) == 0

    def test_zooming_reads_the_layer_in_the_visible_part_and_a_double_click_returns(self, flat):
        home, plot = flat.plane.plane.extent, flat.plane.plot.children[0]
        part = {"xaxis.range[0]": 0.0, "xaxis.range[1]": 1.0, "yaxis.range[0]": -1.0, "yaxis.range[1]": 0.5}
        plot._js2py_relayout = {"relayout_data": part, "source_view_id": "a"}
        finish(flat)
        assert flat.plane.reading.plane.extent == (0.0, 1.0, -1.0, 0.5)
        back = {"xaxis.autorange": True, "yaxis.autorange": True}
        plot._js2py_relayout = {"relayout_data": back, "source_view_id": "a"}
        finish(flat)
        assert flat.plane.reading.plane.extent == home

    def test_in_more_dimensions_it_goes_through_the_query_and_the_samples(self, panel):
        plane = panel.plane.plane
        assert torch.equal(plane.coordinates(panel.query[None]), torch.zeros(1, 2, dtype=torch.float64))
        spread = plane.coordinates(panel.exploration.samples).square().sum()
        panel.plane.through.value = THROUGH
        finish(panel)
        other = panel.plane.plane
        far = panel.exploration.samples[panel.exploration.radii.argmax()][None]
        assert float(other.distance(far)) < 1e-6
        assert other.coordinates(panel.exploration.samples).square().sum() < spread


def test_a_classifier_has_its_inputs_for_points_and_its_probabilities_for_pictures():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 4))
    C = wb.Classifier(module, (1, 6, 6), class_names=["<a>", "b", "c", "d"], device="cpu", name="small")
    x = torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    panel = wb.boundaries.Panel(C, x, samples=30)
    finish(panel)
    assert panel.grid.count == 5 and len(panel.exploration.samples) > 0
    decided = C.class_names[int(C.scores(x[:1]).argmax())]
    assert decided.replace("<", "&lt;").replace(">", "&gt;") in panel.region.facts.value
    assert frames(panel)[0]["decision"].startswith(decided)
    assert torch.equal(run(panel.code.code, panel, x=x)["exploration"].points, panel.exploration.points)
    panel.close()
    with pytest.raises(BoundaryError, match="takes inputs, and none were given"):
        wb.boundaries.Panel(C)


def test_a_classifier_of_latents_draws_them_and_shows_their_pictures(generator):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 3))
    C = wb.Classifier(module, (1, 6, 6), value_range=(-1, 1), device="cpu", name="small").on(generator)
    panel = wb.boundaries.Panel(C, samples=20)
    finish(panel)
    assert panel.grid.count == 60 and len(panel.exploration.samples) > 0
    assert torch.equal(run(panel.code.code, panel)["exploration"].points, panel.exploration.points)
    panel.close()


def test_a_generator_of_signals():
    torch.manual_seed(0)
    G = wb.Generator(nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 50), nn.Tanh()), 3, device="cpu")
    panel = wb.boundaries.Panel(G, layer="1", samples=20)
    finish(panel)
    panel.layers.compare()
    finish(panel)
    assert panel.samples.grid.count == len(panel.exploration.samples) > 0 and panel.samples.statistics.count == 3
    panel.close()


def test_points_of_another_shape_are_refused(generator):
    for z in (3.0, torch.zeros(2, 3)):
        with pytest.raises(ModelError, match=r"z has shape .* expected \(batch, 4\)"):
            wb.boundaries.Panel(generator, z)


def test_a_layer_without_boundaries_is_refused():
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 20))
    with pytest.raises(BoundaryError, match="goes straight into '3'"):
        wb.boundaries.Panel(wb.Generator(module, 3, device="cpu"), layer="2")


def test_closing_closes_the_workers_and_every_widget(generator):
    from ipywidgets.widgets.widget import _instances

    before = set(_instances)
    made = wb.boundaries.Panel(generator, samples=20)
    finish(made)
    made.layers.compare()
    finish(made)
    made.close()
    left = {type(_instances[i]).__name__ for i in set(_instances) - before}
    assert all(name.endswith(("Layout", "Style")) for name in left), left


def test_a_tree_that_gives_way_to_another_leaves_nothing_behind(panel, monkeypatch):
    monkeypatch.setattr("workbench.ui.jobs._DRAW_EVERY", 0)
    panel.samples.step.value = 0.01
    finish(panel)
    show, asked = panel.samples._growing, []

    def growing(step: Any) -> None:
        if not asked and panel.samples.samples.value == 3000:
            asked.append(step)
            panel.samples.samples.value = 25  # while the pictures of the first are on their way
        show(step)

    monkeypatch.setattr(panel.samples, "_growing", growing)
    panel.samples.samples.value = 3000
    finish(panel)
    assert asked and len(panel.exploration.samples) == 25 == panel.samples.grid.count
    torch.testing.assert_close(
        panel.samples.kinds["E-GBAS"].pictures, panel.model.render(panel.exploration.samples)
    )


def test_a_query_that_is_chosen_while_a_set_arrives_is_the_one_that_is_answered(panel, monkeypatch):
    arrived = panel.region._arrived
    other = panel.points[9]

    def arriving(found: Any) -> None:
        if not torch.equal(panel.query, other):
            panel.ask(other)
        arrived(found)

    monkeypatch.setattr(panel.region, "_arrived", arriving)
    panel.ask(panel.points[8])
    finish(panel)
    assert torch.equal(panel.supporting_set.query, other) and torch.equal(panel.exploration.query, other)


def test_a_network_without_activations_is_refused_in_words():
    G = wb.Generator(torch.nn.Identity(), (1, 2, 2), device="cpu")
    with pytest.raises(BoundaryError, match="no layer with boundaries: no activation such as a ReLU"):
        wb.boundaries.Panel(G)
