"""A paper's claims beside what was measured, as the studies of all methods write them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.stats import wilcoxon

if TYPE_CHECKING:
    import pandas as pd


class Claims:
    """Rows of what a paper says, what was measured, and whether that holds."""

    def __init__(self) -> None:
        self._rows: list[dict[str, object]] = []

    def add(self, claim: str, here: str, holds: bool, *, paper: str | None = None) -> None:
        """Add a claim, with what was measured, and where the table has a column for it, what the paper says."""
        told = {} if paper is None else {"paper": paper}
        self._rows.append({"claim": claim, **told, "here": here, "holds": bool(holds)})

    def frame(self) -> pd.DataFrame:
        """One row a claim, in their order."""
        import pandas as pd

        return pd.DataFrame(self._rows)


def signed_rank_p(gain: pd.Series[float]) -> float:
    """Of "no more" in a one-sided Wilcoxon signed-rank test; NaN where there is nothing to test."""
    return float(wilcoxon(gain, alternative="greater").pvalue) if len(gain) > 1 and gain.any() else math.nan
