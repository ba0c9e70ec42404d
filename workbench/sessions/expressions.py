"""Lines of Python that a session holds: people copy them and exported reports run them."""

from __future__ import annotations

import ast
from typing import Any

from workbench.sessions.state import SessionError

#: All that a panel's lines call.
_CALLS = frozenset(
    {
        "wb.flip_points.closest",
        "wb.flip_points.boundary_points",
        "wb.inverse_sets.sample",
        "wb.inverse_sets.band",
        "wb.inverse_sets.Encoder",
        "wb.models.latent.pictures_for",
        "torch.tensor",
        "G.latents",
        "C.generator.latents",
    }
)
_PARTS = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Attribute, ast.Load, ast.Subscript, ast.Slice),
    *(ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult),
)


def expression(text: Any) -> str:
    """`text`, if it is one expression of literals, variables, their attributes and what panels call, in one line.

    Raises:
        SessionError: it is anything else, which a session of the workbench never holds.
    """
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        nodes = []
    if not nodes or not text.isprintable() or not all(_is_plain(node) for node in nodes):
        raise SessionError(f"its line of Python, {text!r:.200}, is none that a panel writes")
    return str(text)


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Call) or ast.unparse(node.func) in _CALLS
    if isinstance(node, ast.Attribute | ast.Name):
        return not (node.attr if isinstance(node, ast.Attribute) else node.id).startswith("_")
    return isinstance(node, _PARTS)
