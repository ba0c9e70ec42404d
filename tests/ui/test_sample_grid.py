"""The Python half of the sample grid: what is shown, appended, selected, and what travels for it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from workbench.ui.sample_grid import SampleGrid


def grey(levels) -> np.ndarray:
    """Images (n, 1, 8, 8) of one grey level each, uint8."""
    return np.repeat(np.asarray(levels, np.uint8), 64).reshape(-1, 1, 8, 8)


def shown(grid: SampleGrid) -> list[int]:
    """Grey levels of the samples in the sheets, in order."""
    levels = []
    for sheet in grid.sheets:
        pixels = np.asarray(Image.open(io.BytesIO(getattr(grid, sheet["slot"]))))
        columns = sheet["columns"]
        levels += [int(pixels[i // columns * 8, i % columns * 8]) for i in range(sheet["count"])]
    return levels


@pytest.fixture
def sent(monkeypatch):
    """Names of the traits that were sent, in order."""
    names: list[str] = []
    monkeypatch.setattr(
        SampleGrid,
        "send_state",
        lambda self, key=None: names.extend([key] if isinstance(key, str) else sorted(key or ())),
    )
    return names


def test_samples_are_shown_in_order_with_their_values():
    grid = SampleGrid()
    grid.show(grey(range(200)), values={"activation": range(200)}, labels=[f"s{i}" for i in range(200)])
    assert grid.count == 200
    assert shown(grid) == list(range(200))
    assert grid.values["activation"][:2] == [0.0, 1.0]


def test_samples_come_one_by_one_and_leave_few_sheets():
    grid = SampleGrid()
    for i in range(150):
        grid.append(grey([i]), {"score": [i]}, labels=[f"s{i}"])
    assert shown(grid) == list(range(150))
    assert grid.values["score"] == [float(i) for i in range(150)]
    assert grid.labels[-1] == "s149"
    assert len(grid.sheets) <= 3


def test_appending_sends_the_new_sheet_only(sent):
    grid = SampleGrid()
    grid.show(grey(range(100)))
    sent.clear()
    grid.append(grey(range(100, 200)))
    assert [name for name in sent if name.startswith("sheet_")] == ["sheet_1"]
    assert shown(grid) == list(range(200))


def test_showing_fewer_samples_frees_the_sheets_of_more():
    grid = SampleGrid()
    grid.show(grey(range(100)))
    grid.append(grey(range(100)))
    grid.show(grey([7]))
    assert shown(grid) == [7]
    assert grid.sheet_1 == b""


def test_every_sheet_is_part_of_the_saved_state():
    grid = SampleGrid()
    grid.show(grey(range(100)))
    grid.append(grey(range(100)))
    state = grid.get_state()
    assert all(state[sheet["slot"]] for sheet in grid.sheets)


def test_new_samples_clear_the_selection():
    grid = SampleGrid()
    grid.show(grey(range(5)))
    grid.selected = [1, 2]
    grid.show(grey(range(5)))
    assert grid.selected == []


def test_selection_and_activation_reach_their_callbacks_until_removed():
    grid = SampleGrid()
    grid.show(grey(range(5)))
    chosen, opened = [], []
    stop = grid.on_select(chosen.append)
    grid.on_activate(opened.append)
    grid.selected = [0, 3]
    grid.activated = {"index": 3, "serial": 1}
    stop()
    grid.selected = [1]
    assert (chosen, opened) == ([[0, 3]], [3])


def test_values_that_are_not_finite_travel_as_missing():
    grid = SampleGrid()
    grid.show(grey(range(3)), values={"score": [np.nan, np.inf, 1.5]})
    assert grid.values == {"score": [None, None, 1.5]}


def test_a_history_grows_with_labels_parents_and_its_current_step():
    history = SampleGrid(arrangement="strip")
    assert history.multiple is False
    history.append(grey([0]), labels=["start"], parents=[None], current=0)
    history.append(grey([1]), labels=["t = +1"], parents=[0], current=1)
    history.append(grey([2]), labels=["t = -2"], parents=[0], current=2)
    assert history.labels == ["start", "t = +1", "t = -2"]
    assert (history.parents, history.current) == ([None, 0, 0], 2)


def test_a_filter_keeps_the_order_it_was_given_and_ends_with_new_samples(sent):
    grid = SampleGrid()
    grid.show(grey(range(5)))
    sent.clear()
    grid.filter(np.array([3, 0, 4]))
    assert grid.only == [3, 0, 4] and sent == ["only"]  # no picture travels again
    grid.append(grey([9]))
    assert grid.only == [3, 0, 4]
    grid.filter(None)
    assert grid.only is None
    grid.filter([])
    assert grid.only == []
    grid.show(grey(range(3)))
    assert grid.only is None


@pytest.mark.parametrize(
    ("wrong", "message"), [([0, 5], "indices of the 5 samples, got 5"), ([-1], "got -1"), ([1, 1], "once")]
)
def test_a_filter_that_fits_no_samples_is_refused_and_the_present_one_stays(wrong, message):
    grid = SampleGrid()
    grid.show(grey(range(5)))
    grid.filter([2])
    with pytest.raises(ValueError, match=message):
        grid.filter(wrong)
    assert grid.only == [2]


def test_clear_returns_to_the_empty_state():
    grid = SampleGrid()
    grid.show(grey(range(5)), values={"a": range(5)})
    grid.clear()
    assert grid.count == 0 and grid.values == {} and grid.sheet_0 == b""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"values": {"score": [1.0]}}, "score needs one entry for each of the 5 samples, got 1"),
        (
            {"values": {"score": []}, "sort_by": "score"},
            "score needs one entry for each of the 5 samples, got none",
        ),
        ({"labels": ["a"]}, "labels needs"),
        ({"sort_by": "nothing", "values": {"score": range(5)}}, r"one of \['score'\], got 'nothing'"),
    ],
)
def test_what_does_not_fit_the_samples_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SampleGrid().show(grey(range(5)), **wrong)


def test_appending_other_sizes_or_values_is_refused():
    grid = SampleGrid()
    grid.show(grey(range(5)), values={"score": range(5)})
    with pytest.raises(ValueError, match="8 x 8 pixels; got 16 x 16"):
        grid.append(np.zeros((1, 1, 16, 16)), {"score": [1]})
    with pytest.raises(ValueError, match=r"need the values \['score'\], got \['other'\]"):
        grid.append(grey([1]), {"other": [1]})
    with pytest.raises(ValueError, match="labels needs one entry for each of the 2 samples, got 3"):
        grid.append(grey([1, 2]), {"score": [1, 2]}, labels=["a", "b", "c"])
    with pytest.raises(ValueError, match="parents needs one entry for each of the 2 samples, got 1"):
        grid.append(grey([1, 2]), {"score": [1, 2]}, parents=[0])
    assert grid.count == 5 and len(grid.values["score"]) == 5 and not grid.labels and not grid.parents


def test_samples_too_large_for_a_sheet_leave_what_is_shown():
    grid = SampleGrid()
    grid.show(grey(range(3)), values={"score": [3, 1, 2]}, labels=["a", "b", "c"], sort_by="score")
    with pytest.raises(ValueError, match="larger than 4096"):
        grid.show(np.zeros((1, 1, 4200, 4)), values={"other": [1]})
    assert grid.values == {"score": [3.0, 1.0, 2.0]} and grid.labels == ["a", "b", "c"]
    assert grid.sort["by"] == "score" and grid.still() is not None


def test_samples_that_the_browser_names_after_they_have_gone_are_left_out():
    grid = SampleGrid()
    grid.show(grey([10, 20]), values={"size": [1, 2]})
    selected, opened = [], []
    grid.on_select(selected.append)
    grid.on_activate(opened.append)
    for state in (
        {"selected": [1, 2]},
        {"selected": "1"},
        {"activated": {"index": 2}},
        {"activated": {}},
        {"activated": {"index": 1, "serial": 3}},
        {"sort": {"by": "weight"}},
        {"sort": None},
    ):
        grid.set_state(state)
    assert selected == [[1]] and opened == [1]
    assert grid.sort == {"by": "", "descending": False}
    grid.set_state({"sort": {"by": "size", "descending": True}})
    assert grid.sort == {"by": "size", "descending": True}
