"""The paper's claims on MNIST (section 6.1), measured at full size and resumably.

    python -m workbench.flip_points.study --out benchmarks/results/flip-points-paper

measures accuracies and distances, trains networks on subsets and with flip points added, and writes tables;
an interrupted run goes on where it stopped. Distances are in wavelet coordinates and without bounds of the
pixels, as in the paper.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.flip_points.batched import EFFORTS
from workbench.flip_points.claims import TABLE_1, claims, training_table, trust_table
from workbench.flip_points.closest import Effort, closest
from workbench.flip_points.measurements import Case, Digits, Results, classifier_of, digits
from workbench.flip_points.result import FlipPoints
from workbench.flip_points.training import farthest_rows, nearest_rows, random_rows, training_data
from workbench.flip_points.trust import COLUMNS, Trust
from workbench.models import Classifier
from workbench.progress import track
from workbench.results import Provenance
from workbench.tables import record_run
from workbench.zoo.recipes.classifiers import accuracy
from workbench.zoo.recipes.mnist_erf import fit

#: Half of figure 4; test images of figure 3; the mistakes in training, whose flip points are trained on.
OWN_HALF = Case("mnist-erf-1", "first")
TEST = (Case("mnist-erf-1", "test"), Case("mnist-erf-2", "test"))
MISTAKES = (Case("mnist-erf-1", "second", mistakes=True), Case("mnist-erf-2", "first", mistakes=True))
#: Queries between two savings; a multiple of the solver's own chunks.
_BLOCK = 1024


@dataclass(frozen=True)
class Settings:
    """How large the study is.

    Attributes:
        effort: of the flip points.
        images: of each part, None for all.
        subset: images of each subset of figure 4.
        seeds, epochs: of the networks trained on subsets.
        whole_seeds, whole_epochs: of those trained on the whole set, whose epochs are twice as long.
    """

    effort: Effort = "fast"
    images: int | None = None
    subset: int = 9463
    seeds: int = 5
    epochs: int = 30
    whole_seeds: int = 5
    whole_epochs: int = 15


def accuracies(results: Results, most: int | None = None) -> None:
    """Table 1, where `results` lack it: accuracy of each network on each half and on the test set."""
    measured = {(row["network"], row["part"]) for row in results.table("accuracies").to_dict("records")}
    for network in TABLE_1:
        classifier, _ = classifier_of(network)
        for part, paper in TABLE_1[network].items():
            if (network, part) in measured:
                continue
            images, labels = digits(part, most)
            row = {"network": network, "part": part, "images": len(images), "paper": paper}
            row["accuracy"] = accuracy(classifier.module, images, labels)
            results.add("accuracies", {**row, "fingerprint": classifier.fingerprint})


def measure(
    results: Results,
    case: Case,
    *,
    effort: Effort = "fast",
    most: int | None = None,
    report: Callable[[str], None] = print,
) -> Trust:
    """What `results` lack of a case's distances, block after block; returns all.

    Raises:
        ValueError: what the folder holds is of another network, another effort or more images.
    """
    classifier, wavelets = classifier_of(case.network)
    images, truth = digits(case.part, most)
    confidence, labels = classifier.probabilities(images).max(1)
    rows = (labels != truth).nonzero()[:, 0] if case.mistakes else torch.arange(len(images))
    kept = results.trust(case) if case in results.cases() else None
    if kept is not None:
        made = kept.provenance
        same = made.fingerprint == classifier.fingerprint and f"effort={effort!r}" in made.call
        if not same or len(kept) > len(rows):
            raise ValueError(
                f"{results.folder} holds {len(kept)} distances of {case.name} by {made.call}; {len(rows)} of "
                f"effort {effort!r} were asked for: give another folder"
            )
        if len(kept) == len(rows):
            return kept
    for some in rows[0 if kept is None else len(kept) :].split(_BLOCK):
        found = closest(classifier, images[some], effort=effort, basis=wavelets)
        fresh = Trust.of(found, confidence[some], truth[some])
        kept = fresh if kept is None else _joined(kept, fresh)
        results.keep(case, kept)
        report(f"{case.name}: {len(kept)} of {len(rows)} distances")
    return results.trust(case)


def alternatives(results: Results, case: Case, *, effort: Effort = "fast", most: int | None = None) -> None:
    """Where `results` lack it: flip points of a case's mistakes toward every class, and the right class's place.

    Writes `alternatives.csv`: a row a mistake, with the distance to the closest flip point and to the one toward
    the right class, the `place` of the right class among all by distance (1: the closest; none where no flip
    point toward it was found), whether softmax's runner-up is right, and the `effort` and how many `images` were
    read.

    Raises:
        ValueError: what the folder holds is of another effort or more images.
    """
    classifier, wavelets = classifier_of(case.network)
    images, truth = digits(case.part, most)
    for kept in results.table("alternatives").to_dict("records")[:1]:
        if kept["effort"] != effort or kept["images"] > len(images):
            raise ValueError(
                f"{results.folder} holds alternatives of {kept['images']} images by effort {kept['effort']!r}; "
                f"{len(images)} of effort {effort!r} were asked for: give another folder"
            )
        if kept["images"] == len(images):
            return
    scores = classifier.scores(images)
    rows = (scores.argmax(1) != truth).nonzero()[:, 0]
    if not len(rows):
        return
    found = closest(classifier, images[rows], targets="all", effort=effort, basis=wavelets)
    distances, targets = (t.view(len(rows), -1) for t in (found.distances, found.targets))
    right = distances[targets == truth[rows, None]]
    table = {
        "row": rows,
        "label": found.labels.view(len(rows), -1)[:, 0],
        "truth": truth[rows],
        "closest": targets.gather(1, distances.argmin(1, keepdim=True))[:, 0],
        "distance": distances.amin(1),
        "distance_to_right": right,
        "place": torch.where(right.isfinite(), 1 + (distances < right[:, None]).sum(1), torch.nan),
        "runner_up_is_right": scores[rows].topk(2, dim=1).indices[:, 1] == truth[rows],
    }
    columns: dict[str, list[Any]] = {name: column.tolist() for name, column in table.items()}
    results.write("alternatives", columns | {"effort": [effort] * len(rows), "images": [len(images)] * len(rows)})


def _joined(a: Trust, b: Trust) -> Trust:
    columns: dict[str, Any] = {name: torch.cat([getattr(a, name), getattr(b, name)]) for name in COLUMNS}
    last = b.provenance
    made = Provenance.together((last, a.provenance), call=last.call, seed=last.seed)
    return replace(a, provenance=made, **columns)


def train(
    results: Results,
    experiment: str,
    arms: Mapping[str, Callable[[int], Digits]],
    test: Digits,
    wavelets: Float[Tensor, "100 784"],
    *,
    seeds: int | Sequence[int],
    epochs: int,
    report: Callable[[str], None] = print,
) -> None:
    """Train what `results` lack of networks on each arm's images, seed after seed, and measure their accuracy.

    Args:
        experiment: under which the networks are kept.
        arms: by name, from a seed to the images and labels to train on.
        test: images and labels to test on.
        seeds: how many, from 0 on, or which.

    Raises:
        ValueError: the folder holds such networks that were trained on more or fewer images or epochs.
    """
    for seed in track(range(seeds) if isinstance(seeds, int) else seeds, "seed {}".format):
        for arm, data in track(tuple(arms.items()), itemgetter(0)):
            images, labels = data(seed)
            row: dict[str, Any] = {"experiment": experiment, "arm": arm, "seed": seed}
            size = {"images": len(images), "epochs": epochs}
            kept = [old for old in results.table("trained").to_dict("records") if row.items() <= old.items()]
            if kept and not size.items() <= kept[0].items():
                raise ValueError(
                    f"{results.folder} holds {experiment} trained on {kept[0]['images']} images for "
                    f"{kept[0]['epochs']} epochs; {size} were asked for: give another folder"
                )
            if kept:
                continue
            began = time.monotonic()
            module = fit(wavelets, images, labels, epochs=epochs, seed=seed)
            row |= size
            row["training_accuracy"] = accuracy(module, images, labels)
            row["test_accuracy"] = accuracy(module, *test)
            results.add("trained", row)
            report(
                f"{experiment}, {arm}, seed {seed}: {row['test_accuracy']:.2%} after {len(images)} images, "
                f"{time.monotonic() - began:.0f} s"
            )


def subsets(trust: Trust, pool: Digits, count: int) -> dict[str, Callable[[int], Digits]]:
    """Figure 4's arms: the images of `pool` nearest to their flip points, random ones, and the farthest."""
    images, labels = pool
    near, far = nearest_rows(trust, count), farthest_rows(trust, count)

    def drawn(seed: int) -> Digits:
        rows = random_rows(trust, count, seed=seed)
        return images[rows], labels[rows]

    return {
        "nearest": lambda seed: (images[near], labels[near]),
        "random": drawn,
        "farthest": lambda seed: (images[far], labels[far]),
    }


