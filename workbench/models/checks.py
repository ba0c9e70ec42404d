"""Checks of what goes into a network and comes out of it, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor

from workbench.models.errors import ModelError, nearest_names

#: A wider range of pixels was declared for bytes, (0, 255); of a narrower one an output may take a sliver.
_BYTES = 20


def as_tensor(value: Any, *, name: str) -> Tensor:
    """`value` as a tensor of real numbers.

    Raises:
        ModelError: it is none, and cannot be made one.
    """
    try:
        tensor = torch.as_tensor(value)
    except Exception as error:  # sequences and arrays of any kind are converted, and raise what they like
        raise ModelError(f"{name} is {type(value).__name__}, which is no tensor or array: {error}") from error
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise ModelError(f"{name} has dtype {tensor.dtype}; real numbers were expected")
    return tensor


def as_batch(value: Any, shape: tuple[int, ...], *, name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`value` as a tensor (batch, *shape) on `device`; arrays and lists are converted.

    Raises:
        ModelError: another shape, or no real numbers.
    """
    tensor = as_tensor(value, name=name)
    if tuple(tensor.shape[1:]) != shape or tensor.ndim != len(shape) + 1:
        expected = "(batch, " + ", ".join(map(str, shape)) + ")"
        hint = ""
        if tuple(tensor.shape) == shape:
            hint = f"; for a single one write {name}[None]"
        elif tensor.ndim and tensor.shape[0] and tensor[0].numel() == torch.Size(shape).numel():
            hint = f"; the count fits, so {name}.reshape(-1, {', '.join(map(str, shape))}) may be what you want"
        raise ModelError(f"{name} has shape {tuple(tensor.shape)}, expected {expected}{hint}")
    return tensor.to(device=device, dtype=dtype)


def finite(tensor: Tensor, *, name: str) -> Tensor:
    """`tensor`, where it holds no NaN or infinity; one inside a transform of torch.func is not looked at.

    Raises:
        ModelError: it does; says in which row first.
    """
    if is_functorch_wrapped_tensor(tensor) or bool(torch.isfinite(tensor).all()):
        return tensor
    row = int((~torch.isfinite(tensor)).flatten(1).any(1).nonzero()[0])
    raise ModelError(
        f"{name} holds NaN or infinity in row {row}, or a number too large for the network's precision "
        f"({tensor.dtype}); every component must be finite"
    )


