"""Docstrings are plain text with code in backticks: stars of shapes such as `*latent` are no markup."""

from __future__ import annotations

import inspect
import re

from sphinx.application import Sphinx

_CODE_OR_MARKUP = re.compile(r"(`[^`]*`)|([*|\\])|(?<=\w)_(?!\w)")


def _escape(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str], *rest: object
) -> None:
    if what == "data" and "\n".join(lines).strip() == (inspect.getdoc(type(thing)) or ""):
        lines.clear()  # a dict would be described by the docstring of all dicts
    lines[:] = [_CODE_OR_MARKUP.sub(lambda found: found[1] or f"\\{found[0]}", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Escape before Napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _escape, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
