"""Yousefzadeh and O'Leary 2020, section 6.1: what holds of the paper's claims about flip points on MNIST.

Where the paper's claim does not hold, a test says what does, and its docstring says why.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import t

from tests.papers.reduced import executed, printed
from tests.project import ROOT
from workbench.flip_points import nearest_rows
from workbench.flip_points.claims import RETRAINING, TABLE_1, claims, training_table, trust_table
from workbench.flip_points.measurements import Results
from workbench.flip_points.study import MISTAKES, OWN_HALF, TEST, Settings
from workbench.zoo.loading import load

FULL = Results(ROOT / "benchmarks" / "results" / "flip-points-paper")


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report notebook run at reduced size; its results lie beside it."""
    folder = tmp_path_factory.mktemp("report")
    sizes = {"images": 150, "subset": 40, "seeds": 2, "epochs": 10, "components": 3}
    executed("flip-points", folder, **sizes)
    return folder


def test_at_reduced_size_mistakes_are_closer_and_the_report_counts_what_holds(reduced):
    results = Results(reduced / "distances", *sorted(reduced.glob("*/seed-*")))
    (row,) = trust_table(results).to_dict("records")
    assert (row["images"], row["without_flip_point"]) == (150, 0) and row["mistakes"] > 0
    assert row["median_of_mistakes"] < 0.5 * row["median_of_correct"]
    table, text = claims(results), printed(reduced / "report.ipynb")
    assert len(table) == 5
    assert f"{int(table['holds'].sum())} of 5 comparisons hold" in text
    assert f"150 inputs, {row['mistakes']} mistakes" in text
    assert set(training_table(results)["experiment"]) == {"subsets", "retraining"}


def test_at_full_size_the_networks_are_as_accurate_as_table_1_within_a_point():
    table = FULL.table("accuracies").to_dict("records")
    assert {(row["network"], row["part"]) for row in table} == {(n, p) for n in TABLE_1 for p in TABLE_1[n]}
    for row in table:
        assert row["accuracy"] == pytest.approx(TABLE_1[row["network"]][row["part"]], abs=0.01)
        assert row["fingerprint"] == load(row["network"], device="cpu").fingerprint


@pytest.mark.parametrize("case", TEST, ids=lambda case: case.name)
def test_at_full_size_mistakes_are_closer_and_distance_finds_them_better_than_softmax(case):
    """Figure 3."""
    trust = FULL.trust(case)
    assert len(trust) == 10_000 and bool(trust.found.all())
    rows = trust_table(FULL).to_dict("records")
    (row,) = (r for r in rows if (r["network"], r["part"]) == (case.network, case.part))
    assert row["median_of_mistakes"] < 0.25 * row["median_of_correct"]
    assert row["auc_gain"] > 2 * row["auc_gain_error"] > 0
    assert row["mistakes_with_softmax_of_80"] > 0.73  # as the paper says: softmax is sure of most mistakes


@pytest.mark.parametrize("case", [*TEST, *MISTAKES], ids=lambda case: case.name)
def test_at_full_size_the_closest_class_of_most_mistakes_is_the_right_one_but_not_of_all(case):
    """The paper says of all, in training; here it is two thirds, in training as in testing."""
    trust = FULL.trust(case)
    assert int((~trust.correct).sum()) > 200
    assert 0.6 < float(trust.alternative) < 0.8


def test_at_full_size_the_right_class_is_farther_where_it_is_not_the_closest_and_the_second_to_most():
    """Why the closest class is not always right: not for want of a nearer point, nor by ties of four digits."""
    table = FULL.table("alternatives")
    trust = FULL.trust(TEST[0])
    assert table["row"].tolist() == (~trust.correct).nonzero()[:, 0].tolist()
    nearer = table["distance"] / trust.distances[~trust.correct].numpy()
    assert nearer.median() == pytest.approx(1, abs=1e-4)  # flip points toward each class find nothing nearer
    others = table[table["place"] > 1]
    assert len(others) > 0.2 * len(table)
    assert (others["distance_to_right"].round(4) > others["distance"].round(4)).all()
    assert (others["distance_to_right"] / others["distance"]).median() > 1.2
    assert (table["place"] <= 2).mean() > 0.8
    assert (table["place"] == 1).mean() > table["runner_up_is_right"].mean()  # better than softmax's second guess


def test_at_full_size_the_subsets_are_those_of_the_networks_own_half():
    trust = FULL.trust(OWN_HALF)
    assert len(trust) == 30_000 and bool(trust.found.all())
    nearest = trust.distances[nearest_rows(trust, Settings.subset)]
    print(f"{Settings.subset} images lie within {float(nearest.max()):.3f} of a flip point (the paper: 0.75)")
    assert float(nearest.max()) < float(trust.distances.median())


def test_the_committed_tables_are_those_of_the_committed_measurements():
    for name, made in (("trust", trust_table), ("training", training_table)):
        stored = pd.read_csv(FULL.folder / f"{name}.csv")
        pd.testing.assert_frame_equal(stored, made(FULL), rtol=1e-4, check_dtype=False)
    stored = pd.read_csv(FULL.folder / "claims.csv")
    assert stored["holds"].tolist() == claims(FULL)["holds"].tolist()


def test_the_full_size_says_what_made_it():
    runs = json.loads((FULL.folder / "runs.json").read_text(encoding="utf-8"))
    assert any(run["finished"] and run["settings"]["images"] is None for run in runs)
    assert all(run["command"] and run["versions"]["torch"] for run in runs)
    for case in FULL.cases():
        assert FULL.trust(case).provenance.fingerprint == load(case.network, device="cpu").fingerprint


def trained(experiment: str) -> pd.DataFrame:
    """Test accuracies of the committed networks: a row a seed, a column an arm."""
    table = FULL.table("trained")
    accuracies = table[table["experiment"] == experiment].pivot(
        index="seed", columns="arm", values="test_accuracy"
    )
    assert len(accuracies) == Settings.seeds and not accuracies.isna().any(axis=None)
    return accuracies


def test_at_full_size_networks_learn_most_from_the_nearest_and_least_from_the_farthest_images():
    """Figure 4's order, with every seed; the paper's 97.9, 96.2 and 90.6 % are 96.8, 95.8 and 91.8 % here."""
    accuracies = trained("subsets")
    assert (accuracies["nearest"] > accuracies["random"]).all()
    assert (accuracies["random"] > accuracies["farthest"]).all()
    table = training_table(FULL).set_index("arm")
    assert table.loc["nearest", "p"] < 0.01 and table.loc["farthest", "p"] < 0.01


def test_at_full_size_flip_points_as_training_data_are_learnt_but_add_no_accuracy():
    """The paper tells a gain of 0.4 points from one network each; its sign does not hold here.

    Of five networks that differ in their seed alone, two lie farther apart than that, so one pair cannot tell.
    Over the seeds the mean gain is within a tenth of a point of none, and the paper's lies outside its 95 %
    interval.
    """
    accuracies = trained("retraining")
    told = RETRAINING["with flip points"] - RETRAINING["whole"]
    assert accuracies["whole"].max() - accuracies["whole"].min() > told
    gains = accuracies["with flip points"] - accuracies["whole"]
    _, highest = t.interval(0.95, len(gains) - 1, loc=gains.mean(), scale=gains.sem())
    assert abs(gains.mean()) < 0.001
    assert highest < told
    (claim,) = (row for row in claims(FULL).to_dict("records") if "as training data" in row["claim"])
    assert not claim["holds"]
    learnt = FULL.table("trained").query("arm == 'with flip points'")
    assert (learnt["training_accuracy"] == 1).all()  # as the paper says of the set with flip points added
