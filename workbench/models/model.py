"""What generators and classifiers share: a private frozen copy of the network, its layers and its batches."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.called import Called
from workbench.models.checks import as_tensor, check_finite_output, check_weights, finite
from workbench.models.copies import frozen_copy
from workbench.models.devices import Batches, batch_size_for, resolve_device
from workbench.models.errors import LayerError, ModelError
from workbench.models.layers import Layer, LayerAccess, Layers
from workbench.models.neurons import Neuron

#: Chooses the tensor to show out of what a module returns: an index, a key, or a function.
OutputChoice = int | str | Callable[[Any], Tensor] | None

#: Of a network whose rows depend on each other.
_TOGETHER = (
    "{} makes something else of an input alone than of the same input among others: its rows depend on each "
    "other, as where statistics are taken over the batch, or where squeeze() drops the batch's dimension. Make "
    "each row its own"
)


class Model:
    """A network with named layers, run in eval mode on one device, in batches that fit.

    Use `Generator` or `Classifier`.

    Attributes:
        origin: its name in the zoo that it was loaded from; "" for a network of your own.
    """

    origin: str = ""

    def __init__(
        self,
        module: nn.Module,
        *,
        device: str | torch.device,
        output: OutputChoice,
        name: str | None,
        batch_size: int | None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ModelError(
                f"a {type(module).__name__} was given, expected a torch.nn.Module; for a checkpoint file use "
                "wb.load(path, …), for a plain function wrap it in a module"
            )
        self.device = resolve_device(device)
        self.module = frozen_copy(module, self.device)
        check_weights(self.module)
        self.name = name or _class_name(self.module)
        floating = (p.dtype for p in self.module.parameters() if p.is_floating_point())
        self.dtype = next(floating, torch.get_default_dtype())
        self.output_choice = output
        self._hooked = any(m._forward_hooks or m._forward_pre_hooks for m in self.module.modules())
        self._access = LayerAccess(self.module)
        self._wanted_batch_size = batch_size
        self._fingerprint: str | None = None
        self._fingerprinted: list[int] = []
        self._differentiable: bool | None = None
        self._probed: tuple[Tensor, ...] = ()

    def check_differentiable(self) -> None:
        """Raise ModelError where the output has no derivative by the input, which most methods follow."""
        if self._differentiable is None:
            with torch.enable_grad():
                given = [i.clone().requires_grad_() for i in self._probed if i.is_floating_point()]
                rest = [i for i in self._probed if not i.is_floating_point()]
                try:
                    slopes = torch.autograd.grad(self._forward(*given, *rest).sum(), given, allow_unused=True)
                    self._differentiable = any(slope is not None for slope in slopes)
                except RuntimeError:
                    self._differentiable = False
        if not self._differentiable:
            raise ModelError(
                f"{self.name}'s output has no derivative by its input: its forward switches gradients off "
                "(torch.no_grad, detach), is quantised, or leaves torch. Give the part that computes with "
                "gradients, as in Called(network, lambda net, x: …)"
            )

    def _probe(self, *inputs: Tensor) -> Tensor:
        """Run two samples once: learn the layers, the chain and the memory that a sample takes."""
        self._probed = inputs
        given = [i.clone() for i in inputs]
        raw, order, chain, feeds = self._tried(self._access.trace, *given)
        if any(i._version for i in given):  # it would change the caller's tensors, and no leaf can be changed
            self.module.register_forward_pre_hook(_with_copies)
            raw, order, chain, feeds = self._tried(self._access.trace, *inputs)
        output = self._choose(raw)
        batch = len(inputs[0])
        if output.ndim == 0 or output.shape[0] != batch:
            raise ModelError(
                f"{self.name} turned a batch of {batch} into an output of shape {tuple(output.shape)}; "
                "the first dimension must be the batch"
            )
        check_finite_output(output, order)
        self._check_rows(output, *inputs)
        layers = [
            Layer(name, kind, tuple(value.shape[1:]), feeds.get(name, ()))
            for name, kind, value in order
            if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == batch
        ]
        self.layers = Layers(layers)
        self._chain = chain if self.output_choice is None else []
        if self._chain and not self._chain_holds(*inputs):
            self._chain = []
        stored = sum(v.numel() * v.element_size() for _, _, v in order if isinstance(v, Tensor)) // batch
        self.batches = Batches(self._wanted_batch_size or batch_size_for(stored, self.device))
        return output

    def _tried(self, run: Callable[..., Any], *inputs: Tensor) -> Any:
        """What a pass gives, without gradients; where the network fails, a ModelError that says on what."""
        try:
            with torch.no_grad():
                return run(*inputs)
        except ModelError:
            raise
        except Exception as error:
            shapes = " and ".join(str(tuple(i.shape)) for i in inputs)
            raise ModelError(
                f"{self.name} failed on an input of shape {shapes}: {type(error).__name__}: {error}. "
                f"{_advice(error)}"
            ) from error

    def _check_rows(self, output: Tensor, *inputs: Tensor) -> None:
        """Raise ModelError where a row of a batch comes out otherwise alone, or otherwise each time."""
        try:
            alone = self._tried(self._forward, *(i[:1] for i in inputs))
        except ModelError as error:
            raise ModelError(f"{_TOGETHER.format(self.name)}; alone, {error}") from error
        if alone.shape == output[:1].shape and _close(alone, output[:1]):
            return
        if not _close(self._tried(self._forward, *inputs), output):
            raise ModelError(
                f"{self.name} gives another output for the same input each time, although it is in eval mode: it "
                "draws noise in its forward. Fix that noise, or switch it off"
            )
        raise ModelError(_TOGETHER.format(self.name))

    def _chain_holds(self, x: Tensor) -> bool:
        """Whether the second half of the chain needs nothing but its input, not even stored attributes."""
        middle = self._chain[len(self._chain) // 2][0]
        tail = self.tail(middle)
        assert tail is not None
        with torch.no_grad():
            activation = self._access.run(x, stop=middle)[1][middle]
            self._access.run(x.flip(0))  # what a module may have stored is now of another input
            replayed = tail(activation)
            return torch.allclose(replayed, self._access.run(x)[0], rtol=1e-3, atol=1e-5)

    def _choose(self, raw: Any) -> Tensor:
        return choose(raw, self.output_choice, name=self.name)

    def _forward(self, *inputs: Tensor) -> Tensor:
        return self._choose(self._access.run(*inputs)[0])

    def in_precision(self, dtype: torch.dtype) -> Callable[..., Tensor]:
        """The network as a function of its inputs, with weights of another precision (copied, if it differs)."""
        if dtype == self.dtype:
            return self._forward
        run = self.changeable(dtype)[1]
        given = [i.to(dtype) if i.is_floating_point() else i for i in self._probed]
        try:
            with torch.no_grad():
                run(*given)
        except RuntimeError as error:
            raise ModelError(
                f"{self.name} does not run in {dtype}, in which results are proved: {error}. A cast in its "
                "forward, such as x.float(), may be why: use x.to(self.weight.dtype), or leave it out"
            ) from error
        return run

    def changeable(self, dtype: torch.dtype) -> tuple[nn.Module, Callable[..., Tensor]]:
        """A copy of the network whose parts may be replaced, and the function that runs it as it then is."""
        module = copy.deepcopy(self.module).to(dtype).eval()  # torch.fx's modules are copied in training mode
        return module, lambda *inputs: self._choose(module(*inputs))

    def to(self, device: str | torch.device) -> Self:
        """This model itself, moved to another device, as `torch.nn.Module.to` does.

        Raises:
            ModelError: the device is unknown, or not on this machine.
        """
        self.device = resolve_device(device)
        self.module.to(self.device)
        self._probed = tuple(given.to(self.device) for given in self._probed)
        return self

    def _given(self, x: Any, condition: Any) -> list[Tensor]:
        """What the module is called with, for a batch of inputs or latents, and a class or None."""
        raise NotImplementedError

    def until(self, layer: str | int | Layer, *, before: bool = False) -> Callable[..., Tensor]:
        """The function from inputs to the output of `layer`, or (`before`) to its input; the rest is not run.

        A generator's function takes a class behind the latents, where it has classes.
        """
        name = self.layers[layer].name

        def run(x: Any, condition: Any = None) -> Tensor:
            given = self._given(x, condition)
            return self._access.input_of(name, *given) if before else self._access.run(*given, stop=name)[1][name]

        return run

    def read(self, x: Any, layers: Sequence[str | int | Layer], condition: Any = None) -> dict[str, Tensor]:
        """The outputs of several layers from one pass, by name; `condition` is a generator's class.

        Raises:
            LayerError: no such layer, or none was asked for.
        """
        names = [self.layers[layer].name for layer in layers]
        if not names:
            raise LayerError(f"no layers were asked for; give one or more of {self.name}'s {len(self.layers)}")
        last = max(names, key=self.layers.names.index)
        return self._access.run(*self._given(x, condition), record=names, stop=last)[1]

    def replay(
        self, x: Any, layer: str | int | Layer, activation: Tensor, condition: Any = None
    ) -> Float[Tensor, "batch *output"]:
        """The output when `layer` gives `activation` (batch, *layer shape) instead of its own.

        In a plain sequential network only what lies behind the layer is run; with skip connections
        the rest is not a function of the activation alone, so `x` is run again with it replaced.
        """
        given = self._given(x, condition)
        wanted = self.layers[layer]
        activation = self._check_activation(wanted, activation, len(given[0]))
        tail = self.tail(wanted)
        if tail is not None:
            return tail(activation)
        return self._choose(self._access.run(*given, replace={wanted.name: activation})[0])

    @property
    def chain(self) -> tuple[nn.Module, ...]:
        """The steps of a plain sequential network, each fed with the one before; () for any other."""
        return () if self._hooked else tuple(module for _, module in self._chain)

    def tail(self, layer: str | int | Layer) -> Callable[[Tensor], Tensor] | None:
        """The network behind `layer` as a function of its output alone, in plain sequential networks.

        None where the rest also depends on something else (skip connections, conditions).
        """
        end = self._chain_end(layer)
        if end is None:
            return None
        steps = [module for _, module in self._chain[end + 1 :]]

        def run(activation: Tensor) -> Tensor:
            for module in steps:
                activation = module(activation)
            return activation

        return run

    def head(self, layer: str | int | Layer) -> tuple[nn.Module, ...] | None:
        """The steps from the input to `layer`'s output in plain sequential networks, else None."""
        end = self._chain_end(layer)
        return None if end is None or self._hooked else tuple(module for _, module in self._chain[: end + 1])

    def _chain_end(self, layer: str | int | Layer) -> int | None:
        wanted = self.layers[layer].name
        ends = [i for i, (name, _) in enumerate(self._chain) if name == wanted or name.startswith(wanted + ".")]
        return ends[-1] if ends else None

    def _check_activation(self, layer: Layer, activation: Any, batch: int) -> Tensor:
        activation = as_tensor(activation, name="activation")
        if tuple(activation.shape) != (batch, *layer.shape):
            raise LayerError(
                f"the activation has shape {tuple(activation.shape)}, but layer {layer.name!r} gives "
                f"({batch}, {', '.join(map(str, layer.shape))})"
            )
        return finite(activation.to(self.device, self.dtype), name="activation")

    def neuron(self, neuron: Neuron) -> Neuron:
        """`neuron`, checked against this network.

        Raises:
            LayerError: unknown layer, channel or position.
        """
        neuron.check(self.layers[neuron.layer])
        return neuron

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names, shapes and bytes of the weights: which network made a result.

        The weights are those of your module, where the device is the same: train it further, and this changes.
        """
        tensors = [*self.module.parameters(), *self.module.buffers()]
        changes = [-1 if tensor.is_inference() else tensor._version for tensor in tensors]
        if self._fingerprint is None or changes != self._fingerprinted:
            digest = hashlib.sha256()
            for key, value in sorted(self.module.state_dict().items()):
                if isinstance(value, Tensor):
                    digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
                    digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
            self._fingerprint, self._fingerprinted = digest.hexdigest(), changes
        return self._fingerprint

    @property
    def parameters(self) -> int:
        """Number of trained scalars."""
        return sum(p.numel() for p in self.module.parameters())


def _class_name(module: nn.Module) -> str:
    return type(module.network if isinstance(module, Called) else module).__name__


def _close(one: Tensor, other: Tensor) -> bool:
    """Whether two outputs are the same but for what the order of additions changes."""
    apart = (one.float() - other.float()).abs()
    return one.numel() == 0 or bool(apart.max() <= 0.01 * other.float().abs().max())


def _with_copies(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.clone() if isinstance(a, Tensor) else a for a in args)


def choose(raw: Any, choice: OutputChoice, *, name: str) -> Tensor:
    """The tensor that `choice` picks out of what a network returned.

    Raises:
        ModelError: there is no such part, or it is no tensor.
    """
    try:
        if callable(choice):
            raw = choice(raw)
        elif isinstance(choice, str) and not isinstance(raw, dict):
            raw = getattr(raw, choice)
        elif choice is not None:
            raw = raw[choice]
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise ModelError(f"output={choice!r} does not fit what {name} returns, a {_describe(raw)}") from error
    if not isinstance(raw, Tensor):
        raise ModelError(
            f"{name} returns a {_describe(raw)}, expected a tensor; choose a part with output=0, "
            "output='key' or output=function"
        )
    return raw


def _advice(error: Exception) -> str:
    """What to do about a network that failed on its first input."""
    text = str(error)
    if "indices" in text and "Long" in text:
        return (
            "It takes whole numbers, such as words', where the workbench gives real ones and moves them little by "
            "little; give it their embeddings, as in Called(network, lambda net, x: net(inputs_embeds=x).logits)"
        )
    return "Check the declared input shape against the network's first layer"


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return f"dict with keys {sorted(map(str, value))[:8]}"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__
