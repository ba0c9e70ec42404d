"""Pictures of a page, losslessly smaller: panels encode them fast, pages are kept and sent."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ADDRESS = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")


def smaller_png(data: bytes) -> bytes:
    """A PNG with the same pixels in fewer bytes; anything else, and what gets no smaller, as it is."""
    if not data.startswith(_SIGNATURE):
        return data
    try:
        with Image.open(io.BytesIO(data)) as image:
            if getattr(image, "is_animated", False):
                return data
            stream = io.BytesIO()
            image.save(stream, "PNG", optimize=True)
    except (OSError, ValueError, Image.DecompressionBombError):
        return data
    return min(data, stream.getvalue(), key=len)


def smaller_pictures(value: Any) -> Any:
    """Plain JSON values whose `data:` addresses hold PNG pictures, with these made smaller."""
    if isinstance(value, str):
        return _ADDRESS.sub(lambda found: "data:image/png;base64," + smaller_base64(found[1]), value)
    if isinstance(value, dict):
        return {k: smaller_pictures(v) for k, v in value.items()}
    return [smaller_pictures(v) for v in value] if isinstance(value, list) else value


def smaller_base64(text: str) -> str:
    """The same for bytes in base64, which may be broken into lines."""
    raw = base64.b64decode(text)
    return base64.b64encode(smaller_png(raw)).decode()
