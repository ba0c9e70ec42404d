"""The paper's claims about inverse sets (table 1, sections 3.3 and 4.1 to 4.3), beside what the study measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from workbench.claims import Claims, signed_rank_p
from workbench.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

#: The default sampler, and the paper's own.
OURS = ("tangent", "lagrangian")
#: PPGN's chains with the released code's steps.
PPGN = "PPGN"
#: Beside PPGN; training images come without seeds.
OTHERS = ("activation maximisation", "rejection", "training images")
_MEASURES = (
    "samples",
    "diversity",
    "inside",
    "diversity inside",
    "read",
    "diversity inside and read",
    "coverage",
    "lowest",
    "highest",
    "pixels",
    "frechet",
    "precision",
    "nearest",
    "confidence",
    "passes",
)
#: What counts as close: a tenth.
_CLOSE = 0.1
#: Seeds, which walk together, and chains of PPGN.
WALKERS = 10

Claim = Callable[[str, str, bool], None]


def table_1(results: Tables) -> pd.DataFrame:
    """Table 1 here: one row a neuron and method, means over the seeds; `spread` is the diversity's deviation.

    Diversity is the mean Euclidean distance between the encoder's codes of two samples. `below`: seeds with which
    it is less than that of `tangent`, `p` of "no less" in a one-sided signed-rank test over the seeds. `inside`:
    share of samples in the band; `diversity inside` is theirs, `… and read` that of those that the judge takes for
    the class too. `passes`: rows that went through the networks, forward and backward.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for neurons, group in _by(_part(results, "table 1"), "neurons"):
        group = group.assign(passes=group["forward"] + group["vjp"])
        ours = group[group["method"] == OURS[0]].set_index("seed")["diversity"]
        for method, found in _by(group, "method"):
            row: dict[str, object] = {"neuron": neurons, "method": method, "seeds": len(found)}
            row |= {name: _mean(found, name) for name in _MEASURES}
            row["spread"] = found["diversity"].std()
            if method != OURS[0]:
                gain = _gain(ours, found.set_index("seed")["diversity"])
                row |= {"below": int((gain > 0).sum()), "p": signed_rank_p(gain)}
            rows.append(row)
    return pd.DataFrame(rows)


def claims(results: Tables) -> pd.DataFrame:
    """What the paper says, what was measured, and whether that holds; what was not measured is left out."""
    found = Claims()
    for part in (_more_diverse, _control, _encoder, _one_start, _fast, _levels, _several, _plain):
        part(found.add, results)
    return found.frame()


def best_of_ppgn(table: pd.DataFrame, neuron: str, column: str) -> str | None:
    """The setting of PPGN with the largest mean of a column, which is compared; None where there is none."""
    rows = table[(table["neuron"] == neuron) & table["method"].str.startswith("PPGN") & table[column].notna()]
    return str(rows.set_index("method")[column].idxmax()) if len(rows) else None


def _more_diverse(claim: Claim, results: Tables) -> None:
    """Table 1, as printed and in two ways that are harder on the method."""
    table, sets = table_1(results), _part(results, "table 1")
    if not len(table):
        return
    kinds = {
        "diversity": "Table 1: {} is more diverse than PPGN",
        "diversity inside": "Not in the paper: {} is more diverse than PPGN's samples in the band",
        "diversity inside and read": "Not in the paper: {}, the same of samples read as the class by the judge",
    }
    neurons = list(dict.fromkeys(map(str, table["neuron"])))
    for column, text in kinds.items():
        for method in OURS:
            gains = []
            for neuron in neurons:
                other = best_of_ppgn(table, neuron, column)
                mine = _runs(sets, neuron, method)[column]
                if other is None or not mine.notna().any():
                    continue
                theirs = _runs(sets, neuron, other)[column]
                gain = _gain(mine, theirs)
                gains.append(gain)
                here = f"{mine.mean():.2f} ± {_spread(mine)}, {other} {theirs.mean():.2f} ± {_spread(theirs)}; "
                here += f"more with {int((gain > 0).sum())} of {len(gain)} seeds"
                claim(f"{text.format(method)}, {neuron}", here, mine.mean() > theirs.mean())
            if len(gains) > 1:
                import pandas as pd

                gain = pd.concat(gains)
                p = signed_rank_p(gain)
                here = f"more in {int((gain > 0).sum())} of {len(gain)} pairs, p = {p:.2g} (signed-rank test)"
                claim(f"{text.format(method)}, over all neurons and seeds", here, p < 0.05)
    for neuron in neurons:
        rows: Any = table[table["neuron"] == neuron].set_index("method")
        for method in (m for m in OURS if {m, PPGN} <= set(rows.index)):
            pair = [float(rows.loc[m, "precision"]) for m in (method, PPGN)]
            text = f"Figure 2: {method} is as real as PPGN (precision a tenth less at most), {neuron}"
            claim(text, _pair(pair), pair[0] > pair[1] - _CLOSE)
        for other in OTHERS:
            if other in rows.index and rows.loc[other, "diversity"] > 0 and OURS[0] in rows.index:
                pair = [float(rows.loc[m, "diversity"]) for m in (OURS[0], other)]
                name = "training images that qualify" if other == OTHERS[-1] else other
                claim(f"Section 4: tangent is more diverse than {name}, {neuron}", _pair(pair), pair[0] > pair[1])


