"""Where a sweep runs: a Dask cluster on this machine, or one whose scheduler has an address."""

from __future__ import annotations

import os
import platform
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.machine import versions
from workbench.sweeps.errors import SweepError, SweepWarning

if TYPE_CHECKING:
    from distributed import Client

#: Seconds to wait for a scheduler and for its first worker.
PATIENCE = 30
#: How many workers a task may lose before it is taken for what kills them.
DEATHS = 3
#: What Dask is told for a cluster on this machine.
SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": DEATHS,
    # a worker that dies takes no task along but its own
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.large-graph-warning-threshold": "1GB",
    # With Dask's own MALLOC_TRIM_THRESHOLD_, which it also leaves in the process that it is started in, glibc maps
    # and unmaps memory for each larger tensor: that doubles the processor time of the flip points of MNIST. These
    # are the limits that glibc goes to by itself; the first alone takes that cost away.
    "distributed.nanny.pre-spawn-environ": {
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
        "MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
        "MALLOC_TRIM_THRESHOLD_": 64 * 2**20,
    },
}
#: What has to be the same here and on each worker for the same numbers to come out.
_COMPARED = ("python", "latent-workbench", "torch", "numpy")


@contextmanager
def connected(*, workers: int | None, scheduler: str | None, tasks: int) -> Iterator[Client]:
    """A client of the cluster that was asked for; a local one ends with it.

    A local cluster listens on 127.0.0.1 alone, speaks TLS with keys that were made for it (so that nobody else on
    this machine can hand it work), and has no dashboard. Each worker is a process with one thread: with GPUs one
    worker a GPU, which it alone sees, else one a core; no more than there are tasks.

    Args:
        workers: of a local cluster, in place of that.
        scheduler: address of a running one, such as tcp://10.0.0.1:8786. Whoever runs it runs code as its workers'
            user, and the other way round: it is to be trusted as much as one's own account.
        tasks: how many there will be.

    Raises:
        SweepError: no such scheduler, no workers, both options, or more workers than GPUs.
    """
    import dask
    from distributed import Client

    if workers is not None and scheduler is not None:
        raise SweepError("workers and scheduler were both given; a scheduler has the workers that it has")
    if scheduler is not None:
        with _client_of(scheduler) as client:
            yield client
        return
    environments = list(islice(local_workers(workers), max(tasks, 1)))
    with dask.config.set(SETTINGS), _local_cluster(environments) as cluster, Client(cluster) as client:
        client.wait_for_workers(len(environments))
        yield client


@contextmanager
def _client_of(scheduler: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise SweepError(
            f"no scheduler answers at {scheduler} ({error}); start one with: dask scheduler --host ADDRESS"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise SweepError(
                f"the scheduler at {scheduler} has no workers; start some: dask worker {scheduler} --nthreads 1"
            ) from None
        yield client


def local_workers(workers: int | None) -> list[dict[str, str]]:
    """The environments of the workers of a local cluster, one each.

    Raises:
        SweepError: fewer than one, or more than there are GPUs.
    """
    from dask.system import CPU_COUNT

    if workers is not None and workers < 1:
        raise SweepError(f"{workers} workers were asked for; expected 1 or more")
    gpus = visible_gpus()
    if not gpus:
        return [{} for _ in range(workers or CPU_COUNT)]
    if workers is not None and workers > len(gpus):
        raise SweepError(
            f"{workers} workers were asked for, but there are {len(gpus)} GPUs, one worker each; set "
            "CUDA_VISIBLE_DEVICES to an empty string to work on the CPU"
        )
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:workers]]


def visible_gpus() -> list[str]:
    """The GPUs of this process, as `CUDA_VISIBLE_DEVICES` names them."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(count)] if named is None else [name.strip() for name in named.split(",")]
    return names[:count]


def _local_cluster(environments: Sequence[Mapping[str, str]]) -> Any:
    """A cluster of one single-threaded process for each environment."""
    from distributed import LocalCluster

    class OneEnvironmentEach(LocalCluster):
        def new_worker_spec(self) -> dict[Any, Any]:
            """As LocalCluster does it, with the environment of the worker's turn."""
            ((name, spec),) = super().new_worker_spec().items()
            environment = dict(environments[len(self.worker_spec) % len(environments)])
            return {name: {**spec, "options": {**spec["options"], "env": environment}}}

    cluster = OneEnvironmentEach(
        n_workers=0,
        threads_per_worker=1,
        host="127.0.0.1",
        security=True,
        preload=["workbench.sweeps.worker"],
        memory_limit=1 / len(environments),
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        silence_logs=50,
    )
    cluster.scale(len(environments))
    return cluster


def check(client: Client, folder: Path) -> int:
    """Make sure that all workers can do the work, and tell of other versions than here; how many there are.

    Raises:
        SweepError: a worker without the workbench, or one that does not see `folder`.
    """
    token = folder / f".seen-{uuid.uuid4().hex}"
    token.touch()
    try:
        found = client.run(_about, str(token), on_error="return")
    finally:
        token.unlink()
    here = _versions()
    for address, about in found.items():
        if isinstance(about, BaseException):
            raise SweepError(
                f"the worker {address} cannot run the workbench ({type(about).__name__}: {about}); install "
                f"latent-workbench {here['latent-workbench']} there"
            )
        seen, there = about
        if not seen:
            raise SweepError(f"the worker {address} does not see {folder}; use a folder that all machines share")
        other = [f"{name} {there[name]} there and {here[name]} here" for name in here if here[name] != there[name]]
        if other:
            told = f"the worker {address} has {', '.join(other)}: its numbers may differ"
            warnings.warn(told, SweepWarning, stacklevel=4)
    return len(found)


def _about(token: str) -> tuple[bool, dict[str, str]]:
    return Path(token).exists(), _versions()


def _versions() -> dict[str, str]:
    found = {**versions(), "python": platform.python_version()}
    return {name: found[name] for name in _COMPARED}
