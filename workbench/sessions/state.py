"""What is saved of a panel, a sample or anything else: plain values, results and tensors, and their bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from workbench.models.errors import WorkbenchError
from workbench.results import Result, ResultError, unpack


class SessionError(WorkbenchError, ValueError):
    """A session that cannot be opened, read or written, or that belongs to other models."""


@dataclass(frozen=True)
class State:
    """What is needed to show something again.

    Attributes:
        settings: plain values by name: numbers, texts, lists and dictionaries of them. Tuples come back as lists.
        results: of methods, `workbench.results.Result`, by name; they come back on the CPU.
        tensors: by name; they come back on the CPU.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """The bytes of one result, or of a state's bare tensors.

    Attributes:
        document: JSON; of a result what `Result.pack` gives, else empty.
        tensors: safetensors.
        digest: SHA-256 of the two, in hexadecimal digits.
    """

    document: str
    tensors: bytes
    digest: str

    @classmethod
    def of(cls, value: Result | Mapping[str, Tensor]) -> Part:
        """Pack a result or tensors."""
        if isinstance(value, Result):
            described, named = value.pack()
            document = json.dumps(described)
        else:
            named, document = dict(value), ""
        data = safetensors.torch.save(writable(named))
        return cls(document, data, _digest(document, data))

    def read(self, *, source: str) -> Any:
        """The result or the tensors; `source` is what they are called in an error.

        Raises:
            SessionError: not what was written, or of a kind that this version does not know.
        """
        if _digest(self.document, self.tensors) != self.digest:
            raise SessionError(f"{source} is damaged: its bytes are not those that were saved")
        try:
            tensors = safetensors.torch.load(self.tensors)
            return unpack(json.loads(self.document), tensors, source=source) if self.document else tensors
        except (SafetensorError, ResultError, ValueError) as error:
            raise SessionError(f"{source} cannot be read: {error}") from error


def writable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU: safetensors refuses tensors that share memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _digest(document: str, tensors: bytes) -> str:
    return hashlib.sha256(document.encode() + b"\0" + tensors).hexdigest()
