"""The film-strip slider: scrub the pictures along one line without asking the kernel (widgets/film-strip)."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import traitlets as t

from workbench.ui.assets import asset_text
from workbench.ui.pictured import Pictured, cut, tiled
from workbench.ui.shared_module import SharedModule
from workbench.ui.sprites import encode_sheet

if TYPE_CHECKING:
    from PIL import Image

    from workbench.ui.sprites import Array

    Caption = str | Mapping[str, str]


@dataclass(frozen=True)
class Accepted:
    """What the user settled on: frame ``index`` of the line called ``line``, at position ``t`` on it."""

    line: str
    index: int
    t: float


def _acceptance(data: Any, strip: FilmStrip) -> dict[str, Any]:
    """What the browser sent, if it is an acceptance, and of a frame that the line has; else the present one."""
    try:
        line, index, t = str(data["line"]), int(data["index"]), float(data["t"])
        count = strip.line["count"] if strip.line.get("id") == line else math.inf
        if 0 <= index < count and math.isfinite(t):
            return {"line": line, "index": index, "t": t, "serial": data.get("serial", 0)}
    except (TypeError, KeyError, ValueError, OverflowError):
        pass
    return strip.accepted


#: Frames in the still picture of a strip, and their longer side in pixels.
_STILLS, _STILL = 9, 84


class FilmStrip(Pictured, SharedModule):
    """A slider whose track is the film of one line: drag it, and the browser draws the frames.

    All frames of a line travel once as one compressed sheet. Only an acceptance (release of the pointer,
    or Enter) sends a message back. A new line that arrives while the user drags waits for the release.

    >>> strip = FilmStrip(height=256)
    >>> strip.show(images, positions=t, value_range=(-1, 1))       # images (n, C, H, W) or signals (n, L)
    >>> strip.on_accept(lambda accepted: print(accepted.index, accepted.t))
    """

    _source = asset_text("widgets/film-strip/film-strip.js")
    _style_sheet = asset_text("widgets/film-strip/film-strip.css")

    # To the browser. `line` describes the sheet and is always set last: its change is the signal to draw.
    sheet = t.Bytes(b"").tag(sync=True)
    line = t.Dict().tag(sync=True)
    height = t.Int(256, help="height of the large picture, CSS pixels").tag(sync=True)
    busy = t.Bool(False, help="the next line is being computed").tag(sync=True)
    status = t.Unicode("", help="one short sentence instead of the hint below the strip").tag(sync=True)
    accept_on_release = t.Bool(True, help="releasing the pointer accepts, else only Enter").tag(sync=True)
    label = t.Unicode("Position on the line", help="name for screen readers").tag(sync=True)
    empty_text = t.Unicode("Nothing to scrub yet.", help="shown before the first line").tag(sync=True)
    uid = t.Unicode(help="joins the views of this model in one page").tag(sync=True)

    # From the browser: {"line": id, "index": i, "t": position, "serial": n}.
    accepted = t.Dict().tag(sync=True, from_json=_acceptance)

    def __init__(self, height: int = 256, **traits: Any) -> None:
        super().__init__(height=height, uid=uuid.uuid4().hex, **traits)
        self._serial = itertools.count(1)

    def show(
        self,
        images: Array,
        *,
        positions: Sequence[float] | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        captions: Sequence[Caption] | None = None,
        flags: Sequence[str | None] | None = None,
        ends: tuple[str, str] | None = None,
        line_id: str | None = None,
        start: int | None = None,
    ) -> str:
        """Show a new line, at its frame ``start``, and return its id.

        Args:
            images: frames in order, images (n, 1 or 3, H, W) or signals (n, L) or (n, channels, L).
            positions: n numbers t, shown with each frame; by default frames are counted from ``start``.
            value_range: values shown as black and white; for signals the y-range.
            captions: n texts, or n mappings of names to texts, shown beside the frame.
            flags: n short warnings, or None for frames without one, e.g. "outside the typical set".
            ends: texts at the left and the right end; by default the first and the last position.
            line_id: name of the line, returned with an acceptance; by default a running number.
            start: index of the frame to begin and to centre at; by default the middle one.

        Raises:
            ValueError: a sequence that does not have one entry for each frame, start outside the line,
                or images that cannot be drawn (see :mod:`workbench.ui.sprites`).
        """
        # Twice the CSS height covers screens of double density; more pixels would only cost time.
        sheet = encode_sheet(images, value_range, max_frame=max(256, 2 * self.height))
        n = sheet.count
        start = n // 2 if start is None else start
        if not 0 <= start < n:
            raise ValueError(f"start must be the index of one of the {n} frames, 0 to {n - 1}; got {start}.")
        serial = next(self._serial)
        where = [float(i - start) for i in range(n)] if positions is None else [float(p) for p in positions]
        line = {
            "id": str(serial) if line_id is None else line_id,
            "serial": serial,
            **sheet.layout(),
            "start": start,
            "t": _one_each("positions", where, n),
            "captions": [_rows(c) for c in _one_each("captions", captions, n)],
            "flags": [flag or "" for flag in _one_each("flags", flags, n)],
            "ends": list(ends) if ends else [],
        }
        bad = [i for i, p in enumerate(line["t"]) if not math.isfinite(p)]
        if bad:
            raise ValueError(f"positions must be finite numbers, got {line['t'][bad[0]]} for frame {bad[0]}.")
        with self.hold_sync():
            self.sheet = sheet.data
            self.line = line
        return line["id"]

    def clear(self) -> None:
        """Take the line away and show ``empty_text`` again."""
        with self.hold_sync():
            self.sheet = b""
            self.line = {}

    def still(self) -> Image.Image | None:
        """A few of the frames side by side, from one end of the line to the other."""
        if not self.line:
            return None
        count = min(_STILLS, self.line["count"])
        places = [round(i * (self.line["count"] - 1) / max(1, count - 1)) for i in range(count)]
        return tiled(cut(self.sheet, self.line, places), columns=count, side=_STILL)

    def on_accept(self, callback: Callable[[Accepted], object]) -> Callable[[], None]:
        """Call ``callback`` with each acceptance; returns a function that stops this."""

        def changed(change: Any) -> None:
            new = change["new"]
            if new:
                callback(Accepted(str(new["line"]), int(new["index"]), float(new["t"])))

        self.observe(changed, names="accepted")
        return lambda: self.unobserve(changed, names="accepted")


def _one_each(name: str, values: Sequence[Any] | None, n: int) -> list[Any]:
    if values is None:
        return [None] * n
    if len(values) != n:
        raise ValueError(f"{name} needs one entry for each of the {n} frames, got {len(values)}.")
    return list(values)


def _rows(caption: Caption | None) -> list[list[str]]:
    """Return a caption as rows of name and text, the form in which the browser lists it."""
    if caption is None:
        return []
    if isinstance(caption, str):
        return [["", line] for line in caption.splitlines()]
    return [[str(name), str(text)] for name, text in caption.items()]
