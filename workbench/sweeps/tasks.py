"""Many independent tasks on a cluster: each tried again where it fails, and none in the way of the others."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.progress import Progress, Step, telling
from workbench.sweeps import cluster
from workbench.sweeps.errors import SweepError

if TYPE_CHECKING:
    from distributed import Client


@dataclass
class Outcome:
    """How the tasks went.

    Attributes:
        done: names of the tasks that came to their end, in the order in which they did.
        errors: by name, in one line, of those that failed at every try.
        stopped: whether the rest was called off.
        workers: that were there; 0 where there was nothing to do.
    """

    done: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    workers: int = 0

    @property
    def status(self) -> str:
        """`finished`, `partial` (stopped) or `failed` (some tasks)."""
        return "partial" if self.stopped else "failed" if self.errors else "finished"


def run_missing(
    function: Callable[..., object],
    missing: Mapping[str, Any],
    out: Path,
    *,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    progress: Progress | None,
    before: int,
    shared: Callable[[Client], Mapping[str, Any]] = lambda client: {},
) -> Outcome:
    """Carry out the tasks that a sweep into the folder `out` lacks, on the cluster that was asked for.

    Args:
        function, missing, retries, before: as for `carry_out`.
        workers, scheduler: as for `cluster.connected`.
        progress: as for `carry_out`; None for that of the terminal.
        shared: from the cluster's client, what all calls of `function` have in common.

    Raises:
        SweepError: a cluster that cannot be used, or that was lost.
    """
    if not missing:
        return Outcome()
    connected = cluster.connected(workers=workers, scheduler=scheduler, tasks=len(missing))
    with connected as client, telling(progress) as shown:
        there = cluster.check(client, out)
        outcome = carry_out(
            client,
            function,
            missing,
            retries=retries,
            progress=shown,
            before=before,
            **shared(client),
        )
    outcome.workers = there
    return outcome


def carry_out(
    client: Client,
    function: Callable[..., object],
    arguments: Mapping[str, Any],
    *,
    retries: int,
    progress: Progress | None,
    before: int = 0,
    **common: Any,
) -> Outcome:
    """Call `function(argument, **common)` for each of the arguments, by name, wherever the cluster has room.

    Args:
        function: stores what it computes and returns nothing that is large.
        retries: how often a task that raised is tried again.
        progress: told each finished task; the rest is called off when it returns False, and on Ctrl-C.
        before: tasks that need not be done, which count as done.
        common: for all calls; futures become what they stand for.

    Raises:
        SweepError: the scheduler was lost.
    """
    from distributed import as_completed

    outcome = Outcome()
    sweep = uuid.uuid4().hex[:8]  # a scheduler remembers the keys of other sweeps, too
    keys = [f"{name}-{sweep}" for name in arguments]
    futures = client.map(function, list(arguments.values()), key=keys, pure=False, retries=retries, **common)
    names = dict(zip(keys, arguments, strict=True))
    total = before + len(names)
    try:
        if progress is not None and progress(Step(before, total)) is False:
            raise KeyboardInterrupt
        for number, future in enumerate(as_completed(futures), start=before + 1):
            name = names[future.key]
            if future.status == "finished":
                outcome.done.append(name)
            elif future.cancelled() or future.status == "lost":
                raise SweepError("the scheduler was lost; run the sweep again to go on with what is stored")
            else:
                outcome.errors[name] = told(future.exception())
            if progress is not None and progress(Step(number, total, name)) is False and number < total:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        outcome.stopped = True
        client.cancel(futures, force=True)
    return outcome


def told(error: BaseException) -> str:
    """An error of a task in one line."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return "the worker died at every try, perhaps for want of memory"
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}".removesuffix(": ")
