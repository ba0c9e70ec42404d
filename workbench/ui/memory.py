"""Memory of the process that the C library keeps of what was freed."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from functools import cache

#: Seconds between two calls: one takes some hundredths of a second.
_EVERY = 10.0

_lock = threading.Lock()
_last = 0.0


def give_back() -> None:
    """Give the system what glibc keeps of freed memory, at most every ten seconds; elsewhere, nothing.

    glibc keeps freed memory between blocks that are in use, in one arena a thread: a kernel whose tensors take 250
    MB would grow past 1.7 GB in an hour of use.
    """
    global _last
    trim = _trim()
    with _lock:
        if trim is None or time.monotonic() - _last < _EVERY:
            return
        _last = time.monotonic()
    trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return None
    return found
