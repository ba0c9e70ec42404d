"""Generators: networks from latents (and a class) to images or signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.models import checks
from workbench.models.devices import check_fits
from workbench.models.errors import ModelError, nearest_names
from workbench.models.model import Model, OutputChoice
from workbench.models.priors import Prior, resolve_prior
from workbench.numerics.randomness import seeded

#: A class by index or by name, or an embedding; one, or one a row.
Condition = int | str | Tensor | Sequence[int] | None


@dataclass(frozen=True)
class Samples:
    """Draws of a generator.

    Attributes:
        latents: (n, *latent_shape).
        outputs: (n, *output_shape), in the generator's value range.
        classes: (n,) class indices, or None without classes.
    """

    latents: Float[Tensor, "n *latent"]
    outputs: Float[Tensor, "n *output"]
    classes: Int[Tensor, " n"] | None = None

    def __len__(self) -> int:
        return len(self.latents)


class Generator(Model):
    """A generator that you bring, ready for every method.

    Args:
        module: called as `module(z)`; with classes as `module(z, y)`, `y` the class indices (batch,),
            or, with `class_embeddings`, the rows (batch, width) of that matrix.
        latent_shape: shape of one latent, such as (64,) or (100, 1, 1).
        value_range: smallest and largest value of an output pixel.
        prior: `"normal"` (N(0, 1)), `"uniform"` (U(-1, 1)) or a `workbench.models.Prior`.
        class_names: names of the classes, in the order of their indices.
        class_embeddings: (classes, width) matrix, or the dotted name of the parameter that holds it.
        output: which part of what the module returns is the image: index, key, attribute or function.
        device: `"auto"` takes CUDA, MPS or the CPU, in that order.
        name: shown in panels and kept in results.
        batch_size: rows in one pass; by default what a quarter of the free memory holds.

    The network is run in eval mode, without gradients to its weights, on a private copy of the
    module's structure: your module and its mode stay as they are.

    Raises:
        ModelError: the module cannot be run as declared, its output is no image or signal, its
            weights or outputs hold NaN, or its values are on another scale than `value_range`.
    """

    def __init__(
        self,
        module: nn.Module,
        latent_shape: int | Sequence[int],
        *,
        value_range: tuple[float, float] = (-1.0, 1.0),
        prior: str | Prior = "normal",
        class_names: Sequence[str] | None = None,
        class_embeddings: Float[Tensor, "classes width"] | str | None = None,
        output: OutputChoice = None,
        device: str | torch.device = "auto",
        name: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(module, device=device, output=output, name=name, batch_size=batch_size)
        self.latent_shape = checks.resolve_shape(latent_shape, name="latent_shape")
        self.value_range = checks.resolve_range(value_range)
        self.prior = resolve_prior(prior)
        self.class_embeddings = self._resolve_embeddings(class_embeddings)
        self.class_names = self._resolve_class_names(class_names)
        self._bound: Tensor | None = None
        z = self.latents(2, seed=0)
        condition = [] if self.class_names is None else [self.condition(0, 2)]
        output_probe = self._probe(z, *condition)
        self.output_shape: tuple[int, ...] = tuple(output_probe.shape[1:])
        self.kind = checks.output_kind(self.output_shape)
        checks.check_range(output_probe, self.value_range)

    def __repr__(self) -> str:
        classes = f", {len(self.class_names)} classes" if self.class_names else ""
        return (
            f"Generator({self.name}: {self.latent_shape} -> {self.output_shape} in "
            f"[{self.value_range[0]:g}, {self.value_range[1]:g}]{classes}, {self.parameters:,} parameters, "
            f"{self.device})"
        )

    @property
    def bound(self) -> Tensor | None:
        """The class (index or embedding) that `of_class` fixed.

        Raises:
            ModelError: the generator has classes and none is fixed.
        """
        return self._conditions(None, 1)[0][0] if self.class_names is not None else None

    @property
    def fixed(self) -> Tensor | None:
        """The class (index or embedding) that `of_class` fixed, or None where none is."""
        return self._bound

    @property
    def fixed_index(self) -> int | None:
        """Index of the class that `of_class` fixed; None where none is, or an embedding that is no class's own."""
        if self._bound is None:
            return None
        if not self._bound.is_floating_point():
            return int(self._bound)
        if self.class_embeddings is None:
            return None
        same = (self.class_embeddings == self._bound).all(1).nonzero()[:, 0]
        return int(same[0]) if len(same) else None

    @property
    def latent_size(self) -> int:
        """Number of scalars in one latent."""
        return torch.Size(self.latent_shape).numel()

    def latents(self, n: int, *, seed: int = 0) -> Float[Tensor, "n *latent"]:
        """`n` draws of the prior, on the generator's device; the same for a seed on every device."""
        if n < 0:
            raise ModelError(f"{n} latents were asked for; expected 0 or more")
        check_fits("latents", n, self.latent_size, self.device)
        drawn = self.prior.sample(n, self.latent_shape, seeded(seed))
        return drawn.to(device=self.device, dtype=self.dtype)

    def sample(self, n: int, *, seed: int = 0, condition: Condition = None) -> Samples:
        """`n` draws of the prior and their outputs, without gradients, in batches that fit.

        With classes, `condition` chooses them; by default they are drawn at random.
        """
        check_fits("samples", n, self.latent_size + torch.Size(self.output_shape).numel(), self.device)
        z = self.latents(n, seed=seed)
        classes = None
        if self.class_names is not None and self._bound is None and condition is None:
            generator = seeded(seed)
            classes = torch.randint(len(self.class_names), (n,), generator=generator)
            condition = classes
        outputs = self.render(z, condition)
        return Samples(z, outputs, classes)

    def render(self, z: Any, condition: Condition = None) -> Float[Tensor, "batch *output"]:
        """`self(z, condition)` without gradients, in batches that fit the device's memory."""
        z = checks.finite(self._as_latents(z), name="z")
        given = self._conditions(condition, len(z))
        with torch.no_grad():
            return self.batches.map(self._forward, z, *given)

    def __call__(self, z: Any, condition: Condition = None) -> Float[Tensor, "batch *output"]:
        """Outputs for the latents `z` (batch, *latent_shape), differentiable in `z`.

        Raises:
            ModelError: `z` has another shape, or is not finite.
        """
        z = checks.finite(self._as_latents(z), name="z")
        return self._forward(z, *self._conditions(condition, len(z)))

    def point(self, z: Any) -> Float[Tensor, " *latent"]:
        """One latent `z`, (*latent_shape) or (1, *latent_shape), checked and without gradient."""
        single = checks.as_single(z, self.latent_shape, name="z", device=self.device, dtype=self.dtype)
        return single.detach()

    def of_class(self, condition: Condition) -> Generator:
        """This generator with its class (index, name) or embedding (width,) fixed: a function of z alone."""
        if self.class_names is None:
            raise ModelError(f"{self.name} has no classes; pass class_names=[…] when you make the Generator")
        bound = object.__new__(Generator)
        bound.__dict__.update(self.__dict__)
        bound._bound = checks.finite(self.condition(condition, 1), name="the class's embedding")[0]
        if isinstance(condition, (int, str)):
            bound.name = f"{self.name} of {self.class_names[self.class_index(condition)]}"
        return bound

    def with_embeddings(self, matrix: Float[Tensor, "classes width"], *, name: str | None = None) -> Generator:
        """This generator with other class embeddings, as many and as wide; the network is the same, and shared.

        Raises:
            ModelError: the generator has no class embeddings, or `matrix` has another shape or holds NaN.
        """
        if self.class_embeddings is None:
            raise ModelError(f"{self.name} has no class embeddings; pass class_embeddings=… when you make it")
        rows = self._resolve_embeddings(matrix)
        if rows is None or rows.shape != self.class_embeddings.shape:
            raise ModelError(
                f"embeddings of shape {tuple(torch.as_tensor(matrix).shape)} were given; {self.name} has "
                f"{tuple(self.class_embeddings.shape)}"
            )
        other = object.__new__(Generator)
        other.__dict__.update(self.__dict__)
        other.class_embeddings, other._bound = rows, None
        other.name = name or self.name
        return other

    def class_index(self, name: int | str) -> int:
        """The index of a class given by name or index.

        Raises:
            ModelError: no such class.
        """
        return checks.class_index(name, self.class_names or [], of=self.name)

    def condition(self, given: Condition, batch: int) -> Tensor:
        """`given` as what the module takes: indices (batch,), or embeddings (batch, width)."""
        if isinstance(given, (int, str)):
            indices = torch.full((batch,), self.class_index(given))
        else:
            told = checks.as_tensor(given, name="condition")
            if told.is_floating_point() and told.shape != (0,):  # what [] becomes
                return self._embedding(told, batch)
            indices = told.long().flatten()
            if len(indices) not in (1, batch):
                raise ModelError(
                    f"{len(indices)} classes were given for {batch} latents; give one, or one for each"
                )
            indices = indices.expand(batch)
            for index in (int(indices.min()), int(indices.max())) if batch else ():
                self.class_index(index)
        indices = indices.to(self.device)
        return indices if self.class_embeddings is None else self.class_embeddings[indices]

    def to(self, device: str | torch.device) -> Self:
        """This generator itself, moved to another device with its embeddings and the class that is fixed.

        The network goes with it, which those that `of_class` and `with_embeddings` made share: move these, too.

        Raises:
            ModelError: the device is unknown, or not on this machine.
        """
        super().to(device)
        if self.class_embeddings is not None:
            self.class_embeddings = self.class_embeddings.to(self.device)
        if self._bound is not None:
            self._bound = self._bound.to(self.device)
        return self

    def _given(self, x: Any, condition: Condition) -> list[Tensor]:
        z = self._as_latents(x)
        return [z, *self._conditions(condition, len(z))]

    def _embedding(self, given: Tensor, batch: int) -> Float[Tensor, "batch width"]:
        if self.class_embeddings is None or given.ndim == 0:
            raise ModelError(
                f"real numbers were given as the class, {given.dtype} of shape {tuple(given.shape)}; {self.name} "
                "takes classes by index, a whole number, or by name"
                + ("" if self.class_embeddings is None else ", or an embedding")
            )
        width = self.class_embeddings.shape[1]
        if given.ndim > 2 or given.shape[-1] != width or (given.ndim == 2 and len(given) not in (1, batch)):
            raise ModelError(
                f"the embedding has shape {tuple(given.shape)}, expected ({width},) or (batch, {width})"
            )
        return given.to(device=self.device, dtype=self.dtype).expand(batch, width)

    def _as_latents(self, z: Any) -> Tensor:
        return checks.as_batch(z, self.latent_shape, name="z", device=self.device, dtype=self.dtype)

    def _conditions(self, given: Condition, batch: int) -> list[Tensor]:
        if self.class_names is None:
            if given is not None:
                raise ModelError(f"{self.name} has no classes, but a class was given: {given!r}")
            return []
        if given is not None:
            return [self.condition(given, batch)]
        if self._bound is None:
            raise ModelError(f"{self.name} has classes: pass one, as in G(z, 3), or fix it with G.of_class(3)")
        return [self._bound.expand(batch, *self._bound.shape)]

    def _resolve_embeddings(self, embeddings: Tensor | str | None) -> Tensor | None:
        if isinstance(embeddings, str):
            parameters = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
            if embeddings not in parameters:
                raise ModelError(f"no parameter {embeddings!r}: {nearest_names(embeddings, parameters)}")
            embeddings = parameters[embeddings]
        if embeddings is None:
            return None
        matrix = torch.as_tensor(embeddings).detach()
        if matrix.ndim != 2 or not torch.isfinite(matrix).all():
            raise ModelError(
                f"class_embeddings has shape {tuple(matrix.shape)}; expected a finite matrix (classes, width)"
            )
        return matrix.to(device=self.device, dtype=self.dtype)

    def _resolve_class_names(self, names: Sequence[str] | None) -> list[str] | None:
        rows = None if self.class_embeddings is None else len(self.class_embeddings)
        if names is None:
            return None if rows is None else [str(i) for i in range(rows)]
        names = [str(n) for n in names]
        if rows is not None and rows != len(names):
            raise ModelError(f"{len(names)} class names were given for {rows} rows of class_embeddings")
        if not names:
            raise ModelError("class_names is empty; leave it out for a generator without classes")
        return names


def as_generator(model: Any) -> Generator:
    """`model`, where it is a `Generator`.

    Raises:
        ModelError: it is something else.
    """
    if not isinstance(model, Generator):
        raise ModelError(
            f"a {type(model).__name__} was given, expected a Generator: wb.Generator(module, latent_shape=…) "
            "around a network from latents to images or signals"
        )
    return model
