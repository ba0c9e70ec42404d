"""The simulation's bookkeeping: reproducible, resumable, and what its tables say."""

from __future__ import annotations

import json
import sys
from functools import partial

import pytest
import torch

from workbench.subspaces import simulation
from workbench.subspaces.simulation import Case, Results, compare, simulate

small = partial(Case.synthetic, 4, outputs=16)


def test_methods_run_side_by_side_do_as_they_do_alone():
    together = simulate(small(0), ["dss", "random", "sls"], sliders=6)
    for name, curve in together.items():
        alone = simulate(small(0), [name], sliders=6)[name]
        torch.testing.assert_close(curve.best, alone.best, rtol=1e-5, atol=1e-6)


def test_every_curve_starts_at_the_same_loss_and_never_rises():
    curves = simulate(small(1), list(simulation.METHODS), sliders=5)
    starts = {float(curve.best[0]) for curve in curves.values()}
    assert len(starts) == 1
    assert all((curve.best.diff() <= 0).all() for curve in curves.values())


def test_a_method_that_ends_early_has_a_shorter_curve(monkeypatch):
    capped = simulation.Method("capped", simulation.METHODS["random"].build, most=3)
    monkeypatch.setattr(simulation, "METHODS", {**simulation.METHODS, "capped": capped})
    curves = simulate(small(0), ["random", "capped"], sliders=5)
    assert [len(curves[name].best) for name in ("random", "capped")] == [6, 4]


def test_unknown_methods_are_refused():
    with pytest.raises(ValueError, match="rembo-6d"):
        simulate(small(0), ["gradient"])


def test_an_interrupted_run_computes_only_what_is_missing(tmp_path, monkeypatch):
    results = Results(tmp_path)
    run = partial(simulation.run, results, {"synthetic-4": small}, sliders=3, report=lambda text: None)
    run(seeds=2, methods=["dss", "random"])
    before = results.curves("synthetic-4")
    asked: list[tuple[int, list[str]]] = []

    def watched(case, methods, *, sliders):
        asked.append((case.seed, list(methods)))
        return simulate(case, methods, sliders=sliders)

    monkeypatch.setattr(simulation, "simulate", watched)
    run(seeds=3, methods=["dss", "random", "coordinates"])
    assert asked == [(0, ["coordinates"]), (1, ["coordinates"]), (2, ["dss", "random", "coordinates"])]
    after = results.curves("synthetic-4")
    for name, curves in before.items():
        assert torch.equal(after[name][:2], curves)


def test_results_that_are_not_there_are_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m workbench\.subspaces\.simulation"):
        Results(tmp_path).curves("synthetic-4")


def test_the_comparison_counts_wins_on_the_same_seeds():
    ours = torch.tensor([[9.0, 1.0], [9.0, 2.0], [9.0, 3.0], [9.0, 4.0]]).double()
    rival = torch.tensor([[9.0, 2.0], [9.0, 3.0], [9.0, 4.0], [9.0, 1.0]]).double()
    row = compare({"dss": ours, "random": rival}).set_index("method").loc["random"]
    assert (row["wins"], row["seeds"], row["median"], row["reference_median"]) == (3, 4, 2.5, 2.5)
    assert row["sign_p"] == pytest.approx(5 / 16)  # at least three heads of four


def test_equal_curves_prove_nothing():
    same = torch.tensor([[9.0, 1.0], [9.0, 2.0]]).double()
    row = compare({"dss": same, "random": same}).set_index("method").loc["random"]
    assert (row["wins"], row["sign_p"], row["wilcoxon_p"]) == (0, 1.0, 1.0)


def test_methods_of_different_length_are_compared_where_both_still_ran():
    ours = torch.tensor([[9.0, 5.0, 1.0], [9.0, 5.0, 1.0]]).double()
    rival = torch.tensor([[9.0, 4.0], [9.0, 4.0]]).double()
    row = compare({"dss": ours, "sls": rival}).set_index("method").loc["sls"]
    assert (row["sliders"], row["reference_median"], row["wins"]) == (1, 5.0, 0)


def test_the_command_line_writes_curves_tables_and_what_made_them(tmp_path, monkeypatch):
    arguments = ["--out", str(tmp_path), "--sizes", "8", "--generator", "", "--seeds", "2", "--sliders", "2"]
    arguments += ["--methods", "dss", "random", "--threads", str(torch.get_num_threads())]
    monkeypatch.setattr(sys, "argv", ["simulation", *arguments])
    simulation.main()
    assert {path.name for path in tmp_path.iterdir()} == {
        "synthetic-8.safetensors", "curves.csv", "summary.csv", "runs.json"
    }  # fmt: skip
    (run,) = json.loads((tmp_path / "runs.json").read_text())
    assert run["finished"] is True
    assert run["settings"]["seeds"] == 2
    assert "--sizes 8" in run["command"]


@pytest.mark.parametrize(("name", "said"), [("mnist-dcgn", "did you mean"), ("mnist-cnn", "is a classifier")])
def test_what_is_no_generator_is_refused_before_anything_runs(tmp_path, capsys, name, said):
    with pytest.raises(SystemExit):
        simulation.main(["--out", str(tmp_path / "new"), "--sizes", "--generator", name])
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--methods", "random", "pca"], "dss is missing"),
        (["--sizes", "--generator", ""], "leave nothing to run"),
        (["--seeds", "0"], "at least one of each"),
    ],
)
def test_what_gives_no_tables_is_refused_before_anything_runs(tmp_path, capsys, given, said):
    with pytest.raises(SystemExit):
        simulation.main(["--out", str(tmp_path / "new"), *given])
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_curves_of_a_longer_run_that_was_interrupted_go_as_far_as_all_seeds(tmp_path):
    results = Results(tmp_path)
    for seed, sliders in ((0, 4), (1, 2)):
        results.add("synthetic-4", seed, simulate(small(seed), ["dss", "random"], sliders=sliders))
    assert {name: curves.shape for name, curves in results.curves("synthetic-4").items()} == {
        "dss": (2, 3), "random": (2, 3)
    }  # fmt: skip
    assert len(simulation.summary(results)) == 2
