"""Reading, stopping at and replacing the layers of a running network."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.errors import LayerError, nearest_names


@dataclass(frozen=True)
class Layer:
    """One call of a submodule: its dotted name (`#2`, `#3` … for repeated calls), class and output shape.

    `shape` is without the batch dimension; `feeds` are the layers that take the output as it is, among
    those with no layers inside.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    feeds: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        """Number of scalars in one sample's output."""
        return torch.Size(self.shape).numel()


class Layers(Sequence[Layer]):
    """The layers of a network in the order in which they finish, found by index or by name."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)
        self._by_name = {layer.name: layer for layer in self._layers}

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, key: Any) -> Any:
        """The layer at an index, of a name, or the layers of a slice.

        Raises:
            LayerError: no layer of that name or index; the nearest names are suggested.
        """
        if isinstance(key, slice):
            return Layers(self._layers[key])
        if isinstance(key, Layer):
            key = key.name
        if not self._layers:
            raise LayerError(
                f"layer {key!r} was asked for, but the network shows none: it is one module, or was exported. "
                "Give the torch.nn.Module that it was made of"
            )
        if isinstance(key, int):
            if not -len(self) <= key < len(self):
                raise LayerError(f"layer {key} was asked for, but there are {len(self)} layers")
            return self._layers[key]
        if key not in self._by_name:
            raise LayerError(f"no layer {key!r}: {nearest_names(key, self._by_name)}")
        return self._by_name[key]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers)

    def __contains__(self, key: object) -> bool:
        return key in self._by_name or key in self._layers

    @property
    def names(self) -> list[str]:
        """All names, in execution order."""
        return [layer.name for layer in self._layers]

    def __repr__(self) -> str:
        width = max((len(layer.name) for layer in self._layers), default=0)
        return "\n".join(f"{la.name:<{width}}  {la.kind:<18} {la.shape}" for la in self._layers)


class _Stop(Exception):
    """Leaves a forward pass once the layer that was asked for has run."""


@dataclass
class _Call:
    """What the probe saw of one submodule call: object identities tell who feeds whom."""

    name: str
    module: nn.Module
    inputs: tuple[tuple[int, int], ...]
    output: tuple[int, int] | None
    parent: str | None
    alone: bool  # called with one tensor and nothing else, so that it can be called again in this way


@dataclass
class _Tape:
    """What one thread wants of the pass that it is running."""

    record: frozenset[str] = frozenset()
    replace: dict[str, Tensor] = field(default_factory=dict)
    stop: str | None = None
    stop_before: str | None = None
    trace: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    recorded: dict[str, Tensor] = field(default_factory=dict)
    order: list[tuple[str, str, Any]] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    stack: list[tuple[str, tuple[tuple[int, int], ...]]] = field(default_factory=list)
    alive: list[Any] = field(default_factory=list)


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]


def _called(name: str, count: int) -> str:
    return name if count == 1 else f"{name}#{count}"


def _identity(tensor: Tensor) -> tuple[int, int]:
    return id(tensor), tensor._version


class LayerAccess:
    """Permanent hooks on a private copy of a network, idle unless the calling thread asks for a layer.

    The hooks consult a thread-local tape, so that two threads may run the same network at once and
    nothing has to be registered or removed around a pass.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._local = threading.local()
        for name, submodule in module.named_modules():
            if name:
                submodule.register_forward_pre_hook(_Before(self, name), with_kwargs=True)
                submodule.register_forward_hook(_After(self, name), with_kwargs=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"module": self.module}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.module, self._local = state["module"], threading.local()

    def _tape(self) -> _Tape | None:
        return getattr(self._local, "tape", None)

    def before(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """What the hook before a layer does."""
        tape = self._tape()
        if tape is None:
            return
        if tape.stop_before is not None and tape.stop_before == _called(name, tape.counts.get(name, 0) + 1):
            given = _tensors(args, kwargs)
            if not given:
                raise LayerError(f"layer {tape.stop_before!r} takes no tensor; read its output instead")
            tape.recorded[tape.stop_before] = given[0]
            raise _Stop
        if tape.trace:
            tape.stack.append((name, tuple(map(_identity, _tensors(args, kwargs)))))

    def after(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        """What the hook behind a layer does; the output that takes its place, or None."""
        tape = self._tape()
        if tape is None:
            return None
        count = tape.counts[name] = tape.counts.get(name, 0) + 1
        called = _called(name, count)
        if tape.trace:
            self._note(tape, called, module, args, kwargs, output)
        replaced = None
        if called in tape.replace:
            replaced = output = tape.replace[called]
        if called in tape.record:
            # a later in-place operation of the user's forward must not reach what was read
            tape.recorded[called] = output.clone() if called != tape.stop else output
        if called == tape.stop:
            raise _Stop
        return replaced

    def _note(
        self,
        tape: _Tape,
        name: str,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
    ) -> None:
        _, inputs = tape.stack.pop()
        parent = tape.stack[-1][0] if tape.stack else None
        tape.alive.extend([*args, *kwargs.values(), output])  # an id must not be given to a second object
        made = _identity(output) if isinstance(output, Tensor) else None
        alone = len(args) == len(inputs) == 1 and not kwargs
        tape.calls.append(_Call(name, module, inputs, made, parent, alone))
        tape.order.append((name, type(module).__name__, output))

    def run(
        self,
        *args: Any,
        record: Sequence[str] = (),
        replace: dict[str, Tensor] | None = None,
        stop: str | None = None,
    ) -> tuple[Any, dict[str, Tensor]]:
        """One pass; returns the output (None if it stopped) and what was recorded by layer name."""
        tape = _Tape(frozenset([*record, *([stop] if stop else [])]), replace or {}, stop)
        return self._run(tape, args), tape.recorded

    def input_of(self, name: str, *args: Any) -> Tensor:
        """The first tensor that the layer `name` is called with, in a pass that stops there."""
        tape = _Tape(stop_before=name)
        self._run(tape, args)
        return tape.recorded[name]

    def trace(
        self, *args: Any
    ) -> tuple[Any, list[tuple[str, str, Any]], list[tuple[str, nn.Module]], dict[str, tuple[str, ...]]]:
        """One pass that notes every call.

        Returns the output, `(name, class, output)` in the order of finishing, the chain of steps if the
        network is plain sequential (else an empty list), and by layer the layers that take its output.
        """
        tape = _Tape(trace=True)
        output = self._run(tape, args)
        chain: list[tuple[str, nn.Module]] = []
        if len(args) == 1 and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            chain = _chain(tape.calls, None, _identity(args[0]), _identity(output)) or []
        return output, tape.order, chain, _feeds(tape.calls)

    def _run(self, tape: _Tape, args: tuple[Any, ...]) -> Any:
        outer = self._tape()
        self._local.tape = tape
        try:
            return self.module(*args)
        except _Stop:
            return None
        finally:
            self._local.tape = outer


@dataclass(frozen=True, eq=False)
class _Hook:
    """A hook of one layer: unlike a function within a function, it can be sent to another process."""

    access: LayerAccess
    name: str

    def __deepcopy__(self, memo: dict[int, Any]) -> _Hook:
        return self


class _Before(_Hook):
    def __call__(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.access.before(self.name, args, kwargs)


class _After(_Hook):
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        return self.access.after(self.name, module, args, kwargs, output)


def _feeds(calls: list[_Call]) -> dict[str, tuple[str, ...]]:
    """By layer, the innermost calls whose input is that layer's untouched output."""
    parents = {call.parent for call in calls}
    inner = [call for call in calls if call.name.partition("#")[0] not in parents]
    return {
        call.name: tuple(other.name for other in inner if call.output in other.inputs)
        for call in calls
        if call.output is not None
    }


def _chain(
    calls: list[_Call], parent: str | None, given: tuple[int, int], wanted: tuple[int, int]
) -> list[tuple[str, nn.Module]] | None:
    """The steps under `parent` if each one's only input is the previous one's untouched output."""
    children = [call for call in calls if call.parent == parent]
    if not children:
        return None
    steps: list[tuple[str, nn.Module]] = []
    feeding = given
    for call in children:
        if not call.alone or call.output is None or call.inputs[0] != feeding or "#" in call.name:
            return None
        inner = _chain(calls, call.name, call.inputs[0], call.output)
        steps.extend(inner or [(call.name, call.module)])
        feeding = call.output
    return steps if feeding == wanted else None
