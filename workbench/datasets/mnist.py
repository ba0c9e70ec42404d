"""MNIST: a thousand embedded test digits, and the full set from a folder or its public source."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import platformdirs
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from workbench.datasets.reading import reading

_SAMPLE = Path(__file__).parent / "mnist_sample.npz"
_FILE = "mnist.npz"
_SOURCE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


@dataclass(frozen=True)
class Digits:
    """Images of digits with their labels.

    Attributes:
        images: (n, 28, 28) uint8, ink is 255.
        labels: (n,) 0 to 9.
    """

    images: UInt8[np.ndarray, "n 28 28"]
    labels: UInt8[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.images)

    def tensor(self) -> Float[Tensor, "n 1 28 28"]:
        """The images as float32 in [0, 1]."""
        return torch.from_numpy(self.images)[:, None].float() / 255


def sample() -> Digits:
    """The embedded sample: the first hundred test images of each digit."""
    with np.load(reading(_SAMPLE), allow_pickle=False) as stored:
        return Digits(stored["images"], stored["labels"])


def folders() -> list[Path]:
    """Where the full set is looked for: the folder `WORKBENCH_DATA`, then the user's cache."""
    named = os.environ.get("WORKBENCH_DATA")
    cache = Path(platformdirs.user_cache_dir("latent-workbench"))
    return [*([Path(named)] if named else []), cache]


def find() -> Path | None:
    """The file of the full set, if it is here."""
    return next((f / _FILE for f in folders() if (f / _FILE).is_file()), None)


def load(split: Literal["train", "test"], *, download: bool = False) -> Digits:
    """The 60,000 training or 10,000 test images.

    Args:
        split: which.
        download: fetch the set (11 MB) into the user's cache where it is not here; nothing is
            fetched otherwise.

    Raises:
        FileNotFoundError: not here, and `download` is False.
        ValueError: another split, or a file that is not MNIST.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split={split!r}; expected 'train' or 'test'")
    path = find() or (_download() if download else None)
    if path is None:
        looked = " and ".join(str(f) for f in folders())
        raise FileNotFoundError(
            f"the full MNIST is not here (looked for {_FILE} in {looked}); set WORKBENCH_DATA to its folder, "
            "pass download=True, or use workbench.datasets.mnist.sample()"
        )
    with np.load(reading(path), allow_pickle=False) as stored:
        try:
            images, labels = stored[f"x_{split}"], stored[f"y_{split}"]
        except KeyError as error:
            raise ValueError(f"{path} holds {sorted(stored)}, expected x_{split} and y_{split}") from error
    if images.shape[1:] != (28, 28) or images.dtype != np.uint8 or len(images) != len(labels):
        raise ValueError(f"{path} holds images {images.shape} of {images.dtype}, expected (n, 28, 28) of uint8")
    return Digits(images, labels.astype(np.uint8))


def _download() -> Path:
    target = folders()[-1] / _FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(_SOURCE) as answer:
        data = answer.read()
    found = hashlib.sha256(data).hexdigest()
    if found != _SHA256:
        raise ValueError(f"what {_SOURCE} sent has SHA-256 {found}, expected {_SHA256}; it was not kept")
    part = target.with_suffix(".part")
    part.write_bytes(data)
    part.replace(target)
    return target
