"""The panel does by its widgets what the search does by one line of Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import workbench as wb
from workbench.models import ModelError
from workbench.sessions.state import SessionError


@pytest.fixture
def panel(conv: wb.Generator) -> Iterator[wb.subspaces.Panel]:
    made = wb.subspaces.Panel(conv, seed=3, steps=9)
    assert made.jobs.wait(20)
    yield made
    made.close()


def release(panel: wb.subspaces.Panel, index: int, *, line: str | None = None) -> None:
    """What the browser sends when the pointer is released at a frame."""
    name = line or panel.strip.line["id"]
    serial = panel.strip.accepted.get("serial", 0) + 1
    panel.strip.accepted = {"line": name, "index": index, "t": 0.0, "serial": serial}
    assert panel.jobs.wait(20)
    assert panel.jobs.error is None


def test_the_first_line_is_that_of_the_search(panel: wb.subspaces.Panel, conv: wb.Generator) -> None:
    expected = wb.subspaces.Search(conv, seed=3, steps=9).line(0)
    assert panel.line is not None and torch.equal(panel.line.outputs, expected.outputs)
    assert panel.strip.line["count"] == 9 and panel.strip.line["start"] == 4


def test_the_shown_code_gives_what_is_shown(panel: wb.subspaces.Panel, conv: wb.Generator) -> None:
    release(panel, 8)
    release(panel, 0)
    panel.another_direction()
    assert panel.jobs.wait(20)
    again = eval(panel.code.code, {"wb": wb, "G": conv})
    assert torch.equal(again.outputs, panel.line.outputs)


def test_releasing_accepts_the_frame_and_brings_the_line_there(panel: wb.subspaces.Panel) -> None:
    seen = panel.line.latents[7]
    release(panel, 7)
    assert torch.equal(panel.line.centre, seen)
    assert panel.search.current == 1 and panel.history.count == 2 and panel.history.current == 1
    assert panel.strip.line["id"] == "1/0"


def test_releasing_in_the_middle_draws_another_direction_at_the_same_point(panel: wb.subspaces.Panel) -> None:
    before = panel.line
    release(panel, 4)
    assert torch.equal(panel.line.centre, before.centre)
    assert abs(float((panel.line.direction * before.direction).sum())) < 1e-3
    assert panel.history.count == 1


def test_a_release_on_the_line_before_branches_from_its_own_point(panel: wb.subspaces.Panel) -> None:
    release(panel, 8)
    release(panel, 0, line="0/0")
    assert [p.parent for p in panel.search.points] == [None, 0, 0]


def test_stepping_back_and_clicking_the_history_move_without_losing_points(panel: wb.subspaces.Panel) -> None:
    release(panel, 8)
    release(panel, 8)
    panel.step_back()
    assert panel.jobs.wait(20) and panel.search.current == 1
    panel.history.activated = {"index": 2, "serial": 1}
    assert panel.jobs.wait(20) and panel.search.current == 2
    panel.history.activated = {"index": 0, "serial": 2}
    assert panel.jobs.wait(20) and panel.search.current == 0
    assert len(panel.search.points) == 3 and panel._buttons["back"].disabled


def test_the_next_direction_is_computed_while_the_user_looks(panel: wb.subspaces.Panel) -> None:
    assert (0, 1) in panel._ahead
    ahead = panel._ahead[0, 1]
    panel.another_direction()
    assert panel.line is ahead


def test_a_new_start_begins_again(panel: wb.subspaces.Panel, conv: wb.Generator) -> None:
    release(panel, 8)
    panel.new_start()
    assert panel.jobs.wait(20)
    assert panel.search.seed == 4 and len(panel.search.points) == 1 and panel.history.count == 1
    assert torch.equal(panel.line.centre, conv.latents(1, seed=4)[0])


def test_a_start_is_chosen_among_samples(panel: wb.subspaces.Panel) -> None:
    panel.show_starts()
    assert panel.jobs.wait(20) and panel.starts.count == 60
    panel.starts.selected = [5]
    assert panel.jobs.wait(20)
    assert torch.equal(panel.line.centre, panel._start_latents[5])


def test_a_path_is_saved_loaded_replayed_and_exported(panel: wb.subspaces.Panel, tmp_path: Path) -> None:
    panel._folder.value = str(tmp_path / "path")
    release(panel, 8)
    release(panel, 0)
    points = panel.search.points
    panel.save()
    panel.new_start()
    assert panel.jobs.wait(20)
    panel.load()
    assert panel.jobs.wait(20)
    assert len(panel.search.points) == 3
    assert torch.equal(panel.search.points[2].latent, points[2].latent)
    panel.replay()
    assert panel.jobs.wait(20) and panel.strip.line["id"] == "replay" and panel.strip.line["count"] == 49
    panel.export_gif()
    assert panel.jobs.wait(20) and panel.jobs.error is None
    assert (tmp_path / "path" / "path.gif").stat().st_size > 100 and "path.gif" in panel.jobs.text


def test_loading_from_a_folder_without_a_path_says_so_and_keeps_the_search(panel: wb.subspaces.Panel) -> None:
    panel._folder.value = "/nowhere"
    panel.load()
    assert panel.jobs.wait(20)
    assert "no result.json in /nowhere" in panel.jobs.children[2].value
    assert len(panel.search.points) == 1


def test_a_search_that_is_given_keeps_its_settings_in_a_new_start_and_after_loading(
    conv: wb.Generator, tmp_path: Path
) -> None:
    search = wb.subspaces.Search(conv, steps=15, scale="latent", features=wb.subspaces.Downsampled(4))
    made = wb.subspaces.Panel(conv, search=search)
    try:
        made.new_start()
        assert made.jobs.wait(20) and made.jobs.error is None
        assert made.search is not search and made.search.settings == search.settings
        made._folder.value = str(search.path().save(tmp_path / "path"))
        made.load()
        assert made.jobs.wait(20) and made.jobs.error is None
        assert made.search.seed == search.seed and made.search.settings == search.settings
        made.new_start()
        assert made.jobs.wait(20) and made.search.settings == search.settings
    finally:
        made.close()
    with pytest.raises(ValueError, match="give one of the two"):
        wb.subspaces.Panel(conv, conv.latents(1)[0], search=search)


def test_of_a_point_that_was_left_long_ago_no_other_points_spectrum_is_shown(panel: wb.subspaces.Panel) -> None:
    release(panel, 8)
    assert "point</td>" in panel._facts.value and "passes" in panel._facts.value
    panel.search._spectra.clear()
    panel.go_to(0)
    assert panel.jobs.wait(20)
    assert "0 of 1" in panel._facts.value and "passes" not in panel._facts.value
    assert panel._spectrum.layout.display == "none"


def test_a_state_without_a_path_is_refused(panel: wb.subspaces.Panel) -> None:
    state = panel.state()
    for results in ({}, {"path": panel.line}):
        with pytest.raises(SessionError, match="expected the Path of a search"):
            panel.restore(replace(state, results=results))


def test_a_bad_start_is_refused_before_anything_is_shown(conv: wb.Generator) -> None:
    with pytest.raises(ModelError, match="expected"):
        wb.subspaces.Panel(conv, torch.zeros(3))


def test_closing_closes_every_widget(conv: wb.Generator) -> None:
    from ipywidgets.widgets.widget import _instances

    before = set(_instances)
    made = wb.subspaces.Panel(conv, steps=3)
    assert made.jobs.wait(20)
    assert set(_instances) - before
    made.close()
    left = [_instances[i] for i in set(_instances) - before]
    assert {type(w).__name__ for w in left} <= {
        "Layout",
        "ButtonStyle",
        "ProgressStyle",
        "LabelStyle",
        "HTMLStyle",
        "DescriptionStyle",
        "TextStyle",
    }
