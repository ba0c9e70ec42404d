"""What a value is, as a hash of its content: the same wherever and whenever it was made, and on any device."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import types
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import workbench
from workbench.errors import WorkbenchError
from workbench.machine import versions
from workbench.models import Model
from workbench.results import Result, sha256_of

#: Attributes of a model that no number depends on, or that its fingerprint or its module stand for.
_LEFT_OUT = frozenset(
    {
        *("device", "module", "layers", "batches", "_access", "_chain", "_differentiable"),
        *("_fingerprint", "_fingerprinted", "_wanted_batch_size"),
    }
)
#: Attributes of every module: weights and buffers are in the fingerprint, parts are hashed themselves.
_OF_EVERY_MODULE = frozenset({*vars(nn.Module()), "training"})
#: Parts of the workbench that only show: what they draw is computed elsewhere.
_SHOWS = ("ui", "reports", "cli.py", "figures.py", "panel*.py")
#: Packages whose classes are known by their name and version.
_KNOWN = frozenset({"workbench", "torch", "torchvision", "builtins"})
_HEAP_TYPE = 1 << 9


class ContentError(WorkbenchError, TypeError):
    """A value whose content cannot be told; says which, and what can."""


class Contents:
    """Hashes of values, and the models that were met in them.

    Attributes:
        models: by their fingerprint.
    """

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self._open: list[int] = []

    def digest(self, value: Any, where: str) -> str:
        """SHA-256 of a value's content.

        Numbers, strings, lists, dicts and dataclasses count by their values; tensors and arrays by type, shape and
        bytes; models by their weights, structure and settings, whatever device they are on; results by what they
        hold, whatever made them; functions by their name, and those that neither torch nor the workbench has by
        their code, too. Global variables that a function reads are not seen.

        Args:
            where: what to call the value in an error.

        Raises:
            ContentError: its content cannot be told.
        """
        if id(value) in self._open:
            raise ContentError(f"{where} holds itself; what is cached must be a tree of values")
        self._open.append(id(value))
        try:
            tag = f"{type(value).__module__}.{type(value).__qualname__}"
            return hashlib.sha256("\n".join([tag, *self._parts(value, where)]).encode()).hexdigest()
        finally:
            self._open.pop()

    def _parts(self, value: Any, where: str) -> Iterator[str]:
        match value:
            case None | bool() | int() | float() | complex() | str() | bytes() | PurePath():
                yield repr(value)
            case torch.dtype() | np.dtype() | enum.Enum():
                yield str(value)
            case torch.device():
                return
            case Tensor():
                yield from (str(value.dtype), str(tuple(value.shape)), sha256_of(value))
            case np.ndarray() | np.generic() if not value.dtype.hasobject:
                yield from (str(value.dtype), str(value.shape), hashlib.sha256(value.tobytes()).hexdigest())
            case Model():
                self.models[value.fingerprint] = value
                yield value.fingerprint
                settings = {k: v for k, v in vars(value).items() if k not in _LEFT_OUT}
                yield self.digest(settings, f"settings of {where}")
                yield from self._module(value.module, f"the module of {where}")
            case nn.Module():
                for name, tensor in sorted(value.state_dict().items()):
                    yield self.digest(tensor, f"{name} of {where}")
                yield from self._module(value, where)
            case Result():
                fields = [f.name for f in dataclasses.fields(value) if f.name != "provenance"]
                yield from (f"{n} {self.digest(getattr(value, n), f'{where}.{n}')}" for n in fields)
            case functools.partial():
                yield self.digest([value.func, value.args, value.keywords], where)
            case types.FunctionType():
                yield from self._function(value, where)
            case types.MethodType():
                yield self.digest([value.__self__, value.__func__], where)
            case types.BuiltinFunctionType():
                yield f"{value.__module__}.{value.__qualname__}"
                if not isinstance(value.__self__, types.ModuleType | type | None):
                    yield self.digest(value.__self__, f"the object of {where}")
            case type():
                yield f"{value.__module__}.{value.__qualname__}"
                yield from self._class(value, where)
            case Mapping():
                items = (f"{self.digest(k, where)} {self.digest(v, f'{where}[{k!r}]')}" for k, v in value.items())
                yield from sorted(items)
            case list() | tuple():
                yield from (self.digest(item, f"{where}[{place}]") for place, item in enumerate(value))
            case set() | frozenset():
                yield from sorted(self.digest(item, where) for item in value)
            case _ if _is_table(value):
                yield self.digest(_columns(value), where)
            case _ if dataclasses.is_dataclass(value):
                yield from self._class(type(value), where)
                yield self.digest({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, where)
            case _ if hasattr(value, "__dict__") and _is_written_in_python(type(value)):
                yield from self._class(type(value), where)
                yield self.digest(vars(value), where)
            case _:
                raise ContentError(
                    f"{where} is a {type(value).__qualname__}, whose content cannot be told; give numbers, "
                    "strings, tensors, models, results, functions, or lists, dicts and dataclasses of these"
                )

    def _module(self, module: nn.Module, where: str) -> Iterator[str]:
        """What weights do not tell: the parts' kinds and settings, hooks, and buffers that are not saved."""
        for name, part in module.named_modules():
            own = {k: v for k, v in vars(part).items() if k not in _OF_EVERY_MODULE}
            own |= {k: v for k, v in part.named_buffers(recurse=False) if k in part._non_persistent_buffers_set}
            yield f"{name} {type(part).__module__}.{type(part).__qualname__}"
            for hook in (*part._forward_pre_hooks.values(), *part._forward_hooks.values()):
                yield from _hook(hook)
            yield from self._class(type(part), where)
            yield self.digest(own, f"{where}, part {name!r}" if name else where)

    def _function(self, function: types.FunctionType, where: str) -> Iterator[str]:
        yield f"{function.__module__}.{function.__qualname__}"
        yield self.digest([function.__defaults__, function.__kwdefaults__], f"defaults of {where}")
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        yield self.digest(cells, f"what {where} closes over")
        if function.__module__.partition(".")[0] not in _KNOWN:
            yield from _code(function.__code__)

    def _class(self, cls: type, where: str) -> Iterator[str]:
        """The code of a class, where its name and the recorded versions do not stand for it."""
        for base in cls.__mro__:
            if base.__module__.partition(".")[0] not in _KNOWN:
                for name, member in sorted(vars(base).items()):
                    for function in _functions(member):
                        yield name
                        yield from _code(function.__code__)


