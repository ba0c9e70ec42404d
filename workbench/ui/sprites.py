"""Pack many small images or signals into compressed sprite sheets, which browsers decode in one go."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from workbench.ui.theme import NEUTRAL_AXIS, NEUTRAL_LINE, PALETTE

if TYPE_CHECKING:
    from torch import Tensor

    Array = np.ndarray | Tensor

Format = Literal["auto", "png", "webp", "jpeg"]

MAX_SIDE = 4096  # pixels; the smallest texture limit among today's browsers
SIGNAL_SIZE = (320, 160)  # pixels, width and height of a sparkline

# Up to this many raw bytes, exact pixels cost a few milliseconds, so there is no reason to lose any.
_EXACT_BYTES = 1_500_000
# Above it, lossless still wins where it shrinks the pixels at least this much (digits, line drawings).
_EXACT_RATIO = 0.35
_MIME = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}


@dataclass(frozen=True)
class Sheet:
    """Frames in rows of one image: frame ``i`` is at column ``i % columns``, row ``i // columns``."""

    data: bytes
    mime: str
    frame_width: int
    frame_height: int
    columns: int
    count: int
    drawn: bool = False  # a drawing (sparkline) is scaled smoothly, an image's pixels may be shown as such

    def layout(self) -> dict[str, Any]:
        """Return what the browser needs beside the bytes, as plain JSON values."""
        return {
            "width": self.frame_width,
            "height": self.frame_height,
            "columns": self.columns,
            "count": self.count,
            "mime": self.mime,
            "drawn": self.drawn,
        }


