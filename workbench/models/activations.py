"""Activations with a shape that is trained."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.errors import ModelError


class Erf(nn.Module):
    """The tunable error function y = erf(c / sigma), in (-1, 1): nearly a step where sigma is small, nearly
    linear where it is large.

    Equation (7) of Yousefzadeh and O'Leary, "Deep learning interpretation: flip points and homotopy
    methods", MSML 2020. Its slope is largest at c = 0, where it is 2 / (sigma √π).

    Args:
        sigma: initial value of the trained parameter of that name: one positive number for the whole
            layer, or a tensor of positive numbers that broadcasts over a sample's neurons (one for each
            neuron in the paper's Algorithm 1).

    Raises:
        ModelError: a sigma that is not finite and positive. Only the initial value is checked: training
            moves the parameter freely.
    """

    sigma: Float[Tensor, "*#neurons"]

    def __init__(self, sigma: float | Float[Tensor, "*#neurons"] = 1.0) -> None:
        super().__init__()
        values = torch.as_tensor(sigma, dtype=None if isinstance(sigma, Tensor) else torch.get_default_dtype())
        if not (torch.isfinite(values) & (values > 0)).all():
            raise ModelError(
                f"sigma={sigma!r}; erf(c / sigma) needs finite numbers above 0: small ones for a steep "
                "activation, large ones for a nearly linear one"
            )
        self.sigma = nn.Parameter(values.detach().clone())

    def forward(self, c: Float[Tensor, "batch *neurons"]) -> Float[Tensor, "batch *neurons"]:
        """The activations of pre-activations `c`."""
        return torch.erf(c / self.sigma)

    def extra_repr(self) -> str:
        """The sigma, or how many there are."""
        return f"sigma={self.sigma.item():.4g}" if self.sigma.ndim == 0 else f"sigma={tuple(self.sigma.shape)}"
