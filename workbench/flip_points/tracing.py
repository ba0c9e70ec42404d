"""A network's scores over balls around queries, bounded by two lines for each activation on the way (CROWN)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workbench.flip_points import relaxations
from workbench.flip_points.problem import of_class
from workbench.flip_points.receptive_fields import Field, behind_conv2d
from workbench.flip_points.relaxations import Lines
from workbench.models import Classifier

#: Share by which boxes are widened and the final bound is lowered: more than rounding in float64 amounts to.
ROUNDING = 1e-9
#: Numbers in one batch of backward passes, and neurons squared times queries that go together.
_BATCH, _TOGETHER = 2**23, 10**8


class Unsupported(Exception):
    """A network with an operation for which there is no relaxation; says which."""


class _Network:
    """A network in double precision whose scores can be bounded over balls."""

    def __init__(self, run: Callable[[Tensor], Tensor], widest: int) -> None:
        self.run = run
        self.widest = widest
        self.together = max(1, min(32, _TOGETHER // widest**2))

    @classmethod
    def of(cls, classifier: Classifier) -> _Network:
        widest = max([torch.Size(classifier.input_shape).numel(), *(layer.units for layer in classifier.layers)])
        return cls(classifier.changeable(torch.float64)[1], widest)

    def reach(
        self, x: Float[Tensor, "queries *input"], labels: Int[Tensor, " queries"], radii: Float[Tensor, " queries"]
    ) -> Float[Tensor, "queries classes"]:
        """Up to which distance each class stays below the label, as far as a ball of `radii` can tell.

        Infinite for the label itself, 0 where nothing is certified.

        Raises:
            Unsupported: an operation for which there is no relaxation.
        """
        with torch.enable_grad():
            tracer = _Tracer(self, x.detach().requires_grad_(), radii)
            with tracer:
                scores = self.run(tracer.x)
            tracer.known_output(scores)
            own = nn.functional.one_hot(labels, scores.shape[1])
            lead = own - torch.eye(scores.shape[1]).to(scores)[:, None]
            falls = [tracer.falls(scores, part) for part in lead.split(tracer.together)]
            slopes, losses = (torch.cat(parts) for parts in zip(*falls, strict=True))
        z = scores.detach()
        slack = ROUNDING * (z.abs() + of_class(z, labels)[:, None].abs() + losses.T.abs())
        centre = of_class(z, labels)[:, None] - z + losses.T - slack
        reach = (centre / (1 + ROUNDING) / slopes.T).nan_to_num(nan=0.0).clamp_min(0)
        return reach.masked_fill(own.bool(), torch.inf)


class _Relaxed(torch.autograd.Function):
    """An activation forwards; backwards, of its two lines the one that bounds what comes down from below.

    The gradient of `loss` gathers by how much the lines chosen lie below the activation at the query.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, value: Tensor, loss: Tensor, placed: bool, *lines_and_places: Tensor
    ) -> Tensor:
        ctx.placed = placed
        ctx.save_for_backward(*lines_and_places)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        lower, below, upper, above, down, along = ctx.saved_tensors
        positive, negative = grads[0].clamp_min(0), grads[0].clamp_max(0)
        lost = positive * below + negative * above
        lost = lost.sum(1) if ctx.placed else lost.sum(tuple(range(1, lost.ndim)))[:, None, None]
        return positive * lower + negative * upper, None, down.T @ lost @ along, *[None] * 7


def _elu(low: Tensor, high: Tensor, alpha: float = 1.0) -> Lines:
    if not 0 <= alpha <= 1:
        raise Unsupported(f"ELU with alpha={alpha:g} is not convex; only alpha from 0 to 1 is relaxed")

    def slope(v: Tensor) -> Tensor:
        return torch.where(v > 0, 1.0, alpha * v.clamp_max(0).exp())

    return relaxations.convex(low, high, lambda v: nn.functional.elu(v, alpha), slope)


