"""Docstrings are plain text with code in backticks: stars of shapes such as `*latent` are no markup."""

from __future__ import annotations

import inspect
import re

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

from workbench.results import Result

_CODE_OR_MARKUP = re.compile(r"(`[^`]*`)|([*|\\])|(?<=\w)_(?!\w)")


def _escape(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str], *rest: object
) -> None:
    if what == "data" and "\n".join(lines).strip() == (inspect.getdoc(type(thing)) or ""):
        lines.clear()  # a dict would be described by the docstring of all dicts
    lines[:] = [_CODE_OR_MARKUP.sub(lambda found: found[1] or f"\\{found[0]}", line) for line in lines]


def _signature(
    app: Sphinx, what: str, name: str, thing: object, options: object, given: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Nobody calls the class of a result; that of a widget hides its arguments behind those of traitlets."""
    if what != "class" or not isinstance(thing, type):
        return None
    if issubclass(thing, Result):
        return "", None
    if given and given.startswith("(*args"):
        own = list(inspect.signature(thing.__init__).parameters.values())[1:]
        return stringify_signature(inspect.Signature(own), show_annotation=True, unqualified_typehints=True), None
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Escape before Napoleon reads the sections."""
    app.connect("autodoc-process-docstring", _escape, priority=400)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
