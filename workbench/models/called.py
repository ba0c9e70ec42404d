"""A network that is called in its own way, as a module that the adapters can call in theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from workbench.models.errors import ModelError


class Called(nn.Module):
    """A network together with the line that calls it.

    For networks whose `forward` wants more than latents or inputs, or whose wanted part is another method of
    theirs: `wb.Generator(Called(vae, lambda vae, z: vae.decode(z).sample), latent_shape=(4, 8, 8))`.

    Args:
        network: the module; its layers are named `network.…`.
        call: from the network and what the adapter gives (latents, or latents and a class, or inputs) to the
            output. It should reach the network by its first argument alone: the workbench runs a copy.

    Raises:
        ModelError: no module, or nothing that can be called.
    """

    def __init__(self, network: nn.Module, call: Callable[..., Any]) -> None:
        if not isinstance(network, nn.Module) or not callable(call):
            raise ModelError(
                f"a {type(network).__name__} and a {type(call).__name__} were given, expected a torch.nn.Module "
                "and a function, as in Called(vae, lambda vae, z: vae.decode(z).sample)"
            )
        super().__init__()
        self.network = network
        self._call = call

    def forward(self, *given: Any) -> Any:
        """What the line makes of a batch."""
        return self._call(self.network, *given)
