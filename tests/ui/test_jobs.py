"""Jobs run one at a time in the background: the latest wins, Cancel stops at a step, errors are told."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Generator

import pytest

from workbench.progress import Cancelled, Step
from workbench.ui.jobs import Jobs


class Work:
    """A computation of many steps, each of which waits until it is let go."""

    def __init__(self, name: object, steps: int = 3) -> None:
        self.name, self.steps = name, steps
        self.started = threading.Event()
        self.go = threading.Event()
        self.done = 0

    def __call__(self) -> Generator[Step, None, object]:
        self.started.set()
        for step in range(1, self.steps + 1):
            self.done = step
            assert self.go.wait(10)
            yield Step(self.done, self.steps, "step")
        return self.name


#: Ends while a worker is in the middle of its work.
ENDING = """
import threading, torch
from workbench.progress import Step
from workbench.ui.jobs import Jobs

begun = threading.Event()

def steps():
    x = torch.rand(256, 256, requires_grad=True)
    while True:
        (x @ x).sum().backward()
        begun.set()
        yield Step(0, 0, "step")

jobs = Jobs()
jobs.submit(steps, print, label="Endless")
assert begun.wait(60)
"""


@pytest.fixture
def jobs() -> Generator[Jobs, None, None]:
    made = Jobs()
    yield made
    made.close()


@pytest.fixture
def results() -> list[object]:
    return []


def quick(value: object) -> Callable[[], Generator[Step, None, object]]:
    def steps() -> Generator[Step, None, object]:
        yield Step(1, 1, "quick")
        return value

    return steps


def test_a_job_hands_over_its_value_without_blocking_the_caller(jobs: Jobs, results: list[object]) -> None:
    work = Work("a")
    jobs.submit(work, results.append, label="A")
    assert work.started.wait(10) and results == [] and jobs.busy
    work.go.set()
    assert jobs.wait(10)
    assert results == ["a"] and not jobs.busy


def test_of_a_storm_of_requests_the_last_one_wins(jobs: Jobs, results: list[object]) -> None:
    first = Work("first", steps=1000)
    jobs.submit(first, results.append, label="first")
    assert first.started.wait(10)
    later = [Work(i) for i in range(500)]
    for work in later:
        work.go.set()
        jobs.submit(work, results.append, label="storm")
    first.go.set()
    assert jobs.wait(10)
    assert results == [499]
    assert first.done <= 2
    assert sum(work.started.is_set() for work in later) == 1


def test_cancel_stops_at_the_next_step_and_says_so(jobs: Jobs, results: list[object]) -> None:
    work = Work("a", steps=1000)
    jobs.submit(work, results.append, label="Long work")
    assert work.started.wait(10)
    assert not jobs.children[1].disabled
    jobs.children[1].click()
    work.go.set()
    assert jobs.wait(10)
    assert results == [] and work.done <= 2
    assert jobs.children[2].value == "Long work cancelled"
    assert jobs.children[1].disabled


class Keeping(Work):
    """The same computation, which keeps the steps it has made when it is cancelled."""

    def __call__(self) -> Generator[Step, None, object]:
        try:
            return (yield from super().__call__())
        except Cancelled:
            return self.name, self.done


def test_the_cancel_button_keeps_the_partial_result_of_a_method_that_has_one(
    jobs: Jobs, results: list[object]
) -> None:
    work = Keeping("partial", steps=1000)
    jobs.submit(work, results.append, label="Flip points")
    assert work.started.wait(10)
    jobs.children[1].click()
    jobs.children[1].click()  # an impatient second click takes nothing away
    work.go.set()
    assert jobs.wait(10)
    assert results == [("partial", work.done)] and work.done <= 2
    assert jobs.children[2].value == "Flip points stopped: kept what there is"
    assert jobs.children[1].disabled and jobs.error is None and not jobs.busy
    jobs.submit(quick("next"), results.append, label="Next")
    assert jobs.wait(10) and results[1:] == ["next"]


@pytest.mark.parametrize(("shown_as_it_grows", "kept"), [(True, ["whole"]), (False, [])])
def test_a_cancel_after_the_last_step_keeps_what_was_shown_as_it_grew(
    jobs: Jobs, results: list[object], shown_as_it_grows: bool, kept: list[str]
) -> None:
    def steps() -> Generator[Step, None, object]:
        yield Step(1, 1, "step")
        jobs.cancel()
        return "whole"

    on_step = (lambda step: None) if shown_as_it_grows else None
    jobs.submit(steps, results.append, label="A", on_step=on_step)
    assert jobs.wait(10)
    assert results == kept and not jobs.busy and jobs.children[1].disabled


def test_a_partial_result_passes_through_a_method_that_delegates(jobs: Jobs, results: list[object]) -> None:
    work = Keeping("inner", steps=1000)

    def outer() -> Generator[Step, None, object]:
        return "outer", (yield from work())

    jobs.submit(outer, results.append, label="A")
    assert work.started.wait(10)
    jobs.cancel()
    work.go.set()
    assert jobs.wait(10)
    assert results == [("outer", ("inner", work.done))]


@pytest.mark.parametrize("order", ["cancel, then submit", "submit, then cancel"])
def test_a_job_that_gave_way_to_another_is_dropped_with_what_it_has(
    jobs: Jobs, results: list[object], order: str
) -> None:
    work = Keeping("partial", steps=1000)
    jobs.submit(work, results.append, label="A")
    assert work.started.wait(10)
    if order == "submit, then cancel":
        jobs.submit(quick("dropped, too"), results.append, label="B")
        jobs.children[1].click()
    else:
        jobs.children[1].click()
        jobs.submit(quick("later"), results.append, label="B")
    work.go.set()
    assert jobs.wait(10)
    assert results == (["later"] if order == "cancel, then submit" else [])
    assert work.done <= 2


def test_a_job_dropped_by_its_panel_keeps_nothing(jobs: Jobs, results: list[object]) -> None:
    work = Keeping("partial", steps=1000)
    jobs.submit(work, results.append, label="A")
    assert work.started.wait(10)
    jobs.cancel(keep=False)
    work.go.set()
    assert jobs.wait(10)
    assert results == [] and jobs.children[2].value == "A cancelled"


def test_work_ahead_of_need_keeps_nothing_when_cancelled(jobs: Jobs, results: list[object]) -> None:
    ahead = Keeping("ahead", steps=1000)
    jobs.submit(ahead, results.append, label="ahead", background=True)
    assert ahead.started.wait(10)
    jobs.cancel()
    ahead.go.set()
    assert jobs.wait(10)
    assert results == [] and ahead.done <= 2


def test_a_method_that_fails_while_it_stops_says_so(jobs: Jobs, results: list[object]) -> None:
    work = Work("a", steps=1000)

    def failing() -> Generator[Step, None, object]:
        try:
            return (yield from work())
        except Cancelled:
            raise ValueError("nothing to gather") from None

    jobs.submit(failing, results.append, label="A")
    assert work.started.wait(10)
    jobs.cancel()
    work.go.set()
    assert jobs.wait(10)
    assert results == [] and jobs.children[2].value == "A failed: nothing to gather"


@pytest.mark.parametrize("asked", [False, True])
def test_what_follows_from_a_result_gives_way_to_what_was_asked_for_meanwhile(
    jobs: Jobs, results: list[object], asked: bool
) -> None:
    def done(value: object) -> None:
        results.append(value)
        if asked:
            jobs.submit(quick("asked"), results.append, label="Asked")
        jobs.submit(quick("next"), results.append, label="Next", follows=True)

    jobs.submit(quick("first"), done, label="First")
    assert jobs.wait(10)
    assert results == ["first", "asked" if asked else "next"]


def test_an_error_is_told_and_the_next_job_runs(jobs: Jobs, results: list[object]) -> None:
    def failing() -> Generator[Step, None, None]:
        yield Step(1, 2)
        raise ValueError("z has shape (3,), expected (8,)")

    jobs.submit(failing, results.append, label="Line")
    assert jobs.wait(10)
    assert "Line failed: z has shape (3,)" in jobs.children[2].value
    assert jobs.error is not None and "ValueError" in jobs.error
    jobs.submit(quick("fine"), results.append, label="Line")
    assert jobs.wait(10)
    assert results == ["fine"] and jobs.error is None


def test_work_ahead_of_need_gives_way_to_what_the_user_asks(jobs: Jobs, results: list[object]) -> None:
    ahead = Work("ahead", steps=1000)
    jobs.submit(ahead, results.append, label="ahead", background=True)
    assert ahead.started.wait(10) and not jobs.busy
    jobs.submit(quick("asked"), results.append, label="asked")
    ahead.go.set()
    assert jobs.wait(10)
    assert results == ["asked"] and ahead.done <= 2


def test_a_closed_panel_runs_nothing_more(jobs: Jobs, results: list[object]) -> None:
    work = Work("a", steps=1000)
    jobs.submit(work, results.append, label="A")
    assert work.started.wait(10)
    jobs.close()
    work.go.set()
    assert jobs.wait(10)
    jobs.submit(quick("b"), results.append, label="B")
    assert jobs.wait(10) and results == []


def test_progress_shows_how_far_it_is(jobs: Jobs, results: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.ui.jobs._SHOW_EVERY", 0)
    shown: list[float] = []
    jobs.children[0].observe(lambda change: shown.append(change["new"]), "value")
    work = Work("a", steps=4)
    work.go.set()
    jobs.submit(work, results.append, label="A")
    assert jobs.wait(10)
    assert shown == [0.25, 0.5, 0.75, 1.0]


def test_a_job_shows_what_there_is_so_far_at_its_steps_and_stops_when_that_fails(
    jobs: Jobs, results: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.ui.jobs._DRAW_EVERY", 0)
    seen: list[int] = []
    work = Work("a", steps=3)
    work.go.set()
    jobs.submit(work, results.append, label="A", on_step=lambda step: seen.append(step.done))
    assert jobs.wait(10)
    assert seen == [1, 2, 3] and results == ["a"]

    def failing(step: Step) -> None:
        raise ValueError("cannot be drawn")

    jobs.submit(work, results.append, label="B", on_step=failing)
    assert jobs.wait(10)
    assert results == ["a"] and jobs.children[2].value == "B failed: cannot be drawn"


def test_what_there_is_so_far_is_shown_a_few_times_a_second_at_most(jobs: Jobs, results: list[object]) -> None:
    seen: list[Step] = []
    work = Work("a", steps=1000)
    work.go.set()
    jobs.submit(work, results.append, label="A", on_step=seen.append)
    assert jobs.wait(10)
    assert results == ["a"] and len(seen) < 100


def test_halt_leaves_nothing_that_runs_or_waits(jobs: Jobs, results: list[object]) -> None:
    work = Work("a", steps=1000)
    jobs.submit(work, results.append, label="A")
    assert work.started.wait(10)
    jobs.submit(quick("ahead"), results.append, label="ahead", background=True)
    threading.Timer(0.1, work.go.set).start()
    jobs.halt()
    assert jobs.wait(0) and not jobs.busy and results == []


def test_halt_ends_work_of_which_one_follows_from_the_other(jobs: Jobs, results: list[object]) -> None:
    several = threading.Event()

    def again(value: object) -> None:
        results.append(value)
        if len(results) > 3:
            several.set()
        jobs.submit(quick(value), again, label="again", follows=True)

    jobs.submit(quick(0), again, label="first")
    assert several.wait(10)
    jobs.halt()
    before = len(results)
    assert jobs.wait(0) and len(results) == before
    jobs.submit(quick(1), results.append, label="usable")
    assert jobs.wait(10) and results[-1] == 1


def test_work_ahead_of_need_that_fails_says_so(jobs: Jobs, results: list[object]) -> None:
    def failing() -> Generator[Step, None, object]:
        yield Step(1, 2, "step")
        raise ValueError("no room")

    jobs.submit(failing, results.append, label="Pictures", background=True)
    assert jobs.wait(10) and jobs.error is not None
    assert jobs.text == "Pictures failed: no room" and not jobs.busy


def test_work_that_asks_to_leave_ends_itself_and_not_the_worker(jobs: Jobs, results: list[object]) -> None:
    def leaving() -> Generator[Step, None, object]:
        yield Step(1, 2, "step")
        raise SystemExit

    jobs.submit(leaving, results.append, label="A")
    assert jobs.wait(10) and jobs.text == "A failed: SystemExit"
    jobs.submit(quick("next"), results.append, label="Next")
    assert jobs.wait(10) and results == ["next"]


def test_a_process_that_ends_while_a_worker_is_at_work_ends_well() -> None:
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
