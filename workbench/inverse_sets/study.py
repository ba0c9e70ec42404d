"""The paper's claims about inverse sets (table 1, sections 4.1 to 4.3), measured at full size and resumably.

    python -m workbench.inverse_sets.study --out benchmarks/results/inverse-sets

samples inverse sets of neurons of `mnist-cnn` through `mnist-inverter`, with E its layer 12, beside PPGN's chains,
activation maximisation, rejection and training images. How real pictures are is judged by `mnist-erf-1`. An
interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.datasets import mnist
from workbench.inverse_sets.bands import Band, band
from workbench.inverse_sets.baselines import maximise_activation, ppgn_chains, qualifying, rejection
from workbench.inverse_sets.claims import PPGN, WALKERS, claims, table_1
from workbench.inverse_sets.measurements import Meter
from workbench.inverse_sets.problem import Encoder, Problem
from workbench.inverse_sets.result import InverseSet
from workbench.inverse_sets.sample import sample
from workbench.inverse_sets.seeds import measure, starts
from workbench.models import Classifier, Generator, as_classifier, as_generator
from workbench.progress import track
from workbench.results import Provenance
from workbench.tables import Tables, record_run
from workbench.zoo.loading import load

#: Neurons of table 1: a layer of `mnist-cnn`, a channel, and the band; at the level of most real digits of a
#: class, and for the hidden neuron (at its centre) at one that about a tenth of real digits reach.
NEURONS: tuple[tuple[str, int, float, float], ...] = (
    ("14", 3, 4, 5),
    ("14", 8, 4, 5),
    ("14", 5, 4, 5),
    ("8", 27, 2, 2.5),
)
#: Levels of one neuron (figure 1): from "not this class" to beyond what any real digit reaches.
LEVELS = ((0.0, 1.0), (2.0, 3.0), (4.0, 5.0), (6.0, 7.0), (8.0, 9.0))
#: Mean absolute step of PPGN's chains, as a share of the codes' range: the released code's, and longer ones.
RATES = {PPGN: 1 / 30, "PPGN, rate 0.2": 0.2, "PPGN, rate 1": 1.0}
#: Length of the paper's steps; longer ones leave the bands too often.
_LENGTH = 0.05
#: Deviations of the prior by which codes are moved apart where they are to be nearly the same.
_NUDGE = 0.01
#: Draws of the prior that rejection looks at. The prior's codes are those of a thousand digits.
_DRAWS = 2000
#: The same for a normal prior, which gives none twice.
_DRAWS_OF_NORMAL = 5000
#: Settings that a row depends on, and of a part those that its rows depend on.
_HELD = ("samples", "seed_steps", "steps", "climbed", "full", "full_steps")
_HELD_OF = {
    "table 1": ("samples", "seed_steps", "steps", "climbed", "neurons"),
    "4.3": ("seed_steps", "full", "full_steps"),
}


@dataclass(frozen=True)
class Settings:
    """How large the study is.

    Attributes:
        samples: of each inverse set.
        seeds: that everything but the full optimisation is repeated with.
        neurons: of table 1, in the order of `NEURONS`.
        seed_steps: gradient steps for seeds at most.
        steps: of PPGN's chains, ten of them, and of activation maximisation.
        climbed: samples of activation maximisation.
        full: samples that are optimised all at once (section 4.3); 0 leaves it out.
        full_seeds: that this is repeated with.
        full_steps: gradient steps at most.
    """

    samples: int = 500
    seeds: int = 5
    neurons: int = len(NEURONS)
    seed_steps: int = 400
    steps: int = 200
    climbed: int = 30
    full: int = 100
    full_seeds: int = 2
    full_steps: int = 20_000


@dataclass(frozen=True)
class Models:
    """What is sampled, and what it is judged by.

    Attributes:
        generator: G, which takes the encoder's codes.
        plain: another generator of such pictures, that has no encoder.
        encoder: E, by the classifier that has the neurons.
        judge: another network of the same classes.
        real: (n, *picture) real pictures, in the generators' value range.
        training: pictures among which those that qualify are sought; None where there are none here.
    """

    generator: Generator
    plain: Generator
    encoder: Encoder
    judge: Classifier
    real: Float[Tensor, "n *picture"]
    training: Float[Tensor, "m *picture"] | None

    @property
    def classifier(self) -> Classifier:
        """The network that has the neurons."""
        return self.encoder.classifier


def shipped() -> Models:
    """The zoo's networks and the embedded digits; the training images where the full MNIST is here."""
    generator, plain = (as_generator(load(name, device="cpu")) for name in ("mnist-inverter", "mnist-dcgan"))
    classifier, judge = (as_classifier(load(name, device="cpu")) for name in ("mnist-cnn", "mnist-erf-1"))
    training = mnist.load("train").tensor() * 2 - 1 if mnist.find() else None
    return Models(generator, plain, Encoder(classifier, "12"), judge, mnist.sample().tensor() * 2 - 1, training)


