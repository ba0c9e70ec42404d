"""The thesis's claims about class embeddings (Table 3.1, figures 3.7 and 4.21), beside what the study measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.claims import Claims, signed_rank_p
from workbench.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

REAL, ORIGINAL = "real", "original"
MAXIMISED = ("AM-S", "AM-L", "AM-D-S", "AM-D-L")
#: What counts as no change of diversity: a tenth of the gap between the original and the real pictures.
_NEGLIGIBLE = 0.1


def table_31(results: Tables) -> pd.DataFrame:
    """Table 3.1 here: one row a method, diversity, realism and reading over the classes.

    Diversity and reading are means over classes and trials; `… of the best` is of the trial with the largest
    feature distance in each class. `more diverse`: classes whose mean feature distance is above the original's,
    `p` of "no more" in a one-sided signed-rank test over the classes.
    """
    import pandas as pd

    trials, sets = results.table("trials"), results.table("sets")
    if not len(trials):
        return pd.DataFrame()
    measures = ["ms_ssim", "distance", "pixels", "read_by_classifier", "read_by_judge"]
    by_class = trials.groupby(["method", "class"], sort=False)[measures].mean()
    best = trials.groupby(["method", "class"], sort=False)["distance"].max()
    rows = []
    for method in map(str, dict.fromkeys(trials["method"])):
        means: Any = by_class.loc[method].mean()
        row: dict[str, object] = {"method": method, **means.to_dict()}
        row["distance of the best"] = best.loc[method].mean()
        gain = (by_class.loc[method]["distance"] - by_class.loc[ORIGINAL]["distance"]).dropna()
        if method not in (REAL, ORIGINAL):
            row["more diverse"] = int((gain > 0).sum())
            row["classes"] = len(gain)
            row["p"] = signed_rank_p(gain)
        rows.append(row)
    return pd.DataFrame(rows).merge(sets, on="method", how="left")


def claims(results: Tables) -> pd.DataFrame:
    """What the thesis says, what was measured, and whether that holds; what was not measured is left out."""
    found = Claims()
    claim = found.add
    first = table_31(results)
    if not len(first):
        return found.frame()
    table: dict[str, Any] = {str(row["method"]): row for row in first.to_dict("records")}
    original, real = table[ORIGINAL], table[REAL]
    gap = real["distance"] - original["distance"]
    for method in (m for m in MAXIMISED if m in table):
        one = table[method]
        here = f"feature distance {one['distance']:.3f}, original {original['distance']:.3f}, real "
        here += f"{real['distance']:.3f} ({(one['distance'] - original['distance']) / gap:.0%} of the gap); "
        here += f"{one['more diverse']:.0f} of {one['classes']:.0f} classes"
        claim(
            f"Table 3.1: {method} is more diverse than the original", here, one["distance"] > original["distance"]
        )
        here = f"MS-SSIM {one['ms_ssim']:.3f}, original {original['ms_ssim']:.3f}, real {real['ms_ssim']:.3f}"
        claim(f"Table 3.1: {method} has a lower MS-SSIM", here, one["ms_ssim"] < original["ms_ssim"])
        here = f"{one['frechet']:.2f}, original {original['frechet']:.2f}"
        text = f"Table 3.1: {method} is somewhat less real (Fréchet distance in the judge's features)"
        claim(text, here, one["frechet"] > original["frechet"])
    if "Noise-S" in table:
        change = (table["Noise-S"]["distance"] - original["distance"]) / gap
        claim(
            "Section 3.2: small noise hardly changes the diversity",
            f"{change:+.0%} of the gap to the real pictures",
            abs(change) < _NEGLIGIBLE,
        )
    if "Noise-L" in table:
        one = table["Noise-L"]
        here = f"{one['read_by_judge']:.0%} read as the class, original {original['read_by_judge']:.0%}; feature "
        here += f"distance {one['distance']:.3f}, original {original['distance']:.3f}"
        claim(
            "Section 3.2: large noise spoils the pictures",
            here,
            one["read_by_judge"] < original["read_by_judge"] / 2,
        )
    for plain, diverse in (("AM-S", "AM-D-S"), ("AM-L", "AM-D-L")):
        if plain in table and diverse in table:
            pair = [table[m]["read_by_judge"] for m in (plain, diverse)]
            here = f"{pair[1]:.1%} of {diverse} and {pair[0]:.1%} of {plain} read as the class by the judge"
            claim(f"Table 3.1: {diverse} lowers the accuracy further than {plain}", here, pair[1] < pair[0])
    trials = results.table("trials")
    strips: Any = trials.groupby("method")[["strip_distance", "strip_read"]].mean().to_dict("index")
    for method in (m for m in MAXIMISED if m in table):
        group = trials[trials["method"] == method]
        own = float(group["rank_of_own_or_alike"].median())
        here = f"median rank of its own class, or one that looks the same, {own:.0f}; "
        here += f"{group['shared_neighbours'].mean():.0%} of the ten neighbours are the same"
        claim(f"Figure 4.21: embeddings of {method} stay near their neighbours", here, own <= 1)
        here = f"ends {strips[method]['strip_distance']:.3f} apart, original "
        here += f"{strips[ORIGINAL]['strip_distance']:.3f}; {strips[method]['strip_read']:.0%} on the way read"
        text = f"Figure 3.7: between two latents {method} shows more change than the original, still the class"
        more = strips[method]["strip_distance"] > strips[ORIGINAL]["strip_distance"]
        claim(text, here, more and strips[method]["strip_read"] > 0.5)
    return found.frame()
