"""Sprite sheets hold what they were given: every frame in its place, exact or nearly so."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.ui import sprites


def smooth_images(n: int, size: int = 64, channels: int = 3) -> np.ndarray:
    """Images (n, channels, size, size) in [0, 1] with soft structure and some noise, as generators make."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    phase = np.arange(n)[:, None, None, None] + np.arange(channels)[None, :, None, None]
    images = 0.5 + 0.4 * np.sin(3 * x + phase) * np.cos(4 * y)
    return np.clip(images + 0.02 * rng.standard_normal(images.shape), 0, 1)


def cut(sheet: sprites.Sheet) -> np.ndarray:
    """The frames of a sheet as the browser cuts them: (count, height, width, ...)."""
    pixels = np.asarray(Image.open(io.BytesIO(sheet.data)))
    w, h = sheet.frame_width, sheet.frame_height
    places = [(i // sheet.columns * h, i % sheet.columns * w) for i in range(sheet.count)]
    return np.stack([pixels[y : y + h, x : x + w] for y, x in places])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize(("n", "channels", "size"), [(1, 1, 28), (25, 3, 64), (7, 1, 33), (41, 3, 20)])
def test_the_frames_of_a_strip_come_back_exactly(n, channels, size):
    images = smooth_images(n, size, channels)
    back = cut(sprites.encode_sheet(images)).reshape(n, size, size, channels)
    np.testing.assert_array_equal(back, sprites.to_uint8(images).transpose(0, 2, 3, 1))


def test_large_sheets_are_smaller_than_exact_ones_and_not_visibly_different():
    images = smooth_images(400)
    exact = sprites.encode_sheet(images, format="png")
    small = sprites.encode_sheet(images)
    assert small.mime == "image/jpeg"
    assert len(small.data) < 0.7 * len(exact.data)
    assert psnr(cut(small), cut(exact)) > 38


def test_frames_whose_size_does_not_match_the_blocks_of_jpeg_stay_exact():
    assert sprites.encode_sheet(smooth_images(400, size=60)).mime == "image/webp"


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_a_format_can_be_asked_for(format):
    assert sprites.encode_sheet(smooth_images(4), format=format).mime == f"image/{format}"


def test_no_sheet_exceeds_what_browsers_can_decode():
    sheet = sprites.encode_sheet(np.zeros((30, 1, 1024, 1024), np.uint8))
    width, height = Image.open(io.BytesIO(sheet.data)).size
    assert max(width, height) <= sprites.MAX_SIDE
    assert sheet.frame_width == sheet.frame_height < 1024
    with pytest.raises(ValueError, match="larger than 4096"):
        sprites.pack(np.zeros((30, 1024, 1024, 1), np.uint8), max_columns=2)


def test_many_samples_are_split_into_sheets_in_order():
    images = np.repeat(np.arange(250, dtype=np.uint8), 64 * 64 * 5).reshape(1250, 1, 64, 64)
    sheets = sprites.encode_sheets(images)
    assert [s.count for s in sheets] == [1024, 226]
    assert [int(frame[0, 0]) for s in sheets for frame in cut(s)] == [i // 5 for i in range(1250)]


def test_value_range_maps_to_black_and_white_and_clips():
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 5.0])
    assert sprites.to_uint8(values, (-1, 1)).tolist() == [0, 0, 128, 255, 255]


def test_half_precision_tensors_are_drawn():
    images = torch.full((2, 3, 8, 8), 0.5, dtype=torch.bfloat16, requires_grad=True)
    assert sprites.frames(images).mean() == 128


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_frames_that_are_not_finite_are_refused_with_their_number(bad):
    images = np.zeros((5, 1, 8, 8), np.float32)
    images[3, 0, 4, 4] = bad
    with pytest.raises(ValueError, match=r"1 of 5 frames contain NaN or infinite values \(first: frame 3\)"):
        sprites.encode_sheet(images)


def test_infinities_that_would_cancel_are_refused():
    images = np.zeros((2, 1, 8, 8), np.float32)
    images[0, 0, 0, :2] = np.inf, -np.inf
    with pytest.raises(ValueError, match="1 of 2 frames"):
        sprites.encode_sheet(images)


@pytest.mark.parametrize("shape", [(4,), (4, 2, 8, 8), (4, 8, 8, 3), (0, 3, 8, 8), (1, 2, 3, 4, 5)])
def test_arrays_that_are_neither_images_nor_signals_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        sprites.encode_sheet(np.zeros(shape))


@pytest.mark.parametrize("value_range", [(1, 1), (1, 0), (0, np.inf)])
def test_a_range_must_be_a_range(value_range):
    with pytest.raises(ValueError, match="low < high"):
        sprites.encode_sheet(np.zeros((1, 1, 8, 8)), value_range)


def test_a_sparkline_rises_where_its_signal_rises():
    rising = np.linspace(-1, 1, 50)
    up, down = sprites.sparklines(np.stack([rising, -rising]), (-1, 1))
    rows = np.arange(up.shape[0])[:, None]

    def height(picture):  # centre of the ink in each column, upwards
        ink = (picture[..., 3] > 150).astype(float)[:, 10:-10]
        return -(ink * rows).sum(0) / ink.sum(0)

    assert (np.diff(height(up)) >= -0.5).all()
    assert (np.diff(height(down)) <= 0.5).all()


def test_sparklines_of_one_batch_share_their_range():
    small, large = sprites.sparklines(np.stack([0.1 * np.sin(np.arange(99)), np.sin(np.arange(99))]))

    def spread(picture):
        return np.ptp(np.flatnonzero((picture[..., 3] > 150).any(1)))

    assert spread(small) < 0.3 * spread(large)


def test_a_peak_of_one_sample_in_a_long_signal_is_drawn():
    signal = np.zeros(20_000)
    signal[12_345] = 1.0
    picture = sprites.sparklines(signal[None], (-1, 1))[0]
    assert picture[:12, :, 3].max() > 100


def test_channels_of_a_signal_have_different_colours():
    picture = sprites.sparklines(np.stack([np.zeros(9), np.ones(9)])[None], (-2, 2))[0]
    opaque = picture[picture[..., 3] == 255][:, :3]
    assert len(np.unique(opaque, axis=0)) == 2


def test_png_writes_one_image_or_signal():
    for values in (np.zeros((3, 8, 8)), np.zeros((8, 8)), np.zeros(100)):
        assert Image.open(io.BytesIO(sprites.png(values))).format == "PNG"


@pytest.mark.parametrize(("channels", "kind"), [(1, "png"), (3, "webp")])
def test_images_by_themselves_come_back_from_their_addresses(channels, kind):
    images = smooth_images(3, 32, channels)
    for image, address in zip(sprites.to_uint8(images), sprites.data_urls(images), strict=True):
        head, _, data = address.partition(",")
        assert head == f"data:image/{kind};base64"
        back = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).reshape(32, 32, channels)
        exact = image.transpose(1, 2, 0)
        assert np.array_equal(exact, back) if kind == "png" else psnr(exact, back) > 30
    small = Image.open(io.BytesIO(base64.b64decode(sprites.data_urls(images, max_side=16)[0].partition(",")[2])))
    assert small.size == (16, 16)