def to_uint8(images: Array, value_range: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Map values linearly from ``value_range`` to 0..255 (uint8), clipping what lies outside.

    Arrays that are uint8 already are returned as they are.

    Raises:
        ValueError: NaN or infinite values, or an empty or reversed range.
    """
    array = as_numpy(images)
    if array.dtype == np.uint8:
        return array
    low, high = checked_range(value_range)
    array = array.astype(np.float32, copy=False)
    _refuse_non_finite(array)
    scaled = (array - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def frames(
    values: Array, value_range: tuple[float, float] = (0.0, 1.0), *, max_side: int | None = None
) -> np.ndarray:
    """Turn a batch into pictures: uint8 array (n, height, width, channels), channels 1, 3 or 4 (sparklines).

    Args:
        values: images (n, 1 or 3, H, W), or signals (n, L) or (n, channels, L).
        value_range: values shown as black and white; for signals the common y-range.
        max_side: pictures with a longer side are reduced to it (never enlarged).

    Raises:
        ValueError: another shape, no frames, NaN or infinite values.
    """
    array = as_numpy(values)
    if array.ndim in (2, 3):
        return sparklines(array, value_range)
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise ValueError(
            f"Expected images (n, 1 or 3, H, W) or signals (n, L) or (n, channels, L), got shape "
            f"{array.shape}. Move the channels to the second axis, or add the batch axis with x[None]."
        )
    _refuse_empty(array)
    pictures = np.ascontiguousarray(to_uint8(array, value_range).transpose(0, 2, 3, 1))
    return _reduced(pictures, max_side)


def sparklines(signals: Array, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Draw signals (n, L) or (n, channels, L) as lines with one y-range: uint8 RGBA (n, height, width, 4).

    The paper is transparent and the colours read on light and on dark. ``value_range`` None takes the
    range of the whole batch, so that lines of one batch can be compared.
    """
    array = as_numpy(signals).astype(np.float32, copy=False)
    if array.ndim == 2:
        array = array[:, None, :]
    _refuse_empty(array)
    _refuse_non_finite(array)
    if value_range is not None:
        low, high = checked_range(value_range)
    else:
        low, high = float(array.min()), float(array.max())
        if low == high:
            low, high = low - 1.0, high + 1.0
    return np.stack([_sparkline(signal, low, high) for signal in array])


def encode_sheet(
    values: Array,
    value_range: tuple[float, float] = (0.0, 1.0),
    *,
    max_frame: int | None = None,
    format: Format = "auto",
) -> Sheet:
    """Encode a batch of images or signals as one sheet (shapes as in :func:`frames`).

    Frames are reduced where they would not fit a sheet of 4096 x 4096 pixels.

    Args:
        max_frame: longest side of a frame in pixels; larger images are reduced.
        format: "auto" keeps exact pixels where that is quick or small, else JPEG of high quality
            without chroma subsampling.
    """
    pictures = _fitting(frames(values, value_range, max_side=max_frame))
    return pack(pictures, format=format)


def encode_sheets(values: Array, value_range: tuple[float, float] = (0.0, 1.0)) -> list[Sheet]:
    """Encode any number of images or signals as sheets of moderate size, in order."""
    pictures = frames(values, value_range)
    size = frames_per_sheet(pictures.shape[1], pictures.shape[2])
    return [pack(pictures[first : first + size]) for first in range(0, len(pictures), size)]


def frames_per_sheet(height: int, width: int, side: int = MAX_SIDE // 2) -> int:
    """Return how many frames of this size fit a sheet of ``side`` x ``side`` pixels, at least one."""
    return max(1, side // width) * max(1, side // height)


def pack(pictures: np.ndarray, *, max_columns: int | None = None, format: Format = "auto") -> Sheet:
    """Encode pictures, uint8 (n, height, width, channels) as :func:`frames` returns them, as one sheet.

    Raises:
        ValueError: the sheet would be larger than 4096 pixels on a side.
    """
    _refuse_empty(pictures)
    n, height, width, channels = pictures.shape
    columns = min(n, max(1, math.ceil(math.sqrt(n * height / width))), max(1, MAX_SIDE // width))
    columns = min(columns, max_columns) if max_columns else columns
    rows = math.ceil(n / columns)
    if columns * width > MAX_SIDE or rows * height > MAX_SIDE:
        raise ValueError(
            f"{n} frames of {width} x {height} pixels in {columns} columns make a sheet larger than "
            f"{MAX_SIDE} pixels; show fewer of them, or reduce them first."
        )
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = pictures
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    data, mime = _encode(sheet, format, blocks_align=width % 8 == 0 and height % 8 == 0)
    return Sheet(data, mime, width, height, columns, n, drawn=channels == 4)


def png(image: Array, value_range: tuple[float, float] = (0.0, 1.0)) -> bytes:
    """Encode one image (1 or 3, H, W) or (H, W), or one signal (L,), as PNG."""
    array = as_numpy(image)
    batch = array[None, None] if array.ndim == 2 else array[None]
    return _save(_image(frames(batch, value_range)[0]), "png")


def data_urls(
    values: Array, value_range: tuple[float, float] = (0.0, 1.0), *, max_side: int | None = None
) -> list[str]:
    """Encode each image or signal (shapes as in :func:`frames`) by itself, as a `data:` address for HTML.

    Grey images and drawings are exact PNG; colour is WebP at a quality that nobody can tell from it at that size.
    """
    addresses = []
    for picture in frames(values, value_range, max_side=max_side):
        stream, name = io.BytesIO(), "webp" if picture.shape[-1] == 3 else "png"
        _image(picture).save(stream, name, **({"quality": 85} if name == "webp" else {"optimize": True}))
        addresses.append(data_url(stream.getvalue(), _MIME[name]))
    return addresses


def data_url(data: bytes, mime: str = "image/png") -> str:
    """Bytes as a `data:` address, by default those of a PNG."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _encode(sheet: np.ndarray, format: Format, *, blocks_align: bool) -> tuple[bytes, str]:
    """Encode by the asked format, or by the cheapest one that nobody can tell from the original."""
    image = _image(sheet)
    chosen = _choose(sheet, blocks_align=blocks_align) if format == "auto" else format
    if chosen not in _MIME:
        raise ValueError(f"Unknown sheet format {format!r}; choose 'auto', 'png', 'webp' or 'jpeg'.")
    return _save(image, chosen), _MIME[chosen]


def _choose(sheet: np.ndarray, *, blocks_align: bool) -> str:
    if sheet.shape[2] != 3:
        return "png"  # zlib is the fastest exact coder for grey and for line drawings
    # JPEG works in blocks of 8 x 8: frames of another size would bleed into their neighbours.
    if sheet.nbytes <= _EXACT_BYTES or not blocks_align:
        return "webp"
    probe = sheet[: max(1, 200_000 // (sheet.shape[1] * 3))]
    exact = len(_save(_image(probe), "webp")) / probe.nbytes
    return "webp" if exact < _EXACT_RATIO else "jpeg"


def _save(image: Image.Image, format: str) -> bytes:
    options: dict[str, Any] = {
        "png": {"compress_level": 1},
        "webp": {"lossless": True, "quality": 0, "method": 0},
        "jpeg": {"quality": 97, "subsampling": 0},
    }[format]
    stream = io.BytesIO()
    image.save(stream, format.upper(), **options)
    return stream.getvalue()


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _fitting(pictures: np.ndarray) -> np.ndarray:
    """Reduce frames until all of them fit one sheet."""
    n, height, width, _ = pictures.shape
    if frames_per_sheet(height, width, MAX_SIDE) >= n and max(height, width) <= MAX_SIDE:
        return pictures
    columns = max(1, math.ceil(math.sqrt(n * height / width)))
    scale = min(MAX_SIDE / (columns * width), MAX_SIDE / (math.ceil(n / columns) * height))
    return _reduced(pictures, max(1, math.floor(max(height, width) * scale)))


def _reduced(pictures: np.ndarray, max_side: int | None) -> np.ndarray:
    height, width = pictures.shape[1:3]
    if max_side is None or max(height, width) <= max_side:
        return pictures
    if max_side >= 64:
        max_side -= max_side % 8  # JPEG's blocks; the loss of up to seven pixels shows nowhere
    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [np.asarray(_image(p).resize(size, Image.Resampling.BOX, reducing_gap=None)) for p in pictures]
    return np.stack(small).reshape(len(pictures), size[1], size[0], pictures.shape[3])


def _sparkline(signal: np.ndarray, low: float, high: float) -> np.ndarray:
    """Draw one signal (channels, L) as a picture (height, width, 4)."""
    width, height = SIGNAL_SIZE
    margin = 5

    def y_of(value: np.ndarray | float) -> Any:
        return margin + (height - 2 * margin) * (1 - np.clip((value - low) / (high - low), 0, 1))

    picture = Image.new("RGBA", SIGNAL_SIZE, (0, 0, 0, 0))
    if low < 0 < high:
        axis = (*ImageColor.getrgb(NEUTRAL_AXIS)[:3], 120)
        ImageDraw.Draw(picture).line([(0, y_of(0.0)), (width, y_of(0.0))], fill=axis)
    colours = [NEUTRAL_LINE] if len(signal) == 1 else PALETTE
    for channel, values in reversed(list(enumerate(signal))):
        x, y = _envelope(values, width - 2 * margin)
        layer = Image.new("RGBA", SIGNAL_SIZE, colours[channel % len(colours)])
        layer.putalpha(_stroke(x + margin, y_of(y)))
        picture.alpha_composite(layer)
    return np.asarray(picture)


def _stroke(x: np.ndarray, y: np.ndarray) -> Image.Image:
    """Return the coverage of a polyline; drawn twice as large, for Pillow's lines are not anti-aliased."""
    mask = Image.new("L", (SIGNAL_SIZE[0] * 2, SIGNAL_SIZE[1] * 2))
    points = list(zip((2 * x).tolist(), (2 * y).tolist(), strict=True))
    joint = "curve" if len(points) < 100 else None  # short segments show no gaps, and round joints are slow
    ImageDraw.Draw(mask).line(points, fill=255, width=6, joint=joint)
    return mask.reduce(2)


def _envelope(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x in pixels and y; long signals keep each pixel's minimum and maximum, so no peak is lost."""
    bins = width
    if len(values) <= 4 * bins:
        return np.linspace(0, width, len(values)), values
    edges = np.linspace(0, len(values), bins + 1).astype(int)[:-1]
    y = np.stack([np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)], 1).ravel()
    return np.repeat(np.linspace(0, width, bins), 2), y


def as_numpy(values: Array | Sequence[Any]) -> np.ndarray:
    """Return a tensor of any device, an array or a sequence as an array."""
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        values = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return np.asarray(values)


def checked_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """Return (low, high) as floats.

    Raises:
        ValueError: an empty or reversed range, or one that is not finite.
    """
    low, high = (float(v) for v in value_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"value_range must be (low, high) with low < high, both finite; got {value_range}.")
    return low, high


def _refuse_non_finite(array: np.ndarray) -> None:
    # One sum instead of a mask of the array's size: this runs on the way to every frame.
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(np.sum(array, dtype=np.float64))
    if not finite:
        bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1)) if array.ndim else [0]
        raise ValueError(
            f"{len(bad)} of {len(array)} frames contain NaN or infinite values (first: frame {bad[0]}). "
            "Check the network's weights and the latents that were passed."
        )


def _refuse_empty(array: np.ndarray) -> None:
    if 0 in array.shape:
        raise ValueError(f"There is nothing to draw: the array has shape {array.shape}.")
