"""A sweep over a data set gives what a single run gives, loses nothing with a worker, and repeats nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import workbench as wb
from tests.project import ROOT
from tests.sweeps.networks import classifier, queries
from workbench.flip_points import FlipPointError, FlipPoints
from workbench.models import ModelError
from workbench.sweeps import SweepError

FAST = {"effort": "fast", "bounds": None}


def events(folder: Path) -> dict[str, list[str]]:
    """What the log of each shard tells, by its first and last query."""
    logs = sorted((folder / "shards").glob("*.log"))
    lines = {log.name[:15]: log.read_text(encoding="utf-8").splitlines() for log in logs}
    return {name: [json.loads(line)["event"] for line in found] for name, found in lines.items()}


def equal(a: FlipPoints, b: FlipPoints) -> bool:
    columns = [name for name, value in vars(a).items() if isinstance(value, torch.Tensor)]
    return all(getattr(a, name).equal(getattr(b, name)) for name in columns if name != "lower")


# the accurate search for the nearest of all boundaries restarts in random directions, which have to be the same
@pytest.mark.parametrize(("targets", "effort", "shard"), [(None, "accurate", 128), ("all", "fast", 64)])
def test_the_merged_result_is_that_of_a_single_run_bit_by_bit(scheduler, tmp_path, targets, effort, shard):
    C, x = (
        classifier(),
        queries(shard + 12),
    )  # a shard is a batch of 128 rows: with three classes, "all" are two a query
    asked = {"targets": targets, "effort": effort, "bounds": None, "seed": 3}
    sweep = wb.sweeps.over(
        "flip_points.closest", C, x, tmp_path / "out", shard=shard, scheduler=scheduler, **asked
    )
    single = wb.flip_points.closest(C, x, **asked)
    merged = sweep.result()
    assert (sweep.status, sweep.queries, len(sweep.shards)) == ("finished", shard + 12, 2)
    assert equal(merged, single)
    assert merged.provenance.passes["vjp"] > 0
    assert merged.provenance.seed == 3
    table = sweep.frame()
    assert table.equals(single.frame())
    assert len((tmp_path / "out" / "table.csv").read_text().splitlines()) == 1 + len(single)


def test_the_record_has_the_lines_that_ask_for_all_of_it(scheduler, tmp_path):
    C, x, mask, out = classifier(), queries(4), torch.ones(1, 4, 4), tmp_path / "out"
    sweep = wb.sweeps.over(
        "flip_points.closest", C, x, out, mask=mask, shard=2, seed=3, scheduler=scheduler, **FAST
    )
    options = "mask=mask, effort='fast', bounds=None, seed=3"
    command = json.loads((out / "sweep.json").read_text())["command"]
    assert command == f"wb.sweeps.over('flip_points.closest', C, x, {str(out)!r}, {options}, shard=2)"
    assert sweep.call == f"wb.flip_points.closest(C, x, {options})"
    single = eval(sweep.call, {"wb": wb, "C": C, "x": x, "mask": mask})
    torch.testing.assert_close(sweep.result().distances, single.distances)


def test_a_sweep_leaves_no_pickle_on_the_disk(scheduler, tmp_path):
    wb.sweeps.over("flip_points.closest", classifier(), queries(20), tmp_path / "out", scheduler=scheduler, **FAST)
    kinds = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors", ".csv", ".log"}


def test_a_worker_that_is_killed_loses_nothing_and_what_is_stored_is_not_repeated(tmp_path):
    C, x, out = classifier(seconds=0.002), queries(60), tmp_path / "out"
    killed: list[int] = []

    def kill_one(step) -> None:
        deadline = time.monotonic() + 60
        while step.done >= 1 and not killed and time.monotonic() < deadline:
            for log in (out / "shards").glob("*.log"):
                lines = [json.loads(line) for line in log.read_text().splitlines()]
                if lines and lines[-1]["event"] == "started":
                    killed.append(lines[-1]["pid"])
                    os.kill(killed[0], signal.SIGKILL)
                    return
            time.sleep(0.001)

    sweep = wb.sweeps.over("flip_points.closest", C, x, out, shard=10, workers=2, progress=kill_one, **FAST)
    assert len(killed) == 1
    assert (sweep.status, len(sweep.computed), sweep.errors) == ("finished", 6, {})
    told = list(events(out).values())
    assert sorted(told) == [["started", "started", "stored"], *[["started", "stored"]] * 5]
    assert len(sweep.result()) == 60
    assert not [path for path in (out / "shards").iterdir() if path.name.startswith(".")]


def test_a_shard_that_keeps_failing_is_told_and_only_what_is_mended_is_computed_again(scheduler, tmp_path):
    C, x, out = classifier(), queries(30), tmp_path / "out"
    x[12, 0, 0, 0] = 1
    asked = {"shard": 10, "scheduler": scheduler, "retries": 1, **FAST}
    sweep = wb.sweeps.over("flip_points.closest", C, x, out, **asked)
    assert sweep.status == "failed"
    assert list(sweep.errors.values()) == ["RuntimeError: a corner of 1"]
    assert [name[:15] for name in sweep.errors] == ["0000010-0000020"]
    assert sweep.frame()["query"].tolist() == [*range(10), *range(20, 30)]
    assert events(out)["0000010-0000020"] == ["started", "started"]
    with pytest.raises(SweepError, match="1 of 3 shards are missing"):
        sweep.result()
    x[12, 0, 0, 0] = 0.5
    again = wb.sweeps.over("flip_points.closest", C, x, out, **asked)
    assert (again.status, [name[:15] for name in again.computed]) == ("finished", ["0000010-0000020"])
    assert len(again.result()) == 30
    record = json.loads((out / "sweep.json").read_text())
    assert (record["status"], record["workers"], record["errors"]) == ("finished", 2, {})


def test_a_damaged_shard_is_set_aside_and_computed_again(scheduler, tmp_path):
    C, x, out = classifier(), queries(20), tmp_path / "out"
    asked = {"shard": 10, "scheduler": scheduler, **FAST}
    first = wb.sweeps.over("flip_points.closest", C, x, out, **asked)
    (out / "shards" / first.shards[0].name / "result.safetensors").write_bytes(b"half")
    again = wb.sweeps.over("flip_points.closest", C, x, out, **asked)
    assert again.computed == (first.shards[0].name,)
    assert len(list((out / "shards").glob("damaged-*/result.safetensors"))) == 1
    assert equal(again.result(), first.result())


def test_a_stopped_sweep_goes_on_where_it_was(scheduler, tmp_path):
    C, out = classifier(seconds=0.001), tmp_path / "out"
    path = tmp_path / "digits.safetensors"
    save_file({"images": queries(60), "labels": torch.zeros(60)}, path)
    asked = {"shard": 10, "scheduler": scheduler, **FAST}
    stopped = wb.sweeps.over("flip_points.closest", C, path, out, progress=lambda step: step.done < 2, **asked)
    stored = {name for name, told in events(out).items() if "stored" in told}
    assert stopped.status == "partial"
    assert len(stopped.computed) == 2
    finished = wb.sweeps.over("flip_points.closest", C, path, out, **asked)
    assert finished.status == "finished"
    assert {name[:15] for name in finished.computed} & {name[:15] for name in stopped.computed} == set()
    assert all(told == ["started", "stored"] for name, told in events(out).items() if name in stored)
    nothing = wb.sweeps.over("flip_points.closest", C, path, out, workers=1, **FAST, shard=10)
    assert (nothing.status, nothing.computed) == ("finished", ())


def test_what_does_not_fit_is_told_before_anything_runs(tmp_path):
    C, x, out = classifier(), queries(20), tmp_path / "out"

    def over(method="flip_points.closest", model=C, data=x, **options):
        return wb.sweeps.over(method, model, data, out, **options)

    with pytest.raises(
        SweepError, match=r"'flip_points.nearest' cannot be swept; expected one of flip_points.closest"
    ):
        over("flip_points.nearest")
    with pytest.raises(SweepError, match="no option 'efort'; it takes targets, method, effort"):
        over(efort="fast")
    with pytest.raises(SweepError, match="closest_change needs the option 'change'; it takes change, output"):
        over("flip_points.closest_change")
    with pytest.raises(FlipPointError, match="effort='quick'; expected one of"):
        over(effort="quick")
    with pytest.raises(FlipPointError, match="method='homotopia'"):
        wb.sweeps.over("flip_points.closest", C, x, out, method="homotopia")
    with pytest.raises(ModelError, match="shape"):
        over(data=torch.rand(5, 3))
    with pytest.raises(SweepError, match=r"there is no data set .*expected mnist/train"):
        over(data="mnist/trian")
    with pytest.raises(SweepError, match="'mnist-dcgan' is a generator"):
        over(model="mnist-dcgan")
    with pytest.raises(SweepError, match="shard=0; expected 1 or more"):
        over(shard=0)
    assert not out.exists()
    with pytest.raises(SweepError, match="both given"):
        over(workers=1, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(SweepError, match=r"holds another sweep .options was .* and is .*; give another folder"):
        over(effort="fast")
    with pytest.raises(SweepError, match="holds something else than a sweep"):
        wb.sweeps.over("flip_points.closest", C, x, ROOT / "tests")
