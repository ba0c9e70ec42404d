"""The rows that a sweep goes over: a data set by name, or a file, of which a worker reads its part."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.datasets import mnist
from workbench.files import is_file
from workbench.sweeps.errors import SweepError

NAMED = ("mnist/train", "mnist/test", "mnist/sample")
#: The array that is meant where a file holds several.
_MEANT = ("inputs", "images", "x")
#: What safetensors calls the numbers that NumPy has, too.
_FLOATS = ("F16", "F32", "F64")


def count(source: str) -> int:
    """How many rows there are, one at least.

    Raises:
        SweepError: no such data set, a file that cannot be read, or one with several arrays, with another type of
            array or without rows.
        FileNotFoundError: the full MNIST is not here.
    """
    if source.endswith(".safetensors"):
        with _opened(source) as file:
            stored = file.get_slice(_chosen(source, list(file.keys())))
            shape, kind = stored.get_shape(), stored.get_dtype()
        _check(source, kind, shape, floats=kind in _FLOATS)
        return int(shape[0])
    return len(_whole(source, _state(source)))


def rows(source: str, first: int, last: int) -> Float[Tensor, "rows *input"]:
    """Rows `first` to `last` - 1.

    Raises:
        SweepError, FileNotFoundError: as for `count`.
    """
    if source.endswith(".safetensors"):
        with _opened(source) as file:
            return file.get_slice(_chosen(source, list(file.keys())))[first:last]
    return _whole(source, _state(source))[first:last]


def _opened(path: str) -> safe_open:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise SweepError(f"{path} cannot be read: {error}") from error


def _state(source: str) -> tuple[int, int]:
    """What tells a file that was written anew from what it was."""
    path = Path(source)
    if source in NAMED or not is_file(path):
        return 0, 0
    return path.stat().st_mtime_ns, path.stat().st_size


def _check(source: str, kind: object, shape: Sequence[int], *, floats: bool) -> None:
    if not floats or len(shape) < 2 or not shape[0]:
        held = f"{kind} ({', '.join(map(str, shape))})"
        raise SweepError(f"{source} holds {held}; expected floats (rows, *input) with one row or more")


@lru_cache(maxsize=1)
def _whole(source: str, state: tuple[int, int]) -> Tensor:
    if source in NAMED:
        split = source.partition("/")[2]
        return (mnist.sample() if split == "sample" else mnist.load(split)).tensor()  # type: ignore[arg-type]
    if Path(source).suffix not in (".npz", ".npy"):
        raise SweepError(
            f"there is no data set {source!r}; expected {', '.join(NAMED)}, or a file that ends in .safetensors, "
            ".npz or .npy"
        )
    try:
        stored = np.load(source, allow_pickle=False)
        array = stored if isinstance(stored, np.ndarray) else stored[_chosen(source, list(stored))]
    except SweepError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SweepError(f"{source} cannot be read: {error}") from error
    _check(source, array.dtype, array.shape, floats=array.dtype.kind == "f")
    return torch.from_numpy(array)


def _chosen(source: str, names: list[str]) -> str:
    """The name of the array that holds the rows."""
    found = names if len(names) == 1 else [name for name in _MEANT if name in names][:1]
    if not found:
        raise SweepError(
            f"{source} holds {', '.join(names) or 'nothing'}; expected one array, or one named inputs"
        )
    return found[0]
