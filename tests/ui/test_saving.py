"""What has changed is written behind the kernel; "saved" is shown when it is on the disk, and not before."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import workbench as wb
from workbench.sessions import SessionError, State
from workbench.ui.saving import Saving


class Shown:
    """What was shown, each with what the file had then."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines, self.on_disk = path, [], []

    def __call__(self, text: str, failed: bool) -> None:
        self.lines.append((text, failed))
        if text.startswith("saved"):
            with wb.Session(self.path, write=False) as session:
                self.on_disk.append(session.panel("counter").settings["value"])


@pytest.fixture
def session(tmp_path: Path) -> wb.Session:
    return wb.Session(tmp_path / "a.workbench")


def test_of_a_storm_the_last_one_is_on_the_disk_when_it_is_shown_as_saved(session: wb.Session) -> None:
    shown = Shown(session.path)
    saving = Saving(session, shown)
    value, asked = 0, 0

    def state() -> State:
        nonlocal asked
        asked += 1
        return State({"value": value})

    mark = saving.watch("panel", "counter", state)
    for value in range(1, 501):  # noqa: B007 (state reads it)
        mark()
    assert saving.wait(20) and saving.idle
    assert shown.on_disk[-1] == 500 and asked < 500
    assert shown.lines[0] == ("saving …", False)
    assert shown.lines[-1][0].startswith("saved ") and shown.lines[-1][0].endswith(" · a.workbench")
    session.close()


def test_what_changes_while_it_is_written_is_written_again_before_saved_is_shown(session: wb.Session) -> None:
    shown = Shown(session.path)
    saving = Saving(session, shown)
    values, writing, go_on = [1], threading.Event(), threading.Event()

    def state() -> State:
        value = values[-1]
        writing.set()
        go_on.wait(20)
        return State({"value": value})

    mark = saving.watch("panel", "counter", state)
    mark()
    assert writing.wait(20)
    values.append(2)
    mark()
    go_on.set()
    assert saving.wait(20)
    assert shown.on_disk == [2]
    session.close()


def test_a_failure_is_shown_and_all_of_it_is_tried_again_with_the_next_change(
    session: wb.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(session.path)
    saving = Saving(session, shown)
    marks = [saving.watch("panel", name, lambda: State({"value": 3})) for name in ("counter", "other")]

    def full(states: object) -> None:
        raise SessionError("a.workbench: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(session, "put", full)
        marks[0]()
        assert saving.wait(20)
    text = "not saved: a.workbench: the disk is full · tried again with the next change"
    assert shown.lines[-1] == (text, True) and not saving.idle
    marks[1]()
    assert saving.wait(20) and saving.idle
    assert {item.name for item in session.items()} == {"counter", "other"}
    session.close()


def test_a_panel_that_cannot_tell_its_state_keeps_no_other_from_being_saved(session: wb.Session) -> None:
    shown = Shown(session.path)
    saving = Saving(session, shown)

    def broken() -> State:
        raise RuntimeError("no state")

    marks = [
        saving.watch("panel", "broken", broken),
        saving.watch("panel", "counter", lambda: State({"value": 1})),
    ]
    for mark in marks:
        mark()
    assert saving.wait(20)
    assert shown.lines[-1] == ("not saved: broken: no state · tried again with the next change", True)
    assert [item.name for item in session.items()] == ["counter"]
    session.close()


def test_closing_writes_what_failed_before_and_nothing_is_written_after(
    session: wb.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown(session.path)
    saving = Saving(session, shown)
    mark = saving.watch("panel", "counter", lambda: State({"value": 4}))
    with monkeypatch.context() as patch:
        patch.setattr(session, "put", lambda states: (_ for _ in ()).throw(SessionError("busy")))
        mark()
        assert saving.wait(20)
    session.close()
    assert shown.on_disk == [4] and shown.lines[-1][0].startswith("no longer saved here")
    mark()
    assert saving.wait(20) and len(shown.on_disk) == 1
