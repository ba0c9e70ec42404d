"""A class map as one still picture, where no BokehJS draws it."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workbench.ui.theme import NEUTRAL_LINE

if TYPE_CHECKING:
    from workbench.ui.map_plot import MapPlot

_MARGIN = 0.06  # of the longer side, around the outermost points
_SIZE = (640, 440)  # pixels, width and height
_FONT_SIZE = 11
_NAMED = 40  # names are drawn of at most so many points


def map_picture(plot: MapPlot) -> Image.Image:
    """The whole map: a dot for each point, and as many thumbnails (or names) as have room, in the plot's order."""
    width, height = _SIZE
    picture = Image.new("RGB", (width, height), "#ffffff")
    pen = ImageDraw.Draw(picture)
    x, y = _fitted(plot.positions, width, height)
    for left, top in zip(x, y, strict=True):
        pen.ellipse((left - 2, top - 2, left + 2, top + 2), fill=NEUTRAL_LINE)
    side = max(16, round(0.5 * (width * height / len(x)) ** 0.5))
    side = min(side, 48)
    font = ImageFont.load_default(_FONT_SIZE)
    taken: list[tuple[float, float, float, float]] = []
    named = 0
    urls, names = plot.pictures.data["url"], plot.labels.data["short"]
    for i in np.argsort(plot.points.data["level"], kind="stable"):
        if urls[i]:
            box = (x[i] - side / 2, y[i] - side / 2, x[i] + side / 2, y[i] + side / 2)
        elif named < _NAMED and names[i].isascii():
            box = (x[i] - 3, y[i] - _FONT_SIZE / 2, x[i] + 6 + font.getlength(names[i]), y[i] + _FONT_SIZE / 2)
        else:
            continue
        if any(box[0] < c and box[2] > a and box[1] < d and box[3] > b for a, b, c, d in taken):
            continue
        taken.append(box)
        if urls[i]:
            thumbnail = _decoded(urls[i])
            thumbnail.thumbnail((side, side))
            thumbnail = thumbnail.resize((side, round(side * thumbnail.height / thumbnail.width)))
            picture.paste(thumbnail, (round(box[0]), round(y[i] - thumbnail.height / 2)))
        else:
            named += 1
            pen.text((x[i] + 5, y[i]), names[i], fill="#1f2328", font=font, anchor="lm")
    return picture


def _fitted(positions: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the points, one unit as many across as up."""
    low, high = positions.min(0), positions.max(0)
    room = np.array([width, height]) - 2 * _MARGIN * max(width, height)
    scale = float((room / np.maximum(high - low, 1e-9)).min())
    centred = (positions - (low + high) / 2) * min(scale, 1e9)
    return width / 2 + centred[:, 0], height / 2 - centred[:, 1]


def _decoded(url: str) -> Image.Image:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return image.convert("RGB")
