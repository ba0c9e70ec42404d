"""Ways between two latents of a class, and between two classes under one latent (figures 3.7 and 4.22 to 4.24)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.embeddings.variants import EmbeddingError
from workbench.models import Generator
from workbench.models.generator import Condition


def interpolate_latents(
    generator: Generator, start: Any, end: Any, condition: Condition, *, frames: int = 8
) -> Float[Tensor, "frames *output"]:
    """Pictures of a class on the straight line between two latents.

    Args:
        generator: with classes.
        start, end: (*latent) or (1, *latent).
        condition: the class (index or name), or an embedding (width,).
        frames: pictures, the ends among them.

    Raises:
        EmbeddingError: fewer than two frames.
        ModelError: latents or a condition that do not fit.
    """
    z = _line(generator.point(start), generator.point(end), frames)
    return generator.render(z, condition)


def interpolate_classes(
    generator: Generator, z: Any, start: Condition, end: Condition, *, frames: int = 8
) -> Float[Tensor, "frames *output"]:
    """Pictures of one latent on the straight line between the embeddings of two classes.

    Args:
        generator: with class embeddings.
        z: (*latent) or (1, *latent).
        start, end: classes (index or name), or embeddings (width,).
        frames: pictures, the ends among them.

    Raises:
        EmbeddingError: fewer than two frames.
        ModelError: a latent or classes that do not fit.
    """
    ends = [generator.condition(given, 1)[0] for given in (start, end)]
    latents = generator.point(z).expand(frames, *generator.latent_shape)
    return generator.render(latents, _line(ends[0], ends[1], frames))


def _line(start: Tensor, end: Tensor, frames: int) -> Tensor:
    if frames < 2:
        raise EmbeddingError(f"frames={frames}; expected two or more")
    t = torch.linspace(0, 1, frames).to(start).reshape(-1, *[1] * start.ndim)
    return torch.lerp(start, end, t)
