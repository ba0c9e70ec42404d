"""Hada and Carreira-Perpiñán 2019: what holds here of the claims about inverse sets of neurons."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision

import workbench as wb
from tests.papers.reduced import executed, printed
from tests.project import ROOT
from workbench.inverse_sets.claims import OTHERS, OURS, claims, table_1
from workbench.inverse_sets.study import NEURONS, RATES, Settings, runs, shipped
from workbench.results import Tables
from workbench.zoo import find

FULL = Tables(ROOT / "benchmarks" / "results" / "inverse-sets")


RUNS = json.loads((FULL.folder / "runs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return table_1(FULL).set_index(["neuron", "method"])


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report notebook run at reduced size; its tables lie beside it."""
    folder = tmp_path_factory.mktemp("report")
    sizes = {
        "samples": 20,
        "seeds": 1,
        "neurons": 1,
        "seed_steps": 8,
        "steps": 3,
        "climbed": 4,
        "columns": 2,
        "shown": 2,
    }
    longest = {"full": 11, "full_steps": 8, "parts": "table 1, 4.3", "training": False}
    executed("inverse-sets", folder, **sizes, **longest)
    return folder


def test_the_report_runs_at_reduced_size_and_counts_what_holds(reduced):
    text = printed(reduced / "report.ipynb")
    results = Tables(*sorted(reduced.glob("sets/*/seed-*")))
    found = claims(results)
    assert f"{int(found['holds'].sum())} of {len(found)} comparisons hold" in text
    assert "the training images are not here" in text
    assert set(table_1(results)["method"]) == {*OURS, *RATES, *OTHERS}
    sets = results.table("sets").set_index("method")
    assert (sets.loc[list(OURS), "inside"] == 1).all()


def test_the_full_size_has_every_run_and_says_what_made_it():
    last = next(run for run in reversed(RUNS) if run["finished"])
    settings = Settings(**last["settings"])
    sets = FULL.table("sets")
    keys = sets[["part", "neurons", "method", "seed"]].itertuples(index=False, name=None)
    assert set(keys) == {tuple(run.key.values()) for run in runs(shipped(), settings)}
    assert settings == Settings()


def test_the_committed_tables_are_those_that_the_code_makes(table):
    written = FULL.table("table-1").set_index(["neuron", "method"])
    assert set(written.index) == set(table.index)
    for name in ("diversity", "spread", "inside", "precision", "frechet"):
        for place, value in table[name].items():
            assert written.loc[place, name] == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True)
    assert FULL.table("claims")["holds"].tolist() == claims(FULL)["holds"].tolist()


@pytest.mark.parametrize("index", range(len(NEURONS)))
def test_samples_are_more_diverse_than_those_of_ppgn(table, index):
    """Table 1, whichever step length PPGN has, with every seed; and so among the samples in the band alone."""
    neuron = list(dict.fromkeys(table.index.get_level_values("neuron")))[index]
    rows = table.loc[neuron]
    assert len(RATES) == 3
    for name in RATES:
        assert rows.loc[name, "below"] == rows.loc[name, "seeds"] == Settings.seeds
        assert rows.loc[name, "p"] < 0.05
        assert rows.loc["tangent", "diversity"] > rows.loc[name, "diversity inside"]
        assert rows.loc[name, "inside"] < 0.5
    assert rows.loc["lagrangian", "diversity"] > max(rows.loc[name, "diversity"] for name in RATES)
    assert (rows.loc[list(OURS), "inside"] == 1).all()


def test_without_the_encoder_codes_become_extreme_and_pictures_blotchy():
    """Section 4.1. The judge does not mind: it is no less sure of blotches, nor do fewer of them lie among real
    digits in its features. Samples with the encoder are as ambiguous: as many are read as another class.
    """
    found = FULL.table("sets").query("part == '4.1'").set_index(["method", "seed"])
    for method in OURS:
        without, with_it = found.loc[f"latent, {method}"], found.loc[f"encoder, {method}"]
        assert (without["extreme"] > 1.5 * with_it["extreme"]).all()
        assert (without["white"] > with_it["white"]).all()


def test_from_one_code_the_distances_make_the_samples_diverse():
    """Section 4.2. The search stops before seeds that are exactly alike can part: their gradients are the same.
    It is the walk that parts them."""
    found = FULL.table("sets").query("part == '4.2'").set_index(["method", "seed"])
    for start in ("one code", "nearly one code"):
        for method in OURS:
            pair = [found.loc[f"{start}, {method}, {how} distances", "diversity"] for how in ("with", "without")]
            assert (pair[0] > 2 * pair[1]).all()
    assert (found.loc["one code, tangent, with distances", "diversity of seeds"] < 1e-3).all()


def test_the_fast_sampler_needs_far_fewer_gradient_steps_than_full_optimisation():
    """Section 4.3."""
    found = FULL.table("sets").query("part == '4.3'").set_index(["method", "seed"])
    steps = found["seed_steps"] + found["steps"]
    assert 3 * steps["fast"].mean() < steps["full"].mean()
    assert found.loc["full", "diversity"].mean() > found.loc["fast", "diversity"].mean()


def test_all_ways_of_section_43_fill_their_number_within_the_band():
    found = FULL.table("sets").query("part == '4.3'")
    assert set(found["method"]) == {"fast", "seeds in full, then fast", "full"}
    assert (found["samples"] == Settings.full).all() and (found["inside"] == 1).all()


@pytest.mark.skipif(not find("digiface-dcgan").available, reason="the face generator is not installed")
def test_any_generator_and_network_do_without_an_encoder():
    """Footnote 3, with faces and an untrained ResNet."""
    generator = wb.load("digiface-dcgan", device="cpu")
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18(weights=None, num_classes=10)
    classifier = wb.Classifier(resnet, (3, 64, 64), value_range=(0, 1), device="cpu")
    drawn = generator(generator.latents(40, seed=1))
    values = classifier.scores((drawn + 1) / 2)[:, 0]
    low, high = values.quantile(torch.tensor([0.6, 0.9])).tolist()
    band = wb.inverse_sets.band(classifier, -1, 0, low, high)
    found = wb.inverse_sets.sample(generator, band, 20, distance="layer3", walkers=5, seed=0)
    again = classifier.scores((found.outputs + 1) / 2)[:, 0]
    assert len(found) == 20 and found.outputs.shape[1:] == (3, 64, 64)
    assert ((again >= low) & (again <= high)).all()
