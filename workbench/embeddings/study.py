"""The thesis's claims about class embeddings (Table 3.1, figures 3.7, 4.21), measured at full size and resumably.

    python -m workbench.embeddings.study --out benchmarks/results/class-embeddings

searches embeddings for the classes of `glyphs-biggan` whose pictures are the least diverse beside their real
glyphs, and compares what they give with the original, with noise and with real glyphs. What is optimised against
`glyphs-cnn` is judged by `glyphs-cnn-judge`. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from workbench.datasets import glyphs
from workbench.embeddings.claims import MAXIMISED, ORIGINAL, REAL, claims, table_31
from workbench.embeddings.class_map import nearest, rank_of_own
from workbench.embeddings.interpolate import interpolate_latents
from workbench.embeddings.maximize import maximize
from workbench.embeddings.noise import NOISES, noise
from workbench.embeddings.objective import embeddings_of, names_of
from workbench.embeddings.variants import VARIANTS
from workbench.files import replace_file
from workbench.metrics import (
    FeatureDistance,
    MultiScaleSimilarity,
    accuracy,
    frechet_distance,
    inception_score,
    mean_over_pairs,
    pixel_difference,
)
from workbench.models import Classifier, Generator, as_classifier, as_generator
from workbench.models.latent import pictures_for
from workbench.progress import track
from workbench.tables import Tables, record_run
from workbench.zoo.loading import load

#: Variants of the full size, as in Table 3.1.
FULL = (*MAXIMISED, *NOISES)
#: Standard deviation of the table of BigGAN-256, in whose units the thesis gives noise and rates.
_BIGGAN_SPREAD = 0.14
#: Pictures of each class whose diversity is compared with that of real ones.
_COMPARED = 40
#: Pairs of latents between which pictures are interpolated, and pictures on the way (figure 3.7).
_STRIPS, _FRAMES = 10, 8
#: Nearest classes that are compared before and after (figure 4.21).
_NEIGHBOURS = 10


@dataclass(frozen=True)
class Settings:
    """How large the study is.

    Attributes:
        classes: with the least diversity, that are repaired.
        trials: of each variant in each class.
        steps: of Adam.
        samples: pictures of each trial that are measured.
        seed: of everything random.
    """

    classes: int = 10
    trials: int = 5
    steps: int = 200
    samples: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Judges:
    """What pictures are measured by.

    Attributes:
        classifier: that embeddings are optimised against.
        judge: another network of the same classes, that never was.
        real, labels: (n, *picture) real pictures in the generator's value range, and their classes.
        alike: (classes,) the first class that looks the same as each.
        layers: of the judge, whose features are compared; the last of them, averaged over its places, is the space
            of the Fréchet distance.
    """

    classifier: Classifier
    judge: Classifier
    real: Float[Tensor, "n *picture"]
    labels: Int[Tensor, " n"]
    alike: Int[Tensor, " classes"]
    layers: Sequence[str]


def shipped() -> tuple[Generator, Judges]:
    """The zoo's generator of glyphs and what its pictures are measured by."""
    generator = as_generator(load("glyphs-biggan", device="cpu"))
    classifier, judge = (as_classifier(load(name, device="cpu")) for name in ("glyphs-cnn", "glyphs-cnn-judge"))
    sample = glyphs.sample()
    real = sample.tensor() * 2 - 1
    return generator, Judges(
        classifier, judge, real, torch.from_numpy(sample.labels), glyphs.folded(), ("0", "1", "2")
    )


def relative_diversity(generator: Generator, judges: Judges, *, seed: int = 0) -> Tensor:
    """For each class: the mean difference of two pictures over that of two real ones."""
    z = generator.latents(_COMPARED, seed=seed)
    found = []
    for index, row in enumerate(track(tuple(embeddings_of(generator)), lambda row: "diversity")):
        drawn = generator.render(z, row)
        real = judges.real[judges.labels == index]
        found.append(pixel_difference(drawn, pairs=400) / pixel_difference(real, pairs=400))
    return torch.tensor(found)


def measure_diversity(results: Tables, generator: Generator, judges: Judges, *, seed: int = 0) -> Tensor:
    """`relative_diversity` as `diversity.csv` keeps it, a row a class; computed where `results` lack it."""
    if not len(results.table("diversity")):
        found = relative_diversity(generator, judges, seed=seed)
        results.write("diversity", {"class": names_of(generator), "diversity": found.tolist()})
    return torch.tensor(results.table("diversity")["diversity"].to_numpy())


