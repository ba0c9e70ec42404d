"""MNIST: a thousand embedded test digits, and the full set from a folder or its public source."""

from __future__ import annotations

import hashlib
import os
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import platformdirs

from workbench.datasets.reading import Labelled, reading
from workbench.files import replace_file

_SAMPLE = Path(__file__).parent / "mnist_sample.npz"
_FILE = "mnist.npz"
_SOURCE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
#: Seconds without an answer after which a download is given up.
_PATIENCE = 30
_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


class Digits(Labelled):
    """Images of digits, (n, 28, 28), with their labels, 0 to 9."""


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
        OSError: it could not be fetched.
        ValueError: another split, or a file that is damaged or not MNIST.
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
    try:
        with np.load(reading(path), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in (f"x_{split}", f"y_{split}") if name in stored}
            names = sorted(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}); it may be cut off: delete it, and call "
            "workbench.datasets.mnist.load('train', download=True)"
        ) from error
    if len(arrays) < 2:
        raise ValueError(f"{path} holds {names}, expected x_{split} and y_{split}")
    images, labels = arrays.values()
    if images.shape[1:] != (28, 28) or images.dtype != np.uint8 or len(images) != len(labels):
        raise ValueError(f"{path} holds images {images.shape} of {images.dtype}, expected (n, 28, 28) of uint8")
    return Digits(images, labels.astype(np.uint8))


def _download() -> Path:
    target = folders()[-1] / _FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(_SOURCE, timeout=_PATIENCE) as answer:
            data = answer.read()
    except OSError as error:
        raise OSError(
            f"{_SOURCE} could not be fetched ({error}); get it elsewhere, and set WORKBENCH_DATA to its folder"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != _SHA256:
        raise ValueError(f"what {_SOURCE} sent has SHA-256 {found}, expected {_SHA256}; it was not kept")
    replace_file(target, lambda part: part.write_bytes(data))
    return target