def _code(code: types.CodeType) -> Iterator[str]:
    """Bytecode, names and constants, those of functions within included; not where they stand in a file."""
    yield from (code.co_code.hex(), repr(code.co_names), repr(code.co_varnames))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code(constant)
        else:
            yield repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant)


def _hook(hook: object) -> Iterator[str]:
    """A hook by its code alone: what it closes over is mostly the module itself."""
    if getattr(hook, "__module__", "").partition(".")[0] == "workbench":  # a model's own, by which layers are read
        return
    yield f"{type(hook).__module__}.{type(hook).__qualname__}"
    if isinstance(hook, types.FunctionType):
        yield from _code(hook.__code__)


def _functions(member: object) -> Iterator[types.FunctionType]:
    """The functions of an attribute of a class: a method's, a property's, a static or class method's."""
    for name in ("__func__", "fget", "fset"):
        member = getattr(member, name, None) or member
    if isinstance(member, types.FunctionType):
        yield member


def _is_table(value: Any) -> bool:
    """Whether it is pandas' table, without importing pandas."""
    return type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ == "DataFrame"


def _columns(table: Any) -> dict[str, list[Any]]:
    return {str(name): [str(column.dtype), column.tolist()] for name, column in table.items()}


def _is_written_in_python(cls: type) -> bool:
    """Whether all that an object holds is in its `__dict__`: none of its classes is one of C's."""
    return all(base is object or base.__flags__ & _HEAP_TYPE for base in cls.__mro__)


@cache
def made_by() -> Mapping[str, str]:
    """What numbers depend on besides the arguments: the workbench's own source and the versions of its parts."""
    parts = {name: version for name, version in versions().items() if name not in ("python", "latent-workbench")}
    return {"source": source(Path(workbench.__file__).parent), **parts}


def source(package: Path) -> str:
    """SHA-256 of the files of Python in a package that compute; those that only show may change."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if not any(PurePath(part).match(pattern) for part in place.parts for pattern in _SHOWS):
            found.update(f"{place.as_posix()}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


def named(function: Callable[..., Any]) -> str:
    """The qualified name of a function, for people."""
    inner = function.func if isinstance(function, functools.partial) else function
    return f"{getattr(inner, '__module__', '')}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"
