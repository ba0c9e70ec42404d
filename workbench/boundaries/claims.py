"""The paper's claims about E-GBAS (section 4), beside what the study measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from workbench.boundaries.baselines import CONTROLS, PAPER
from workbench.claims import Claims, signed_rank_p
from workbench.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

OURS = "E-GBAS"


def table_1(results: Tables) -> pd.DataFrame:
    """Standard deviations of the images around a query, one row a network, layer and method.

    `mean`, `spread`: of the deviation over the queries, and its standard deviation; `higher`: queries around
    which the method's images deviate more than E-GBAS's; `p`: of "no more" in a one-sided signed-rank test;
    `radius`: mean distance from the query; `inside`: share of the samples in the region; `coverage` (two
    latents): share of the region around the query that lies near a sample.
    """
    import pandas as pd

    tables: list[pd.DataFrame] = []
    for network, layer, group in _by_layer(results.table("samples")):
        rows = _against(group.pivot(index="query", columns="method", values="deviation"), sign=1)
        for more in ("radius", "inside", "coverage"):
            rows[more] = rows["method"].map(group.groupby("method", sort=False)[more].mean())
        rows.insert(0, "layer", layer)
        rows.insert(0, "network", network)
        tables.append(rows.rename(columns={"beaten": "higher"}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def table_2(results: Tables) -> pd.DataFrame:
    """Cosine similarity of the discriminator's features to the query's, one row a network, its layer and method.

    Averaged over the generator's layers for each query. `lower`: queries around which the method's samples are
    less similar than E-GBAS's; `p`: of "no less" in a one-sided signed-rank test.
    """
    import pandas as pd

    samples = results.table("samples")
    columns = [name for name in samples.columns if name.startswith("similarity_")]
    tables = []
    for column in columns:
        judged = samples.dropna(subset=[column])
        for network in map(str, judged["network"].unique()):
            group = judged[judged["network"] == network]
            values = group.groupby(["query", "method"], sort=False)[column].mean().unstack()
            rows = _against(values, sign=-1)
            rows.insert(0, "discriminator_layer", int(column.removeprefix("similarity_")))
            rows.insert(0, "network", network)
            tables.append(rows.rename(columns={"beaten": "lower"}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _by_layer(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The rows of each network and layer, in the order of the table."""
    if len(table):
        for names, group in table.astype({"layer": str}).groupby(["network", "layer"], sort=False):
            network, layer = (str(name) for name in names)
            yield network, layer, group


def _against(values: pd.DataFrame, *, sign: int) -> pd.DataFrame:
    """Each method's values over the queries, beside E-GBAS's; `sign` 1 where less is better, else -1."""
    import pandas as pd

    rows = []
    for method in (OURS, *PAPER, *CONTROLS):
        if method not in values:
            continue
        both = values[[OURS, method]].dropna() if method != OURS else values[[OURS]].dropna()
        row = {"method": method, "queries": len(both), "mean": both[method].mean(), "spread": both[method].std()}
        if method != OURS and len(both):
            gain = sign * (both[method] - both[OURS])
            row["beaten"] = int((gain > 0).sum())
            row["p"] = signed_rank_p(gain)
        rows.append(row)
    return pd.DataFrame(rows)


def claims(results: Tables) -> pd.DataFrame:
    """What the paper says, what was measured, and whether that holds; what was not measured is left out."""
    found = Claims()
    claim = found.add
    first = table_1(results)
    for network, layer, group in _by_layer(first):
        if "coverage" in group and group["coverage"].notna().any():
            _figure_5(claim, network, layer, group.set_index("method"))
            continue
        means = group.set_index("method")["mean"]
        for methods, name in (
            (PAPER, "both epsilon balls"),
            (CONTROLS, "the two fair controls (not in the paper)"),
        ):
            others = [m for m in methods if m in means]
            if others:
                here = ", ".join(f"{m} {means[m]:.4f}" for m in (OURS, *others))
                text = f"Table 1: images of {network}, layer {layer}, deviate less than those of {name}"
                claim(text, here, all(means[OURS] < means[m] for m in others))
    second = table_2(results)
    if len(second):
        second = second.rename(columns={"discriminator_layer": "layer"})
    for network, layer, group in _by_layer(second):
        means = group.set_index("method")["mean"]
        others = [m for m in PAPER if m in means]
        here = ", ".join(f"{m} {means[m]:.4f}" for m in (OURS, *others))
        text = f"Table 2: features of {network}'s samples in discriminator layer {layer} are the most similar"
        claim(text, here, all(means[OURS] > means[m] for m in others))
    trees = results.table("trees")
    if len(trees) and "query_read_as" in trees:
        read = trees.dropna(subset=["query_read_as"])
        for network in map(str, read["network"].unique()):
            group = read[read["network"] == network]
            same = int((group["query_read_as"] == group["masked_read_as"]).sum())
            share = (group["kept"] / group["units"]).median()
            here = f"{same} of {len(group)} read as the query's digit; {share:.1%} of the boundaries kept (median)"
            claim(f"Figure 2: the masked output of {network} still shows the query", here, same == len(group))
    for network, layers in _local(results).items():
        if len(layers) > 1:
            here = ", ".join(f"layer {name} {value:.2f}" for name, value in layers.items())
            values = list(layers.values())
            text = f"Figure 6: the deeper the layer, the more local the deviation of {network}'s images"
            claim(f"{text} (share of the top tenth of the pixels)", here, values == sorted(values))
    return found.frame()


def _figure_5(claim: Callable[[str, str, bool], None], network: str, layer: str, table: pd.DataFrame) -> None:
    """In the plane: the balls reach outside the region, and leave parts of it out."""
    balls = [m for m in PAPER if m in table.index]
    for column, text in (
        ("inside", "lie in the region, those of the balls partly outside"),
        ("coverage", "cover more of the region than those of the balls"),
    ):
        values = table[column]
        here = ", ".join(f"{m} {values[m]:.1%}" for m in (OURS, *balls))
        full = f"Figure 5: samples of {network}, layer {layer}, {text}"
        claim(full, here, all(values[OURS] > values[m] for m in balls))


def _local(results: Tables) -> dict[str, dict[str, float]]:
    """By network, in the layers' order: how concentrated the deviation of E-GBAS's images is."""
    found: dict[str, dict[str, float]] = {}
    for network, layer, group in _by_layer(results.table("samples")):
        ours = group[group["method"] == OURS]
        found.setdefault(network, {})[layer] = float(ours["concentration"].mean())
    return found
