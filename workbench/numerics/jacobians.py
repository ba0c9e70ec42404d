"""Products with the Jacobian of a network at one point, in chunks, without keeping a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vjp, vmap

from workbench.numerics.tangents import BatchedFunction, Push, linearised


@dataclass
class Passes:
    """How many single-sample passes through the network a computation took."""

    forward: int = 0
    jvp: int = 0
    vjp: int = 0

    @property
    def total(self) -> int:
        """All passes; a jvp or vjp counts as one, as it costs about one forward pass."""
        return self.forward + self.jvp + self.vjp


def default_chunk(device: torch.device) -> int:
    """Most tangents pushed through at once: 34 to 40 measured best on a CPU, a GPU wants more."""
    return 40 if device.type == "cpu" else 128


def _chunks(rows: Tensor, most: int) -> tuple[Tensor, ...]:
    """`rows` in as few parts of at most `most` as there can be, all of nearly one size."""
    return rows.tensor_split(max(1, -(-len(rows) // most)))


class Linearisation:
    """The Jacobian J (outputs x latents) of a batched function at one point, as products with it.

    Args:
        function: batched; called with (1, *latent), or with a batch of copies of the point where the
            network has no rule for batched tangents. If it has an attribute `chain`, the steps that it
            is composed of, tangents go through them one by one, see `linearised`.
        point: (*latent).
        chunk: tangents or cotangents in one pass.
    """

    def __init__(
        self, function: BatchedFunction, point: Float[Tensor, " *latent"], *, chunk: int | None = None
    ) -> None:
        self.function = function
        self.point = point.detach()
        self.chunk = chunk or default_chunk(point.device)
        self.passes = Passes()
        self._pushing: Push | None = None
        self._pullback: Callable[[Tensor], tuple[Tensor, ...]] | None = None
        self._output: Tensor | None = None

    @property
    def latents(self) -> int:
        """Number of columns of J."""
        return self.point.numel()

    @property
    def output(self) -> Float[Tensor, " *output"]:
        """The function's value at the point."""
        if self._output is None:
            with torch.no_grad():
                self._output = self.function(self.point[None])[0]
            self.passes.forward += 1
        return self._output

    def push(self, tangents: Float[Tensor, "k n"]) -> Float[Tensor, "k m"]:
        """Rows J v for the rows v of `tangents`, one chunk after another."""
        return torch.cat(list(self.push_chunks(tangents)))

    def push_chunks(self, tangents: Float[Tensor, "k n"]) -> Iterator[Float[Tensor, "chunk m"]]:
        """The same, chunk by chunk, so that a caller can stop or reduce in between."""
        for rows in _chunks(tangents, self.chunk):
            self.passes.jvp += len(rows)
            yield self._push(rows.reshape(len(rows), *self.point.shape)).flatten(1)

    @property
    def _push(self) -> Push:
        if self._pushing is None:
            steps = getattr(self.function, "chain", ()) or (self.function,)
            self._pushing, output = linearised(steps, self.point[None])
            self._output = output[0]
            self.passes.forward += 1
        return self._pushing

    def linearise(self) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """Run the forward pass whose graph `pull` walks back through; it is kept."""
        if self._pullback is None:
            output, self._pullback = vjp(self.function, self.point[None])  # type: ignore[misc]
            self._output = output[0].detach()
            self.passes.forward += 1
        return self._pullback

    def pull(self, cotangents: Float[Tensor, "k m"]) -> Float[Tensor, "k n"]:
        """Rows J^T u for the rows u of `cotangents`; the forward pass is kept between calls."""
        pullback = self.linearise()
        shape = self.output.shape
        parts = []
        for rows in _chunks(cotangents, self.chunk):
            self.passes.vjp += len(rows)
            rows = rows.reshape(len(rows), 1, *shape)
            try:
                pulled = vmap(lambda u: pullback(u)[0])(rows)
            except (RuntimeError, NotImplementedError, ValueError):  # no batching rule, or no memory for so many
                pulled = torch.stack([pullback(row)[0] for row in rows])
            parts.append(pulled.flatten(1))
        return torch.cat(parts)
