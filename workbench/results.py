"""Results: frozen dataclasses of tensors that know what made them and save without pickle."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.files import is_file, make_folder, replace_file, replace_text
from workbench.machine import processor, versions
from workbench.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Network",
    "Provenance",
    "Result",
    "ResultError",
    "Tables",
    "load_result",
    "processor",
    "sha256_of",
    "unpack",
    "versions",
]

FORMAT = 1
#: The file of a saved result that is written last.
DOCUMENT = "result.json"
#: The packages that a saved result may name; nothing else is ever imported for a file's sake.
_METHODS = ("subspaces", "boundaries", "inverse_sets", "embeddings", "flip_points")
#: Longer values stand under their names in a shown line.
_LITERAL = 80
#: By the annotation of a field, what it may be.
_PLAIN: Mapping[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "str": str, "bool": bool}


class ResultError(WorkbenchError, ValueError):
    """A saved result that is damaged, of another format or of an unknown kind."""


def call(function: str, *arguments: str, **options: Any) -> str:
    """The line of Python that calls `function`: `arguments` as they are written, then options by their values.

    An array, or whatever else is no short literal, stands as the variable of the option's own name.
    """
    named = (f"{name}={_literal(value) or name}" for name, value in options.items())
    return f"{function}({', '.join([*arguments, *named])})"


def _literal(value: Any) -> str | None:
    """`value` as Python writes it, if that is short and gives it back."""
    text = repr(value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return text if len(text) <= _LITERAL else None


class Network(Protocol):
    """What a provenance says of a `workbench.models.Model`."""

    name: str
    device: torch.device
    dtype: torch.dtype

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        ...


@dataclass(frozen=True)
class Provenance:
    """What made a result: enough to make it again.

    Attributes:
        call: the line of Python.
        seed: of every random choice.
        model: name of the network; `fingerprint` is the SHA-256 of its weights.
        device, dtype: where and in what precision it ran.
        passes: single-sample passes by kind (forward, jvp, vjp).
        seconds: wall time.
        partial: stopped before its end.
        made: when, in UTC, as ISO 8601.
        versions: of Python and of the parts that numbers depend on.
    """

    call: str
    seed: int
    model: str
    fingerprint: str
    device: str
    dtype: str
    passes: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    partial: bool = False
    made: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    versions: Mapping[str, str] = field(default_factory=versions)

    @classmethod
    def of(
        cls,
        model: Network,
        *,
        call: str,
        seed: int,
        started: float | None = None,
        passes: Mapping[str, int] | None = None,
        dtype: torch.dtype | None = None,
        partial: bool = False,
    ) -> Provenance:
        """What a network gave just now, once its device has done what it was asked.

        Args:
            started: `time.perf_counter()` at the start of the computation.
            dtype: of the computation, where it is not the network's own.
        """
        _synchronise(model.device)
        return cls(
            call=call,
            seed=seed,
            model=model.name,
            fingerprint=model.fingerprint,
            device=str(model.device),
            dtype=str(dtype or model.dtype),
            passes=dict(passes or {}),
            seconds=0.0 if started is None else time.perf_counter() - started,
            partial=partial,
        )

    @classmethod
    def together(cls, parts: Sequence[Provenance], *, call: str, seed: int) -> Provenance:
        """Of a result that was computed in parts, by one network: passes and seconds of all of them."""
        kinds = {kind for part in parts for kind in part.passes}
        return replace(
            parts[0],
            call=call,
            seed=seed,
            passes={kind: sum(part.passes.get(kind, 0) for part in parts) for kind in sorted(kinds)},
            seconds=sum(part.seconds for part in parts),
            partial=any(part.partial for part in parts),
            made=max(part.made for part in parts),
        )


@dataclass(frozen=True, kw_only=True)
class Result:
    """Base of every method's result: tensors and plain values with their provenance."""

    provenance: Provenance

    _kinds: ClassVar[dict[str, type[Result]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Result._kinds[cls.kind()] = cls

    @classmethod
    def kind(cls) -> str:
        """The name under which this class saves itself, such as `subspaces.Subspace`."""
        package = cls.__module__.split(".")[1] if cls.__module__.startswith("workbench.") else cls.__module__
        return f"{package}.{cls.__name__}"

    def save(self, folder: str | Path) -> Path:
        """Write `result.safetensors` and `result.json` into `folder` (made if needed) and return it.

        Each file is replaced whole, so that a crash leaves the old or the new one.

        Raises:
            FolderError: the folder cannot be made.
        """
        folder = make_folder(Path(folder))
        document, tensors = self.pack()
        text = json.dumps(document, indent=1, allow_nan=True)
        replace_file(folder / "result.safetensors", lambda path: save_file(tensors, path))
        replace_text(folder / DOCUMENT, text)
        return folder

    def to(self, device: str | torch.device) -> Self:
        """The result with all its tensors on a device."""
        fields: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        moved = {name: value.to(device) for name, value in fields.items() if isinstance(value, Tensor)}
        return type(self)(**fields | moved)

    def pack(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The result as a JSON document and its tensors by name, on the CPU; `unpack` takes the two."""
        tensors, values = {}, {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                tensors[f.name] = value.detach().cpu().contiguous()
            elif f.name != "provenance":
                values[f.name] = value
        document = {
            "format": FORMAT,
            "kind": self.kind(),
            "values": values,
            "provenance": dataclasses.asdict(self.provenance),
        }
        return document, tensors

    def frame(self) -> pd.DataFrame:
        """The result as a table; subclasses say of what."""
        raise NotImplementedError(f"{type(self).__name__} has no table")


def differing(function: Callable[..., object], **options: Any) -> dict[str, Any]:
    """Those of a function's options that are not its defaults, as `call` takes them."""
    defaults = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    return {name: value for name, value in options.items() if not _same(value, defaults[name])}


def _same(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and bool(value == default))


def load_result(folder: str | Path) -> Any:
    """The result that `Result.save` wrote into `folder`, of its own class, tensors on the CPU.

    Raises:
        FileNotFoundError: no result there.
        ResultError: damaged, written by a newer version, or of an unknown kind.
    """
    folder = Path(folder)
    for name in (DOCUMENT, "result.safetensors"):
        if not is_file(folder / name):
            raise FileNotFoundError(f"no {name} in {folder}; give the folder that result.save(folder) wrote")
    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        tensors = load_file(folder / "result.safetensors")
    except Exception as error:  # a damaged file makes its readers raise what they like, of JSON RecursionError
        raise _damaged(str(folder), error) from error
    return unpack(document, tensors, source=str(folder))


def unpack(document: Mapping[str, Any], tensors: Mapping[str, Tensor], *, source: str) -> Any:
    """The result that `Result.pack` took apart, of its own class; `source` is where it was read, for errors.

    Raises:
        ResultError: damaged, written by a newer version, or of an unknown kind.
    """
    try:
        stored, kind, values, made = (document[key] for key in ("format", "kind", "values", "provenance"))
        if not (isinstance(values, dict) and isinstance(made, dict)):
            raise TypeError("values and provenance are no objects of JSON")
    except (KeyError, TypeError) as error:
        raise _damaged(source, error) from error
    if stored != FORMAT:
        raise ResultError(f"the result in {source} has format {stored}; this version reads {FORMAT}")
    try:
        provenance = Provenance(**made)
    except TypeError as error:
        raise _damaged(source, error) from error
    cls = _class_of(str(kind))
    names = {f.name for f in dataclasses.fields(cls)}
    given = {**values, **tensors}
    if set(given) - names or any(
        f.name not in given
        for f in dataclasses.fields(cls)
        if f.name != "provenance" and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ):
        raise ResultError(f"the result in {source} does not hold the fields of {kind}: {sorted(given)}")
    tupled = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    _check_plain(Provenance, vars(provenance), source)
    _check_plain(cls, tupled, source)
    return cls(provenance=provenance, **tupled)


def _damaged(source: str, error: Exception) -> ResultError:
    return ResultError(f"the result in {source} is damaged ({type(error).__name__}: {error})")


def _check_plain(cls: type, values: Mapping[str, Any], source: str) -> None:
    """Refuse another type where a field says `int`, `float`, `str` or `bool`: lines of Python hold these."""
    for f in dataclasses.fields(cls):
        expected, value = _PLAIN.get(str(f.type)), values.get(f.name, f.default)
        if expected and not isinstance(value, expected):
            raise ResultError(f"the result in {source} is damaged: {f.name} is {value!r:.80}, expected {f.type}")


def _class_of(kind: str) -> type[Result]:
    package = kind.partition(".")[0]
    if package in _METHODS and kind not in Result._kinds:
        try:
            import_module(f"workbench.{package}")
        except ModuleNotFoundError as error:
            raise ResultError(f"this version of the workbench has no {package}") from error
    if kind not in Result._kinds:
        raise ResultError(f"unknown kind of result {kind!r}; known are {sorted(Result._kinds)}")
    return Result._kinds[kind]


def sha256_of(tensor: Tensor) -> str:
    """SHA-256 of a tensor's numbers, wherever they lie."""
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().to_dense().contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()


def _synchronise(device: torch.device) -> None:
    """Wait until `device` has done what it was given, so that a clock read next means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
