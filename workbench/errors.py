"""The base of the errors that are raised on purpose, and the names that a mistyped one may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class WorkbenchError(Exception):
    """Base of the errors that the workbench raises on purpose."""


def did_you_mean(name: object, known: Iterable[str], *, most: int = 3) -> str:
    """A clause that names the known entries nearest to `name`; empty where none is near."""
    close = get_close_matches(str(name), list(known), n=most, cutoff=0.4)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


def nearest_names(name: object, known: Iterable[str]) -> str:
    """A clause that names the known entries nearest to `name`, or lists the first few of them."""
    known = list(known)
    shown = ", ".join(repr(k) for k in known[:8])
    return did_you_mean(name, known) or f"known are {shown or 'none'}{', …' if len(known) > 8 else ''}"