def search(
    folder: Path,
    generator: Generator,
    judges: Judges,
    settings: Settings,
    *,
    variants: Sequence[str] = FULL,
    classes: Sequence[int] | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, Tensor]:
    """The embeddings of every class and variant, (trials, width) each; those in `folder` are not sought again.

    `classes` are by default those of the least diversity, which `measure_diversity` keeps in `folder`. Noise and
    rates are the thesis's in units of the table's spread: those of BigGAN's table are for one of 0.14.

    Raises:
        ValueError: the folder holds another study.
    """
    path = folder / "embeddings.safetensors"
    found: dict[str, Tensor] = {}
    made_with = {"trials": settings.trials, "steps": settings.steps, "seed": settings.seed}
    made_for = {"generator": generator.fingerprint, "classifier": judges.classifier.fingerprint}
    texts = {name: str(value) for name, value in {**made_with, **made_for}.items()}
    if path.exists():
        with safe_open(path, framework="pt") as stored:
            there = stored.metadata() or {}
            differing = {name: there.get(name) for name in texts if there.get(name) != texts[name]}
            if differing:
                raise ValueError(f"{folder} holds a study with {differing}, not with {texts}; give another folder")
            found = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (no mapping)
    if classes is None:
        diversity = measure_diversity(Tables(folder), generator, judges, seed=settings.seed)
        classes = diversity.argsort()[: settings.classes].tolist()
    scale = float(embeddings_of(generator).std()) / _BIGGAN_SPREAD
    for index in classes:
        for name in track(variants):
            key = f"{name}/{index}"
            if key in found:
                continue
            began = time.perf_counter()
            if name in NOISES:
                spread = scale * NOISES[name]
                trials = noise(generator, index, name, seed=settings.seed, trials=settings.trials, spread=spread)
            else:
                trials = maximize(
                    generator,
                    judges.classifier,
                    index,
                    name,
                    seed=settings.seed,
                    trials=settings.trials,
                    steps=settings.steps,
                    rate=scale * VARIANTS[name].rate,
                    noise=0.1 * scale,
                )
            found[key] = trials.embeddings
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda part: save_file(found, part, metadata=texts))
            report(f"{names_of(generator)[index]}: {name}, {time.perf_counter() - began:.0f} s")
    wanted = {f"{name}/{index}": None for index in classes for name in variants}
    return {key: found[key] for key in wanted}


def measure(
    results: Tables,
    generator: Generator,
    judges: Judges,
    settings: Settings,
    embeddings: dict[str, Tensor],
) -> None:
    """Write `trials.csv`, a row a class, variant and trial, and `sets.csv`, a row a variant over all classes."""
    meter = _Meter(generator, judges, settings)
    table = embeddings_of(generator)
    classes = list(dict.fromkeys(int(key.rpartition("/")[2]) for key in embeddings))
    variants = list(dict.fromkeys(key.rpartition("/")[0] for key in embeddings))
    rows: list[dict[str, object]] = []
    sets: list[dict[str, object]] = []
    for name in track((REAL, ORIGINAL, *variants)):
        trials = settings.trials if name in variants else 1
        best: list[tuple[float, Tensor]] = []
        pictures: list[list[Tensor]] = [[] for _ in range(trials)]
        for index in track(classes, "class {}".format):
            real = judges.real[judges.labels == index]
            scored: list[tuple[float, Tensor]] = []
            for trial in range(trials):
                row = table[index] if name == ORIGINAL else None
                if name in variants:
                    row = embeddings[f"{name}/{index}"][trial]
                images = real if row is None else generator.render(meter.z, row)
                measured = meter.of(images, index)
                if row is not None:
                    measured |= meter.place(row, index) | meter.strips(row, index)
                rows.append({"class": index, "method": name, "trial": trial, **measured})
                pictures[trial].append(images)
                scored.append((float(measured["distance"]), images))
            best.append(max(scored, key=lambda pair: pair[0]))
        whole = [meter.set_of(torch.cat(images), classes, len(images[0])) for images in pictures]
        means = {key: sum(one[key] for one in whole) / len(whole) for key in whole[0]}
        of_best = meter.set_of(torch.cat([images for _, images in best]), classes, len(best[0][1]))
        sets.append({"method": name, **means, **{f"{key} of the best": value for key, value in of_best.items()}})
    import pandas as pd

    results.write("trials", pd.DataFrame(rows))
    results.write("sets", pd.DataFrame(sets))


