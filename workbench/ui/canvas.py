"""A canvas to draw an image on, or to paint a mask on one (widgets/canvas)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import traitlets as t
from jaxtyping import Bool, Float32
from PIL import Image

from workbench.models.checks import is_image
from workbench.ui.assets import asset_text
from workbench.ui.pictured import Pictured, enlarged
from workbench.ui.shared_module import SharedModule
from workbench.ui.sprites import as_numpy, checked_range, to_uint8

if TYPE_CHECKING:
    from workbench.ui.sprites import Array

#: Widths of the brush on a picture of 28 pixels; other sizes scale them. A pen of MNIST covers some 2.5 pixels.
_BRUSH = {"draw": 2.5, "mask": 4.0}


def _from_browser(name: str) -> Callable[[Any, Canvas], bytes]:
    def take(data: Any, canvas: Canvas) -> bytes:
        # A stroke may be under way while show() changes the size: what does not fit the picture is late.
        present: bytes = getattr(canvas, name)
        if not isinstance(data, (bytes, bytearray, memoryview)) or memoryview(data).nbytes != len(present):
            return present
        fits = name == "painted" or np.isfinite(np.frombuffer(data, "<f4")).all()
        return bytes(data) if fits else present

    return take


# The colour of a mask and how much of it covers the picture, as in widgets/canvas; the side of the still picture.
_TINT, _TINT_SHARE, _STILL = (230, 159, 0), 0.5, 168


class Canvas(Pictured, SharedModule):
    """A square to draw in with mouse, pen, finger or keys; the kernel hears of each stroke when it ends.

    ``mode="draw"``: soft strokes change the image. ``mode="mask"``: strokes paint a region of an image, shown in
    grey; the image stays as it is. Both can be undone, and clearing and inverting too.

    Images have one channel, (H, W) or (1, H, W), or three, (3, H, W), on which the pen draws a grey of choice.
    Signals cannot be drawn.

    >>> canvas = Canvas(shape=(28, 28))
    >>> canvas.on_draw(lambda image: print(image.shape))            # float32 (28, 28)
    >>> canvas.show(digit, value_range=(0, 1))                      # the user may draw on top of it
    >>> region = Canvas(mode="mask", hint="What you paint may not change.")
    >>> region.show(digit)
    >>> region.on_mask(lambda mask: print(mask.sum()))              # bool (28, 28)

    Args:
        shape: of the image, (H, W), (1, H, W) or (3, H, W); `show` may change it.
        mode: "draw" or "mask".
        size: longer side of the picture on the page, in CSS pixels.
        brush: width of the brush in pixels of the image; by default it suits the shape, and `show` scales it
            with the image, so that it stays as wide on the page.
        traits: `grey`, `label`, `hint` and `prompt`, as described at the traits.

    Raises:
        ValueError: another shape, or a brush that is not positive.
    """

    _source = asset_text("widgets/canvas/canvas.js")
    _style_sheet = asset_text("widgets/canvas/canvas.css")

    # To the browser: {"channels", "height", "width", "low", "high"}.
    picture = t.Dict().tag(sync=True)
    mode = t.Enum(["draw", "mask"], "draw").tag(sync=True)
    size = t.Int(280, help="longer side of the picture, CSS pixels").tag(sync=True)
    label = t.Unicode("", help="name for screen readers; by default it says what the mode does").tag(sync=True)
    hint = t.Unicode("", help="one short sentence below; by default how to draw").tag(sync=True)
    prompt = t.Unicode("Draw here", help="shown on an empty canvas to draw on").tag(sync=True)
    uid = t.Unicode(help="joins the views of this model in one page").tag(sync=True)

    # Both ways. The values themselves travel, not their greys, so that what was not drawn over stays exact.
    pixels = t.Bytes(b"", help="float32, little-endian, (channels, height, width)").tag(
        sync=True, from_json=_from_browser("pixels")
    )
    painted = t.Bytes(b"", help="0 or 1 for each pixel, uint8 (height, width)").tag(
        sync=True, from_json=_from_browser("painted")
    )
    brush = t.Float(help="width of the brush, pixels of the image").tag(sync=True)
    grey = t.Float(1.0, min=0.0, max=1.0, help="what the pen draws on three channels: 0 black, 1 white").tag(
        sync=True
    )

    # From the browser: number of changes the user has made; it comes in one message with what changed.
    edits = t.Int(0).tag(sync=True)

    def __init__(
        self,
        shape: Sequence[int] = (28, 28),
        mode: Literal["draw", "mask"] = "draw",
        size: int = 280,
        *,
        brush: float | None = None,
        **traits: Any,
    ) -> None:
        channels, height, width = _checked_shape(tuple(int(n) for n in shape))
        if mode not in _BRUSH:
            raise ValueError(f"mode must be {' or '.join(map(repr, _BRUSH))}, got {mode!r}.")
        if brush is not None and not brush > 0:
            raise ValueError(f"brush must be a positive width in pixels of the image, got {brush}.")
        super().__init__(
            mode=mode,
            size=size,
            brush=_BRUSH[mode] * max(height, width) / 28 if brush is None else brush,
            uid=uuid.uuid4().hex,
            **traits,
        )
        self._put(np.zeros((channels, height, width), np.float32), (0.0, 1.0))

    @property
    def image(self) -> Float32[np.ndarray, "*image"]:
        """A copy of the image, in its value range: (H, W) for one channel, (3, H, W) for three."""
        picture = self.picture
        shape = (picture["channels"], picture["height"], picture["width"])
        image = np.frombuffer(self.pixels, "<f4").reshape(shape).astype(np.float32)
        return image[0] if shape[0] == 1 else image

    @property
    def mask(self) -> Bool[np.ndarray, "H W"]:
        """A copy of the mask, True where it is painted; all False on a canvas to draw on. May be set."""
        painted = np.frombuffer(self.painted, np.uint8)
        return painted.reshape(self.picture["height"], self.picture["width"]).astype(bool)

    @mask.setter
    def mask(self, mask: Array) -> None:
        self._needs("mask", "mask")
        array = as_numpy(mask)
        expected = (self.picture["height"], self.picture["width"])
        if array.shape != expected or array.dtype != bool:
            raise ValueError(
                f"mask must be boolean of the image's height and width {expected}, got {array.dtype} of "
                f"shape {array.shape}."
            )
        self.painted = array.astype(np.uint8).tobytes()

    def still(self) -> Image.Image:
        """The image, with what is painted on it in colour."""
        pixels = to_uint8(self.image, (self.picture["low"], self.picture["high"]))
        if pixels.ndim == 3 or self.mask.any():
            pixels = np.broadcast_to(pixels, (3, *pixels.shape[-2:])).transpose(1, 2, 0).copy()
            share = _TINT_SHARE * self.mask[..., None]
            pixels = np.rint((1 - share) * pixels + share * np.array(_TINT)).astype(np.uint8)
        return enlarged(Image.fromarray(pixels), _STILL)

    def show(self, image: Array, *, value_range: tuple[float, float] = (0.0, 1.0)) -> None:
        """Show this image instead of the present one; strokes change it, or paint on it.

        A mask stays where the new image has the size of the old one, else it is cleared.

        Args:
            image: (H, W), (1, H, W) or (3, H, W). Values outside the range are kept, and shown clipped; those of
                uint8 count as 0 to 255 and are mapped to the range.
            value_range: values shown as black and white; the pen draws the high one, the eraser the low one.

        Raises:
            ValueError: another shape, NaN or infinite values, or an empty or reversed range.
        """
        array = as_numpy(image)
        low, high = checked_range(value_range)
        shape = _checked_shape(array.shape)
        if array.dtype == np.uint8:
            array = low + (high - low) / 255 * array.astype(np.float64)
        array = array.astype(np.float32).reshape(shape)
        if not np.isfinite(array).all():
            raise ValueError("The image has NaN or infinite values. Check the network that made it.")
        self._put(array, (low, high))

    def clear(self) -> None:
        """Empty the canvas: a drawing becomes black (the low value), a mask unpainted."""
        if self.mode == "mask":
            self.painted = bytes(len(self.painted))
        else:
            self.pixels = np.full(len(self.pixels) // 4, self.picture["low"], "<f4").tobytes()

    def on_draw(self, callback: Callable[[np.ndarray], object]) -> Callable[[], None]:
        """Call ``callback`` with the image after each change by the user; returns a function that stops this."""
        self._needs("draw", "on_draw")
        return self._listen(lambda: callback(self.image))

    def on_mask(self, callback: Callable[[np.ndarray], object]) -> Callable[[], None]:
        """Call ``callback`` with the mask after each change by the user; returns a function that stops this."""
        self._needs("mask", "on_mask")
        return self._listen(lambda: callback(self.mask))

    def _listen(self, callback: Callable[[], object]) -> Callable[[], None]:
        def changed(_: Any) -> None:
            callback()

        self.observe(changed, names="edits")
        return lambda: self.unobserve(changed, names="edits")

    def _needs(self, mode: str, name: str) -> None:
        if self.mode != mode:
            raise ValueError(f"{name} needs Canvas(mode={mode!r}); this one has mode={self.mode!r}.")

    def _put(self, array: np.ndarray, value_range: tuple[float, float]) -> None:
        channels, height, width = array.shape
        before = (self.picture.get("height", height), self.picture.get("width", width))
        with self.hold_sync():
            if before != (height, width) or not self.painted:
                self.painted = bytes(height * width)
            self.brush *= max(height, width) / max(before)
            self.pixels = array.astype("<f4").tobytes()
            self.picture = {
                "channels": channels,
                "height": height,
                "width": width,
                "low": value_range[0],
                "high": value_range[1],
            }


def _checked_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (channels, height, width)."""
    full = (1, *shape) if len(shape) == 2 else shape
    if not is_image(full) or min(full) < 1:
        advice = {
            1: "Signals cannot be drawn.",
            3: "The channels come first.",
            4: "Pass one image of a batch, such as x[0].",
        }
        raise ValueError(
            f"A canvas holds one image (H, W), (1, H, W) or (3, H, W), got shape {tuple(shape)}. "
            + advice.get(len(shape), "")
        )
    return full[0], full[1], full[2]
