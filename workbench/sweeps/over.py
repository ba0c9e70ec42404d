"""`wb.sweeps.over`: one method over a whole data set, shard by shard, on many workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import workbench as wb
from workbench.files import replace_file
from workbench.models import Classifier
from workbench.progress import Progress
from workbench.results import call, load_result
from workbench.sweeps import data, shards
from workbench.sweeps.errors import SweepError
from workbench.sweeps.record import claim, write
from workbench.sweeps.shards import METHODS, Question, Shard
from workbench.sweeps.tasks import run_missing

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

#: Queries in a shard: whole batches of the solver on every device.
SHARD = 1024


@dataclass(frozen=True)
class Sweep:
    """How a sweep over a data set went.

    Attributes:
        method: its name.
        folder: holds `sweep.json`, `table.csv`, and in `shards` a result for each shard, with a log beside it.
        status: `finished`, `partial` (stopped) or `failed` (some shards).
        queries: how many.
        shards: all of them, in the order of the data set.
        computed: names of those that were computed in this run.
        errors: by name, of those that failed at every try.
        seconds: wall time of this run.
        call, seed: what asks for all of it at once.
    """

    method: str
    folder: Path
    status: str
    queries: int
    shards: tuple[Shard, ...]
    computed: tuple[str, ...]
    errors: Mapping[str, str]
    seconds: float
    call: str
    seed: int

    def results(self) -> Iterator[tuple[int, Any]]:
        """The first query and the result of each shard that is stored, one after another."""
        for shard in self.shards:
            if (self.folder / "shards" / shard.name).exists():
                yield shard.first, load_result(self.folder / "shards" / shard.name)

    def result(self) -> Any:
        """All shards as one result, which has to fit into memory: what a single run gives.

        Raises:
            SweepError: some are missing.
        """
        parts = [result for _, result in self.results()]
        if len(parts) < len(self.shards):
            raise SweepError(
                f"{len(self.shards) - len(parts)} of {len(self.shards)} shards are missing in {self.folder}; run "
                "the sweep again to compute them, or take what is there from results()"
            )
        return type(parts[0]).concatenate(parts, call=self.call, seed=self.seed)

    def frame(self) -> pd.DataFrame:
        """The tables of all shards that are stored, with queries counted through the data set."""
        import pandas as pd

        tables = [found.frame().assign(query=lambda t, f=first: t["query"] + f) for first, found in self.results()]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def over(
    method: str,
    classifier: Classifier | str,
    x: Any,
    out: str | Path,
    /,
    *,
    shard: int = SHARD,
    seed: int = 0,
    workers: int | None = None,
    scheduler: str | None = None,
    retries: int = 2,
    progress: Progress | None = None,
    command: str = "",
    **options: Any,
) -> Sweep:
    """One method over a whole data set, in shards that are computed on a Dask cluster and stored as they are done.

    What is stored stays: a worker that dies loses the shard that it was at, which another one computes; a sweep
    that was stopped goes on where it was when it is run again with the same arguments; and where only some rows of
    the data have changed, only their shards are computed again.

    With the default `shard` the merged result equals that of a single run on the same device bit by bit. Other
    multiples of 128 do so on a CPU; any other number cuts the solver's batches elsewhere, which may change the
    last digits and, where restarts are random, what they find.

    In a script, call this below `if __name__ == "__main__":`, as the workers of a local cluster are new processes.
    A classifier of your own and the options travel between Dask's processes as pickles; whoever can reach a
    scheduler runs code on its workers. None are written to disk. The workers write into `out`, so that on several
    machines it has to lie on a disk that they share.

    Args:
        method: `"flip_points.closest"`, `"flip_points.closest_change"` or `"flip_points.closest_meeting"`.
        classifier: a name in the zoo, which each worker loads, or a classifier, which travels once to each.
        x: (n, *input) queries, `"mnist/train"`, `"mnist/test"`, `"mnist/sample"`, or the path of a safetensors,
            npz or npy file that holds them; a worker reads its part. Queries in memory are written to
            `inputs.safetensors` in `out` first.
        out: a new or empty folder, or that of the same sweep.
        shard: queries in one.
        seed: as a single run takes it.
        workers: of a local cluster: by default one a GPU, without any one a core.
        scheduler: address of a running cluster in place of that.
        retries: how often a shard that fails is tried again.
        progress: told of each shard; the sweep stops when it returns False, and on Ctrl-C.
        command: what to record as having made this; the line of Python if empty.
        options: of the method, the same for all queries.

    Raises:
        SweepError: before anything runs, for an unknown method, option or data set, a folder that holds something
            else, and a cluster that cannot be used.
        ModelError, FlipPointError: what the method says of its options and of the first query.
    """
    if method not in METHODS:
        raise SweepError(f"{method!r} cannot be swept; expected one of {', '.join(METHODS)}")
    if shard < 1:
        raise SweepError(f"shard={shard}; expected 1 or more")
    model = _loaded(classifier) if isinstance(classifier, str) else classifier
    shards.check_options(method, options)
    out = Path(out).resolve()
    asked: dict[str, Any] = {
        "method": method,
        "classifier": model.name,
        "fingerprint": model.fingerprint,
        "options": shards.plain(options),
        "seed": seed,
        "shard": shard,
    }
    given = _given(x)
    count = data.count(given) if isinstance(given, str) else len(given)
    first = data.rows(given, 0, 1) if isinstance(given, str) else given[:1]
    rows_a_query = _probe(method, model, first, {**options, "seed": seed})
    claim(out, asked)
    source = given if isinstance(given, str) else _written(given, out)
    question = Question(method, options, seed, rows_a_query, model.fingerprint, source)
    bounds = [(first, min(first + shard, count)) for first in range(0, count, shard)]
    every = tuple(question.shard(first, last, data.rows(source, first, last)) for first, last in bounds)
    place = out / "shards"
    place.mkdir(exist_ok=True)
    missing = {one.name: one for one in every if not one.stored(place)}
    once = call(f"wb.{method}", "C", "x", **options, seed=seed)
    record = {
        **asked,
        "queries": count,
        "source": source,
        "command": command or _line(method, classifier, x, out, {**options, "seed": seed, "shard": shard}),
        "call": once,
    }
    write(out, record, status="running")
    clock = time.perf_counter()

    def shared(client: Client) -> dict[str, Any]:
        sent = classifier if isinstance(classifier, str) else _on_cpu(classifier)
        return {"asked": client.submit(shards.hold, question, sent, pure=False), "folder": str(place)}

    outcome = run_missing(
        shards.compute,
        missing,
        out,
        workers=workers,
        scheduler=scheduler,
        retries=retries,
        progress=progress,
        before=len(every) - len(missing),
        shared=shared,
    )
    for one in every:
        if (place / one.name).exists():
            one.clear(place)
    sweep = Sweep(
        method=method,
        folder=out,
        status=outcome.status,
        queries=count,
        shards=every,
        computed=tuple(outcome.done),
        errors=outcome.errors,
        seconds=time.perf_counter() - clock,
        call=once,
        seed=seed,
    )
    replace_file(out / "table.csv", lambda part: sweep.frame().to_csv(part, index=False))
    stored = [vars(one) for one in every if (place / one.name).exists()]
    write(
        out,
        record,
        status=sweep.status,
        seconds=round(sweep.seconds, 1),
        workers=outcome.workers,
        errors=outcome.errors,
        shards=stored,
    )
    return sweep


def _loaded(name: str) -> Classifier:
    model = wb.load(name)
    if not isinstance(model, Classifier):
        raise SweepError(f"{name!r} is a generator; expected a classifier of `workbench models`")
    return model


def _given(x: Any) -> str | Tensor:
    """The name of a data set, the path of a file, or the queries themselves."""
    if isinstance(x, str | Path):
        return str(x) if str(x) in data.NAMED else str(Path(x).resolve())
    tensor = torch.as_tensor(x).detach().cpu().contiguous()
    if tensor.ndim < 2 or not len(tensor):
        raise SweepError(f"x has shape {tuple(tensor.shape)}; expected (n, *input) with one query or more")
    return tensor


def _written(queries: Tensor, out: Path) -> str:
    """The path of a file in which the workers find the queries."""
    path = out / "inputs.safetensors"
    replace_file(path, lambda part: save_file({"inputs": queries}, part))
    return str(path)


def _probe(method: str, model: Classifier, row: Tensor, options: Mapping[str, Any]) -> int:
    """Begin with one query, so that what is wrong with the options is said at once; its rows in the result."""
    return len(METHODS[method](model, row, progress=lambda step: False, **options))


def _on_cpu(classifier: Classifier) -> Classifier:
    """The classifier, or a copy that a worker without this device can take."""
    if classifier.device.type == "cpu":
        return classifier
    import cloudpickle

    return cloudpickle.loads(cloudpickle.dumps(classifier)).to("cpu")


def _line(method: str, classifier: Classifier | str, x: Any, out: Path, options: Mapping[str, Any]) -> str:
    model = repr(classifier) if isinstance(classifier, str) else "C"
    queries = repr(str(x)) if isinstance(x, str | Path) else "x"
    return call("wb.sweeps.over", repr(method), model, queries, repr(str(out)), **options)
