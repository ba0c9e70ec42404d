"""Networks that ship: `wb.zoo()` lists them, `wb.load(name)` loads one."""

from __future__ import annotations

import sys
from types import ModuleType

from workbench.zoo.loading import load
from workbench.zoo.registry import Table, ZooEntry, ZooError, entries, find, load_module


class _CallableModule(ModuleType):
    """Lets `wb.zoo()` list what `wb.zoo` holds."""

    def __call__(self) -> Table:
        return entries()


sys.modules[__name__].__class__ = _CallableModule

__all__ = ["Table", "ZooEntry", "ZooError", "entries", "find", "load", "load_module"]
