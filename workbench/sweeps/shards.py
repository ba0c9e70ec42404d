"""The shards of a sweep over a data set: what each is asked, where it is stored, and how a worker computes it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from torch import Tensor

import workbench as wb
from workbench import flip_points
from workbench.models import Classifier
from workbench.results import Result, ResultError, load_result
from workbench.sweeps import data
from workbench.sweeps.errors import SweepError

#: What can be swept: functions of a classifier and (n, *input) queries, with `seed` and `progress`, to a result
#: with a length and a class method `concatenate(parts, call=, seed=)`, in which each query has equally many rows.
METHODS: dict[str, Callable[..., Any]] = {
    "flip_points.closest": flip_points.closest,
    "flip_points.closest_change": flip_points.closest_change,
    "flip_points.closest_meeting": flip_points.closest_meeting,
}


def check_options(method: str, options: Mapping[str, Any]) -> None:
    """Make sure that a method has all of these options, and that those are there without which it cannot be asked.

    Raises:
        SweepError: names one that it does not have, and those that it has; or one that it needs.
    """
    parameters = list(signature(METHODS[method]).parameters.values())[2:]
    known = {one.name: one for one in parameters if one.name not in ("seed", "progress")}
    unknown = [name for name in options if name not in known]
    if unknown:
        raise SweepError(f"{method} has no option {unknown[0]!r}; it takes {', '.join(known)}")
    for name, one in known.items():
        if one.default is Parameter.empty and name not in options:
            raise SweepError(f"{method} needs the option {name!r}; it takes {', '.join(known)}")


@dataclass(frozen=True)
class Question:
    """What is asked of every row.

    Attributes:
        method: its name in `METHODS`.
        options: of the method, but for its seed.
        seed: of the first row.
        rows_a_query: how many rows of the result belong to one query.
        fingerprint: of the classifier, the SHA-256 of its weights.
        source: where the rows are, for `workbench.sweeps.data`.
    """

    method: str
    options: Mapping[str, Any]
    seed: int
    rows_a_query: int
    fingerprint: str
    source: str

    def seed_of(self, first: int) -> int:
        """The seed of a shard that begins at query `first`.

        Flip points draw for each chunk of rows with the seed plus the chunk's first row: a shard that begins
        where a chunk would draws what a single run draws there.
        """
        return self.seed + first * self.rows_a_query

    def shard(self, first: int, last: int, rows: Tensor) -> Shard:
        """The shard of queries `first` to `last` - 1, which are `rows`."""
        asked = [self.method, plain(self.options), self.seed_of(first), self.fingerprint, str(rows.dtype)]
        digest = hashlib.sha256(json.dumps([*asked, list(rows.shape)], sort_keys=True).encode())
        digest.update(rows.contiguous().numpy().tobytes())
        return Shard(first, last, digest.hexdigest())


@dataclass(frozen=True)
class Shard:
    """Queries `first` to `last` - 1, and the SHA-256 of all that their result depends on."""

    first: int
    last: int
    sha256: str

    @property
    def name(self) -> str:
        """Of its folder: where it lies, and what it holds."""
        return f"{self.first:07d}-{self.last:07d}-{self.sha256[:12]}"

    def stored(self, folder: Path) -> bool:
        """Whether its result is there, whole."""
        try:
            load_result(folder / self.name)
        except FileNotFoundError:
            return False
        except ResultError:  # a disk's fault: nothing else leaves half a result under this name
            (folder / self.name).rename(Path(tempfile.mkdtemp(prefix=f"damaged-{self.name}-", dir=folder)))
            return False
        return True

    def store(self, result: Result, folder: Path) -> None:
        """Put its result there, whole or not at all."""
        part = Path(tempfile.mkdtemp(prefix=f".{self.name}-", dir=folder))
        result.save(part)
        part.chmod(0o755)
        try:
            part.rename(folder / self.name)
        except OSError:
            shutil.rmtree(part)
            if not self.stored(folder):  # else another worker was quicker
                raise

    def note(self, folder: Path, event: str) -> None:
        """Add a line to its log, which tells of each time that it was computed."""
        line = {"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "pid": os.getpid()}
        with (folder / f"{self.name}.log").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def clear(self, folder: Path) -> None:
        """Remove what workers that died have left of it."""
        for part in folder.glob(f".{self.name}-*"):
            shutil.rmtree(part, ignore_errors=True)


def compute(shard: Shard, *, asked: tuple[Question, Classifier | str], folder: str) -> None:
    """Compute a shard and store it; on a worker.

    Args:
        asked: the question, and the classifier or its name in the zoo.
        folder: of the shards.

    Raises:
        SweepError: this worker has another classifier of that name, or other rows.
    """
    question, model = asked
    place = Path(folder)
    if shard.stored(place):
        return
    shard.note(place, "started")
    classifier = _named(model) if isinstance(model, str) else _at_home(model)
    if classifier.fingerprint != question.fingerprint:
        raise SweepError(f"{classifier.name} has other weights on this worker than where the sweep was started")
    rows = data.rows(question.source, shard.first, shard.last)
    if question.shard(shard.first, shard.last, rows) != shard:
        raise SweepError(f"{question.source} holds other rows on this worker than where the sweep was started")
    result = METHODS[question.method](
        classifier,
        rows,
        seed=question.seed_of(shard.first),
        progress=lambda step: None,  # no bar on a worker
        **question.options,
    )
    shard.store(result, place)
    shard.note(place, "stored")


def hold(question: Question, model: Classifier | str) -> tuple[Question, Classifier | str]:
    """What all shards share, as a task: a worker that comes or comes back gets it again from the scheduler."""
    return question, model


@lru_cache(maxsize=1)
def _named(name: str) -> Classifier:
    return wb.load(name)  # type: ignore[return-value]


def _at_home(model: Classifier) -> Classifier:
    """The classifier on this worker's best device, which it stays on from shard to shard."""
    from workbench.models.devices import resolve_device

    return model if model.device == resolve_device() else model.to("auto")


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON holds them; of tensors and arrays their SHA-256."""
    return {name: _plain_value(value) for name, value in sorted(options.items())}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    if hasattr(value, "tolist"):
        return {"sha256": hashlib.sha256(json.dumps(value.tolist()).encode()).hexdigest()}
    return value
