"""Choosing a device, and running in batches that fit its memory."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

from workbench.models.errors import ModelError
from workbench.numerics.memory import is_out_of_memory

#: Share of the free memory that one batch's activations may take.
MEMORY_SHARE = 0.25
#: Larger batches gain nothing on any device that was measured, and delay Cancel.
LARGEST_BATCH = 1024


def available_devices() -> list[str]:
    """Names of the devices that torch can use here, best first: `cuda:0` …, `mps`, `cpu`."""
    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device for a name; `"auto"` takes CUDA, then MPS, then the CPU.

    Raises:
        ModelError: the name is unknown to torch, or that device is not on this machine.
    """
    available = available_devices()
    if device == "auto":
        return torch.device(available[0])
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"device={device!r} is no device; use 'auto' or one of {available}") from error
    kinds = {name.split(":")[0] for name in available}
    if resolved.type not in kinds or (
        resolved.index is not None and resolved.type == "cuda" and f"cuda:{resolved.index}" not in available
    ):
        raise ModelError(f"device={str(device)!r} is not on this machine; use 'auto' or one of {available}")
    return resolved


def free_memory(device: torch.device) -> int:
    """Bytes that a new allocation on `device` may take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # macOS and Windows do not tell
        return 2 * 1024**3


def batch_size_for(bytes_per_sample: int, device: torch.device) -> int:
    """How many samples of `bytes_per_sample` activations fit in one batch on `device`."""
    fitting = int(MEMORY_SHARE * free_memory(device) / max(bytes_per_sample, 1))
    return max(1, min(LARGEST_BATCH, fitting))


def check_fits(what: str, count: int, numbers: int, device: torch.device) -> None:
    """Raise ModelError where `count` things of so many single-precision numbers take more than the free memory.

    Args:
        what: the things, as in "latents were asked for".
    """
    needed, free = 4 * count * max(numbers, 1), free_memory(device)
    if needed > free:
        raise ModelError(
            f"{count:,} {what} were asked for, which take {needed / 2**30:,.1f} GiB; {free / 2**30:,.1f} GiB are "
            f"free on {device}. Ask for fewer at a time"
        )


class Batches:
    """Runs a function over the rows of a tensor in batches, halving the batch when memory runs out.

    The size that was found to fit is kept for the next call.
    """

    def __init__(self, size: int) -> None:
        self.size = max(1, int(size))

    def map(self, function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """`function(*rows)` for consecutive rows of `inputs` (of one length), concatenated.

        A `None` among the inputs is handed on as it is. Raises the device's own out-of-memory error
        only when a single row does not fit.
        """
        total = next(len(i) for i in inputs if i is not None)
        parts: list[Tensor] = []
        start = 0
        while start < total or not parts:
            rows = [None if i is None else i[start : start + self.size] for i in inputs]
            try:
                parts.append(function(*rows))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.size == 1:
                    raise
                retry = True
            else:
                retry = False
            if retry:  # outside the handler, so that the failed pass's tensors are released first
                self.size = max(1, min(self.size, total) // 2)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            start += self.size
        return parts[0] if len(parts) == 1 else torch.cat(parts)
