"""Random numbers that a seed determines, the same on every device."""

from __future__ import annotations

import torch

#: Seeds are smaller than this in size, so that a method may add to one what it numbers.
LIMIT = 2**62


def seeded(seed: int) -> torch.Generator:
    """A generator on the CPU that starts at `seed`.

    Raises:
        ValueError: no whole number, or one of more than 62 bits.
    """
    if not isinstance(seed, int) or not -LIMIT < seed < LIMIT:
        raise ValueError(f"seed={seed!r}; expected a whole number of at most 62 bits, such as 0")
    return torch.Generator().manual_seed(seed)
