"""The line or lines of Python that do what a panel shows, with a button that copies them."""

from __future__ import annotations

import anywidget
import traitlets

from workbench.ui.assets import asset_text


class CodeLine(anywidget.AnyWidget):
    """Shows `code` (synced) and copies it to the clipboard in the browser."""

    _esm = asset_text("widgets/code-line/code-line.js")
    _css = asset_text("widgets/code-line/code-line.css")

    code = traitlets.Unicode("").tag(sync=True)