@dataclass(frozen=True)
class Run:
    """One set of samples of the study.

    Attributes:
        part: of the paper that it belongs to.
        bands: of the neurons.
        method: how it is made.
        seed: of everything random.
        make: makes it; None where it cannot be made here.
        generator: that makes the pictures.
    """

    part: str
    bands: tuple[Band, ...]
    method: str
    seed: int
    make: Callable[[], InverseSet] | None
    generator: Generator

    @property
    def key(self) -> dict[str, object]:
        """What tells a row of `sets.csv` from the others."""
        ends = " and ".join(f"{b.label} in [{b.low:g}, {b.high:g}]" for b in self.bands)
        return {"part": self.part, "neurons": ends, "method": self.method, "seed": self.seed}


def runs(models: Models, settings: Settings, parts: Sequence[str] | None = None) -> Iterator[Run]:
    """Everything that is to be sampled, or those parts of it.

    Raises:
        ValueError: no such part.
    """
    unknown = set(parts or ()) - set(PARTS)
    if unknown:
        raise ValueError(f"parts={list(parts or ())}; expected some of {list(PARTS)}")
    for name, make in PARTS.items():
        if parts is None or name in parts:
            yield from make(models, settings)


def _band(models: Models, index: int) -> Band:
    layer, channel, low, high = NEURONS[index]
    return band(models.classifier, layer, channel, low, high)


def _table_1(models: Models, settings: Settings) -> Iterator[Run]:
    for index in range(settings.neurons):
        one = _band(models, index)
        for method in ("tangent", "lagrangian", *RATES, "rejection", "activation maximisation"):
            for seed in range(settings.seeds):
                make = partial(_by_method, models, settings, one, method, seed)
                yield Run("table 1", (one,), method, seed, make, models.generator)
        among = None
        if models.training is not None:
            among = partial(qualifying, models.generator, one, models.training, encoder=models.encoder)
        yield Run("table 1", (one,), "training images", 0, among, models.generator)


def _by_method(models: Models, settings: Settings, one: Band, method: str, seed: int) -> InverseSet:
    """Samples of a neuron by one of the methods of table 1."""
    G, E, n, steps = models.generator, models.encoder, settings.samples, settings.steps
    options: dict[str, Any] = {"encoder": E, "seed": seed, "seed_steps": settings.seed_steps}
    if method in RATES:
        n, rate = min(n, WALKERS * steps), RATES[method]
        return ppgn_chains(G, one, n, encoder=E, seed=seed, steps=steps, rate=rate)
    if method == "rejection":
        return _distinct(rejection(G, one, n, encoder=E, seed=seed, draws=_DRAWS))
    if method == "activation maximisation":
        n = settings.climbed
        return maximise_activation(G, one, n, encoder=E, seed=seed, steps=steps)
    if method == "lagrangian":
        options |= {"method": method, "length": _LENGTH}
    return sample(G, one, n, **options)


def _without_encoder(models: Models, settings: Settings) -> Iterator[Run]:
    """Section 4.1: distances between codes, instead of between what the encoder makes of the pictures."""
    G, E, one = models.generator, models.encoder, _band(models, 0)
    for seed in range(settings.seeds):
        problem = Problem(G, one, encoder=E)
        initial, _ = starts(problem, measure(problem, seed=seed), WALKERS)
        for distance in ("encoder", "latent"):
            for method, length in (("tangent", 0.2), ("lagrangian", _LENGTH)):
                options = {"distance": distance, "method": method, "length": length, "initial": initial}
                yield _sampled("4.1", (one,), f"{distance}, {method}", seed, settings, G, E, **options)


