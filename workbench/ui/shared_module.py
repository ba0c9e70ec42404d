"""Widgets whose browser code is sent once a kernel and evaluated once a page, however many of them there are."""

from __future__ import annotations

import hashlib
import threading
from typing import ClassVar

import anywidget
import ipywidgets as widgets
import traitlets as t

from workbench.ui.assets import asset_text


def key_of(source: str, css: str = "") -> str:
    """By what a page knows a module: the beginning of the SHA-256 of its code and its style sheet."""
    return hashlib.sha256(f"{source}\0{css}".encode()).hexdigest()[:16]


class ModuleSource(anywidget.AnyWidget):
    """The source of a browser module, for all widgets that run it.

    Attributes:
        source: JavaScript, an ES module as anywidget takes it.
        css: its style sheet.
        key: see `key_of`.
    """

    _esm = "export default {}"
    source = t.Unicode().tag(sync=True)
    css = t.Unicode().tag(sync=True)
    key = t.Unicode().tag(sync=True)
    _made: ClassVar[dict[tuple[str, str], ModuleSource]] = {}
    _making: ClassVar = threading.Lock()

    @classmethod
    def of(cls, source: str, css: str = "") -> ModuleSource:
        """That of this kernel, for any thread; another one, where somebody has closed all widgets."""
        with cls._making:
            made = cls._made.get((source, css))
            if made is None or made.comm is None:
                made = cls._made[source, css] = cls(source=source, css=css, key=key_of(source, css))
            return made


class SharedModule(anywidget.AnyWidget):
    """A widget that gives as `_source` and `_style_sheet` what an anywidget gives as `_esm` and `_css`.

    A browser keeps every module for good, and anywidget evaluates the code of each widget as a module of its own:
    a page would grow with each panel that is opened, and a notebook would store the code once for each widget.
    """

    _esm = asset_text("widgets/shared-module/shared-module.js")
    _source: ClassVar[str]
    _style_sheet: ClassVar[str] = ""
    _module = t.Instance(ModuleSource).tag(sync=True, **widgets.widget_serialization)

    @t.default("_module")
    def _shared(self) -> ModuleSource:
        return ModuleSource.of(self._source, self._style_sheet)
