"""From a name and a grid to the sweep that they mean, said in words before it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from workbench.sweeps import data
from workbench.sweeps.errors import SweepError
from workbench.sweeps.grid import combinations, read
from workbench.sweeps.over import SHARD, Sweep, over
from workbench.sweeps.report_runs import ReportSweep, reports
from workbench.sweeps.shards import METHODS, check_options

#: Entries of the grid of a method that are not the method's own options.
_OURS = ("classifier", "data", "shard", "seed")


@dataclass(frozen=True)
class Plan:
    """A sweep that has been checked.

    Attributes:
        text: what will run.
        run: runs it into a folder, with the options of `wb.sweeps.over` or `wb.sweeps.reports`.
    """

    text: str
    run: Callable[..., Sweep | ReportSweep]


def plan(name: str, path: str | Path) -> Plan:
    """The sweep of a report or of a method, by the grid in a YAML file.

    The grid of a method gives the `classifier` (a name in the zoo), the `data` (a name or a file, as
    `wb.sweeps.over` takes it), and where wanted `shard`, `seed` and the method's options, one value each.

    Raises:
        SweepError: there is no such report, or the grid cannot be read or does not fit.
        FileNotFoundError: the full MNIST is not here.
    """
    grid = read(path)
    return _of_method(name, grid, path) if name in METHODS else _of_report(name, grid)


def _of_report(name: str, grid: Mapping[str, Any]) -> Plan:
    from workbench.reports import ReportError, find

    try:
        report = find(name)
    except ReportError as error:
        raise SweepError(f"{error}; methods that can be swept are {', '.join(METHODS)}") from error
    points = combinations(report, grid)
    lines = [", ".join(f"{k}={v!r}" for k, v in point.items()) or "the defaults" for point in points]
    shown = [*lines[:20], *([f"and {len(lines) - 20} more"] if len(lines) > 20 else [])]
    text = f"{report.name}: {len(points)} run{'s' * (len(points) != 1)}\n  " + "\n  ".join(shown)
    return Plan(text, partial(reports, name, grid))


def _of_method(name: str, grid: Mapping[str, Any], path: str | Path) -> Plan:
    for entry in ("classifier", "data"):
        if not isinstance(grid.get(entry), str):
            raise SweepError(f"{entry} is {grid.get(entry)!r} in {path}; expected such as {_EXAMPLE[entry]}")
    for entry, least in (("shard", 1), ("seed", 0)):
        value = grid.get(entry, least)
        if type(value) is not int or value < least:
            raise SweepError(f"{entry} is {value!r} in {path}; expected a whole number from {least}")
    options = {entry: value for entry, value in grid.items() if entry not in _OURS}
    check_options(name, options)
    given = {"shard": SHARD, **{entry: grid[entry] for entry in ("shard", "seed") if entry in grid}}
    queries = data.count(grid["data"])
    shards = math.ceil(queries / given["shard"])
    asked = ", ".join(f"{entry}={value!r}" for entry, value in options.items())
    text = (
        f"{name} of {grid['classifier']} over {grid['data']}{', ' * bool(asked)}{asked}: "
        f"{queries:,} queries in {shards} shard{'s' * (shards != 1)}"
    )
    return Plan(text, partial(over, name, grid["classifier"], grid["data"], **given, **options))


_EXAMPLE = {"classifier": "classifier: mnist-erf-1", "data": "data: mnist/train"}
