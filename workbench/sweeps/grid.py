"""The grid of a sweep: from a YAML file to the combinations of a report's parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from workbench.sweeps.errors import SweepError

if TYPE_CHECKING:
    from workbench.reports import Report

#: The entry that lists explicit combinations.
POINTS = "points"
#: A grid that comes to more is taken for a slip.
MOST = 10_000


class _Loader(yaml.SafeLoader):
    """Plain values only, and no entry twice: YAML itself would take the last one and say nothing."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise yaml.constructor.ConstructorError(None, None, f"{twice!r} stands there twice", node.start_mark)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path: str | Path) -> dict[str, Any]:
    """The entries of a YAML file.

    Raises:
        SweepError: it cannot be read, or holds something else than entries `name: value`.
    """
    try:
        grid = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise SweepError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SweepError(f"{path} is no YAML: {error}") from error
    grid = {} if grid is None else grid
    if not isinstance(grid, dict) or not all(isinstance(name, str) for name in grid):
        raise SweepError(f"{path} holds {type(grid).__name__}; expected lines such as images: [100, 200]")
    return grid


def combinations(report: Report, grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The combinations that a grid asks for, checked against the report; each once, in the grid's order.

    Each entry is a parameter with one value, or with a list of alternatives, of which all combinations are taken.
    The alternatives of a parameter that is itself a list are a list of lists. The entry `points` lists
    combinations that belong together, each a mapping of parameters to single values; every one of them is combined
    with the other entries.

    Raises:
        SweepError: an unknown parameter, a value of another type, or too many combinations; names the entry.
    """
    points = _points(report, grid.get(POINTS, [{}]))
    alternatives = {name: _alternatives(report, name, v) for name, v in grid.items() if name != POINTS}
    both = sorted({name for point in points for name in point} & set(alternatives))
    if both:
        raise SweepError(f"{', '.join(both)} stands both in {POINTS} and beside it; give it in one place")
    count = len(points) * math.prod(map(len, alternatives.values()))
    if count > MOST:
        raise SweepError(f"the grid comes to {count:,} runs; expected at most {MOST:,}: give fewer values")
    found: dict[str, dict[str, Any]] = {}
    for point, *values in product(points, *alternatives.values()):
        combination = {**point, **dict(zip(alternatives, values, strict=True))}
        found.setdefault(json.dumps(combination, sort_keys=True), combination)
    return list(found.values())


def _points(report: Report, given: Any) -> list[dict[str, Any]]:
    expected = f"expected a list of combinations, such as {POINTS}: [{{a: 1, b: 2}}, {{a: 3, b: 4}}]"
    if not isinstance(given, list) or not given:
        raise SweepError(f"{POINTS} is {given!r}; {expected}")
    found = []
    for number, point in enumerate(given):
        if not isinstance(point, dict):
            raise SweepError(f"{POINTS}[{number}] is {point!r}; {expected}")
        where = f"{POINTS}[{number}]."
        found.append({str(name): _value(report, str(name), v, f"{where}{name}") for name, v in point.items()})
    return found


def _alternatives(report: Report, name: str, given: Any) -> list[Any]:
    of_lists = name in {p.name for p in report.parameters if isinstance(p.default, list)}
    if not isinstance(given, list):
        return [_value(report, name, given, name)]
    if not given or (of_lists and not all(isinstance(item, list) for item in given)):
        hint = f"a list of lists, such as {name}: [{report[name].default!r}]" if of_lists else "one value or more"
        raise SweepError(f"{name} is {given!r}; expected {hint}")
    return [_value(report, name, item, f"{name}[{number}]") for number, item in enumerate(given)]


def _value(report: Report, name: str, given: Any, where: str) -> Any:
    """One value; where it is text that YAML did not take for a number, such as 1e-3, the number that is meant.

    Raises:
        SweepError: no such parameter, or of another type.
    """
    from workbench.reports import ReportError

    if name == "folder":
        raise SweepError(f"{where}: each run of a sweep has a folder of its own; leave this entry out")
    try:
        parameter = report[name]
        if isinstance(given, str) and not isinstance(parameter.default, str | None):
            return parameter.parse(given)
        return parameter.check(given)
    except ReportError as error:
        raise SweepError(f"{where}: {error}") from error
