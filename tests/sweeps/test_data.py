"""The rows of a sweep come from files of arrays, which are read and never run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from workbench.sweeps import SweepError, data


class _Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_an_array_of_pickled_objects_is_refused_and_never_run(tmp_path: Path, suffix: str) -> None:
    target, path = tmp_path / "was-run", tmp_path / f"rows{suffix}"
    rows = np.array([_Attack(target)], dtype=object)
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
