"""Reading weights from files without ever running code that a file carries."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from workbench.files import is_file
from workbench.models.errors import CheckpointError

StateDict = dict[str, Tensor]


def load_state_dict(path: str | Path, *, key: str | None = None) -> StateDict:
    """The tensors of a checkpoint by name, on the CPU.

    safetensors files are read as such; everything else by `torch.load(weights_only=True)`, which
    refuses pickled code.

    Args:
        path: the file.
        key: entry that holds the state dict where the file holds several, such as `"G_ema"`.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: damaged, carrying code, or holding no (or several) state dicts.
    """
    path = Path(path)
    if not is_file(path):
        raise FileNotFoundError(f"no checkpoint at {path}; give the path of a .safetensors, .pt or .pth file")
    stored = _read(path)
    if key is not None:
        if not isinstance(stored, Mapping) or key not in stored:
            raise CheckpointError(f"{path.name} has no entry {key!r}; it holds {_entries(stored)}")
        stored = stored[key]
    if not _is_state_dict(stored) and isinstance(stored, Mapping):
        inner = [name for name, value in stored.items() if _is_state_dict(value)]
        if len(inner) > 1:
            raise CheckpointError(f"{path.name} holds several state dicts, {inner}; choose one with key=…")
        if inner:
            stored = stored[inner[0]]
    if isinstance(stored, Mapping) and {"state", "param_groups"} <= stored.keys():
        raise CheckpointError(
            f"{path.name} is the state of an optimiser and holds no weights; load the network's own file "
            "(of BigGAN-PyTorch's, G_ema.pth)"
        )
    if not _is_state_dict(stored):
        raise CheckpointError(f"{path.name} holds no state dict but {_entries(stored)}")
    prefix = "module."  # what DataParallel adds
    wrapped = all(name.startswith(prefix) for name in stored)
    return {name[len(prefix) :] if wrapped else name: value for name, value in stored.items()}


def load_weights(module: nn.Module, path: str | Path, *, key: str | None = None) -> nn.Module:
    """Load a checkpoint into `module` (changed in place and returned); every tensor must fit.

    Raises:
        CheckpointError: the checkpoint belongs to another architecture; says which tensors differ.
    """
    fit_state_dict(module, load_state_dict(path, key=key), source=Path(path).name)
    return module


def fit_state_dict(module: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load `state` into `module`, or raise CheckpointError listing what is missing, left over or misshapen."""
    own = module.state_dict()
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    left_over = [n for n in state if n not in own]
    misshapen = [
        f"{n} {tuple(state[n].shape)} for {tuple(own[n].shape)}"
        for n in own
        if n in state and state[n].shape != own[n].shape
    ]
    problems = [
        f"{what}: {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
        for what, names in (("missing", missing), ("left over", left_over), ("of another shape", misshapen))
        if names
    ]
    if problems:
        raise CheckpointError(
            f"{source} belongs to another architecture than {type(module).__name__} ({'; '.join(problems)}); "
            "build the module with the settings that it was trained with"
        )
    module.load_state_dict(dict(state), strict=False)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except Exception as error:  # a damaged header makes its readers raise what they like
            raise CheckpointError(
                f"{path.name} is no readable safetensors file ({error}); it may be cut off: fetch it again"
            ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} holds pickled objects or code beside its tensors, or is damaged; it was not opened, as "
            "unpickling can run anything. Where you trust it, open it yourself and save "
            "safetensors.torch.save_file(state_dict, …)"
        ) from error
    except Exception as error:  # a damaged file makes the unpickler raise what it likes
        raise CheckpointError(
            f"{path.name} is no readable checkpoint ({type(error).__name__}: {error}); it may be cut off: "
            "fetch it again"
        ) from error


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def _entries(stored: Any) -> str:
    if isinstance(stored, Mapping):
        return f"a dict with {sorted(map(str, stored))[:8]}"
    return f"a {type(stored).__name__}"
