"""Tangents pushed through a network step by step: closed rules for common layers, forward mode for the rest."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from workbench.numerics.memory import is_out_of_memory

# torch's own forward-mode decompositions are scripted when they are first used, and warn of it
warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)

M = TypeVar("M", bound=nn.Module)
#: A batched function (batch, *input) -> (batch, *output) whose rows do not depend on each other.
BatchedFunction = Callable[[Tensor], Tensor]
#: Tangents (k, *input) of a function at one point to those of its output (k, *output).
Push = Callable[[Tensor], Tensor]

#: torch has one forward-mode level in the whole process: a second thread in it gives zeros or errors.
_FORWARD_MODE = threading.RLock()

#: In eval mode, these do nothing.
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
#: In eval mode, a scale and a shift a channel, unless they take their statistics from the batch.
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid,
)  # fmt: skip
_LINEAR = (
    *DROPOUTS, nn.Identity, nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle,
    nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.Upsample,
    nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d,
)  # fmt: skip
_CONVOLUTIONS = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}
_TRANSPOSED = {
    nn.ConvTranspose1d: F.conv_transpose1d,
    nn.ConvTranspose2d: F.conv_transpose2d,
    nn.ConvTranspose3d: F.conv_transpose3d,
}
#: Modules that are affine in eval mode; of the batch norms, those with statistics of their own.
AFFINE = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED, *BATCH_NORMS, *_LINEAR)


def linearised(
    steps: Sequence[BatchedFunction], point: Float[Tensor, "1 *input"]
) -> tuple[Push, Float[Tensor, "1 *output"]]:
    """The derivative of the composition of `steps` at `point` as a function of tangents, and its value.

    Affine layers are applied without their offsets and elementwise ones are multiplied by their
    derivatives, all neighbouring factors at once, so that k tangents cost no more than a forward pass
    of k samples, and any number of threads may push at the same time. Whatever else is among the steps
    goes through `torch.func.jvp`, one thread after another, or where an operation has no rule for forward mode
    (such as one that a user wrote with its backward alone) through reverse mode twice.
    """
    pushes: list[Push | Tensor] = []
    with torch.no_grad():
        for step in steps:
            rule = _rule(step, point)
            if isinstance(rule, Tensor) and pushes and isinstance(pushes[-1], Tensor):
                rule = pushes.pop() * rule  # type: ignore[operator]
            pushes.append(rule)
            point = step(point)

    def push(tangents: Tensor) -> Tensor:
        with torch.no_grad():
            for rule in pushes:
                tangents = tangents * rule if isinstance(rule, Tensor) else rule(tangents)
            return tangents

    return push, point


def _rule(step: BatchedFunction, x: Tensor) -> Push | Tensor:
    """A factor for each element, or the map of tangents, of one step at `x`."""
    if computes(step, _ELEMENTWISE):
        return _derivative(step, x)
    if computes(step, BATCH_NORMS) and step.running_var is not None:
        return _scale(step, x)  # type: ignore[arg-type]
    if computes(step, _LINEAR):
        return step
    if computes(step, (nn.Linear,)):
        return lambda v: F.linear(v, step.weight)
    if computes(step, tuple(_CONVOLUTIONS)) and step.padding_mode == "zeros":
        return _convolution(step)  # type: ignore[arg-type]
    if computes(step, tuple(_TRANSPOSED)):
        return _transposed(step, x)  # type: ignore[arg-type]
    return _ForwardMode(step, x)


def computes(step: object, kinds: tuple[type[M], ...]) -> TypeGuard[M]:
    """Whether `step` is in eval mode and computes what one of `kinds` does (not a subclass's forward)."""
    return (
        isinstance(step, kinds)
        and not step.training
        and any(type(step).forward is kind.forward for kind in kinds)  # parametrised layers are subclasses
    )


def _derivative(step: BatchedFunction, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(step(x).sum(), x)[0]


def _scale(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    return scale.reshape(1, -1, *[1] * (x.ndim - 2))


def _convolution(layer: nn.Conv2d) -> Push:
    function = next(f for kind, f in _CONVOLUTIONS.items() if isinstance(layer, kind))
    return lambda v: function(v, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def _transposed(layer: nn.ConvTranspose2d, x: Tensor) -> Push:
    function = next(f for kind, f in _TRANSPOSED.items() if isinstance(layer, kind))
    weight, stride, more = layer.weight, layer.stride, layer.output_padding
    padding: Any = layer.padding
    return lambda v: function(v, weight, None, stride, padding, more, layer.groups, layer.dilation)


class _PlainAttention(TorchFunctionMode):
    """Attention by its plain kernel, which alone has rules for forward mode and for second derivatives.

    In this thread alone: `torch.nn.attention.sdpa_kernel` is for the whole process.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _plain_attention(*args, **kwargs)
        if func is F.multi_head_attention_forward:  # with weights it is plain; what it calls is not seen here
            return func(*args, **{**kwargs, "need_weights": True})[0], None
        return func(*args, **kwargs)


def _plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    return torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )[0]


class _ForwardMode:
    """The tangents of any function at one point, by `torch.func.jvp`, or else by two passes in reverse mode."""

    def __init__(self, step: BatchedFunction, x: Float[Tensor, "1 *input"]) -> None:
        self.step, self.x = step, x.detach()
        self._ways = [self._vmapped, self._forward, self._reverse, self._reverse_everywhere]

    def __call__(self, tangents: Float[Tensor, "k *input"]) -> Float[Tensor, "k *output"]:
        while len(self._ways) > 1:
            try:
                return self._ways[0](tangents)
            except (RuntimeError, NotImplementedError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                del self._ways[0]  # some operations have no batching rule, and some none for forward mode
        return self._ways[0](tangents)

    def _vmapped(self, tangents: Tensor) -> Tensor:
        # the primal is not batched, so it is computed once for all tangents
        with _FORWARD_MODE, torch.no_grad(), _PlainAttention():
            return vmap(lambda tangent: jvp(self.step, (self.x,), (tangent[None],))[1])(tangents)[:, 0]

    def _forward(self, tangents: Tensor) -> Tensor:
        with _FORWARD_MODE, torch.no_grad(), _PlainAttention():
            return jvp(self.step, (self.x.expand_as(tangents).contiguous(),), (tangents,))[1]

    def _reverse(self, tangents: Tensor) -> Tensor:
        """J v as the derivative by u of the function u ↦ Jᵀ u, which is linear."""
        with torch.enable_grad(), _PlainAttention():
            copies = self.x.expand_as(tangents).contiguous().requires_grad_()
            output = self.step(copies)
            cotangents = torch.zeros_like(output, requires_grad=True)
            pulled = torch.autograd.grad(output, copies, cotangents, create_graph=True)[0]
            return torch.autograd.grad(pulled, cotangents, tangents)[0]

    def _reverse_everywhere(self, tangents: Tensor) -> Tensor:
        """The same where attention is out of sight (scripted modules): the kernel of the whole process is set."""
        with _FORWARD_MODE, sdpa_kernel(SDPBackend.MATH):
            return self._reverse(tangents)