def _one_start(models: Models, settings: Settings) -> Iterator[Run]:
    """Section 4.2: all seeds from one code, or nearly so, with and without the distances."""
    G, E, one = models.generator, models.encoder, _band(models, 0)
    deviation = G.latents(256, seed=0).std(0)
    for seed in range(settings.seeds):
        same = G.latents(1, seed=seed + 100).repeat(WALKERS, *[1] * len(G.latent_shape))
        drawn = torch.randn(same.shape, generator=torch.Generator().manual_seed(seed)).to(same)
        for start, initial in (("one code", same), ("nearly one code", same + _NUDGE * deviation * drawn)):
            for method, length in (("tangent", 0.2), ("lagrangian", _LENGTH)):
                for diversity in (True, False):
                    name = f"{start}, {method}, {'with' if diversity else 'without'} distances"
                    options = {"initial": initial, "method": method, "length": length, "diversity": diversity}
                    yield _sampled("4.2", (one,), name, seed, settings, G, E, **options)


def _levels(models: Models, settings: Settings) -> Iterator[Run]:
    """Figure 1: one neuron at several levels."""
    layer, channel, *_ = NEURONS[0]
    for low, high in LEVELS:
        one = band(models.classifier, layer, channel, low, high)
        for seed in range(settings.seeds):
            yield _sampled("figure 1", (one,), "tangent", seed, settings, models.generator, models.encoder)


def _intersections(models: Models, settings: Settings) -> Iterator[Run]:
    """Figures 4 and 5: two scores at once, and a hidden neuron with a score."""
    C = models.classifier
    pairs = {
        "figure 4": (band(C, "14", 3, 2, 3), band(C, "14", 8, 2, 3)),
        "figure 5": (_band(models, 3), band(C, "14", 3, 4, 5)),
    }
    for part, bands in pairs.items():
        for seed in range(settings.seeds):
            yield _sampled(part, bands, "tangent", seed, settings, models.generator, models.encoder)


def _plain(models: Models, settings: Settings) -> Iterator[Run]:
    """A generator that takes no codes of an encoder: distances in a layer of the classifier."""
    G, one, layer = models.plain, _band(models, 0), models.encoder.layer
    for seed in range(settings.seeds):
        yield _sampled("no encoder", (one,), "tangent", seed, settings, G, None, distance=layer)
        options = {"distance": layer, "seed": seed, "draws": _DRAWS_OF_NORMAL}
        rejected = partial(rejection, G, one, settings.samples, **options)  # type: ignore[arg-type]
        yield Run("no encoder", (one,), "rejection", seed, rejected, G)


def _full(models: Models, settings: Settings) -> Iterator[Run]:
    """Section 4.3: all samples optimised to the end; the seeds alone; and none."""
    G, E, one, n = models.generator, models.encoder, _band(models, 0), settings.full
    if not n:
        return
    for seed in range(settings.full_seeds):
        initial = G.latents(n, seed=seed + 200)
        yield _sampled("4.3", (one,), "fast", seed, settings, G, E, n=n, initial=initial[:WALKERS])

        seeds_in_full = partial(_seeds_in_full, models, settings, one, seed, initial[:WALKERS])
        yield Run("4.3", (one,), "seeds in full, then fast", seed, seeds_in_full, G)
        options = {"method": "full", "seed_steps": settings.full_steps}
        yield _sampled("4.3", (one,), "full", seed, settings, G, E, n=n, initial=initial, **options)


def _seeds_in_full(
    models: Models, settings: Settings, one: Band, seed: int, initial: Float[Tensor, "k *latent"]
) -> InverseSet:
    """The second experiment of section 4.3: seeds of equation (6) to the end, and the rest from them."""
    common: dict[str, Any] = {"encoder": models.encoder, "seed": seed}
    ends = sample(
        models.generator,
        one,
        len(initial),
        initial=initial,
        method="full",
        seed_steps=settings.full_steps,
        **common,
    )
    if not len(ends):
        return ends
    rest = sample(models.generator, one, settings.full, initial=ends.codes, **common)
    made = Provenance.together((rest.provenance, ends.provenance), call=rest.provenance.call, seed=seed)
    return replace(rest, steps=rest.steps + ends.steps, provenance=made)


