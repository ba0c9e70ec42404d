"""What a method tells arrives where somebody listens, and nowhere else."""

from __future__ import annotations

import json
import socket
from queue import Queue

import pytest

from workbench import channel
from workbench.progress import Cancelled, Step, run, terminal_progress, track


@pytest.fixture
def heard(monkeypatch):
    """What a listener hears, while this process is one that it started."""
    messages: Queue[dict] = Queue()
    with channel.Listener(messages.put) as listener:
        for name, value in listener.environment.items():
            monkeypatch.setenv(name, value)
        yield lambda: Step.from_dict(messages.get(timeout=30))


def steps(count: int = 1):
    for done in range(count):
        yield Step(done + 1, count, "masks")
    return count


def test_a_method_tells_the_report_that_runs_it(heard):
    assert run(steps()) == 1
    assert heard() == Step(1, 1, "masks")


def test_loops_hold_what_is_told_within_them(heard):
    for layer in track(["3", "6"], "layer {}".format):
        if layer == "6":
            run(steps())
    assert [heard(), heard()] == [Step(0, 2, "layer 3"), Step(1, 2, "layer 6")]
    inner = heard()
    assert inner == Step(1, 2, "layer 6", within=Step(1, 1, "masks"))
    assert inner.share == 1.0
    run(steps())
    assert heard() == Step(1, 1, "masks")  # the loop has ended


def test_a_loop_that_is_left_early_is_not_told_any_more(heard):
    for _ in track(range(3)):
        break
    run(steps())
    assert [heard().text, heard()] == ["0", Step(1, 1, "masks")]


def test_the_report_is_told_now_and_then_only(heard):
    count = 10_000
    assert run(steps(count)) == count
    run(steps())
    told = []
    while not told or told[-1].total != 1:
        told.append(heard())
    assert told[0].done == 1 and len(told) < count


def test_only_who_knows_the_token_is_heard(heard):
    import os

    port, _, token = os.environ[channel.VARIABLE].partition(" ")
    text = json.dumps(Step(9, 9, "forged").as_dict())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        for datagram in (f"{'0' * len(token)}\n{text}", text, f"{token}\nno json", f"{token}\n[1]", ""):
            forger.sendto(datagram.encode(), ("127.0.0.1", int(port)))
    run(steps())
    assert heard() == Step(1, 1, "masks")


def test_nothing_is_told_where_nobody_listens_and_no_terminal_is(monkeypatch):
    monkeypatch.delenv(channel.VARIABLE, raising=False)
    assert terminal_progress() is None
    assert list(track([1, 2])) == [1, 2]


def test_a_listener_that_is_gone_stops_nothing(monkeypatch):
    with channel.Listener(print) as listener:
        pass
    for name, value in listener.environment.items():
        monkeypatch.setenv(name, value)
    assert run(steps(3)) == 3


@pytest.mark.parametrize("values", [{}, {"done": "1", "total": 2, "text": ""}, {"done": 1, "total": 2}])
def test_what_is_no_step_is_refused(values):
    with pytest.raises(ValueError, match="is no step"):
        Step.from_dict(values)


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (Step(1, 4), 0.25),
        (Step(1), 0.0),
        (Step(4, 4, within=Step(1, 2)), 1.0),
        (Step(1, 4, within=Step(1, 2)), 0.375),
        (Step(1, 4, within=Step(3)), 0.25),
        (Step(5, 4), 1.0),
    ],
)
def test_the_share_counts_what_is_done_within_a_step(step, share):
    assert step.share == pytest.approx(share)


@pytest.mark.parametrize(
    ("total", "told"), [(None, "stopped after step 3: masks"), (4, "stopped after step 3 of 4")]
)
def test_what_was_stopped_says_after_which_step(total, told):
    def steps():
        yield Step(3, total, "masks")

    with pytest.raises(Cancelled, match=told):
        run(steps(), progress=lambda step: False)
