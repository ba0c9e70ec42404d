"""What panels show is written as one goes, by one thread: of a storm of changes the last one counts."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from datetime import datetime

from workbench.sessions.session import Session
from workbench.sessions.state import State

#: How long closing waits for what is being written, in seconds.
_AT_MOST = 30


class Savable:
    """What a panel offers to whoever saves it.

    Attributes:
        on_settled: called, from any thread, when something was settled that is worth saving. It returns at once.
    """

    on_settled: Callable[[], object] = staticmethod(lambda: None)

    def state(self) -> State:
        """What it shows now. It is asked by a thread of its own, beside those that work and draw."""
        raise NotImplementedError

    def restore(self, state: State) -> None:
        """Show again what `state()` gave, in place of what there is; returns when that is done.

        Raises:
            ValueError, LookupError: the state does not fit these networks.
        """
        raise NotImplementedError


class Saving:
    """Writes what was marked as changed to a session, behind the kernel.

    Args:
        session: that is written to.
        show: is handed a line of text and whether it reports a failure, when that changes. "saved" is shown after
            the transaction is on the disk, and only where nothing has changed meanwhile.
    """

    def __init__(self, session: Session, show: Callable[[str, bool], object]) -> None:
        self._session, self._show = session, show
        self._sources: dict[tuple[str, str], Callable[[], State]] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        session.before_closing(self.close)
        atexit.register(self.close)

    def watch(self, kind: str, name: str, source: Callable[[], State]) -> Callable[[], None]:
        """Save what `source` gives whenever the function that this returns is called, from any thread."""
        self._sources[kind, name] = source
        return lambda: self._mark((kind, name))

    def drop(self, kind: str, name: str) -> None:
        """Take something out of the session, or no longer write it where it is not there yet."""
        self.wait(_AT_MOST)
        with self._changed:
            self._dirty.discard((kind, name))
            self._sources.pop((kind, name), None)
        for item in self._session.items():
            if (item.kind, item.name) == (kind, name):
                self._session.remove(item)

    def _mark(self, key: tuple[str, str]) -> None:
        with self._changed:
            if self._closed:
                return
            self._dirty.add(key)
            self._show("saving …", False)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="workbench-saving", daemon=True)
                self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until nothing is being written; False when the time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    @property
    def idle(self) -> bool:
        """Whether all is written."""
        return self._thread is None and not self._dirty

    def close(self) -> None:
        """Write what is still to be written, and nothing after that."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            left = bool(self._dirty) and self._thread is None
        if left:  # what failed before
            self._work()
        self.wait(_AT_MOST)
        atexit.unregister(self.close)
        if not self._dirty:
            self._show("no longer saved here: the session was closed, or opened anew elsewhere", False)

    def _work(self) -> None:
        while True:
            with self._changed:
                keys, self._dirty = self._dirty, set()
            failure = self._write(keys)
            with self._changed:
                if failure is not None:
                    self._dirty |= keys  # they are tried again with the next change
                    self._show(failure, True)
                elif self._dirty:
                    continue
                else:
                    self._show(f"saved {datetime.now():%H:%M:%S} · {self._session.path.name}", False)
                self._thread = None
                self._changed.notify_all()
                return

    def _write(self, keys: set[tuple[str, str]]) -> str | None:
        """Write what has changed in one transaction; returns what failed, in words, or None."""
        states, failed = {}, None
        for key in sorted(keys):
            try:
                states[key] = self._sources[key]()
            except Exception as error:  # one panel that fails must not keep the others from being saved
                failed = f"{key[1]}: {error}"
        try:
            self._session.put(states)
        except Exception as error:  # it reaches the person, and is tried again
            failed = str(error)
        return None if failed is None else f"not saved: {failed} · tried again with the next change"