def _sampled(
    part: str,
    bands: tuple[Band, ...],
    name: str,
    seed: int,
    settings: Settings,
    generator: Generator,
    encoder: Encoder | None,
    **options: Any,
) -> Run:
    """A run of `sample`."""
    options = {"n": settings.samples, "seed_steps": settings.seed_steps, **options}
    make = partial(sample, generator, bands, encoder=encoder, seed=seed, **options)
    return Run(part, bands, name, seed, make, generator)


def _distinct(found: InverseSet) -> InverseSet:
    """Without samples that were drawn twice, which a prior of few codes gives."""
    codes = found.codes.flatten(1)
    first = [i for i in range(len(codes)) if not (codes[:i] == codes[i]).all(1).any()]
    rows = torch.tensor(first, dtype=torch.long)
    parts = {name: getattr(found, name)[rows] for name in ("codes", "outputs", "values", "walker", "step")}
    return replace(found, **parts)


#: The parts of the study, the long ones last.
PARTS: dict[str, Callable[[Models, Settings], Iterator[Run]]] = {
    "figure 1": _levels,
    "figures 4 and 5": _intersections,
    "4.1": _without_encoder,
    "4.2": _one_start,
    "no encoder": _plain,
    "table 1": _table_1,
    "4.3": _full,
}


def made_from(part: str, models: Models, settings: Settings) -> dict[str, Any]:
    """What the rows of a part depend on, beside the seed: only table 1 looks among the training images."""
    used = models if part == "table 1" else replace(models, training=None)
    held = {name: getattr(settings, name) for name in _HELD_OF.get(part, ("samples", "seed_steps"))}
    return {"models": used, **held}


def seeds_of(part: str, settings: Settings) -> range:
    """The seeds that a part is repeated with."""
    return range(settings.full_seeds if part == "4.3" else settings.seeds)


def study(
    results: Tables,
    models: Models,
    settings: Settings,
    *,
    parts: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Add to `sets.csv` a row for each run that it lacks, of all parts and seeds or some.

    Raises:
        ValueError: no such part, or the folder holds a study of another size.
    """
    _keep_to(results, settings)
    meter = Meter(models)
    there = results.table("sets")
    names = ["part", "neurons", "method", "seed"]
    done = set(there[names].itertuples(index=False, name=None)) if len(there) else set()
    wanted = [run for run in runs(models, settings, parts) if seeds is None or run.seed in seeds]
    for run in track(wanted, lambda run: f"{run.part}: {run.method}"):
        key = run.key
        if tuple(key[name] for name in names) in done:
            continue
        if run.make is None:
            results.add("sets", {**key, "samples": 0, "note": "the training images are not here"})
            continue
        found = run.make()
        results.add("sets", {**key, **meter.of(found, run)})
        report(f"{run.part}: {key['neurons']}, {run.method}, seed {run.seed}: {found.provenance.seconds:.0f} s")


def _keep_to(results: Tables, settings: Settings) -> None:
    """Write what the rows depend on, or check it where rows are there already; seeds and neurons may be added."""
    given = {name: value for name, value in asdict(settings).items() if name in _HELD}
    there = results.table("settings")
    if not len(there):
        results.write("settings", {name: [value] for name, value in given.items()})
        return
    before = {str(name): int(value) for name, value in there.iloc[0].items()}
    if before != given:
        raise ValueError(f"{results.folder} holds a study with {before}, not with {given}; give another folder")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the folder lacks, then write the tables and the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    options = vars(parser.parse_args(arguments))
    folder = options.pop("out")
    torch.set_num_threads(options.pop("threads"))
    settings = Settings(**options)
    results = Tables(folder)
    with record_run(folder, "workbench.inverse_sets.study", asdict(settings)):
        study(results, shipped(), settings, report=lambda text: print(text, flush=True))
        for name, table in (("table-1", table_1), ("claims", claims)):
            results.write(name, table(results))
    print(claims(results).to_string(index=False))


if __name__ == "__main__":
    main()
