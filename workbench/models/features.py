"""A fixed linear basis under a network's input, such as wavelets under an image."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from workbench.models.errors import ModelError


class LinearFeatures(nn.Module):
    """Coefficients of an input on a fixed basis: `flatten(x) @ basis.T`.

    Where the rows are orthonormal, a step within their span has the same length in features as in
    pixels. The basis is a buffer: it is stored with the weights and never trained.

    Args:
        basis: (features, inputs), one functional a row, over the flattened input.

    Raises:
        ModelError: a basis that is no matrix of floating-point numbers.
    """

    basis: Float[Tensor, "features inputs"]

    def __init__(self, basis: Float[Tensor, "features inputs"]) -> None:
        super().__init__()
        if basis.ndim != 2 or not basis.is_floating_point():
            raise ModelError(
                f"the basis is {basis.dtype} of shape {tuple(basis.shape)}; expected floating-point numbers of "
                "shape (features, inputs), one functional of the flattened input a row"
            )
        self.register_buffer("basis", basis.detach().clone())

    def forward(self, x: Float[Tensor, "batch *input"]) -> Float[Tensor, "batch features"]:
        """The coefficients of a batch.

        Raises:
            ModelError: inputs of another size than the basis's rows.
        """
        rows = x.flatten(1)
        if rows.shape[1] != self.basis.shape[1]:
            raise ModelError(
                f"an input has {rows.shape[1]} numbers (shape {tuple(x.shape[1:])}), the basis is over "
                f"{self.basis.shape[1]}; give inputs of the size that it was made for"
            )
        return rows @ self.basis.T

    def extra_repr(self) -> str:
        """The numbers of inputs and features."""
        features, inputs = self.basis.shape
        return f"inputs={inputs}, features={features}"
