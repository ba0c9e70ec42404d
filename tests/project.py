"""The project's own files, read by the tests that keep them in step."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def pyproject() -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def contract(kind: str) -> dict[str, Any]:
    """The import contract of a kind: "layers", "forbidden" or "independence"."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    return next(c for c in contracts if c["type"] == kind)
