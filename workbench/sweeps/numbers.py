"""The numbers of a report's results that fit into one row of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def numbers(folder: Path) -> dict[str, Any]:
    """What the JSON and CSV files in and below a folder say in single numbers, by `file.name`; hidden ones aside.

    Of a JSON object, its numbers and truth values; of a CSV table of one row, those of that row; of any other,
    `rows` and for each column of truth values in how many rows it is true. Lists are left out.
    """
    found: dict[str, Any] = {}
    for path in _visible(folder):
        values = _of_json(path) if path.suffix == ".json" else _of_csv(path) if path.suffix == ".csv" else {}
        stem = path.relative_to(folder).with_suffix("").as_posix()
        found |= {f"{stem}.{name}": value for name, value in values.items()}
    return found


def _visible(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _of_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict) or "provenance" in document:  # a saved result, not a table of numbers
        return {}
    return {name: value for name, value in document.items() if isinstance(value, bool | int | float)}


def _of_csv(path: Path) -> dict[str, Any]:
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (OSError, ValueError):  # pandas' own errors among them
        return {}
    if len(table) == 1:
        return {str(name): table[name].item() for name in table.select_dtypes(["number", "bool"])}
    return {"rows": len(table), **{str(name): int(table[name].sum()) for name in table.select_dtypes("bool")}}
