"""Li 2020 (BigGAN-AM), Table 3.1, figures 3.7 and 4.21: what holds here of the claims about class embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.papers.reduced import executed, printed
from tests.project import ROOT
from workbench.embeddings.claims import MAXIMISED, ORIGINAL, REAL, claims, table_31
from workbench.embeddings.study import FULL as VARIANTS
from workbench.results import Tables
from workbench.zoo import find

FULL = Tables(ROOT / "benchmarks" / "results" / "class-embeddings")


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report notebook run at reduced size; its tables lie beside it."""
    folder = tmp_path_factory.mktemp("report")
    executed("class-embeddings", folder, classes=2, trials=1, steps=5, samples=20)
    return folder


@pytest.fixture(scope="module")
def table() -> dict:
    return {row["method"]: row for row in table_31(FULL).to_dict("records")}


def test_the_report_runs_at_reduced_size_and_counts_what_holds(reduced):
    text = printed(reduced / "report.ipynb")
    found = claims(Tables(reduced / "measures"))
    assert f"{int(found['holds'].sum())} of {len(found)} comparisons hold" in text
    assert "of the 30 classes with the least diversity, 30 are thinned ones" in text
    assert set(table_31(Tables(reduced / "measures"))["method"]) == {REAL, ORIGINAL, *VARIANTS}


def test_the_full_size_has_every_variant_of_every_class_and_says_what_made_it():
    found = load_file(FULL.folder / "embeddings.safetensors")
    runs = json.loads((FULL.folder / "runs.json").read_text(encoding="utf-8"))
    last = next(run for run in reversed(runs) if run["finished"])
    classes = {int(key.rpartition("/")[2]) for key in found}
    assert len(classes) == last["settings"]["classes"]
    assert set(found) == {f"{name}/{index}" for name in VARIANTS for index in classes}
    assert all(len(rows) == last["settings"]["trials"] for rows in found.values())
    # the classes with the least diversity are those that the recipe thinned
    assert classes <= set(find("glyphs-biggan").metrics["thinned"])


def test_the_committed_tables_are_those_that_the_code_makes(table):
    written = FULL.table("table-3.1").set_index("method")
    for method, row in table.items():
        for name in ("ms_ssim", "distance", "read_by_judge", "frechet"):
            assert written.loc[method, name] == pytest.approx(row[name], rel=1e-4, abs=1e-6)
    assert list(FULL.table("claims")["holds"]) == list(claims(FULL)["holds"])


@pytest.mark.parametrize("method", MAXIMISED)
def test_maximisation_makes_thinned_classes_more_diverse(table, method):
    """Table 3.1: higher distances and a lower MS-SSIM than the original's, in nearly every class."""
    assert table[method]["distance"] > table[ORIGINAL]["distance"]
    assert table[method]["ms_ssim"] < table[ORIGINAL]["ms_ssim"]
    assert table[method]["more diverse"] >= 0.9 * table[method]["classes"]
    assert table[method]["p"] < 0.01
