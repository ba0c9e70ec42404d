"""BigGAN's published weights as generators, from a file or folder of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workbench.datasets import imagenet
from workbench.files import exists
from workbench.models import CheckpointError, Generator, ModelError, TruncatedNormal, biggan, biggan_deep
from workbench.models.biggan_deep import Statistics
from workbench.models.checkpoints import StateDict

#: What a folder is searched for, best first.
_FILES = ("*pytorch_model.bin", "*.safetensors", "G_ema.pth", "G_ema*.pth")


def find_file(path: Path) -> Path:
    """`path`, or where it is a folder the weights in it.

    Raises:
        FileNotFoundError: the folder holds no weights of a name that is known.
        CheckpointError: it holds several of one kind.
    """
    if not (exists(path) and path.is_dir()):
        return path
    for pattern in _FILES:
        found = sorted(path.glob(pattern))
        if len(found) > 1:
            raise CheckpointError(
                f"{path} holds several checkpoints, {[f.name for f in found]}; give the path of one"
            )
        if found:
            return found[0]
    raise FileNotFoundError(
        f"{path} holds none of {', '.join(_FILES)} but {sorted(f.name for f in path.iterdir())[:8]}; give the "
        "path of the file"
    )


def recognises(state: StateDict) -> bool:
    """Whether the tensors' names are those of BigGAN-PyTorch or pytorch-pretrained-biggan."""
    return biggan.recognises(state) or biggan_deep.recognises(state)


def from_file(
    file: Path,
    state: StateDict,
    *,
    truncation: float = 1.0,
    statistics: Statistics | None = None,
    eps: float | None = None,
    device: str | torch.device = "auto",
    **adapter: Any,
) -> Generator:
    """The generator of a state dict that was read from `file`; `wb.load` explains the settings.

    Raises:
        CheckpointError, ModelError: as the `from_state_dict` of the two layouts.
        ModelError: `statistics` for BigGAN, which has one set of them.
    """
    module: biggan.BigGAN | biggan_deep.BigGANDeep
    if biggan_deep.recognises(state):
        module = biggan_deep.from_state_dict(
            state,
            _config(file),
            truncation=truncation,
            statistics=statistics or "fixed",
            eps=eps,
            source=file.name,
        )
        table, name = module.embeddings.weight, "embeddings.weight"
    elif statistics is not None:
        raise ModelError(
            f"statistics={statistics!r} was given, but {file.name} is a BigGAN, whose batch norms have one set of "
            "statistics; leave it out (BigGAN-deep has one for each truncation)"
        )
    else:
        module = biggan.from_state_dict(state, eps=eps, source=file.name)
        table, name = module.shared.weight, "shared.weight"
    settings: dict[str, Any] = {
        "latent_shape": (module.latents,),
        "class_embeddings": name,
        "class_names": imagenet.class_names() if len(table) == 1000 else None,
        "prior": "normal" if truncation == 1 else TruncatedNormal(truncation),
        "name": file.stem,
    }
    return Generator(module, device=device, **(settings | adapter))


def _config(file: Path) -> Mapping[str, Any] | None:
    """What lies beside the weights: `config.json`, or `NAME-config.json` for `NAME-pytorch_model.bin`."""
    named = file.with_name(file.name.replace("pytorch_model.bin", "config.json"))
    path = named if named != file and named.is_file() else file.with_name("config.json")
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is no readable JSON ({error}); fetch it again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds a {type(config).__name__}, expected an object with the layers")
    return config