def _control(claim: Claim, results: Tables) -> None:
    """The activation is chosen, at a few passes."""
    table = table_1(results)
    if not len(table):
        return
    means: Any = table.groupby("method")[["inside", "coverage", "passes"]].mean()
    theirs = means[means.index.str.startswith("PPGN")]
    for method in (m for m in OURS if m in means.index and len(theirs)):
        here = f"{means.loc[method, 'inside']:.0%} of the samples in the band, PPGN {theirs['inside'].max():.0%}"
        held = means.loc[method, "inside"] == 1 > theirs["inside"].max()
        claim(f"Section 4: {method} chooses the activation, and PPGN does not", here, held)
        here = f"{means.loc[method, 'passes']:,.0f} rows through the networks, PPGN {theirs['passes'].min():,.0f}"
        text = f"Abstract: PPGN is slow; {method} needs fewer passes for as many samples"
        claim(text, here, means.loc[method, "passes"] < theirs["passes"].min())
    found = _part(results, "table 1")
    for method, group in _by(found[found["method"].isin(OURS)], "method"):
        fewest = math.ceil((group["samples"].max() - WALKERS) / WALKERS)
        here = f"{group['steps'].mean():.0f} gradient steps on average, {group['steps'].max():.0f} at most; "
        here += f"{fewest} at least"
        text = f"Section 3.3: after the seeds, {method} needs less than twice the fewest gradient steps"
        claim(text, here, group["steps"].mean() < 2 * fewest)


def _encoder(claim: Claim, results: Tables) -> None:
    """Section 4.1, by six measures: one of the codes, five of the pictures."""
    found = _part(results, "4.1")
    measures = {
        "extreme": ("the codes take extreme values (largest number of a code)", 1),
        "white": ("pictures have large white spots (bright pixels, as a multiple of real digits')", 1),
        "precision": ("fewer pictures lie among real digits (precision in the judge's features)", -1),
        "frechet": ("the Fréchet distance to real digits in the judge's features is larger", 1),
        "nearest": ("pictures are farther from the nearest real digit, in pixels", 1),
        "confidence": ("the judge is less sure", -1),
    }
    for method in OURS:
        pair = {where: _runs(found, None, f"{where}, {method}") for where in ("encoder", "latent")}
        if not all(len(rows) for rows in pair.values()):
            continue
        for column, (text, sign) in measures.items():
            if column not in found:
                continue
            ends = [pair[where][column] for where in ("latent", "encoder")]
            gain = sign * _gain(*ends)
            here = f"{ends[0].mean():.3g} without, {ends[1].mean():.3g} with; so with {int((gain > 0).sum())} of "
            here += f"{len(gain)} seeds"
            claim(f"Section 4.1: without E, {text} ({method})", here, gain.mean() > 0)


def _one_start(claim: Claim, results: Tables) -> None:
    """Section 4.2: the seeds, and all samples, from one code."""
    found = _part(results, "4.2")
    for start in ("one code", "nearly one code"):
        for method in OURS:
            pair = [_runs(found, None, f"{start}, {method}, {how} distances") for how in ("with", "without")]
            for column, what in (("diversity", "samples"), ("diversity of seeds", "seeds")):
                if not all(len(rows) for rows in pair) or (column != "diversity" and method != OURS[0]):
                    continue
                means = [float(rows[column].mean()) for rows in pair]
                text = f"Section 4.2: from {start}, {what} are more diverse with the distances"
                text += f" ({method})" if column == "diversity" else ""
                claim(text, f"{means[0]:.3g} with, {means[1]:.3g} without", means[0] > means[1])


