"""The private copy of a network that the workbench runs, and which networks cannot be copied."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from workbench.models.errors import ModelError


def frozen_copy(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy of `module` in eval mode, without gradients, with no in-place activations, and not compiled.

    The weights share the memory of the original where the device is the same; the structure, the
    mode and the buffers are the copy's own, so that the user's module is never changed. What
    `torch.compile` made is left out: layers are read, replaced and stopped at one by one.
    """
    module = _uncompiled(module)
    _check_copyable(module)
    memo: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in module.parameters()}
    for submodule in module.modules():  # weight_norm keeps a computed weight, which deepcopy refuses
        for value in vars(submodule).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach()
    try:
        copied = copy.deepcopy(module, memo)
    except Exception as error:
        raise ModelError(
            f"{type(module).__name__} could not be copied ({type(error).__name__}: {error}); the workbench "
            "works on a copy so that yours is never changed. Make the module work with copy.deepcopy"
        ) from error
    for submodule in list(copied.modules()):
        for name, child in submodule.named_children():
            if _uncompiled(child) is not child:
                setattr(submodule, name, _uncompiled(child))
        if getattr(submodule, "inplace", None) is True:
            submodule.inplace = False  # type: ignore[assignment] # it would overwrite the pre-activation
    return copied.eval().requires_grad_(False).to(device)


def _check_copyable(module: nn.Module) -> None:
    """Raise ModelError for a network whose layers cannot be read, or whose weights are not there."""
    name = type(module).__name__
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise ModelError(
            f"{name} is, or holds, a TorchScript module, whose layers cannot be read; give the torch.nn.Module "
            "that it was made of"
        )
    tensors = [*module.parameters(), *module.buffers()]
    if any(is_lazy(t) for t in tensors):
        raise ModelError(
            f"{name} holds lazy layers, whose weights have no shape yet; run it once on a batch, then give it"
        )
    if any(t.is_meta for t in tensors):
        raise ModelError(
            f"{name} holds weights on the meta device, which have no values; load them first: "
            "module.to_empty(device='cpu'), then module.load_state_dict(…)"
        )


def _uncompiled(module: nn.Module) -> nn.Module:
    """What `torch.compile` was given, where `module` is what it made."""
    return getattr(module, "_orig_mod", module)
