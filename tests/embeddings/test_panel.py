"""The panel does by its widgets what class embeddings do by a few lines of Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import workbench as wb
from tests.embeddings.networks import additive, linear_classifier
from tests.finished import finished
from workbench.embeddings import EmbeddingError, EmbeddingTable, Panel

NAMES = ["ant", "<b>bee</b>", "cat"]


@pytest.fixture
def panel() -> Iterator[Panel]:
    real = torch.rand(12, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    made = Panel(
        additive(names=NAMES),
        linear_classifier(names=NAMES),
        real,
        torch.arange(12) % 3,
        class_index="cat",
        seed=2,
        trials=2,
        steps=6,
    )
    finish(made)
    yield made
    made.close()


def finish(panel: Panel) -> None:
    finished(panel.jobs, panel.ways.jobs, panel.repair.drawing, panel.map.moving)


def search(panel: Panel, variant: str = "AM-S") -> wb.embeddings.EmbeddingTrials:
    panel.repair.variant.value = variant
    panel.repair.start.click()
    finish(panel)
    assert panel.trials is not None
    return panel.trials


def run_line(panel: Panel) -> wb.embeddings.EmbeddingTrials:
    """What the shown line gives."""
    space = {"wb": wb, "G": panel.generator, "C": panel.classifier, "panel": panel}
    exec(panel.code.code, space)
    return space["trials"]


def test_a_class_is_shown_beside_its_real_pictures(panel):
    assert panel.class_index == 2 and panel.choice.value == "cat"
    assert panel.repair.before.count == 24 and panel.repair.real.count == 4
    panel.choice.value = "ant"
    assert panel.class_index == 0 and panel.trials is None and panel.repair.keep.disabled


@pytest.mark.parametrize("variant", ["AM-S", "AM-D-L", "Noise-L"])
def test_the_shown_line_does_what_the_panel_did(panel, variant: str):
    found = search(panel, variant)
    space = {"wb": wb, "G": panel.generator, "C": linear_classifier(names=NAMES)}
    exec(panel.code.code, space)
    assert torch.allclose(space["trials"].embeddings, found.embeddings, atol=1e-6)
    assert panel.repair.after.count == 24
    assert "after" in panel.repair.facts.value


def test_every_trial_can_be_looked_at_and_the_one_in_sight_is_kept(panel):
    found = search(panel)
    assert [("best" in name) for name in panel.repair.trial.options].index(True) == found.best
    other = 1 - found.best
    panel.repair.trial.index = other
    panel.repair.keep.click()
    assert torch.equal(panel.table.matrix[2], found.embeddings[other])
    assert panel.table.edits[0].source == found.provenance.call
    assert "cat" in panel.edited.value
    panel.repair.undo.click()
    assert not panel.table.edits and panel.edited.value == "" and panel.repair.undo.disabled


def test_a_second_search_with_fewer_trials_shows_its_own_best(panel):
    search(panel)
    panel.repair.trial.index = 1
    panel.repair.count.value = 1
    found = search(panel)
    assert len(found) == 1 and panel.repair.trial.options == ()
    assert torch.equal(panel.repair._chosen(), found.embedding)


def test_edits_go_into_a_file_and_come_back(panel, tmp_path: Path):
    found = search(panel)
    panel.repair.keep.click()
    panel.path.value = str(tmp_path / "kept.safetensors")
    panel._saying(panel._save)
    assert "1 edited classes written" in panel.said.value
    panel.repair.undo.click()
    panel._saying(panel._load)
    assert torch.equal(panel.table.matrix[2], found.embedding)
    again = EmbeddingTable(panel.generator)
    again.load(panel.path.value)
    assert torch.equal(again.matrix, panel.table.matrix)
    panel.path.value = str(tmp_path / "none.safetensors")
    panel._saying(panel._load)
    assert "no embeddings at" in panel.said.value and panel.table.edits


def test_what_is_kept_is_what_is_repaired_next(panel):
    search(panel, "Noise-L")
    panel.repair.keep.click()
    kept = panel.table.matrix[2]
    found = search(panel)
    assert torch.equal(found.original, kept)
    panel.ask("ant")
    finish(panel)
    assert panel.repair.after.count == 0
    panel.ask("cat")
    finish(panel)
    assert panel.repair.after.count == 24


def test_after_keep_the_shown_line_searches_in_the_embeddings_that_were_kept(panel):
    search(panel, "Noise-L")
    panel.repair.keep.click()
    assert "with_embeddings" not in panel.code.code
    found = search(panel)
    panel.repair.undo.click()
    again = run_line(panel)
    assert torch.equal(again.original, found.original)
    assert torch.allclose(again.embeddings, found.embeddings, atol=1e-6)
    panel.repair.keep.click()
    panel.ask("ant")
    assert "G.with_embeddings(panel.table.matrix)" in panel.code.code


def test_the_line_tells_what_the_trials_in_sight_were_searched_with(panel):
    search(panel)
    panel.repair.count.value, panel.repair.steps.value = 1, 10_000
    assert "trials=2, steps=6" in panel.repair.code()
    told = []
    show = panel.repair._show

    def watched(*given: object) -> None:
        show(*given)
        told.append((len(panel.trials), panel.repair.code().rpartition(" trials=")[2]))
        panel.jobs.cancel()

    panel.repair._show = watched
    search(panel)
    assert told == [(1, "1, steps=10000)")] * 2


def test_a_search_in_edited_embeddings_is_restored_with_its_line(panel):
    search(panel, "Noise-L")
    panel.repair.keep.click()
    found = search(panel)
    panel.repair.count.value, state = 1, panel.state()
    panel.repair.undo.click()
    again = Panel(additive(names=NAMES), linear_classifier(names=NAMES), seed=2)
    again.restore(state)
    finish(again)
    assert again.code.code == panel.repair.code()
    assert torch.allclose(run_line(again).embeddings, found.embeddings, atol=1e-6)
    again.close()


def test_classes_of_one_name_are_told_apart():
    names = ["crane", "ant", "crane"]
    panel = Panel(additive(names=names), linear_classifier(names=names), seed=2, trials=2, steps=3)
    panel.ask(2)
    finish(panel)
    assert panel.class_index == 2 and panel.choice.value == "crane (2)"
    found = search(panel)
    assert found.class_index == found.target == 2
    assert torch.equal(run_line(panel).embeddings, found.embeddings)
    panel._more.selected_index = 0
    panel.ways.other.value = "crane (0)"
    finish(panel)
    assert panel.ways.across.line["ends"] == ["crane (2)", "crane (0)"]
    panel.choice.value = "crane (0)"
    assert panel.class_index == 0
    finish(panel)
    panel.close()


def test_the_ways_are_drawn_when_they_are_opened(panel):
    assert not panel.ways.children
    panel._more.selected_index = 0
    finish(panel)
    assert len(panel.ways.original.line["t"]) == len(panel.ways.across.line["t"]) == 25
    panel.ways.other.value = "ant"
    finish(panel)
    assert panel.ways.across.line["ends"] == ["cat", "ant"]


def test_names_with_html_in_them_are_escaped(panel):
    panel.ask("<b>bee</b>")
    search(panel, "Noise-S")
    panel.repair.keep.click()
    assert "&lt;b&gt;bee" in panel.edited.value and "<b>bee" not in panel.edited.value


def test_without_a_classifier_noise_remains(panel):
    alone = Panel(additive(), trials=2)
    assert list(alone.repair.variant.options) == ["Noise-S", "Noise-L"]
    search(alone, "Noise-S")
    alone.close()


def test_real_pictures_that_do_not_fit_are_refused():
    with pytest.raises(EmbeddingError, match="real pictures"):
        Panel(additive(), None, torch.zeros(3, 1, 2, 2), [0, 1])


def test_closing_leaves_no_thread_behind(panel):
    search(panel)
    panel.close()
    assert panel.jobs._thread is None or panel.jobs.wait(5)
