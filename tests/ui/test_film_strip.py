"""The Python half of the film strip: one line is one message, and an acceptance comes back."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.ui.film_strip import Accepted, FilmStrip

IMAGES = np.zeros((5, 1, 8, 8))


@pytest.fixture
def sent(monkeypatch):
    """Messages that a widget sends to the browser: a list of the sets of traits."""
    messages: list[set[str]] = []
    monkeypatch.setattr(
        FilmStrip,
        "send_state",
        lambda self, key=None: messages.append({key} if isinstance(key, str) else set(key or ())),
    )
    return messages


def test_a_line_travels_in_one_message(sent):
    strip = FilmStrip()
    sent.clear()
    strip.show(IMAGES)
    assert sent == [{"sheet", "line"}]


def test_a_line_describes_its_frames():
    strip = FilmStrip()
    name = strip.show(
        IMAGES,
        positions=[-2, -1, 0, 1, 2],
        captions=["a\nb", {"change": "3 %"}, "", "", ""],
        flags=[None, None, None, None, "outside"],
        ends=("left", "right"),
        line_id="line 7",
    )
    line = strip.line
    assert name == line["id"] == "line 7"
    assert (line["count"], line["start"], line["t"]) == (5, 2, [-2.0, -1.0, 0.0, 1.0, 2.0])
    assert line["captions"][:3] == [[["", "a"], ["", "b"]], [["change", "3 %"]], []]
    assert line["flags"] == ["", "", "", "", "outside"]
    assert line["ends"] == ["left", "right"]


def test_lines_without_a_name_are_numbered_and_positions_count_from_the_start():
    strip = FilmStrip()
    assert [strip.show(IMAGES), strip.show(IMAGES, start=0)] == ["1", "2"]
    assert strip.line["t"] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_showing_the_same_line_again_is_a_change():
    strip = FilmStrip()
    seen = []
    strip.observe(lambda change: seen.append(change["new"]["serial"]), names="line")
    strip.show(IMAGES, line_id="same")
    strip.show(IMAGES, line_id="same")
    assert seen == [1, 2]


def test_an_acceptance_reaches_the_callback_until_it_is_removed():
    strip = FilmStrip()
    seen = []
    stop = strip.on_accept(seen.append)
    strip.accepted = {"line": "1", "index": 4, "t": 0.5, "serial": 1}
    strip.accepted = {"line": "1", "index": 4, "t": 0.5, "serial": 2}
    stop()
    strip.accepted = {"line": "1", "index": 0, "t": 0.0, "serial": 3}
    assert seen == [Accepted("1", 4, 0.5)] * 2


def test_clear_returns_to_the_empty_state():
    strip = FilmStrip()
    strip.show(IMAGES)
    strip.clear()
    assert strip.line == {} and strip.sheet == b""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"positions": [1, 2]}, "positions needs one entry for each of the 5 frames, got 2"),
        ({"positions": [1, 2, np.nan, 3, 4]}, "finite numbers, got nan for frame 2"),
        ({"captions": ["a"]}, "captions needs"),
        ({"flags": [None] * 6}, "flags needs"),
        ({"start": 5}, "0 to 4; got 5"),
    ],
)
def test_what_does_not_fit_the_frames_is_refused_and_the_present_line_stays(wrong, message):
    strip = FilmStrip()
    strip.show(IMAGES, line_id="good")
    with pytest.raises(ValueError, match=message):
        strip.show(IMAGES, **wrong)
    assert strip.line["id"] == "good"


def test_frames_larger_than_the_screen_needs_are_reduced():
    strip = FilmStrip(height=128)
    strip.show(np.zeros((3, 3, 600, 300)))
    assert (strip.line["width"], strip.line["height"]) == (128, 256)


@pytest.mark.parametrize(
    "wrong",
    [{}, [], "0", {"line": "a", "index": 5, "t": 0}, {"line": "a", "index": -1, "t": 0}, {"line": "a", "index": 1},
     {"line": "b", "index": 0, "t": float("nan")}, {"line": "a", "index": None, "t": "0"}],
)  # fmt: skip
def test_a_frame_that_there_is_not_is_never_accepted(wrong):
    strip = FilmStrip()
    strip.show(IMAGES, line_id="a")
    seen = []
    strip.on_accept(seen.append)
    strip.set_state({"accepted": wrong})
    strip.set_state({"accepted": {"line": "a", "index": 4, "t": 1, "serial": 2}})
    assert seen == [Accepted("a", 4, 1.0)]
