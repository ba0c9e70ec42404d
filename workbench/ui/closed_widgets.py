"""Widgets that are closed are forgotten by the page, too."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import ClassVar

import anywidget
import ipywidgets as widgets

from workbench.ui.assets import asset_text


class ClosedWidgets(anywidget.AnyWidget):
    """Tells the page which widgets are closed next, so that it can let go of them; one serves a kernel."""

    _esm = asset_text("widgets/closed-widgets/closed-widgets.js")
    _made: ClassVar[ClosedWidgets | None] = None
    _making: ClassVar = threading.Lock()

    @classmethod
    def prepare(cls) -> None:
        """Make that of this kernel, for any thread; another one, where somebody has closed all widgets."""
        with cls._making:
            if cls._made is None or cls._made.comm is None:
                cls._made = cls()

    @classmethod
    def tell(cls, closing: Iterable[widgets.Widget]) -> None:
        """Say which of these are still open and closed next; nothing is said before `prepare`."""
        names = [widget.model_id for widget in closing if widget.comm is not None]
        if cls._made is not None and names:
            cls._made.send({"closing": names})
