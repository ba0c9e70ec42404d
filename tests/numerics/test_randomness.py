"""Seeds that torch cannot take are refused in words."""

from __future__ import annotations

import pytest
import torch

from workbench.numerics.randomness import LIMIT, seeded


def test_a_seed_is_torchs_own() -> None:
    assert torch.equal(
        torch.rand(3, generator=seeded(5)), torch.rand(3, generator=torch.Generator().manual_seed(5))
    )


@pytest.mark.parametrize("seed", [LIMIT, -LIMIT, 2**70, 0.5, "0"])
def test_other_seeds_are_refused(seed: object) -> None:
    with pytest.raises(ValueError, match="62 bits"):
        seeded(seed)  # type: ignore[arg-type]
