"""Tables that a long computation writes as it goes, beside the record of its runs, and tables as text."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from workbench.files import replace_file, replace_text
from workbench.machine import processor, versions

if TYPE_CHECKING:
    import pandas as pd


class Tables:
    """Tables that a long computation adds to as it goes, one CSV file each, in a folder.

    Args:
        folder: made when something is first written.
        others: folders whose rows are read after those of the first.
    """

    def __init__(self, folder: str | Path, *others: str | Path) -> None:
        self.folder = Path(folder)
        self.folders = (self.folder, *map(Path, others))

    def table(self, name: str) -> pd.DataFrame:
        """A table of rows, those of all folders one after another; empty where there is none yet."""
        import pandas as pd

        paths = [folder / f"{name}.csv" for folder in self.folders]
        parts = [pd.read_csv(path) for path in paths if path.exists()]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def add(self, name: str, row: Mapping[str, object]) -> None:
        """Add a row to a table in the first folder."""
        import pandas as pd

        own = Tables(self.folder).table(name)
        self.write(name, pd.concat([own, pd.DataFrame([row])], ignore_index=True))

    def write(self, name: str, columns: pd.DataFrame | Mapping[str, Sequence[object]]) -> None:
        """Write a table whole into the first folder."""
        import pandas as pd

        self.folder.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(columns)
        path = self.folder / f"{name}.csv"
        replace_file(path, lambda part: table.to_csv(part, index=False, float_format="%.6g"))


@contextmanager
def record_run(folder: Path, module: str, settings: Mapping[str, object]) -> Iterator[None]:
    """Around a long run: adds it to `runs.json` in `folder`, beside its results, whether it ends well or not.

    An entry holds command, settings, wall time, versions and machine.

    Args:
        folder: made if needed.
        module: that is run as `python -m MODULE`; its arguments are those of this process.
        settings: what the arguments and their defaults came to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began, finished = time.perf_counter(), False
    try:
        yield
        finished = True
    finally:
        path = folder / "runs.json"
        runs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        runs.append(
            {
                "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
                "settings": dict(settings),
                "ended": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - began, 1),
                "finished": finished,
                "versions": versions(),
                "device": "cpu",
                "processor": processor(),
                "threads": torch.get_num_threads(),
            }
        )
        replace_text(path, json.dumps(runs, indent=1))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of texts as lines, the cells of a column below one another."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