def _prelu(low: Tensor, high: Tensor, weight: Tensor) -> Lines:
    return relaxations.kinked(low, high, weight.reshape(-1, *[1] * (low.ndim - 2)))


#: By the name of the function in torch: from an interval, and the function's other arguments, to lines.
_ACTIVATIONS: dict[str, Callable[..., Lines]] = {
    "relu": lambda low, high: relaxations.kinked(low, high, 0.0),
    "leaky_relu": lambda low, high, negative_slope=0.01: relaxations.kinked(low, high, negative_slope),
    "prelu": _prelu,
    "elu": _elu,
    "erf": lambda low, high: relaxations.s_shaped(low, high, torch.erf, relaxations.erf_slope),
    "tanh": lambda low, high: relaxations.s_shaped(low, high, torch.tanh, relaxations.tanh_slope),
    "sigmoid": lambda low, high: relaxations.s_shaped(low, high, torch.sigmoid, relaxations.sigmoid_slope),
}
# fmt: off
#: Affine in their first argument, whatever the others are, as long as those do not depend on the input.
_AFFINE_IN_FIRST = frozenset({
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "mean", "sum",
    "flatten", "unflatten", "view", "reshape", "permute", "transpose", "squeeze", "unsqueeze", "contiguous",
    "clone", "__getitem__", "pad", "neg", "__neg__", "div", "divide", "true_divide", "__truediv__",
    "batch_norm", "dropout", "dropout1d", "dropout2d", "dropout3d",
})
#: Affine in one argument, if only that one depends on the input.
_AFFINE_IN_ONE = frozenset({
    "mul", "multiply", "__mul__", "__rmul__", "matmul", "mm", "bmm", "__matmul__", "__rmatmul__",
})
#: Affine in all arguments together.
_AFFINE_IN_ALL = frozenset({
    "add", "__add__", "__radd__", "sub", "subtract", "__sub__", "__rsub__", "rsub",
    "cat", "concat", "concatenate", "stack",
})
#: Of these, only as in eval mode.
_TRAINED_DIFFERENTLY = frozenset({"batch_norm", "dropout", "dropout1d", "dropout2d", "dropout3d"})
#: Leave every neuron where it is, whatever the others are.
_POINTWISE = _ACTIVATIONS.keys() | _TRAINED_DIFFERENTLY | frozenset({
    "add", "__add__", "__radd__", "sub", "subtract", "__sub__", "__rsub__", "rsub", "mul", "multiply", "__mul__",
    "__rmul__", "div", "divide", "true_divide", "__truediv__", "neg", "__neg__", "clone", "contiguous",
})
#: Tell about a tensor's shape or type rather than its values.
_ABOUT_SHAPE = frozenset({
    "__get__", "size", "dim", "ndimension", "numel", "__len__", "is_floating_point", "stride",
})
# fmt: on


