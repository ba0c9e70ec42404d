"""`wb.load`: a network of the zoo by name, published weights of BigGAN, or a checkpoint of your own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.files import exists
from workbench.models import CheckpointError, Classifier, Generator, ModelError, load_state_dict, load_weights
from workbench.zoo import biggan, registry


def load(
    source: str | Path,
    *,
    into: nn.Module | None = None,
    key: str | None = None,
    device: str | torch.device = "auto",
    **adapter: Any,
) -> Generator | Classifier:
    """A model from the zoo, or from a checkpoint file.

    BigGAN's public weights are known by their tensors' names and need no `into`: a generator of the
    authors' BigGAN-PyTorch (`G_ema.pth`, of any resolution and width) and BigGAN-deep of Hugging Face's
    pytorch-pretrained-biggan (`pytorch_model.bin` with its `config.json` beside it, or their folder). Their
    classes have ImageNet's names where there are 1,000, and their `class_embeddings` are the table of
    embeddings. Nothing is downloaded. Further settings of theirs:

    - `truncation`: 1 samples the full prior N(0, 1); t < 1 samples t times N(0, 1) cut at ±2. In
      BigGAN-deep t also selects the batch norms' statistics; the other has only those of the full prior.
    - `statistics`: how BigGAN-deep selects them, `"fixed"` (default) or `"compat"`
      (`workbench.models.biggan_deep.from_state_dict`).
    - `eps`: of the conditional batch norms (`workbench.models.biggan.from_state_dict`).

    Args:
        source: a name that `wb.zoo()` lists, or the path of a safetensors or `weights_only` file; where a file or
            folder has the name of a network of the zoo, `./NAME` is the file.
        into: the architecture that the checkpoint belongs to; the weights go into a copy of it.
        key: entry of the file that holds the state dict, where there are several.
        device: as for `Generator`.
        adapter: settings of `Generator` (with `latent_shape=`) or `Classifier` (with `input_shape=`); a network of
            the zoo takes none.

    Raises:
        LookupError: no such name in the zoo; the nearest are suggested.
        FileNotFoundError: no file at the path, or no weights in the folder.
        CheckpointError: damaged, carrying code, or of another architecture.
        ModelError: a setting out of range, or one that is missing or does not belong there.
    """
    path, name = Path(source), str(source)
    shipped = name in (entry.name for entry in registry.entries())
    if into is None and (shipped or not (path.suffix or exists(path) or path.name != name)):
        registry.find(name)
        refused = [*adapter, *(["key"] if key is not None else [])]
        if refused:
            raise ModelError(
                f"{name} comes from the zoo as it was trained, and {', '.join(refused)} cannot be set; leave that "
                f"out, or wrap wb.zoo.load_module({name!r}) in a Generator or Classifier of your own"
            )
        return registry.load(name, device=device)
    if into is not None and ("latent_shape" in adapter) == ("input_shape" in adapter):
        given = ", ".join(adapter) or "no settings"
        raise ModelError(
            f"into= was given with {given}; expected latent_shape=… for a generator, or input_shape=… for a "
            "classifier"
        )
    path = biggan.find_file(path)
    if into is None:
        state = load_state_dict(path, key=key)
        if biggan.recognises(state):
            return biggan.from_file(path, state, device=device, **adapter)
        raise CheckpointError(
            f"{path.name} is a checkpoint, whose architecture is not known; pass the module that it belongs to: "
            f"wb.load({str(source)!r}, into=module, latent_shape=…)"
        )
    module = load_weights(copy.deepcopy(into), path, key=key)
    adapter.setdefault("name", path.stem)
    if "latent_shape" in adapter:
        return Generator(module, device=device, **adapter)
    return Classifier(module, device=device, **adapter)