def with_extra(pool: Digits, flips: Digits, mistakes: Digits) -> dict[str, Callable[[int], Digits]]:
    """The arms of retraining: `pool` alone, with flip points added, and with their queries once more.

    The last, which the paper does not have, tells what is gained by flip points from what is gained by
    weighting the mistakes twice.
    """
    return {
        "whole": lambda seed: pool,
        "with flip points": lambda seed: _both(pool, flips),
        "with mistakes twice": lambda seed: _both(pool, mistakes),
    }


def _both(a: Digits, b: Digits) -> Digits:
    return torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])


def flips_of_mistakes(
    classifier: Classifier,
    images: Tensor,
    truth: Int[Tensor, " n"],
    *,
    effort: Effort = "fast",
    basis: Any = None,
    find: Callable[..., FlipPoints] = closest,
) -> tuple[Digits, Digits]:
    """The closest flip points of what a classifier misreads, with the right labels; and what it misreads.

    `find` finds them, with the arguments of `closest`.
    """
    wrong = classifier.scores(images).argmax(1) != truth
    if not bool(wrong.any()):
        return (images[:0], truth[:0]), (images[:0], truth[:0])
    found = find(classifier, images[wrong], effort=effort, basis=basis)
    points, labels = training_data(found, truth[wrong], "mistakes").tensors
    return (points, labels), (images[wrong], truth[wrong])


