"""Where a sweep runs: workers and GPUs, and clusters that cannot be used."""

from __future__ import annotations

import os
from types import SimpleNamespace

import distributed
import psutil
import pytest
import torch
from distributed.security import Security

from workbench.sweeps import SweepError, SweepWarning, cluster


@pytest.fixture
def gpus(monkeypatch):
    """Four GPUs, as far as torch can tell."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


def test_there_is_one_worker_a_gpu_and_each_sees_its_own_alone(gpus):
    assert cluster.local_workers(None) == [{"CUDA_VISIBLE_DEVICES": str(i)} for i in range(4)]
    assert cluster.local_workers(2) == [{"CUDA_VISIBLE_DEVICES": str(i)} for i in range(2)]


def test_gpus_are_named_as_the_user_named_them(gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8932f937")
    assert cluster.visible_gpus() == ["5", "GPU-8932f937"]


def test_more_workers_than_gpus_are_refused(gpus):
    with pytest.raises(SweepError, match="6 workers were asked for, but there are 4 GPUs, one worker each"):
        cluster.local_workers(6)


def test_without_gpus_there_is_one_worker_a_core(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("dask.system.CPU_COUNT", 3)
    assert cluster.local_workers(None) == [{}, {}, {}]
    assert cluster.local_workers(5) == [{}] * 5
    with pytest.raises(SweepError, match="0 workers were asked for; expected 1 or more"):
        cluster.local_workers(0)


def test_a_local_cluster_is_for_this_machine_alone_and_gives_each_worker_its_gpu(gpus, monkeypatch, tmp_path):
    environment = "CUDA_VISIBLE_DEVICES"
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # as a cluster of Dask's own leaves it
    with cluster.connected(workers=2, scheduler=None, tasks=5) as client:
        assert cluster.check(client, tmp_path) == 2
        assert sorted(client.run(os.getenv, environment).values()) == ["0", "1"]
        assert set(client.run(os.getenv, "MALLOC_MMAP_THRESHOLD_").values()) == {str(32 * 2**20)}
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = {c.laddr.ip for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
    assert not list(tmp_path.iterdir())


def test_a_client_without_the_keys_is_turned_away():
    with cluster.connected(workers=1, scheduler=None, tasks=1) as client:
        address = client.scheduler.address
        strangers = ((address, Security.temporary()), (address.replace("tls://", "tcp://"), None))
        for where, keys in strangers:
            with pytest.raises(OSError):
                distributed.Client(where, security=keys, timeout=2)
        assert client.submit(abs, -1).result() == 1  # who has the keys is heard


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with (
        pytest.raises(SweepError, match=r"no scheduler answers at tcp://127.0.0.1:9"),
        cluster.connected(workers=None, scheduler="tcp://127.0.0.1:9", tasks=1),
    ):
        pass


def test_workers_of_other_versions_are_told_and_those_that_cannot_work_refused(tmp_path):
    here = cluster._versions()

    def answering(**answers):
        return SimpleNamespace(run=lambda *a, **k: answers)

    with pytest.warns(SweepWarning, match=f"worker a has torch 1.0 there and {here['torch']} here"):
        cluster.check(answering(a=(True, {**here, "torch": "1.0"}), b=(True, here)), tmp_path)
    with pytest.raises(SweepError, match=r"worker b does not see .*; use a folder that all machines share"):
        cluster.check(answering(a=(True, here), b=(False, here)), tmp_path)
    with pytest.raises(SweepError, match=r"worker a cannot run the workbench .ModuleNotFoundError"):
        cluster.check(answering(a=ModuleNotFoundError("No module named 'workbench'")), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_scheduler_without_workers_is_told_how_to_start_some(monkeypatch):
    class Idle:
        def __init__(self, *arguments: object, **options: object) -> None: ...

        __enter__ = __exit__ = lambda self, *arguments: None

        def wait_for_workers(self, *arguments: object, **options: object) -> None:
            raise TimeoutError

    monkeypatch.setattr(distributed, "Client", Idle)
    with (
        pytest.raises(
            SweepError, match=r"has no workers; start some: dask worker tcp://10.0.0.1:8786 --nthreads 1"
        ),
        cluster.connected(workers=None, scheduler="tcp://10.0.0.1:8786", tasks=1),
    ):
        pass
