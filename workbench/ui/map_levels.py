"""Which of many thumbnails and names a map shows at each zoom, so that none covers another."""

from __future__ import annotations

import math

import numpy as np

RATIO = math.sqrt(2)  # of the zooms at which more thumbnails appear
FONT_SIZE = 12  # of names, pixels
_LEVELS = 15
_SMALLEST, _LARGEST = 26, 88  # thumbnails, CSS pixels
_GROWTH = 1.12  # of the thumbnails from one level to the next
_GAP = 3  # between thumbnails, CSS pixels
_LONGEST = 26  # characters of a name that are drawn


def extent(positions: np.ndarray) -> list[tuple[float, float]]:
    """What the two axes show of positions (n, 2) at first."""
    low, high = positions.min(0), positions.max(0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, max(float((high - low).max()) / 20, 1e-3))
    return [(float(m - 1.08 * h), float(m + 1.08 * h)) for m, h in zip(middle, half, strict=True)]


def zoom(positions: np.ndarray, frame: tuple[int, int]) -> tuple[float, list[float]]:
    """Pixels per unit at level 0, and the size of thumbnails at each level.

    Args:
        positions: (n, 2).
        frame: width and height of the room for them, CSS pixels.
    """
    (x0, x1), (y0, y1) = extent(positions)
    width, height = frame
    fit = min(width / (x1 - x0), height / (y1 - y0))
    # as much of the room as a third is for all thumbnails together, where that is not too large or small
    first = min(_LARGEST, max(_SMALLEST, math.sqrt(0.25 * width * height / len(positions))))
    return 0.67 * fit, [min(float(_LARGEST), first * _GROWTH**k) for k in range(_LEVELS)]


def levels(positions: np.ndarray, frame: tuple[int, int], pictured: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The level of zoom from which on each point's thumbnail or name covers no other, always the same.

    Args:
        positions, frame: as for `zoom`.
        pictured: (n,) which points have a thumbnail.
        widths: (n,) of the names, as `ems` gives them.
    """
    scale, sizes = zoom(positions, frame)
    n = len(positions)
    waiting = list(np.random.default_rng(0).permutation(n))
    found = np.full(n, _LEVELS - 1)
    wide = widths * FONT_SIZE
    for level, size in enumerate(sizes):
        x, y = (positions * scale * RATIO**level).T
        half = (size + _GAP) / 2
        left, right = np.where(pictured, half, 8), np.where(pictured, half, wide + 12)
        up = np.where(pictured, half, 0.8 * FONT_SIZE)
        boxes = np.stack([x - left, x + right, y - up, y + up])
        shown = found < level
        for i in waiting:
            x0, x1, y0, y1 = boxes[:, i]
            left_of, right_of, below, above = boxes[:, shown]
            if not ((left_of < x1) & (right_of > x0) & (below < y1) & (above > y0)).any():
                shown[i], found[i] = True, level
        waiting = [i for i in waiting if not shown[i]]
    return found


def shortened(name: str) -> str:
    """As much of a name as is drawn."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def ems(text: str) -> float:
    """The width of a text in units of its font's size, about: enough to keep names apart."""
    return sum(1.0 if ord(c) > 0x2E80 else 0.68 if c.isupper() or c in "mw@%" else 0.54 for c in text)