def _fast(claim: Claim, results: Tables) -> None:
    """Section 4.3: what the fast sampler loses, and saves."""
    found = _part(results, "4.3")
    full = _runs(found, None, "full")
    if not len(full):
        return
    ends = [float(_runs(found, None, method)["diversity"].mean()) for method in ("full", "fast")]
    here = f"{ends[0]:.2f}, fast {ends[1]:.2f}; it ended after {full['seed_steps'].min():.0f} to "
    here += f"{full['seed_steps'].max():.0f} gradient steps"
    claim(
        "Section 4.3 takes for granted: optimised in full, samples are the most diverse", here, ends[0] >= ends[1]
    )
    for method in ("fast", "seeds in full, then fast"):
        rows = _runs(found, None, method)
        steps = [float((one["seed_steps"] + one["steps"]).mean()) for one in (rows, full)]
        passes = [float((one["forward"] + one["vjp"]).mean()) for one in (rows, full)]
        here = (
            f"{steps[0]:.0f} gradient steps and {passes[0]:,.0f} rows, in full {steps[1]:.0f} and {passes[1]:,.0f}"
        )
        claim(
            f"Section 4.3: {method} takes far fewer gradient steps (a third at most)",
            here,
            3 * steps[0] < steps[1],
        )
        pair = [float(one["diversity"].mean()) for one in (rows, full)]
        here = f"{pair[0]:.2f}, in full {pair[1]:.2f} ({pair[0] / pair[1]:.0%})"
        claim(
            f"Section 4.3: {method} is nearly as diverse (a tenth less at most)",
            here,
            pair[0] > (1 - _CLOSE) * pair[1],
        )
        real = [float(one["precision"].mean()) for one in (rows, full)]
        here = f"{real[0]:.2f} of the pictures lie among real digits, in full {real[1]:.2f}"
        claim(
            f"Section 4.3: {method} is as real (precision a tenth less at most)", here, real[0] > real[1] - _CLOSE
        )


def _levels(claim: Claim, results: Tables) -> None:
    """Figure 1: the levels that are asked for."""
    table = table_1(results)
    first = list(dict.fromkeys(map(str, table["neuron"]))) if len(table) else []
    for neurons, group in _by(_part(results, "figure 1"), "neurons"):
        here = f"{group['samples'].mean():.0f} samples, {group['inside'].mean():.0%} inside; {_covered(group)}"
        held = group["inside"].min() == 1 and group["coverage"].min() >= 1 - _CLOSE
        claim(f"Figure 1: the band is filled, {neurons}", here, held)
        others = [n for n in first if n.partition(" in ")[0] == neurons.partition(" in ")[0]]
        best = best_of_ppgn(table, others[0], "diversity") if others else None
        if best is not None:  # whatever the level that is asked for, its samples are the same
            theirs = float(_runs(_part(results, "table 1"), others[0], best)["diversity"].mean())
            pair = [float(group["diversity"].mean()), theirs]
            claim(
                f"Not in the paper: at each level more diverse than {best}, {neurons}",
                _pair(pair),
                pair[0] > theirs,
            )


def _several(claim: Claim, results: Tables) -> None:
    """Figures 4 and 5: several neurons at once."""
    for part in ("figure 4", "figure 5"):
        for neurons, group in _by(_part(results, part), "neurons"):
            here = f"{group['samples'].mean():.0f} samples, {group['inside'].mean():.0%} in both bands, after "
            here += f"{group['seed_steps'].mean():.0f} and {group['steps'].mean():.0f} gradient steps; "
            here += f"{_covered(group)}"
            held = group["inside"].min() == 1 and group["samples"].min() > WALKERS
            claim(f"{part.capitalize()}: the intersection is sampled, {neurons}", here, held)


def _plain(claim: Claim, results: Tables) -> None:
    """A generator that no encoder belongs to (footnote 3)."""
    found = _part(results, "no encoder")
    pair = [_runs(found, None, method) for method in ("tangent", "rejection")]
    if all(len(rows) for rows in pair):
        means = [float(rows["diversity"].mean()) for rows in pair]
        here = f"{means[0]:.2f}, rejection {means[1]:.2f}; {pair[0]['inside'].mean():.0%} inside, "
        here += f"{pair[0]['read'].mean():.0%} read as the class"
        claim(
            "Footnote 3: any generator does: mnist-dcgan, more diverse than rejection", here, means[0] > means[1]
        )


def _part(results: Tables, name: str) -> pd.DataFrame:
    """The rows of one part of the study; none where nothing was measured."""
    sets = results.table("sets")
    if not len(sets):
        return sets
    sets = sets.astype({"part": str})
    return sets[sets["part"] == name]


def _by(table: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The groups of a column, in the order of the table."""
    if len(table):
        for name, group in table.groupby(column, sort=False):
            yield str(name), group


def _runs(sets: pd.DataFrame, neurons: str | None, method: str) -> pd.DataFrame:
    """The rows of a method, by seed."""
    if not len(sets):
        return sets
    chosen = sets[sets["method"] == method]
    return (chosen if neurons is None else chosen[chosen["neurons"] == neurons]).set_index("seed")


def _gain(ours: pd.Series[float], theirs: pd.Series[float]) -> pd.Series[float]:
    """Differences by seed; what has one row alone is compared with every seed."""
    return (ours - (theirs.iloc[0] if len(theirs) == 1 else theirs)).dropna()


def _mean(group: pd.DataFrame, column: str) -> float:
    return float(group[column].mean()) if column in group else math.nan


def _spread(values: pd.Series[float]) -> str:
    return f"{values.std():.2f}" if len(values) > 1 else "–"


def _pair(pair: list[float]) -> str:
    return f"{pair[0]:.2f} and {pair[1]:.2f}"


def _covered(group: pd.DataFrame) -> str:
    return f"{group['coverage'].mean():.0%} of the parts of the band hold one"
