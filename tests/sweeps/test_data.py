"""The rows of a sweep come from files of arrays, which are read and never run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.malicious import Malicious
from workbench.sweeps import SweepError, data


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_an_array_of_pickled_objects_is_refused_and_never_run(tmp_path: Path, suffix: str) -> None:
    target, path = tmp_path / "was-run", tmp_path / f"rows{suffix}"
    rows = np.array([Malicious(target)], dtype=object)
    if suffix == ".npy":
        np.save(path, rows, allow_pickle=True)
    else:
        np.savez(path, inputs=rows)
    with pytest.raises(SweepError, match="cannot be read: Object arrays cannot be loaded"):
        data.count(str(path))
    assert not target.exists()


@pytest.mark.parametrize("kept", [0, 3, 200])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, suffix: str, kept: int) -> None:
    path, rows = tmp_path / f"rows{suffix}", np.zeros((100, 4))
    if suffix == ".npy":
        np.save(path, rows)
    else:
        np.savez_compressed(path, inputs=rows)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SweepError, match=rf"rows{suffix} cannot be read: "):
        data.count(str(path))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    for value in (1.0, 2.0):
        rows = np.full((3, 4), value)
        np.save(path, rows) if suffix == ".npy" else np.savez(path, inputs=rows)
        os.utime(path, ns=(0, int(value)))
        assert float(data.rows(str(path), 0, 1)[0, 0]) == value


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize(
    ("rows", "told"),
    [(np.zeros((3, 4), int), r"\(3, 4\)"), (np.zeros(3), r"\(3\)"), (np.zeros((0, 4)), r"\(0, 4\)")],
)
def test_what_are_no_rows_of_floats_is_refused(tmp_path: Path, suffix: str, rows: np.ndarray, told: str) -> None:
    path = tmp_path / f"rows{suffix}"
    if suffix == ".npy":
        np.save(path, rows)
    elif suffix == ".npz":
        np.savez(path, inputs=rows)
    else:
        save_file({"inputs": rows}, path)
    with pytest.raises(SweepError, match=told + r"; expected floats \(rows, \*input\) with one row or more"):
        data.count(str(path))