class _Tracer(TorchFunctionMode):
    """Runs a network at some queries, and puts two lines for each activation on the way.

    Every tensor that depends on the input must come from an operation that is known: what is not is
    refused, rather than taken for a constant.
    """

    def __init__(self, network: _Network, x: Tensor, radii: Tensor) -> None:
        super().__init__()
        self.network, self.x, self.radii = network, x, radii
        # what is lost to relaxations, pixel by pixel as long as neurons have a place
        shape = x.shape[-2:] if x.ndim == 4 else (1, 1)
        self.loss = x.new_zeros((len(x), *shape), requires_grad=True)
        self._fields = {id(x): Field()} if x.ndim == 4 else {}
        self.relaxed = 0
        #: Backward passes of every query that go together.
        self.together = max(1, _BATCH // (len(x) * network.widest))
        self._known = {id(x): x}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        given = list(_tensors((*args, *kwargs.values())))
        depending = [t for t in given if id(t) in self._known]
        if len(depending) < sum(t.requires_grad for t in given):
            raise Unsupported("the network computes something from its input where one cannot look")
        if not depending:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if kwargs.pop("inplace", False) or "out" in kwargs:
            raise Unsupported(f"the network overwrites a tensor in {name}")
        of_first = len(depending) == 1 and bool(args) and args[0] is depending[0]
        if name in _ACTIVATIONS and of_first:
            output = self._relax(name, func, args[0], *args[1:], **kwargs)
        elif name == "max_pool2d" and of_first:
            output = self._max_pool(*args, **kwargs)
        elif _is_affine(name, kwargs, len(depending), of_first):
            output = func(*args, **kwargs)
        elif name in _ABOUT_SHAPE and not list(_tensors((result := func(*args, **kwargs),))):
            return result
        else:
            raise Unsupported(f"there is no linear relaxation of {name} here, which the network uses")
        if not output.requires_grad:
            raise Unsupported(f"the network runs {name} without gradients")
        self._note(output, self._field(name, args, kwargs, depending, output))
        return output

    def _note(self, tensor: Tensor, field: Field | None) -> None:
        """Keep a tensor that depends on the input, so that its id stays its own, and where its neurons look."""
        self._known[id(tensor)] = tensor
        if field is not None and tensor.ndim == 4 and field.fits(tensor.shape, self.x.shape):
            self._fields[id(tensor)] = field

    def known_output(self, scores: Tensor) -> None:
        """Check that the scores come from what was seen.

        Raises:
            Unsupported: they do not.
        """
        if id(scores) not in self._known:
            raise Unsupported("the network computes its scores where one cannot look")

    def falls(self, output: Tensor, rows: Float[Tensor, "k queries *neurons"]) -> tuple[Tensor, Tensor]:
        """Lower bounds of linear functions of `output`: the norms of their slopes, and the loss at the query.

        Returns:
            Two tensors (k, queries): over the ball, row · output >= row · output(query) + loss - radius * norm.
        """
        slope, loss = self._pull(output, rows)
        return slope.flatten(2).norm(dim=2), loss.sum((-2, -1)).expand(len(rows), len(self.radii))

    def _pull(self, output: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients (k, queries, *input) of linear functions of `output`, and their losses, pixel by pixel."""
        slope, loss = torch.autograd.grad(
            output,
            (self.x, self.loss),
            rows,
            retain_graph=True,
            is_grads_batched=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return slope, loss.expand(len(rows), *self.loss.shape)

    def _field(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], depending: list[Tensor], output: Tensor
    ) -> Field | None:
        """Where the neurons of `output` look, if that is the same square around each one's own place."""
        fields = [self._fields[id(t)] for t in depending if id(t) in self._fields]
        if len(fields) < len(depending) or len({f.stride for f in fields}) > 1:
            return None
        if name == "conv2d":
            return behind_conv2d(fields[0], *args[1:], **kwargs)
        if name == "max_pool2d":
            return self._fields.get(id(output))
        if name not in _POINTWISE or any(t.shape[-2:] != output.shape[-2:] for t in depending):
            return None
        return Field(fields[0].stride, max(f.before for f in fields), max(f.after for f in fields))

    def _box(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest values of each neuron over the balls."""
        field, at = self._fields.get(id(u)), u.detach()
        down = torch.empty_like(at)
        up = torch.empty_like(at) if self.relaxed else down
        work = self._one_by_one if field is None or field.apart >= max(u.shape[-2:]) else self._side_by_side
        for side, sign in ((down, 1.0), (up, -1.0))[: 1 + bool(self.relaxed)]:
            work(u, side, sign)
        wider = ROUNDING * (at.abs() + down + up) + 1e-300
        return at - down - wider, at + up + wider

    def _one_by_one(self, u: Tensor, side: Tensor, sign: float) -> None:
        """How far each neuron may fall, or with sign -1 rise: a backward pass for each."""
        count = u[0].numel()
        for start in range(0, count, self.together):
            part = torch.arange(start, min(start + self.together, count), device=u.device)
            rows = u.new_zeros(len(part), len(u), count)
            rows[part - start, :, part] = sign
            slope, loss = self.falls(u, rows.view(len(part), *u.shape))
            side.flatten(1)[:, part] = (self.radii * slope - loss).T

    def _side_by_side(self, u: Tensor, side: Tensor, sign: float) -> None:
        """The same, one backward pass for all neurons of a channel that look at no pixel in common."""
        field, positions = self._fields[id(u)], (u.shape[2], u.shape[3])
        apart = field.apart
        picks = [
            (slice(None), channel, slice(i, None, apart), slice(j, None, apart))
            for channel in range(u.shape[1])
            for i in range(min(apart, positions[0]))
            for j in range(min(apart, positions[1]))
        ]
        for start in range(0, len(picks), self.together):
            some = picks[start : start + self.together]
            rows = u.new_zeros(len(some), *u.shape)
            for row, pick in zip(rows, some, strict=True):
                row[pick] = sign
            slope, loss = self._pull(u, rows)
            norms = field.sums(slope.square().sum(2), positions).sqrt()
            falls = self.radii[:, None, None] * norms - field.sums(loss, positions)
            for fall, pick in zip(falls, some, strict=True):
                side[pick] = fall[:, pick[2], pick[3]]

    def _relax(self, name: str, func: Callable[..., Tensor], u: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        at, (low, high) = u.detach(), self._box(u)
        value = func(at, *args, **kwargs)
        lines = _ACTIVATIONS[name](low, high, *args, **kwargs)
        self.relaxed += 1
        below = (lines.lower * at + lines.lower_at - value).clamp_max(0)
        above = (lines.upper * at + lines.upper_at - value).clamp_min(0)
        field = self._fields.get(id(u))
        positions = (1, 1) if field is None else u.shape[2:]
        places = [
            (field or Field()).places(n, pixels, at)
            for n, pixels in zip(positions, self.loss.shape[1:], strict=True)
        ]
        output: Tensor = _Relaxed.apply(
            u, value, self.loss, field is not None, lines.lower, below, lines.upper, above, *places
        )
        return output

    def _max_pool(
        self,
        u: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Tensor:
        """The largest of the shifted maps, by max(a, b) = b + ReLU(a - b)."""
        (high, wide), (down, along) = _pair(kernel_size), _pair(stride or kernel_size)
        if _pair(padding) != (0, 0) or _pair(dilation) != (1, 1) or ceil_mode or return_indices:
            raise Unsupported("max pooling is only relaxed without padding, dilation, ceil_mode and indices")
        rows, columns = (u.shape[-2] - high) // down + 1, (u.shape[-1] - wide) // along + 1
        shifted = [
            u[..., i : i + down * (rows - 1) + 1 : down, j : j + along * (columns - 1) + 1 : along]
            for i in range(high)
            for j in range(wide)
        ]
        looks = self._fields[id(u)].behind(kernel_size, (down, along)) if id(u) in self._fields else None
        best = shifted[0]
        for other in shifted[1:]:
            ahead = best - other
            self._note(ahead, looks)
            best = other + self._relax("relu", torch.relu, ahead)
            self._note(best, looks)
        return best


def _is_affine(name: str, kwargs: dict[str, Any], depending: int, of_first: bool) -> bool:
    """Whether a function is affine in its arguments that depend on the input, so many, or only the first."""
    if name in _TRAINED_DIFFERENTLY and kwargs.get("training", True):
        return False
    if kwargs.get("rounding_mode") is not None or kwargs.get("dtype") is not None:
        return False
    return (
        name in _AFFINE_IN_ALL
        or (name in _AFFINE_IN_ONE and depending == 1)
        or (name in _AFFINE_IN_FIRST and of_first)
    )


def _tensors(values: tuple[Any, ...] | list[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else tuple(value)
    return int(first), int(second)
