"""The embedded digits are what they say they are, and the full set is found, checked or asked for."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench import datasets
from workbench.datasets import mnist
from workbench.datasets.reading import reading

needs_mnist = pytest.mark.skipif(mnist.find() is None, reason="the full MNIST is not here; see WORKBENCH_DATA")


def _archive(n: int = 4, *, size: int = 28, dtype: type = np.uint8) -> dict[str, np.ndarray]:
    images, labels = np.zeros((n, size, size), dtype), np.zeros(n, np.uint8)
    return {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The named folder and the cache, both empty, and nowhere else to look."""
    named, cache = tmp_path / "named", tmp_path / "cache"
    named.mkdir()
    monkeypatch.setenv("WORKBENCH_DATA", str(named))
    monkeypatch.setattr(mnist.platformdirs, "user_cache_dir", lambda name: str(cache))
    return named, cache


def test_the_sample_holds_a_hundred_of_each_digit() -> None:
    digits = mnist.sample()
    assert digits.images.shape == (1000, 28, 28)
    assert digits.images.dtype == np.uint8
    assert np.bincount(digits.labels).tolist() == [100] * 10


def test_the_sample_is_small_enough_to_ship() -> None:
    assert mnist._SAMPLE.stat().st_size < 300_000


@needs_mnist
def test_the_sample_comes_from_the_test_set() -> None:
    test, sample = mnist.load("test"), mnist.sample()
    known = {(image.tobytes(), int(label)) for image, label in zip(test.images, test.labels, strict=True)}
    assert all((i.tobytes(), int(y)) in known for i, y in zip(sample.images, sample.labels, strict=True))


@needs_mnist
@pytest.mark.parametrize(("split", "n"), [("train", 60_000), ("test", 10_000)])
def test_the_full_set_has_its_known_size(split: str, n: int) -> None:
    digits = mnist.load(split)  # type: ignore[arg-type]
    assert digits.images.shape == (n, 28, 28)
    assert len(digits) == n == len(digits.labels)
    assert set(digits.labels.tolist()) == set(range(10))


def test_the_tensor_has_ink_at_one_and_paper_at_zero() -> None:
    x = mnist.sample().tensor()
    assert x.shape == (1000, 1, 28, 28)
    assert x.dtype == torch.float32
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)
    assert torch.equal((x[:, 0] * 255).round().to(torch.uint8), torch.from_numpy(mnist.sample().images))


def test_the_named_folder_comes_before_the_cache(only_here: tuple[Path, Path]) -> None:
    named, cache = only_here
    cache.mkdir()
    np.savez(cache / "mnist.npz", **_archive(7))
    assert len(mnist.load("train")) == 7
    np.savez(named / "mnist.npz", **_archive(5))
    assert len(mnist.load("train")) == 5


def test_where_the_set_is_missing_the_error_names_the_folders_and_fetches_nothing(
    only_here: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist.urllib.request, "urlopen", lambda url, timeout: pytest.fail("went to the network"))
    with pytest.raises(FileNotFoundError, match="download=True") as raised:
        mnist.load("test")
    assert all(str(folder) in str(raised.value) for folder in only_here)


def test_a_download_is_kept_in_the_cache_when_its_checksum_is_right(
    only_here: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = io.BytesIO()
    np.savez(sent, **_archive(3))
    monkeypatch.setattr(mnist, "_SHA256", hashlib.sha256(sent.getvalue()).hexdigest())
    monkeypatch.setattr(mnist.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(sent.getvalue()))
    assert len(mnist.load("train", download=True)) == 3
    assert [f.name for f in only_here[1].iterdir()] == ["mnist.npz"]


def test_a_download_with_another_checksum_is_refused_and_not_kept(
    only_here: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(b"a sign-in page"))
    with pytest.raises(ValueError, match="not kept"):
        mnist.load("train", download=True)
    assert mnist.find() is None


@pytest.mark.parametrize(
    "stored",
    [{"images": np.zeros((1, 28, 28), np.uint8)}, _archive(size=32), _archive(dtype=np.float32)],
    ids=["other names", "other size", "other type"],
)
def test_a_file_that_is_not_mnist_is_refused(only_here: tuple[Path, Path], stored: dict[str, np.ndarray]) -> None:
    np.savez(only_here[0] / "mnist.npz", **stored)
    with pytest.raises(ValueError, match=r"mnist\.npz holds .* expected"):
        mnist.load("train")


def test_a_pickled_array_is_never_opened(only_here: tuple[Path, Path]) -> None:
    np.savez(only_here[0] / "mnist.npz", x_train=np.array([{"an": "object"}]), y_train=np.zeros(1))
    with pytest.raises(ValueError, match="allow_pickle"):
        mnist.load("train")


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="'validation'; expected 'train' or 'test'"):
        mnist.load("validation")  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", [0, 3, 200, 400])
def test_a_file_that_was_cut_off_is_named_with_what_to_do(only_here: tuple[Path, Path], kept: int) -> None:
    path = only_here[0] / "mnist.npz"
    np.savez_compressed(path, **_archive())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"mnist\.npz cannot be read .*cut off: delete it"):
        mnist.load("train")


def test_a_source_that_does_not_answer_is_named(
    only_here: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str, timeout: float) -> None:
        raise mnist.urllib.error.URLError("no route")

    monkeypatch.setattr(mnist.urllib.request, "urlopen", refused)
    with pytest.raises(OSError, match=r"mnist\.npz could not be fetched .*no route.*set WORKBENCH_DATA"):
        mnist.load("train", download=True)


def test_files_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.datasets.reading._read", set())
    paths = [tmp_path / folder / "rows.npz" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.write_text(path.parent.name)
        reading(path)
    assert datasets.files_read() == {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
    paths[0].unlink()
    assert list(datasets.files_read()) == ["rows.npz"]


def test_the_glyphs_are_there_without_an_import_of_their_own() -> None:
    code = "import workbench as wb; print(len(wb.datasets.glyphs.NAMES))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "163\n"