def run(results: Results, settings: Settings, *, report: Callable[[str], None] = print) -> None:
    """Everything that `results` lack, the quick parts first."""
    most = settings.images
    accuracies(results, most)
    for case in (*TEST, OWN_HALF, *MISTAKES):
        measure(results, case, effort=settings.effort, most=most, report=report)
    alternatives(results, TEST[0], effort=settings.effort, most=most)
    report("alternatives of the mistakes measured")
    _, wavelets = classifier_of(OWN_HALF.network)
    assert wavelets is not None
    test = digits("test", most)
    half = digits(OWN_HALF.part, most)
    train(
        results,
        "subsets",
        subsets(results.trust(OWN_HALF), half, settings.subset),
        test,
        wavelets,
        seeds=settings.seeds,
        epochs=settings.epochs,
        report=report,
    )
    parts = []
    for case in MISTAKES:
        classifier, basis = classifier_of(case.network)
        parts.append(flips_of_mistakes(classifier, *digits(case.part, most), effort=settings.effort, basis=basis))
    (first_flips, first_wrong), (second_flips, second_wrong) = parts
    flips, mistakes = _both(first_flips, second_flips), _both(first_wrong, second_wrong)
    whole = _both(digits("first", most), digits("second", most))
    train(
        results,
        "retraining",
        with_extra(whole, flips, mistakes),
        test,
        wavelets,
        seeds=settings.whole_seeds,
        epochs=settings.whole_epochs,
        report=report,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m workbench.flip_points.study", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; resumed if it has some")
    parser.add_argument("--effort", choices=list(EFFORTS), default=Settings.effort)
    parser.add_argument("--images", type=int, default=Settings.images, help="of each part; all by default")
    parser.add_argument("--subset", type=int, default=Settings.subset, help="images of each subset of figure 4")
    parser.add_argument("--seeds", type=int, default=Settings.seeds, help="networks trained on each subset")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--whole-seeds", type=int, default=Settings.whole_seeds, help="trained on the whole set")
    parser.add_argument("--whole-epochs", type=int, default=Settings.whole_epochs)
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args(arguments))
    folder = options.pop("out")
    torch.set_num_threads(options.pop("threads"))
    settings = Settings(**options)
    results = Results(folder)
    try:
        with record_run(folder, "workbench.flip_points.study", asdict(settings)):
            run(results, settings, report=lambda text: print(text, flush=True))
    finally:
        for name, table in (("trust", trust_table), ("training", training_table), ("claims", claims)):
            results.write(name, table(results))
    print(claims(results).to_string(index=False))


if __name__ == "__main__":
    main()
