"""A picture of a widget beside its live view, for viewers that show no widgets: GitHub, nbviewer, nbconvert."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

#: A notebook keeps the picture of every widget that it shows: each is smaller than this.
MOST_BYTES = 60_000
_GAP = 4
_PAPER = "#ffffff"


class Pictured:
    """Mixed into a widget that can draw itself: what a notebook stores of it holds a PNG, too.

    JupyterLab shows the widget as long as it knows of it, and the picture otherwise.
    """

    def still(self) -> Image.Image | None:
        """What the widget shows at this moment, or None where it is empty."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data, rest = (bundle[0], bundle[1:]) if isinstance(bundle, tuple) else (bundle, ())
        image = self.still() if data else None
        if image is not None:
            data = {**data, "image/png": base64.b64encode(small_png(image)).decode()}
        return (data, *rest) if rest else data


def small_png(image: Image.Image, *, most: int = MOST_BYTES) -> bytes:
    """PNG of at most so many bytes: with fewer colours where needed, then with fewer pixels."""
    data = _png(image)
    while len(data) > most:
        data = _png(image.convert("RGB").quantize(64))
        image = image.resize(
            (max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.LANCZOS
        )
    return data


def cut(data: bytes, layout: Mapping[str, Any], places: Sequence[int]) -> list[Image.Image]:
    """Some frames of a sheet (`workbench.ui.sprites.Sheet`) as single pictures, drawings on white paper."""
    with Image.open(io.BytesIO(data)) as sheet:
        width, height, columns = layout["width"], layout["height"], layout["columns"]
        corners = [((i % columns) * width, (i // columns) * height) for i in places]
        frames = [sheet.crop((x, y, x + width, y + height)) for x, y in corners]
    return [_on_paper(frame) for frame in frames]


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """A picture whose longer side is about `side` pixels; few pixels are shown as squares."""
    scale = side / max(image.size)
    if scale >= 2:
        scale = round(scale)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)


def tiled(images: Sequence[Image.Image], *, columns: int, side: int) -> Image.Image:
    """Pictures of one size in rows, with a little room between them."""
    tiles = [enlarged(image, side) for image in images]
    width, height = tiles[0].size
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    mode = "L" if all(tile.mode == "L" for tile in tiles) else "RGB"
    sheet = Image.new(mode, (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), _PAPER)
    for i, tile in enumerate(tiles):
        sheet.paste(tile, ((i % columns) * (width + _GAP), (i // columns) * (height + _GAP)))
    return sheet


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _on_paper(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    paper = Image.new("RGBA", image.size, _PAPER)
    paper.alpha_composite(image)
    return paper.convert("RGB")
