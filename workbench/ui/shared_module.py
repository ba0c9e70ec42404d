"""Widgets whose browser code is sent once a kernel and evaluated once a page, however many of them there are."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import anywidget
import ipywidgets as widgets
import traitlets as t

from workbench.ui.assets import asset_text


class ModuleSource(anywidget.AnyWidget):
    """The source of a browser module, for all widgets that run it.

    Attributes:
        source: JavaScript, an ES module as anywidget takes it.
        key: the beginning of its SHA-256, by which a page knows the module.
    """

    _esm = "export default {}"
    source = t.Unicode().tag(sync=True)
    key = t.Unicode().tag(sync=True)
    _made: ClassVar[dict[str, ModuleSource]] = {}

    @classmethod
    def of(cls, source: str) -> ModuleSource:
        """That of this kernel; another one, where somebody has closed all widgets."""
        key = hashlib.sha256(source.encode()).hexdigest()[:16]
        if key not in cls._made or cls._made[key].comm is None:
            cls._made[key] = cls(source=source, key=key)
        return cls._made[key]


class SharedModule(anywidget.AnyWidget):
    """A widget that gives its browser code as `_source` where an anywidget gives `_esm`.

    A browser keeps every module for good, and anywidget evaluates the code of each widget as a module of its own:
    a page would grow with each panel that is opened, and a notebook would store the code once for each widget.
    """

    _esm = asset_text("widgets/shared-module/shared-module.js")
    _source: ClassVar[str]
    _module = t.Instance(ModuleSource).tag(sync=True, **widgets.widget_serialization)

    @t.default("_module")
    def _shared(self) -> ModuleSource:
        return ModuleSource.of(self._source)
