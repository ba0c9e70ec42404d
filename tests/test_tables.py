"""A study's runs are recorded whether they end well or not, and its claims and tables are written alike."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from workbench.claims import Claims, signed_rank_p
from workbench.tables import Tables, aligned, record_run


def test_each_run_is_recorded_with_its_settings_be_it_that_it_failed(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    with record_run(folder, "workbench.some.study", {"seeds": 3}):
        Tables(folder).add("rows", {"seed": 0})
    with pytest.raises(ValueError, match="diverged"), record_run(folder, "workbench.some.study", {"seeds": 4}):
        raise ValueError("diverged")
    first, second = json.loads((folder / "runs.json").read_text())
    assert (first["settings"], first["finished"]) == ({"seeds": 3}, True)
    assert (second["settings"], second["finished"]) == ({"seeds": 4}, False)
    assert first["command"].startswith("python -m workbench.some.study") and "torch" in first["versions"]


def test_cells_of_a_column_stand_below_one_another() -> None:
    assert aligned([("name", "n"), ("a", "10"), ("longer", "")]) == ["name    n", "a       10", "longer"]


def test_claims_are_told_with_truth_values() -> None:
    found = Claims()
    found.add("less is more", "1 and 2", holds=pd.Series([True]).all())
    assert found.frame().to_dict("records") == [{"claim": "less is more", "here": "1 and 2", "holds": True}]


def test_a_sure_gain_has_the_smallest_p_and_nothing_to_test_has_none() -> None:
    assert signed_rank_p(pd.Series([1.0, 2.0, 3.0, 4.0])) == pytest.approx(1 / 2**4)  # one of all signs
    assert math.isnan(signed_rank_p(pd.Series([1.0]))) and math.isnan(signed_rank_p(pd.Series([0.0, 0.0])))