def as_single(
    value: Any, shape: tuple[int, ...], *, name: str, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """One point `value` of shape `shape` or (1, *shape), as a finite tensor of shape `shape`."""
    tensor = as_tensor(value, name=name)
    if tuple(tensor.shape) == shape:
        tensor = tensor[None]
    tensor = as_batch(tensor, shape, name=name, device=device, dtype=dtype)
    if len(tensor) != 1:
        raise ModelError(f"{name} holds {len(tensor)} points, one was expected; choose one, as in {name}[0]")
    return finite(tensor, name=name)[0]


def class_index(given: int | str, names: Sequence[str], *, of: str) -> int:
    """The index of a class given by name or index.

    Args:
        of: the network's name, for the error.

    Raises:
        ModelError: no such class.
    """
    if isinstance(given, str) and names:
        if given not in names:
            raise ModelError(f"{of} has no class {given!r}: {nearest_names(given, names)}")
        return list(names).index(given)
    if not names:
        raise ModelError(f"class {given!r} was asked for; {of} has no classes")
    try:
        index = int(given)
        whole = index == given
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise ModelError(f"class {given!r} was asked for; expected a whole number, or a name of {of}'s classes")
    if not 0 <= index < len(names):
        raise ModelError(f"class {index} was asked for; {of} has classes 0 to {len(names) - 1}")
    return index


def check_settings(error: type[Exception], *rules: tuple[str, object, bool, str]) -> None:
    """Raise `error` for the first setting that does not hold; a rule is its name, value, whether, and what was
    expected."""
    for name, value, holds, expected in rules:
        if not holds:
            raise error(f"{name}={value!r}; expected {expected}")


def check_weights(module: nn.Module) -> None:
    """Raise ModelError naming the parameters and buffers that hold NaN or infinity."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    bad = [n for n, t in tensors if t.is_floating_point() and not torch.isfinite(t).all()]
    if bad:
        more = f" and {len(bad) - 4} more" if len(bad) > 4 else ""
        raise ModelError(
            f"the network's weights hold NaN or infinity in {', '.join(bad[:4])}{more}; "
            "load another checkpoint, or train again from before it diverged"
        )


def check_finite_output(output: Tensor, order: Sequence[tuple[str, str, Any]]) -> None:
    """Raise ModelError naming the first layer whose output is not finite."""
    if torch.isfinite(output).all():
        return
    for name, kind, value in order:
        if isinstance(value, Tensor) and value.is_floating_point() and not torch.isfinite(value).all():
            raise ModelError(
                f"the output holds NaN or infinity, first seen after layer {name!r} ({kind}) although the "
                "weights are finite; check the latents' prior and the precision (half precision overflows "
                "at 65,504)"
            )
    raise ModelError("the output holds NaN or infinity although every layer's output is finite")


def is_image(shape: Sequence[int]) -> bool:
    """Whether one sample of this shape is a picture: (1 or 3, height, width)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def output_kind(shape: tuple[int, ...]) -> str:
    """`"image"` for (1 or 3, height, width), `"signal"` for (length,) or (channels, length).

    Raises:
        ModelError: neither.
    """
    if is_image(shape):
        return "image"
    if len(shape) == 3 and shape[2] in (1, 3):
        raise ModelError(
            f"the output has shape (batch, {', '.join(map(str, shape))}), with channels last; "
            "return x.permute(0, 3, 1, 2) so that it is (batch, channels, height, width)"
        )
    if len(shape) in (1, 2):
        return "signal"
    raise ModelError(
        f"the output has shape (batch, {', '.join(map(str, shape))}); expected images (batch, 1 or 3, height, "
        "width) or signals (batch, length) or (batch, channels, length). Pass output=… to choose a part of "
        "what the module returns, or wrap the module"
    )


def check_range(output: Tensor, value_range: tuple[float, float]) -> None:
    """Raise ModelError when `output` is clearly on another scale than `value_range`."""
    low, high = value_range
    width = high - low
    seen = output.detach().float()
    smallest, largest = float(seen.min()), float(seen.max())
    if smallest < low - width or largest > high + width:
        raise ModelError(
            f"the output runs from {smallest:.4g} to {largest:.4g}, but value_range=({low:g}, {high:g}) was "
            "declared; pass the range that the network was trained for"
        )
    if width > _BYTES and 0 < largest - smallest < width / 50 and output[0].numel() > 1:
        raise ModelError(
            f"the output runs from {smallest:.4g} to {largest:.4g}, a sliver of value_range=({low:g}, {high:g}); "
            "it would be shown as a flat image. Pass the range that the network was trained for"
        )


def resolve_range(value_range: Any) -> tuple[float, float]:
    """`value_range` as two floats in ascending order, else ModelError."""
    try:
        low, high = (float(v) for v in value_range)
    except (TypeError, ValueError) as error:
        raise ModelError(f"value_range={value_range!r}; expected two numbers such as (-1, 1)") from error
    if not low < high or not torch.isfinite(torch.tensor([low, high])).all():
        raise ModelError(f"value_range={value_range!r}; expected two finite numbers, the smaller first")
    return low, high


def resolve_shape(shape: Any, *, name: str) -> tuple[int, ...]:
    """`shape` as a tuple of positive integers (an integer n stands for (n,)), else ModelError."""
    try:
        dims = (shape,) if isinstance(shape, int) else tuple(shape)
        if not dims or any(int(d) != d or d < 1 for d in dims):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{name}={shape!r}; expected the shape of one sample without the batch dimension, "
            "such as (100,) or (100, 1, 1)"
        ) from error
    return tuple(int(d) for d in dims)
