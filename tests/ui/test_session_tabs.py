"""`wb.open(…, session=…)`: every panel goes on where it was, and nothing is mixed with other networks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import workbench as wb
from tests.embeddings.networks import additive, linear_classifier
from tests.finished import finished
from tests.sessions.networks import networks
from workbench.models import ModelError, Neuron
from workbench.sessions import SessionError, State
from workbench.ui.tabs import Tabs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "digits.workbench"


@pytest.fixture
def reopen(path: Path) -> Iterator[Callable[..., Tabs]]:
    """Open the session, for the second time once what was opened before has saved all and is closed."""
    opened: list[Tabs] = []

    def open_tabs(*models: Any, **options: Any) -> Tabs:
        if opened:
            opened[-1].close()
        opened.append(wb.open(*(models or networks()), session=path, **options))
        return opened[-1]

    yield open_tabs
    opened[-1].close()


def accept(panel: wb.subspaces.Panel, index: int) -> None:
    finished(panel.jobs)
    serial = panel.strip.accepted.get("serial", 0) + 1
    panel.strip.accepted = {"line": panel.strip.line["id"], "index": index, "t": 0.0, "serial": serial}
    finished(panel.jobs)


def test_a_search_goes_on_with_its_path_branches_and_line(reopen):
    panel = reopen().panels["subspaces"]
    for index in (24, 2):
        accept(panel, index)
    panel.step_back()
    accept(panel, 5)
    panel.another_direction()
    finished(panel.jobs)
    path, outputs, code = panel.path, panel.line.outputs, panel.code.code
    again = reopen().panels["subspaces"]
    finished(again.jobs)
    assert torch.equal(again.path.latents, path.latents) and again.path.parents.tolist() == [-1, 0, 1, 1]
    assert again.shown == (3, 1) and torch.allclose(again.line.outputs, outputs, atol=1e-6)
    assert again.code.code == code and again.history.count == 4
    accept(again, 0)
    assert len(again.search.points) == 5


def test_query_supporting_set_and_tree_of_the_boundaries_are_there_without_being_computed_again(reopen):
    panel = reopen().show("boundaries")
    panel.samples.samples.value = 30
    panel.ask(torch.tensor([0.5, -1.0, 0.2, 0.1]), "mine")
    finished(panel.jobs)
    panel.region.accept(panel.region.thresholds[-2])
    finished(panel.jobs)
    found, tree, code = panel.supporting_set, panel.exploration, panel.code.code
    again = reopen().panels["boundaries"]
    assert again.exploration.provenance.made == tree.provenance.made  # no other one has grown
    finished(again.jobs)
    assert torch.equal(again.query, torch.tensor([0.5, -1.0, 0.2, 0.1]))
    assert torch.equal(again.supporting_set.theta, found.theta)
    assert again.supporting_set.threshold == found.threshold
    assert torch.equal(again.exploration.points, tree.points) and again.samples.samples.value == 30
    assert again.code.code == code and again.region.strip.line["count"] == panel.region.strip.line["count"]
    again.samples.grow()
    finished(again.jobs)
    assert torch.equal(again.exploration.points, tree.points)


def test_flip_points_their_mask_and_those_of_the_whole_set_are_there(reopen):
    panel = reopen().show("flip_points")
    finished(panel.one.jobs)
    panel.one.cover.mask = torch.tensor([[True, False], [False, False]])
    panel.one.cover.edits += 1
    panel.many.find_all()
    finished(panel.one.jobs, panel.many.jobs)
    nearest, every, of_set = panel.one.nearest, panel.one.every, panel.many.found
    again = reopen().panels["flip_points"]
    assert again.one.nearest.provenance == nearest.provenance and again.one.every.provenance == every.provenance
    assert torch.equal(again.one.nearest.points, nearest.points) and torch.equal(again.mask, panel.mask)
    assert again.one.cover.mask.tolist() == [[True, False], [False, False]]
    assert torch.equal(again.many.found.points, of_set.points)
    assert again.one.code.code == panel.one.code.code and again.many.code.code == panel.many.code.code
    again.many.select([1, 2])
    assert again.many.grid.only == [1, 2]


def test_a_set_of_other_inputs_is_not_shown_with_flip_points_of_the_former(reopen):
    tabs = reopen(*networks(), x=torch.rand(5, 1, 2, 2))
    panel = tabs.show("flip_points")
    panel.many.find_all()
    finished(panel.many.jobs, panel.one.jobs)
    again = reopen()
    assert torch.equal(again.x, tabs.x) and len(again.panels["flip_points"].many.found) == 5
    other = reopen(*networks(), x=torch.rand(4, 1, 2, 2))
    assert other.panels["flip_points"].many.found is None
    assert "are those of other inputs" in other._places["flip_points"].children[0].value
    assert len(other.session.load("flip_points, set aside 1").results["set"]) == 5  # and they are not lost


def sampled(tabs: Any) -> Any:
    """The panel of inverse sets with a row of samples."""
    panel = tabs.show("inverse_sets")
    finished(panel.neurons.jobs)
    panel.count.value = 12
    panel.ask(Neuron("1", 0))
    finished(panel.jobs)
    return panel


def test_rows_of_inverse_sets_and_the_band_are_there(reopen):
    panel = sampled(reopen())
    panel.keep.click()
    band = panel.query[0]
    panel.set_band(band.low - 0.05, band.high)
    finished(panel.jobs)
    codes, code = [row.found.codes for row in panel.rows], panel.code.code
    again = reopen().panels["inverse_sets"]
    finished(again.jobs, again.neurons.jobs)
    assert all(map(torch.equal, (row.found.codes for row in again.rows), codes)) and len(codes) == 2
    assert again.code.code == code and again.count.value == 12 and not again.kept
    assert again.low.value == band.low - 0.05
    again.set_band(band.low, band.high)  # the last row was not kept: it gives way
    finished(again.jobs)
    assert len(again.rows) == 2 and torch.equal(again.rows[0].found.codes, codes[0])


def test_edited_embeddings_and_the_search_for_a_class_are_there(reopen):
    models = additive(names=["ant", "bee", "cat"]), linear_classifier(names=["ant", "bee", "cat"])
    panel = reopen(*models).show("embeddings")
    panel.repair.steps.value, panel.repair.count.value = 5, 2
    for name in ("cat", "bee"):
        panel.ask(name)
        panel.repair.start.click()
        finished(panel.jobs)
        panel.repair.keep.click()
    edits, trials = panel.table.edits, panel.trials
    again = reopen(*models).panels["embeddings"]
    assert torch.equal(again.table.matrix, panel.table.matrix) and again.class_index == 1
    assert [edit.source for edit in again.table.edits] == [edit.source for edit in edits]
    assert torch.equal(again.trials.embeddings, trials.embeddings)
    again.repair.undo.click()
    assert again.table.changed == [2]
    assert reopen(*models).panels["embeddings"].table.changed == [2]


def test_kept_samples_stand_in_the_strip_and_are_sent_on(reopen):
    tabs = reopen()
    accept(tabs.panels["subspaces"], 24)
    keep = next(b for b in tabs.handover._controls.children if getattr(b, "description", "") == "Keep")
    keep.click()
    z = tabs.panels["subspaces"].search.points[1].latent
    tabs.show("flip_points")
    keep.click()
    again = reopen()
    assert again.current == "flip_points" and again.kept.strip.labels == ["sample 1", "sample 2"]
    again.kept.strip.activated = {"index": 0, "serial": 1}
    assert "send sample 1 to" in again.handover._said.value
    again.handover.buttons["boundaries"].click()
    assert torch.equal(again.panels["boundaries"].query, z) and again.kept.current is None
    again.kept.strip.activated = {"index": 1, "serial": 2}
    again.handover.buttons["subspaces"].click()
    assert "no latent is known for sample 2: it can be sent to flip points only" in again.handover._said.value
    again.kept.remove.click()
    assert [sample.name for sample in reopen().kept.samples] == ["sample 1"]


def test_the_kept_sample_that_is_chosen_stays_so_while_others_come_and_go(reopen):
    tabs = reopen()
    for name in ("one", "two"):
        tabs.session.keep(wb.sessions.KeptSample(torch.rand(1, 2, 2), (0.0, 1.0)), name)
    view = tabs.kept
    view.strip.activated = {"index": 1, "serial": 1}
    view.keep(wb.sessions.KeptSample(torch.rand(1, 2, 2), (0.0, 1.0)))
    assert view.saving.wait(10)
    assert view.current.name == "two" and view.strip.current == 1
    tabs.session.remove("one")
    assert view.strip.current == 0 and view.current.name == "two"
    view.strip.activated = {"index": 0, "serial": 2}
    assert view.current is None and view.strip.current == -1
    view.strip.activated = {"index": 0, "serial": 3}
    tabs.session.remove("two")
    assert view.current is None and view.remove.layout.display == "none"


@pytest.mark.parametrize("shape", [(3, 3, 5), (1, 3, 5)])
def test_kept_pictures_of_another_size_are_shown_in_that_of_the_first(reopen, shape):
    tabs = reopen()
    tabs.session.keep(wb.sessions.KeptSample(torch.zeros(3, 6, 6), (0.0, 1.0)), "first")
    tabs.session.keep(wb.sessions.KeptSample(torch.ones(shape), (0.0, 1.0)), "second")
    tiles = np.asarray(tabs.kept.strip.still().convert("L"))
    assert tiles[:, 0].max() == 0 and tiles[:, -1].min() == 255


def test_a_line_of_python_writes_into_the_same_notes_and_strip(reopen):
    tabs = reopen()
    tabs.kept.notes.value = "By hand."
    tabs.session.note("By a script.")
    assert tabs.kept.notes.value == "By hand.\n\nBy a script."
    tabs.session.keep(wb.sessions.KeptSample(torch.rand(1, 2, 2), (0.0, 1.0)), "mine")
    assert tabs.kept.strip.labels == ["mine"]
    assert reopen().kept.notes.value == "By hand.\n\nBy a script."


def test_what_is_typed_is_data_not_html(reopen, path: Path):
    tabs = reopen()
    tabs.kept._say('<img src=x onerror="alert(1)">', True)
    assert "<img" not in tabs.kept.status.value and "&lt;img" in tabs.kept.status.value


def test_networks_of_the_zoo_and_an_encoder_need_not_be_given_again(path: Path):
    G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")
    wb.open(G, C, encoder=wb.inverse_sets.Encoder(C, "12"), seed=3, session=path).close()
    tabs = wb.open(session=path)
    assert tabs.whole.fingerprint == G.fingerprint and tabs.classifier.fingerprint == C.fingerprint
    assert tabs.encoder.layer == "12" and tabs.encoder.classifier.fingerprint == C.fingerprint and tabs.seed == 3
    tabs.close()


def test_a_session_that_does_not_say_where_its_encoder_ends_says_what_to_give(path: Path):
    G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")
    encoder = wb.inverse_sets.Encoder(C, "12")
    with wb.Session(path) as session:  # as a kernel leaves it that ends before the tabs are written
        session.belongs_to({"generator": G, "classifier": C, "encoder": C})
    with pytest.raises(SessionError, match=r"digits\.workbench does not say .*pass encoder="):
        wb.open(session=path)
    tabs = wb.open(encoder=encoder, session=path)
    assert tabs.encoder.layer == "12"
    tabs.close()


def test_other_networks_are_refused_and_the_session_stays_as_it_was(reopen, path: Path):
    tabs = reopen()
    accept(tabs.panels["subspaces"], 24)
    tabs.close()
    with pytest.raises(
        SessionError, match=r"was made with the generator small .*, not with small .*Give that one"
    ):
        wb.open(*networks(seed=1), session=path)
    with pytest.raises(SessionError, match=r"needs its generator, small .*which is not given: pass it"):
        wb.open(session=path)
    assert len(reopen().panels["subspaces"].search.points) == 2  # and neither of the two holds the file


def test_without_networks_there_is_nothing_to_begin_a_session_with(path: Path):
    with pytest.raises(
        ModelError, match=r"there is no session at .* yet; give the networks for a new one: .*session='/"
    ):
        wb.open(session=path)
    assert not path.exists()


def test_what_cannot_be_shown_any_more_is_said_and_set_aside(reopen):
    tabs = reopen()
    accept(tabs.panels["subspaces"], 24)
    tabs.close()
    with wb.Session(tabs.session.path) as session:
        state = session.panel("subspaces")
        session.put({("panel", "subspaces"): State(state.settings)})
    again = reopen()
    text = again._places["subspaces"].children[0].value
    assert "Not all that was saved of this panel can be shown" in text and "subspaces, set aside 1" in text
    accept(again.panels["subspaces"], 24)
    assert len(reopen().panels["subspaces"].search.points) == 2


HOSTILE = "__import__('os').system('touch executed')"


@pytest.mark.parametrize(
    ("method", "hostile"),
    [
        ("flip_points", {"set_code": HOSTILE}),
        ("flip_points", {"source": HOSTILE}),
        ("boundaries", {"source": f"G.latents(1, seed=0)\n{HOSTILE}"}),
        ("subspaces", {"draw": f"0)\n{HOSTILE}"}),
    ],
)
def test_code_in_a_session_is_refused(reopen, method, hostile):
    panel = reopen().show(method)
    if method == "flip_points":
        panel.many.find_all()
        finished(panel.one.jobs, panel.many.jobs)
    else:
        finished(panel.jobs)
    path = reopen().session.path
    reopen().close()
    with wb.Session(path) as session:
        state = session.panel(method)
        session.put({("panel", method): State({**state.settings, **hostile}, state.results, state.tensors)})
    again = reopen()
    assert "Not all that was saved of this panel can be shown" in again._places[method].children[0].value
    shown = again.panels[method]
    codes = [shown.one.code, shown.many.code] if method == "flip_points" else [shown.code]
    assert not any("executed" in line.code for line in codes)


def test_code_in_the_rows_of_a_session_is_refused(reopen):
    sampled(reopen())
    path = reopen().session.path
    reopen().close()
    with wb.Session(path) as session:
        state = session.panel("inverse_sets")
        rows = [{**row, "code": HOSTILE} for row in state.settings["rows"]]
        session.put(
            {("panel", "inverse_sets"): State({**state.settings, "rows": rows}, state.results, state.tensors)}
        )
    assert rows and "executed" not in reopen().panels["inverse_sets"].code.code


def test_opened_anew_in_the_same_kernel_the_former_tabs_say_that_they_save_no_more(path: Path):
    first = wb.open(*networks(), session=path)
    first.kept.notes.value = "first"
    second = wb.open(*networks(), session=path)
    assert second.kept.notes.value == "first" and "no longer saved here" in first.kept.text
    first.kept.notes.value = "late"
    second.kept.notes.value = "second"
    second.close()
    first.close()
    assert wb.Session(path, write=False).notes == "second"


def test_each_class_has_its_own_panels_and_the_tabs_go_on_with_theirs(reopen):
    G, C = additive(names=["ant", "bee", "cat"]), linear_classifier(names=["ant", "bee", "cat"])
    opened = reopen(G, C)
    first = opened.generator.fixed
    accept(opened.panels["subspaces"], 24)
    paths = {0: [point.latent for point in opened.panels["subspaces"].search.points]}
    classes = opened.show("embeddings")
    repaired = G.class_embeddings[2] + 0.2
    classes.ask(2)
    classes.table.keep(2, repaired)
    opened.handover.send("subspaces")
    panel = opened.panels["subspaces"]
    assert torch.equal(panel.generator.fixed, repaired)
    for index in (2, 20):
        accept(panel, index)
    paths[2] = [point.latent for point in panel.search.points]
    opened.keep()
    again = reopen(G, C)
    assert again.generator.name == f"{G.name} of {G.class_names[2]}, repaired"
    assert torch.equal(again.generator.fixed, repaired)
    points = again.panels["subspaces"].search.points
    assert all(map(torch.equal, (p.latent for p in points), paths[2]))
    again._take(again.whole.of_class(0))
    assert torch.equal(again.generator.fixed, first)
    again.show("boundaries")
    points = again.show("subspaces").search.points
    assert all(map(torch.equal, (p.latent for p in points), paths[0]))
    (kept,) = again.session.samples
    again._kept_chosen(kept)
    assert torch.equal(again.sample.generator.fixed, repaired)


def test_a_session_with_a_damaged_sample_is_refused_and_held_by_nobody(reopen, path):
    tabs = reopen()
    tabs.keep()
    tabs.close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE parts SET digest = '0' WHERE item = (SELECT id FROM items WHERE kind = 'sample')")

    def items() -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(path)) as file:
            return file.execute("SELECT * FROM items").fetchall()

    before = items()
    with pytest.raises(SessionError, match=r"sample 1 in .* is damaged"):
        wb.open(*networks(), session=path)
    assert items() == before
    with closing(sqlite3.connect(path.with_name(f".{path.name}.lock"), timeout=0)) as held:
        held.execute("BEGIN EXCLUSIVE")
