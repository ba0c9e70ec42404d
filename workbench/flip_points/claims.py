"""The paper's claims on MNIST (section 6.1), beside what the study measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from scipy.stats import ttest_rel
from torch import Tensor

from workbench.claims import Claims
from workbench.flip_points.measurements import Case, Results
from workbench.flip_points.result import CONVERGED
from workbench.flip_points.trust import Trust

if TYPE_CHECKING:
    import pandas as pd

#: Table 1: accuracies on the first and the second half of the training set and on the test set.
TABLE_1 = {
    "mnist-erf-1": {"first": 1.0, "second": 0.9762, "test": 0.9798},
    "mnist-erf-2": {"first": 0.9756, "second": 1.0, "test": 0.9764},
}
#: Figure 4 at the size that the text tells: test accuracy of networks trained on 9,463 images.
FIGURE_4 = {"nearest": 0.979, "random": 0.962, "farthest": 0.906}
#: Test accuracy of a network trained on the whole training set, and with the mistakes' flip points added.
RETRAINING = {"whole": 0.982, "with flip points": 0.986}


def trust_table(results: Results) -> pd.DataFrame:
    """Figure 3 in numbers, one row a measured case.

    `closest_is_right`: share of the mistakes whose closest class is the right one. `auc_*`: of finding mistakes;
    `auc_gain` is their difference, distance less softmax, and `auc_gain_error` its standard error.
    """
    import pandas as pd

    return pd.DataFrame([_trust_row(case, results.trust(case)) for case in results.cases()])


def _trust_row(case: Case, trust: Trust) -> dict[str, object]:
    wrong, right = ~trust.correct & trust.found, trust.correct & trust.found
    confident = trust.confidence[~trust.correct]
    row: dict[str, object] = {"network": case.network, "part": case.part, "images": len(trust)}
    row |= {
        "mistakes": int((~trust.correct).sum()),
        "without_flip_point": int((~trust.found).sum()),
        "converged": float((trust.status == CONVERGED).float().mean()),
        "median_of_mistakes": _median(trust.distances[wrong]),
        "median_of_correct": _median(trust.distances[right]),
        "closest_is_right": float(trust.alternative),
        "mistakes_with_softmax_of_80": float((confident >= 0.8).float().mean()),
    }
    if wrong.any() and right.any():
        gain, error = _gain(trust)
        row |= {"auc_distance": trust.auc("distance"), "auc_softmax": trust.auc("softmax")}
        row |= {"auc_gain": gain, "auc_gain_error": error}
    return row


def _median(values: Tensor) -> float:
    return float(values.double().quantile(0.5)) if len(values) else math.nan


def _gain(trust: Trust) -> tuple[float, float]:
    """Difference of the areas, distance less softmax, and its standard error.

    DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44(3), 1988: a row's placement is the share of the other group that it
    is on the right side of, and the area is the mean placement of either group.
    """
    wrong = ~trust.correct

    def placements(values: Tensor, others: Tensor) -> Tensor:
        """Share of `others` below each of `values`, those level with it by half."""
        others = others.sort().values
        below = (torch.searchsorted(others, values, right=right) for right in (False, True))
        return torch.stack(tuple(below)).double().sum(0) / (2 * len(others))

    def of(measure: Tensor) -> tuple[Tensor, Tensor]:
        values = measure.double()
        return 1 - placements(values[wrong], values[~wrong]), placements(values[~wrong], values[wrong])

    (far, near), (far_softmax, near_softmax) = of(trust.distances), of(trust.confidence)
    mistakes, correct = far - far_softmax, near - near_softmax
    error = math.nan  # of a single row nothing is known
    if min(len(mistakes), len(correct)) > 1:
        error = float((mistakes.var() / len(mistakes) + correct.var() / len(correct)).sqrt())
    return float(mistakes.mean()), error


def training_table(results: Results) -> pd.DataFrame:
    """Test accuracies of the trained networks, one row an experiment and arm.

    `gain`: mean difference from the experiment's reference (random subsets, the whole set) on the same seeds;
    `higher`: seeds with a gain; `p`: of "no gain" in a paired one-sided t-test (of "no loss" for the farthest).
    The three are left out while the reference has not been trained.
    """
    import pandas as pd

    trained, rows = results.table("trained"), []
    for experiment, group in trained.groupby("experiment", sort=False) if len(trained) else ():
        seeds = group.pivot(index="seed", columns="arm", values="test_accuracy").dropna()
        reference = {"subsets": "random", "retraining": "whole"}[str(experiment)]
        for arm in group["arm"].unique():
            own = seeds[arm]
            row = {
                "experiment": experiment,
                "arm": arm,
                "images": int(group[group["arm"] == arm]["images"].iloc[0]),
            }
            row |= {"seeds": len(own), "mean": own.mean(), "lowest": own.min(), "highest": own.max()}
            if arm != reference and reference in seeds:
                side = "less" if arm == "farthest" else "greater"
                gains = own - seeds[reference]
                row |= {"gain": gains.mean(), "higher": int((gains > 0).sum())}
                row["p"] = ttest_rel(own, seeds[reference], alternative=side).pvalue if len(own) > 1 else math.nan
            rows.append(row)
    return pd.DataFrame(rows)


def claims(results: Results) -> pd.DataFrame:
    """What the paper says, what was measured, and whether that holds; what was not measured is left out."""
    found = Claims()
    for row in results.table("accuracies").to_dict("records"):
        text = f"accuracy of {row['network']} on {row['part']}, within a point"
        holds = abs(row["accuracy"] - row["paper"]) <= 0.01
        found.add(text, f"{row['accuracy']:.2%}", holds, paper=f"{row['paper']:.2%}")
    for row in trust_table(results).to_dict("records"):
        of = f"{row['network']} on {row['part']}"
        if row["mistakes"]:
            right = row["closest_is_right"]
            here = f"{right:.1%} of {row['mistakes']}"
            found.add(f"the closest class of a mistake is the right one: {of}", here, right == 1, paper="100%")
        if 0 < row["mistakes"] < row["images"]:
            near, far = row["median_of_mistakes"], row["median_of_correct"]
            text = f"mistakes are closer to a boundary than correct images: {of}"
            found.add(text, f"median {near:.3f} and {far:.3f}", near < far, paper="closer")
            ours, softmax = row["auc_distance"], row["auc_softmax"]
            here = f"{ours:.3f} and {softmax:.3f} (standard error of the gain {row['auc_gain_error']:.3f})"
            text = f"distance finds mistakes better than softmax (area): {of}"
            found.add(text, here, ours > softmax, paper="better")
    places = results.table("alternatives")
    if len(places):
        first, second = (places["place"] <= 1).mean(), (places["place"] <= 2).mean()
        here = f"{first:.1%}; one of the two closest {second:.1%}"
        here += f"; softmax's runner-up {places['runner_up_is_right'].mean():.1%}"
        found.add("the same, with flip points toward every class", here, first == 1, paper="100%")
    trained = training_table(results).to_dict("records")
    for experiment, paper in (("subsets", FIGURE_4), ("retraining", RETRAINING)):
        arms = {row["arm"]: row for row in trained if row["experiment"] == experiment}
        if not arms.keys() >= paper.keys():
            continue
        here = ", ".join(f"{arm} {row['mean']:.2%}" for arm, row in arms.items())
        told = ", ".join(f"{arm} {value:.1%}" for arm, value in paper.items())
        if experiment == "subsets":
            order = arms["nearest"]["mean"] > arms["random"]["mean"] > arms["farthest"]["mean"]
            text = "networks learn most from the images nearest to their flip points"
            found.add(text, here, order, paper=told)
        else:
            gain, p = arms["with flip points"]["gain"], arms["with flip points"]["p"]
            found.add(f"flip points as training data add accuracy (p {p:.2g})", here, gain > 0, paper=told)
    return found.frame()
