"""Chiu et al. 2020: differential subspace search ends lower than random, PCA and Bayesian search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.papers.reduced import executed, printed
from tests.project import ROOT
from workbench.subspaces.simulation import RIVALS, Results, summary

FULL = ROOT / "benchmarks" / "results" / "subspace-search"
CASES = ["synthetic-8", "synthetic-32", "synthetic-128", "synthetic-512", "target-mnist-dcgan"]
SEEDS, SLIDERS = 20, 200


def curves(folder: Path) -> list[Path]:
    """The entries of all seeds."""
    return sorted(folder.glob("*/seed-*"))


def test_at_reduced_size_it_ends_lower_than_every_rival_on_the_synthetic_loss(tmp_path):
    notebook = executed(
        "subspace-search", tmp_path, sizes=[8], generator="", seeds=6, sliders=25, methods=["dss", *RIVALS]
    )
    table = summary(Results(*curves(tmp_path)), ["synthetic-8"]).set_index("method")
    for rival in RIVALS:
        assert table.loc[rival, "reference_median"] < 0.5 * table.loc[rival, "median"]
        assert table.loc[rival, "wins"] >= 5
    assert "4 of 4 comparisons hold" in printed(notebook)


@pytest.mark.nightly
def test_at_reduced_size_it_finds_a_hidden_digit_sooner_than_bayesian_search(tmp_path):
    rivals = ["sls", "rembo-6d"]
    notebook = executed(
        "subspace-search",
        tmp_path,
        sizes=[],
        generator="mnist-dcgan",
        seeds=3,
        sliders=60,
        methods=["dss", *rivals],
    )
    table = summary(Results(*curves(tmp_path)), ["target-mnist-dcgan"]).set_index("method")
    for rival in rivals:
        assert table.loc[rival, "reference_median"] < table.loc[rival, "median"]
    assert "2 of 2 comparisons hold" in printed(notebook)


@pytest.mark.parametrize("case", CASES)
def test_at_full_size_it_ended_lower_than_every_rival(case):
    curves = Results(FULL).curves(case)
    table = summary(Results(FULL), [case]).set_index("method")
    for rival in RIVALS:
        assert len(curves[rival]) >= SEEDS
        assert table.loc[rival, "reference_median"] < table.loc[rival, "median"]
        assert table.loc[rival, "wilcoxon_p"] < 0.05
    assert curves["dss"].shape[1] == SLIDERS + 1


@pytest.mark.parametrize("case", CASES)
def test_the_committed_tables_are_those_of_the_committed_curves(case):
    import pandas as pd

    stored = pd.read_csv(FULL / "summary.csv").query("case == @case").reset_index(drop=True)
    pd.testing.assert_frame_equal(stored, summary(Results(FULL), [case]), rtol=1e-4, check_dtype=False)


def test_the_full_size_says_what_made_it():
    runs = json.loads((FULL / "runs.json").read_text(encoding="utf-8"))
    finished = [run for run in runs if run["finished"]]
    assert all(run["settings"]["seeds"] == SEEDS and run["settings"]["sliders"] == SLIDERS for run in finished)
    sizes = {size for run in finished for size in run["settings"]["sizes"]}
    generators = {run["settings"]["generator"] for run in finished}
    assert {8, 32, 128, 512} <= sizes and "mnist-dcgan" in generators
    assert all(run["command"] and run["versions"]["torch"] for run in finished)