class _Meter:
    """Measures pictures of a class, and of all classes together."""

    def __init__(self, generator: Generator, judges: Judges, settings: Settings) -> None:
        self.generator, self.judges, self.settings = generator, judges, settings
        self.z = generator.latents(settings.samples, seed=settings.seed + 1)
        self._given = {
            one.name: pictures_for(one, generator, resize="nearest") for one in (judges.classifier, judges.judge)
        }
        self._unit = lambda x: (
            (x - generator.value_range[0]) / (generator.value_range[1] - generator.value_range[0])
        )
        self.similarity = MultiScaleSimilarity(min(generator.output_shape[1:]))
        layers = list(judges.layers)
        self.distance = FeatureDistance(
            lambda x: list(judges.judge.read(self._given[judges.judge.name](x), layers).values()),
            f"{judges.judge.name}, layers {', '.join(layers)}",
        )
        self._last = judges.judge.until(layers[-1])

    def of(self, images: Tensor, index: int) -> dict[str, float]:
        """What one class's pictures are like."""
        judges, alike = self.judges, self.judges.alike
        seen: dict[str, float] = {
            "ms_ssim": mean_over_pairs(self._unit(images), self.similarity),
            "distance": self.distance.mean(images),
            "pixels": pixel_difference(images, pairs=400),
        }
        for name, one in (("classifier", judges.classifier), ("judge", judges.judge)):
            read = one.scores(self._given[one.name](images)).argmax(1).cpu()
            seen[f"read_by_{name}"] = float((alike[read] == alike[index]).double().mean())
        return seen

    def place(self, row: Tensor, index: int) -> dict[str, float]:
        """Where an embedding lies among the original ones (figure 4.21)."""
        table, alike = embeddings_of(self.generator), self.judges.alike
        same = (alike == alike[index]).nonzero()[:, 0].to(table.device)
        ranks = rank_of_own(row.expand(len(same), -1), table, same)
        now, before = (
            [i for i in nearest(point[None], table, 1 + _NEIGHBOURS)[0].tolist() if i != index][:_NEIGHBOURS]
            for point in (row, table[index])
        )
        return {
            "rank_of_own_class": int(ranks[same == index]),
            "rank_of_own_or_alike": int(ranks.min()),
            "shared_neighbours": len({*now} & {*before}) / len(now),
        }

    def strips(self, row: Tensor, index: int) -> dict[str, float]:
        """How pictures change between two latents, and how many on the way are read as the class (figure 3.7)."""
        ends = self.generator.latents(2 * _STRIPS, seed=self.settings.seed + 2)
        ways = [
            interpolate_latents(self.generator, a, b, row, frames=_FRAMES)
            for a, b in zip(ends[:_STRIPS], ends[_STRIPS:], strict=True)
        ]
        with torch.no_grad():
            apart = torch.cat([self.distance(way[:1], way[-1:]) for way in ways])
        between = torch.cat([way[1:-1] for way in ways])
        judge = self.judges.judge
        read = judge.scores(self._given[judge.name](between)).argmax(1).cpu()
        alike = self.judges.alike
        return {
            "strip_distance": float(apart.mean()),
            "strip_read": float((alike[read] == alike[index]).double().mean()),
        }

    def set_of(self, images: Tensor, classes: Sequence[int], each: int) -> dict[str, float]:
        """What the pictures of all classes are like: in the judge's features, so not FID and IS of Inception."""
        judge = self.judges.judge
        given = self._given[judge.name](images)
        kept = torch.isin(self.judges.labels, torch.tensor(classes))
        real = self._given[judge.name](self.judges.real[kept])
        labels = torch.tensor(classes).repeat_interleave(each)
        scores = judge.scores(given)
        folded = torch.zeros_like(scores).index_add_(1, self.judges.alike, scores.softmax(1)).log()
        return {
            "frechet": frechet_distance(self._features(real), self._features(given)),
            "inception_score": inception_score(scores, splits=10),
            "accuracy": accuracy(folded, self.judges.alike[labels]),
        }

    def _features(self, given: Tensor) -> Tensor:
        with torch.no_grad():
            return self.judges.judge.batches.map(lambda x: self._last(x).flatten(2).mean(2), given).cpu()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the folder lacks, then write the tables and the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = vars(parser.parse_args(arguments))
    folder = options.pop("out")
    torch.set_num_threads(options.pop("threads"))
    settings = Settings(**options)
    results = Tables(folder)
    with record_run(folder, "workbench.embeddings.study", asdict(settings)):
        generator, judges = shipped()
        found = search(folder, generator, judges, settings, report=lambda text: print(text, flush=True))
        measure(results, generator, judges, settings, found)
        for name, table in (("table-3.1", table_31), ("claims", claims)):
            results.write(name, table(results))
    print(claims(results).to_string(index=False))


if __name__ == "__main__":
    main()
