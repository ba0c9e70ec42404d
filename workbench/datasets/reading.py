"""Reading files of data: pictures with their labels, and which files this process has read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from workbench.files import sha256_of_file

_read: set[Path] = set()


@dataclass(frozen=True)
class Labelled:
    """Grey images with the indices of their classes.

    Attributes:
        images: (n, edge, edge) uint8, ink is 255.
        labels: (n,) index of the class, from 0.
    """

    images: UInt8[np.ndarray, "n edge edge"]
    labels: Integer[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.images)

    def tensor(self) -> Float[Tensor, "n 1 edge edge"]:
        """The images as float32 in [0, 1]."""
        return torch.from_numpy(self.images)[:, None].float() / 255


def reading(path: Path) -> Path:
    """The path of a file that is about to be read as data; it is remembered."""
    _read.add(path.resolve())
    return path


def files_read() -> dict[str, str]:
    """SHA-256 of each file of data that this process has read, by its name; by its path where two share a name."""
    there = sorted(path for path in _read if path.is_file())
    names = Counter(path.name for path in there)
    return {
        path.name if names[path.name] == 1 else path.as_posix(): _hash(path, path.stat().st_mtime_ns)
        for path in there
    }


@cache
def _hash(path: Path, changed: int) -> str:
    return sha256_of_file(path)
