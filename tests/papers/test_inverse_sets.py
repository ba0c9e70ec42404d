"""Hada and Carreira-Perpiñán 2019: what holds here of the claims about inverse sets of neurons."""

from __future__ import annotations

import json
from pathlib import Path

import papermill
import pytest
import torch
import torchvision

import workbench as wb
from tests.project import ROOT
from workbench.inverse_sets.claims import OTHERS, OURS, claims, table_1
from workbench.inverse_sets.study import RATES
from workbench.results import Tables
from workbench.zoo import find

REPORT = ROOT / "notebooks" / "reports" / "inverse-sets.ipynb"
FULL = Tables(ROOT / "benchmarks" / "results" / "inverse-sets")


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report notebook run at reduced size; its tables lie beside it."""
    folder = tmp_path_factory.mktemp("report")
    sizes = {"samples": 20, "seeds": 1, "neurons": 1, "seed_steps": 20, "steps": 4, "climbed": 4, "columns": 4}
    longest = {"full": 11, "full_steps": 12, "parts": "table 1, 4.3", "training": False}
    papermill.execute_notebook(
        REPORT,
        folder / "report.ipynb",
        parameters={"folder": str(folder), **sizes, **longest},
        kernel_name="python3",
        progress_bar=False,
    )
    return folder


def test_the_report_runs_at_reduced_size_and_counts_what_holds(reduced):
    cells = json.loads((reduced / "report.ipynb").read_text(encoding="utf-8"))["cells"]
    printed = "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", ()))
    found = claims(Tables(reduced))
    assert f"{int(found['holds'].sum())} of {len(found)} comparisons hold" in printed
    assert "the training images are not here" in printed
    assert set(table_1(Tables(reduced))["method"]) == {*OURS, *RATES, *OTHERS}
    sets = Tables(reduced).table("sets").set_index("method")
    assert (sets.loc[list(OURS), "inside"] == 1).all()


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
