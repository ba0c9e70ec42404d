"""The lines of a report's notebook that bring its networks: from the zoo, or put in by whoever has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.exports.description import ExportError
from workbench.models import Classifier, Generator, LatentClassifier
from workbench.models.model import Model


@dataclass(frozen=True)
class Stand:
    """What a notebook's code names, and the lines that make it.

    Attributes:
        symbol: the name.
        lines: of Python, that may use `tensors` and `device`.
        inputs: tensors that the lines need, by name.
        device: where it ran, if the lines load it from the zoo, else "".
    """

    symbol: str
    lines: str
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    device: str = ""


def network(symbol: str, model: Model) -> Stand:
    """A network of the zoo by its name; another as a place for whoever opens the notebook to put it."""
    if isinstance(model, LatentClassifier):
        first, second = network(symbol, model.classifier), network(f"{symbol}_generator", model.generator)
        return Stand(
            symbol,
            f"{first.lines}\n{second.lines}\n{symbol} = {symbol}.on({second.symbol})",
            {**first.inputs, **second.inputs},
            first.device or second.device,
        )
    made = f"wb.load({model.origin!r}, device=device)" if model.origin else f"None  # {_asked_for(symbol, model)}"
    lines = [f"{symbol} = {made}", f"require({symbol}, {symbol!r}, {model.name!r}, {model.fingerprint!r})"]
    inputs: dict[str, Tensor] = {}
    if isinstance(model, Generator) and model.class_names is not None:
        lines += _classes(symbol, model, inputs)
    return Stand(symbol, "\n".join(lines), inputs, str(model.device) if model.origin else "")


def _asked_for(symbol: str, model: Model) -> str:
    """How a network that is not of the zoo is put in, in one line of text."""
    if isinstance(model, Generator):
        names = ", class_names=…" if model.class_names else ""
        rows = ", class_embeddings=…" if model.class_embeddings is not None else ""
        shape = f"latent_shape={model.latent_shape!r}, value_range={model.value_range!r}{names}{rows}"
        return f"put your network here: {symbol} = wb.Generator(module, {shape}, name={model.name!r})"
    assert isinstance(model, Classifier)
    shape = f"input_shape={model.input_shape!r}, value_range={model.input_bounds!r}"
    return f"put your network here: {symbol} = wb.Classifier(module, {shape}, name={model.name!r})"


def _classes(symbol: str, model: Generator, inputs: dict[str, Tensor]) -> list[str]:
    """Lines that give a generator its class embeddings, where they are not its network's, and fix its class."""
    lines, rows = [], model.class_embeddings
    own = [p for p in (*model.module.parameters(), *model.module.buffers()) if rows is not None]
    if rows is not None and not any(p.shape == rows.shape and torch.equal(p.to(rows), rows) for p in own):
        inputs[f"{symbol}_embeddings"] = rows
        lines.append(f'{symbol} = {symbol}.with_embeddings(tensors["{symbol}_embeddings"])')
    bound = model.fixed
    if bound is None:
        return lines
    index = model.fixed_index
    if index is None:
        inputs[f"{symbol}_class"] = bound
        lines.append(f'{symbol} = {symbol}.of_class(tensors["{symbol}_class"])  # an embedding')
    else:
        lines.append(f"{symbol} = {symbol}.of_class({index})  # {(model.class_names or [])[index]!r}")
    return lines


def require(model: Model | None, symbol: str, name: str, fingerprint: str) -> None:
    """Check that a network is the one that a report is about.

    Args:
        model: the network, or None where it is not in its place.
        symbol: what the notebook calls it.
        name: of the network.
        fingerprint: SHA-256 of its weights.

    Raises:
        ExportError: another network, or none.
    """
    if model is None:
        raise ExportError(
            f"{symbol} is {name!r}, a network of your own (SHA-256 of its weights {fingerprint}), which is not in "
            f"the zoo; put it in place of None, or give folder= the results that came with this report"
        )
    if model.fingerprint != fingerprint:
        raise ExportError(
            f"{symbol} is {model.name!r} with weights {model.fingerprint[:12]}…; this report is about {name!r} "
            f"with weights {fingerprint[:12]}…"
        )
