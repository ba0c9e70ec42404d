"""Which networks a session belongs to: known by their weights, and loaded again where the zoo has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from workbench.models import Classifier, Generator
from workbench.results import sha256_of
from workbench.sessions.state import SessionError
from workbench.zoo import registry
from workbench.zoo.registry import ZooError

Network = Generator | Classifier
#: What is compared when a session is opened again: the weights, and what a generator's classes are made from.
_IDENTITY = ("fingerprint", "classes", "bound")


def record(model: Network) -> dict[str, Any]:
    """What a session says of a network; its weights are not copied.

    The entries: `kind` (`Generator` or `Classifier`), `name`, `fingerprint` (SHA-256 of the weights), `classes`
    and `bound` (SHA-256 of a generator's class embeddings, and of the class that is fixed; None without), `zoo`
    (the name that `wb.load` takes, or None), `class_index` (of the class that is fixed, or None), `input_shape`,
    and `made` (the Python that gives it again, as far as it is known).
    """
    bound, index = (model.fixed, model.fixed_index) if isinstance(model, Generator) else (None, None)
    table = getattr(model, "class_embeddings", None)
    zoo = model.origin or None
    shape = model.latent_shape if isinstance(model, Generator) else model.input_shape
    kind = "Generator" if isinstance(model, Generator) else "Classifier"
    of_class = "" if index is None else f".of_class({index})"
    argument = "latent_shape" if kind == "Generator" else "input_shape"
    return {
        "kind": kind,
        "name": model.name,
        "fingerprint": model.fingerprint,
        "classes": None if table is None else sha256_of(table),
        "bound": None if bound is None else sha256_of(bound),
        "zoo": zoo,
        "class_index": index,
        "input_shape": list(shape),
        "made": f"wb.load({zoo!r}){of_class}" if zoo else f"wb.{kind}(…, {argument}={tuple(shape)})",
    }


def check(known: Mapping[str, Any], model: Network, *, role: str, session: str) -> None:
    """Refuse another network than the one that a session was made with.

    Raises:
        SessionError: says which one it was made with.
    """
    given = record(model)
    if any(known.get(name) != given[name] for name in _IDENTITY):
        raise SessionError(
            f"{session} was made with the {role} {_described(known)}, not with {_described(given)}. Give that "
            f"one, {known['made']}, or begin another session under another name"
        )


def load(known: Mapping[str, Any], *, role: str, session: str, device: str | torch.device = "auto") -> Network:
    """The network of a session that was not given, from the zoo.

    Raises:
        SessionError: it is none of the zoo, or the zoo's has other weights now.
    """
    wanted = f"{session} needs its {role}, {_described(known)}, which is not given"
    if not known["zoo"]:
        how = "wb.open(G, C, …)" if role != "encoder" else "wb.open(G, C, encoder=E, …)"
        raise SessionError(f"{wanted}: pass it, {how}. It was made as {known['made']}; weights are not copied")
    try:
        model = registry.load(known["zoo"], device=device)
    except ZooError as error:
        raise SessionError(f"{wanted}: {error}") from error
    if isinstance(model, Generator) and known["class_index"] is not None:
        model = model.of_class(known["class_index"])
    check(known, model, role=role, session=session)
    return model


def _described(known: Mapping[str, Any]) -> str:
    of_class = "" if known["class_index"] is None else f", class {known['class_index']}"
    return f"{known['name']} (weights {known['fingerprint'][:12]}…{of_class})"
