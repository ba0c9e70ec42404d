"""A sweep of flip points on one worker and on two, what a task costs beside its work, and a whole data set.

`python -m benchmarks.sweep_scaling` writes `benchmarks/results/sweep-scaling.json`. The clusters are started
before the clock; each round runs on one worker, then on two, so that both meet the same machine, whose load is
recorded; `--rounds 0` measures only what a task costs. `--whole FOLDER` sweeps the first `--count` of MNIST's
training images on two workers, too, and goes on from what is in the folder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dask
import torch
from distributed import Client, LocalCluster

import workbench as wb
from benchmarks.flip_points import network
from benchmarks.timing import RESULTS, write
from workbench.datasets import mnist
from workbench.sweeps.cluster import SETTINGS
from workbench.sweeps.tasks import carry_out

SHARD = 128


def started(workers: int, settings: Mapping[str, Any] = SETTINGS) -> LocalCluster:
    """A cluster of single-threaded processes, as `wb.sweeps` starts one, but without encryption."""
    with dask.config.set(settings):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        )


def nothing(argument: int) -> None:
    """A task without work."""


def task_overhead(tasks: int) -> dict[str, Any]:
    """What a task takes of this process, in which the scheduler and the client are."""
    with started(2) as cluster, Client(cluster) as client:
        carry_out(client, nothing, {f"warm-{i}": i for i in range(50)}, retries=0, progress=None)
        began = time.process_time()
        carry_out(client, nothing, {f"nothing-{i}": i for i in range(tasks)}, retries=0, progress=None)
        took = time.process_time() - began
    return {"tasks": tasks, "milliseconds of the scheduler's and client's process a task": 1000 * took / tasks}


def sweep(classifier: wb.Classifier, x: torch.Tensor, client: Client) -> dict[str, float]:
    """Seconds of the clock and of the workers' processes for one sweep, and the size of what it stored."""
    with tempfile.TemporaryDirectory() as folder:
        before = client.run(time.process_time)
        found = wb.sweeps.over(
            "flip_points.closest",
            classifier,
            x,
            folder,
            shard=SHARD,
            scheduler=client.scheduler.address,
            progress=lambda step: None,
            effort="fast",
        )
        after = client.run(time.process_time)
        assert found.status == "finished", found.errors
        stored = sum(path.stat().st_size for path in (Path(folder) / "shards").rglob("*") if path.is_file())
        return {
            "seconds": found.seconds,
            "seconds of the workers' processes": sum(after[worker] - before[worker] for worker in before),
            "bytes stored an image": stored / len(x),
        }


def scaling(classifier: wb.Classifier, images: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One worker beside two, in turn; what is known after each round."""
    x = mnist.load("train").tensor()[:images]
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    with started(1) as one, started(2) as two, Client(one) as first, Client(two) as second:
        for client in (first, second):  # imports, and the classifier's way to the workers
            sweep(classifier, x[: 2 * SHARD], client)
        load = [os.getloadavg()[0]]
        for done in range(1, rounds + 1):
            for workers, client in ((1, first), (2, second)):
                runs[workers].append(sweep(classifier, x, client))
                load.append(os.getloadavg()[0])
                print(workers, runs[workers][-1], "load", load[-1], flush=True)
            ratios = [a["seconds"] / b["seconds"] for a, b in zip(runs[1], runs[2], strict=True)]
            work = {k: sum(run["seconds of the workers' processes"] for run in runs[k]) for k in runs}
            yield {
                "network": classifier.name,
                "effort": "fast",
                "images": images,
                "images a shard": SHARD,
                "cores": os.cpu_count(),
                "load of the machine (all its processes)": [round(value, 1) for value in load],
                "rounds": {f"workers: {k}": rows for k, rows in runs.items()},
                "times as fast with two workers, each round": ratios,
                "times as fast with two workers, median": statistics.median(ratios),
                "milliseconds of the workers' processes an image": {
                    f"workers: {k}": 1000 * seconds / (done * images) for k, seconds in work.items()
                },
            }


def memory_settings(classifier: wb.Classifier, images: int) -> dict[str, Any]:
    """One worker under the workbench's settings beside one under Dask's own, which trim memory eagerly."""
    x = mnist.load("train").tensor()[:images]
    found = {}
    for name, settings in {"the workbench's": SETTINGS, "Dask's": {}}.items():
        for variable in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
            os.environ.pop(variable, None)  # Dask leaves what it sets, and later workers inherit it
        with started(1, settings) as cluster, Client(cluster) as client:
            sweep(classifier, x[:SHARD], client)
            found[name] = sweep(classifier, x, client)["seconds of the workers' processes"]
    milliseconds = {name: 1000 * seconds / images for name, seconds in found.items()}
    return {"images": images, "milliseconds of the worker's process an image": milliseconds}


def whole(classifier: wb.Classifier, count: int, folder: Path) -> dict[str, Any]:
    """The flip points of MNIST's first `count` training images, on two workers."""
    x: Any = "mnist/train" if count == 60_000 else mnist.load("train").tensor()[:count]
    load, began = os.getloadavg()[0], time.perf_counter()
    found = wb.sweeps.over("flip_points.closest", classifier, x, folder, workers=2, effort="fast")
    took = time.perf_counter() - began
    table = found.frame()
    return {
        "network": classifier.name,
        "effort": "fast",
        "images": found.queries,
        "shards": len(found.shards),
        "shards computed in this run": len(found.computed),
        "status": found.status,
        "seconds of this run, with the start of the cluster": took,
        "milliseconds of the clock an image, within the shards": 1000
        * sum(result.provenance.seconds for _, result in found.results())
        / max(len(table), 1),
        "load of the machine (all its processes)": [round(load, 1), round(os.getloadavg()[0], 1)],
        "share found": float(table["found"].mean()),
        "median distance": float(table["distance"].median()),
    }


def main() -> None:
    """Measure, and write after each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", type=Path)
    parser.add_argument("--count", type=int, default=60_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    findings: dict[str, Any] = {"seed": 0, "a task without work": task_overhead(1000)}
    write("sweep-scaling", findings)
    if not options.rounds and options.whole is None:
        return
    classifier = network("relu-network")
    for found in scaling(classifier, options.images, options.rounds):
        findings["scaling"] = found
        write("sweep-scaling", findings)
    findings["settings of one worker"] = memory_settings(classifier, options.images)
    write("sweep-scaling", findings)
    if options.whole is not None:
        findings["a data set"] = whole(classifier, options.count, options.whole)
        write("sweep-scaling", findings)
    print(RESULTS / "sweep-scaling.json")


if __name__ == "__main__":
    main()
