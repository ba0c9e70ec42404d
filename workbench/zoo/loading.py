"""`wb.load`: a network of the zoo by name, or a checkpoint of your own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.models import CheckpointError, Classifier, Generator, load_weights
from workbench.zoo import registry


def load(
    source: str | Path,
    *,
    into: nn.Module | None = None,
    key: str | None = None,
    device: str | torch.device = "auto",
    **adapter: Any,
) -> Generator | Classifier:
    """A model from the zoo, or from a checkpoint file.

    Args:
        source: a name that `wb.zoo()` lists, or the path of a safetensors or `weights_only` file.
        into: the architecture that the checkpoint belongs to; the weights go into a copy of it.
        key: entry of the file that holds the state dict, where there are several.
        device: as for `Generator`.
        adapter: settings of `Generator` (with `latent_shape=`) or `Classifier` (with `input_shape=`).

    Raises:
        LookupError: no such name in the zoo; the nearest are suggested.
        FileNotFoundError: no file at the path.
        CheckpointError: damaged, carrying code, or of another architecture.
    """
    path = Path(source)
    if into is None and not (path.suffix or path.exists()):
        return registry.load(str(source), device=device)
    if into is None:
        raise CheckpointError(
            f"{path.name} is a checkpoint, whose architecture is not known; pass the module that it belongs to: "
            f"wb.load({str(source)!r}, into=module, latent_shape=…)"
        )
    module = load_weights(copy.deepcopy(into), path, key=key)
    if ("latent_shape" in adapter) == ("input_shape" in adapter):
        raise CheckpointError("pass latent_shape=… for a generator or input_shape=… for a classifier")
    adapter.setdefault("name", path.stem)
    if "latent_shape" in adapter:
        return Generator(module, device=device, **adapter)
    return Classifier(module, device=device, **adapter)
