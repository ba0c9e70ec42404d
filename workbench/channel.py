"""A private channel on this machine, by which a kernel tells the process that runs it how far it is.

Datagrams of JSON to a port of the loopback interface, each with a token that only the kernel's environment holds.
A sender never waits and never fails: what nobody hears is lost.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

#: The environment variable that holds `PORT TOKEN` of whoever listens.
VARIABLE = "WORKBENCH_PROGRESS"
#: Bytes of a datagram: more than any message takes, and what loopback carries whole on every system.
_MOST = 8192
#: How often a listener looks whether it was closed, in seconds.
_WAKE = 0.2


class Listener:
    """Hears what the kernels tell that were started with its `environment`, in a thread of its own.

    Use it in a `with` block; after the block nothing is told any more.

    Args:
        tell: called with each message, a dict; never twice at once.

    Attributes:
        environment: what a kernel's environment needs.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._token = secrets.token_hex(16)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(_WAKE)
        self.environment = {VARIABLE: f"{self._socket.getsockname()[1]} {self._token}"}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="progress of a kernel", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._closed.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                datagram = self._socket.recv(_MOST)
            except OSError:  # nothing came in time
                continue
            message = self._read(datagram)
            if message is not None:
                self._tell(message)

    def _read(self, datagram: bytes) -> dict[str, Any] | None:
        """The message of a datagram; None for what does not know the token, or is no message."""
        token, _, text = datagram.partition(b"\n")
        if not hmac.compare_digest(token, self._token.encode()):
            return None
        try:
            message = json.loads(text)
        except ValueError:
            return None
        return message if isinstance(message, dict) else None


def listened() -> bool:
    """Whether this process was started by one that listens."""
    return VARIABLE in os.environ


def send(message: Mapping[str, Any]) -> None:
    """Tell whoever listens, if anybody does."""
    port, _, token = os.environ.get(VARIABLE, "").partition(" ")
    if not port.isdecimal():
        return
    datagram = f"{token}\n{json.dumps(dict(message))}".encode()
    if len(datagram) > _MOST:
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        try:
            channel.sendto(datagram, ("127.0.0.1", int(port)))
        except OSError:  # nobody is there any more, or the buffer is full
            return
