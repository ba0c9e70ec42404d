"""The study's bookkeeping: resumable, its arms what they say, its claims what the numbers say."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from workbench.datasets import mnist
from workbench.flip_points import study
from workbench.flip_points.claims import claims, training_table, trust_table
from workbench.flip_points.measurements import Case, Results, classifier_of, digits
from workbench.flip_points.study import measure, subsets, train, with_extra
from workbench.flip_points.trust import Trust
from workbench.results import Provenance

CASE = Case("mnist-erf-1", "sample")


def quiet(text: str) -> None:
    """No report."""


def made(correct: list[bool], distances: list[float], confidence: list[float]) -> Trust:
    n = len(correct)
    return Trust(
        provenance=Provenance(
            call="made", seed=0, model="m", fingerprint="f", device="cpu", dtype="torch.float64"
        ),
        distances=torch.tensor(distances),
        confidence=torch.tensor(confidence),
        labels=torch.zeros(n, dtype=torch.long),
        truth=(~torch.tensor(correct)).long(),
        closest=torch.tensor([1, 2] * n)[:n],
        status=torch.zeros(n, dtype=torch.long),
        class_names=("a", "b", "c"),
    )


def trained(results: Results, experiment: str, accuracies: dict[str, list[float]]) -> None:
    for arm, values in accuracies.items():
        for seed, value in enumerate(values):
            row = {"experiment": experiment, "arm": arm, "seed": seed, "images": 10, "epochs": 1}
            results.add("trained", {**row, "training_accuracy": 1.0, "test_accuracy": value})


def test_halves_of_the_training_set_are_apart_and_the_sample_is_of_the_test_set(monkeypatch):
    asked = []

    def load(split):
        asked.append(split)
        return mnist.sample()

    monkeypatch.setattr(mnist, "load", load)
    first, second, test = digits("first"), digits("second", 100), digits("test", 7)
    assert asked == ["train", "train", "test"]
    assert (len(first[0]), len(second[0]), len(test[0])) == (500, 100, 7)
    whole, labels = digits("sample")
    assert torch.equal(second[0], whole[500:600]) and torch.equal(second[1], labels[500:600])


@pytest.mark.parametrize(
    "case", [CASE, Case("mnist-erf-2", "first", mistakes=True), Case("net.with.dots", "test")]
)
def test_a_cases_file_tells_the_case(case):
    assert Case.of(case.name) == case


def test_a_network_that_reads_no_digits_is_refused():
    with pytest.raises(ValueError, match="no classifier of digits"):
        classifier_of("mnist-dcgan")
    assert classifier_of("mnist-cnn")[1] is None
    assert classifier_of("mnist-erf-1")[1].shape == (100, 784)


def test_what_is_kept_comes_back_with_what_made_it(tmp_path):
    results, kept = Results(tmp_path), made([True, False], [0.5, 0.25], [0.75, 1.0])
    results.keep(CASE, kept)
    assert results.cases() == [CASE]
    assert results.trust(CASE).frame().equals(kept.frame())
    assert results.trust(CASE).provenance == kept.provenance


def test_what_was_not_measured_is_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m workbench\.flip_points\.study"):
        Results(tmp_path).trust(CASE)


def test_an_interrupted_measurement_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "_BLOCK", 2)
    whole = measure(Results(tmp_path / "whole"), CASE, most=3, report=quiet)
    results = Results(tmp_path / "parts")
    measure(results, CASE, most=1, report=quiet)
    said: list[str] = []
    again = measure(results, CASE, most=3, report=said.append)
    assert said == [f"{CASE.name}: 3 of 3 distances"]
    assert again.frame().equals(whole.frame())
    assert again.provenance.passes == whole.provenance.passes
    monkeypatch.setattr(study, "closest", None)
    measure(results, CASE, most=3, report=quiet)  # nothing is missing, so nothing is computed
    for other in ({"most": 2}, {"most": 3, "effort": "accurate"}):
        with pytest.raises(ValueError, match="give another folder"):
            measure(results, CASE, report=quiet, **other)


def test_measured_along_the_wavelets_distances_are_what_closest_gives(tmp_path):
    from workbench.flip_points import closest

    found = measure(Results(tmp_path), CASE, most=2, report=quiet)
    classifier, wavelets = classifier_of(CASE.network)
    images, truth = digits("sample", 2)
    expected = closest(classifier, images, effort="fast", basis=wavelets)
    torch.testing.assert_close(found.distances, expected.distances.float())
    assert torch.equal(found.truth, truth)


def test_of_mistakes_only_the_misread_images_are_measured(tmp_path):
    found = measure(Results(tmp_path), Case("mnist-erf-1", "sample", mistakes=True), most=200, report=quiet)
    classifier, _ = classifier_of("mnist-erf-1")
    images, truth = digits("sample", 200)
    wrong = classifier.scores(images).argmax(1) != truth
    assert len(found) == int(wrong.sum()) > 0
    assert torch.equal(found.truth, truth[wrong])
    assert not bool(found.correct.any())


def test_the_right_class_has_its_place_among_all_by_distance(tmp_path):
    from workbench.flip_points import closest

    results = Results(tmp_path)
    study.alternatives(results, CASE, most=110)
    (row,) = results.table("alternatives").to_dict("records")
    classifier, wavelets = classifier_of(CASE.network)
    images, truth = digits("sample", 110)
    assert (classifier.scores(images).argmax(1) != truth).nonzero().tolist() == [[row["row"]]]
    own = closest(classifier, images[row["row"]], targets="all", effort="fast", basis=wavelets)
    right = float(own.distances[own.targets == truth[row["row"]]])
    assert row["distance_to_right"] == pytest.approx(right, rel=1e-5)
    assert row["place"] == 1 + int((own.distances < right).sum())
    assert row["closest"] == int(own.closest().targets[0])
    runner_up = int(classifier.scores(images)[row["row"]].argsort()[-2])
    assert row["runner_up_is_right"] == (runner_up == row["truth"])
    (claim,) = claims(results).to_dict("records")
    assert claim["holds"] == (row["place"] == 1)


def test_subsets_are_the_nearest_the_farthest_and_others_for_each_seed():
    pool = torch.arange(6.0)[:, None, None, None], torch.arange(6)
    arms = subsets(made([True] * 6, [0.3, 0.1, 0.6, 0.2, 0.5, 0.4], [1.0] * 6), pool, 2)
    assert arms["nearest"](0)[1].tolist() == arms["nearest"](1)[1].tolist() == [1, 3]
    assert arms["farthest"](0)[1].tolist() == [2, 4]
    assert len({tuple(arms["random"](seed)[1].tolist()) for seed in range(10)}) > 3
    assert all(torch.equal(images.flatten().long(), labels) for images, labels in (arms[a](0) for a in arms))


def test_the_arms_of_retraining_append_and_change_nothing_else():
    pool, flips, mistakes = (
        (torch.full((n, 1), float(k)), torch.full((n,), k)) for k, n in ((1, 4), (2, 2), (3, 2))
    )
    arms = with_extra(pool, flips, mistakes)
    assert {arm: data(0)[1].tolist() for arm, data in arms.items()} == {
        "whole": [1] * 4, "with flip points": [1] * 4 + [2] * 2, "with mistakes twice": [1] * 4 + [3] * 2
    }  # fmt: skip


def test_networks_that_were_trained_are_not_trained_again(tmp_path):
    results = Results(tmp_path)
    images, labels = digits("sample", 60)
    arms = {"a": lambda seed: (images, labels)}
    _, wavelets = classifier_of("mnist-erf-1")
    for seeds in (1, 2):
        train(results, "e", arms, (images, labels), wavelets, seeds=seeds, epochs=1, report=quiet)
    kept = results.table("trained")
    with pytest.raises(ValueError, match="60 images for 1 epochs"):
        train(results, "e", arms, (images, labels), wavelets, seeds=1, epochs=2, report=quiet)
    assert kept["seed"].tolist() == [0, 1] and kept["images"].tolist() == [60, 60]
    assert kept["test_accuracy"].equals(kept["training_accuracy"])  # it was tested on what it was trained on


def test_the_table_of_trust_says_medians_areas_and_alternatives(tmp_path):
    results = Results(tmp_path)
    results.keep(CASE, made([False, True, False, True], [0.1, 0.2, 0.3, 0.4], [0.9, 0.6, 0.7, 0.8]))
    (row,) = trust_table(results).to_dict("records")
    assert (row["images"], row["mistakes"], row["without_flip_point"]) == (4, 2, 0)
    assert (row["median_of_mistakes"], row["median_of_correct"]) == pytest.approx((0.2, 0.3))
    assert (row["auc_distance"], row["auc_softmax"]) == pytest.approx((0.75, 0.25))
    assert row["closest_is_right"] == 1 and row["mistakes_with_softmax_of_80"] == 0.5
    assert row["auc_gain"] == pytest.approx(0.5)


def test_the_error_of_the_areas_difference_is_that_of_resampled_images(tmp_path):
    random = torch.Generator().manual_seed(0)
    n = 600
    distances = torch.rand(n, generator=random)
    confidence = distances + 0.5 * torch.rand(n, generator=random)
    correct = distances + torch.rand(n, generator=random) > 0.8
    found = made(correct.tolist(), distances.tolist(), confidence.tolist())
    results = Results(tmp_path)
    results.keep(CASE, found)
    (row,) = trust_table(results).to_dict("records")
    assert row["auc_gain"] == pytest.approx(row["auc_distance"] - row["auc_softmax"], abs=1e-9)
    drawn = [found[torch.randint(n, (n,), generator=random)] for _ in range(100)]
    gains = torch.tensor([some.auc("distance") - some.auc("softmax") for some in drawn])
    assert row["auc_gain_error"] == pytest.approx(float(gains.std()), rel=0.25)


def test_gains_are_paired_by_seed(tmp_path):
    results = Results(tmp_path)
    accuracies = {
        "whole": [0.5, 0.7, 0.9],
        "with flip points": [0.51, 0.72, 0.90],
        "with mistakes twice": [0.5, 0.7, 0.8],
    }
    trained(results, "retraining", accuracies)
    table = training_table(results).set_index("arm")
    assert table.loc["with flip points", "gain"] == pytest.approx(0.01)
    assert table.loc["with flip points", "higher"] == 2
    assert table.loc["with flip points", "p"] < 0.15 < table.loc["with mistakes twice", "p"]


@pytest.mark.parametrize(
    ("nearest", "drawn", "farthest", "holds"),
    [(0.9, 0.8, 0.7, True), (0.8, 0.9, 0.7, False), (0.9, 0.7, 0.8, False)],
)
def test_figure_4_holds_only_in_its_order(tmp_path, nearest, drawn, farthest, holds):
    results = Results(tmp_path)
    trained(results, "subsets", {"nearest": [nearest, 0.95], "random": [drawn, 0.95], "farthest": [farthest, 0.9]})
    (row,) = claims(results).to_dict("records")
    assert row["holds"] == holds


@pytest.mark.parametrize(("gain", "holds"), [(0.01, True), (-0.01, False)])
def test_the_gain_of_retraining_holds_only_where_there_is_one(tmp_path, gain, holds):
    results = Results(tmp_path)
    flips = [0.9 + gain, 0.91 + 2 * gain]
    trained(
        results,
        "retraining",
        {"whole": [0.9, 0.91], "with flip points": flips, "with mistakes twice": [0.9, 0.92]},
    )
    (row,) = claims(results).to_dict("records")
    assert row["holds"] == holds


def test_accuracies_go_on_where_they_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "load", lambda split: mnist.sample())
    study.accuracies(Results(tmp_path), 3)
    whole = Results(tmp_path).table("accuracies")
    Results(tmp_path).write("accuracies", whole[:2])
    study.accuracies(Results(tmp_path), 3)
    assert len(whole) == 6 and Results(tmp_path).table("accuracies").equals(whole)


def test_alternatives_of_another_effort_or_of_more_images_are_refused(tmp_path, monkeypatch):
    def computed(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "closest", computed)
    results = Results(tmp_path)
    results.write("alternatives", {"row": [104], "place": [1], "effort": ["fast"], "images": [110]})
    study.alternatives(results, CASE, most=110)  # nothing is missing, so nothing is computed
    for other in ({"most": 109}, {"most": 110, "effort": "accurate"}):
        with pytest.raises(ValueError, match="give another folder"):
            study.alternatives(results, CASE, **other)
    with pytest.raises(KeyboardInterrupt):
        study.alternatives(results, CASE, most=111)


@pytest.mark.parametrize("accuracies", [{"nearest": [0.9]}, {"nearest": [0.9], "random": [0.8]}])
def test_an_experiment_that_was_interrupted_has_a_table_and_no_claim(tmp_path, accuracies):
    results = Results(tmp_path)
    trained(results, "subsets", accuracies)
    assert training_table(results)["mean"].tolist() == [values[0] for values in accuracies.values()]
    assert len(claims(results)) == 0


def test_claims_about_distances_follow_the_numbers(tmp_path):
    results = Results(tmp_path)
    results.keep(CASE, made([False, True, False, True], [0.1, 0.2, 0.3, 0.4], [0.9, 0.6, 0.7, 0.8]))
    assert claims(results)["holds"].tolist() == [True, True, True]
    results.keep(CASE, made([True, False, True, False], [0.1, 0.2, 0.3, 0.4], [0.6, 0.1, 0.7, 0.2]))
    assert claims(results)["holds"].tolist() == [False, False, False]


def test_the_command_line_runs_resumes_and_says_what_made_its_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mnist, "load", lambda split: mnist.sample())
    sizes = ["--images", "6", "--subset", "3", "--seeds", "2", "--epochs", "1", "--whole-seeds", "1"]
    monkeypatch.setattr(sys, "argv", ["study", "--out", str(tmp_path), *sizes, "--whole-epochs", "1"])
    study.main()
    assert "networks learn most from" in capsys.readouterr().out
    names = {path.name for path in tmp_path.iterdir()}
    tables = {
        "accuracies.csv",
        "trained.csv",
        "trust.csv",
        "training.csv",
        "claims.csv",
        "runs.json",
    }
    assert names == tables | {
        f"{case.name}.safetensors" for case in (*study.TEST, study.OWN_HALF, *study.MISTAKES)
    }
    before = (tmp_path / "claims.csv").read_text()
    study.main()
    assert (tmp_path / "claims.csv").read_text() == before
    first, second = json.loads((tmp_path / "runs.json").read_text())
    assert first["finished"] and second["finished"]
    assert first["settings"]["subset"] == 3 and "--subset 3" in first["command"]
