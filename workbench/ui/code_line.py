"""The line or lines of Python that do what a panel shows, with a button that copies them."""

from __future__ import annotations

import traitlets

from workbench.ui.assets import asset_text
from workbench.ui.shared_module import SharedModule


class CodeLine(SharedModule):
    """Shows `code` (synced) and copies it to the clipboard in the browser."""

    _source = asset_text("widgets/code-line/code-line.js")
    _style_sheet = asset_text("widgets/code-line/code-line.css")

    code = traitlets.Unicode("").tag(sync=True)
