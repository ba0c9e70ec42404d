"""Simulated searches of Chiu et al. 2020: every strategy on the same cases, slider by slider, resumably.

    python -m workbench.subspaces.simulation --out benchmarks/results/subspace-search

runs both simulations at full size on one core; an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest, wilcoxon
from torch import Tensor

from workbench.files import replace_file
from workbench.models import Generator
from workbench.progress import track
from workbench.subspaces.baselines import LineStrategy
from workbench.subspaces.cases import METHODS, Case, generator_of, methods_for
from workbench.subspaces.cases import Method as Method
from workbench.tables import Tables, record_run

if TYPE_CHECKING:
    import pandas as pd

#: The strategy that all others are compared with.
REFERENCE = "dss"
SIZES = (8, 32, 128, 512)
#: Slider counts of the printed table.
SHOWN = (1, 2, 5, 10, 20, 50, 100, 150, 200)
#: The strategies that differential subspace search must beat.
RIVALS = ("random", "pca", "sls", "rembo-6d")


# -- running ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """How one strategy did on one case.

    Attributes:
        best: (sliders + 1,) float64, the lowest loss so far; the first is the start's.
        seconds: mean time of the strategy itself per slider, without the line search.
    """

    best: Float[Tensor, " sliders"]
    seconds: float


def simulate(case: Case, methods: Sequence[str], *, sliders: int = 200) -> dict[str, Curve]:
    """Run strategies side by side, so that each round of sliders is searched in one batch.

    Raises:
        ValueError: an unknown method, or no sliders.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown or sliders < 1:
        raise ValueError(f"methods={list(methods)}, sliders={sliders}; methods are {', '.join(METHODS)}")
    first = float(case.objective.loss(case.start[None])[0])
    seconds = dict.fromkeys(methods, 0.0)
    best = {name: [first] for name in methods}
    strategies: dict[str, LineStrategy] = {}
    for name in methods:
        started = time.perf_counter()
        strategies[name] = METHODS[name].build(case, generator_of(case.name, case.seed, name))
        seconds[name] += time.perf_counter() - started
    for done in track(range(sliders), "slider {}".format):
        active = [name for name in methods if done < METHODS[name].count(sliders)]
        proposed = []
        for name in active:
            started = time.perf_counter()
            proposed.append(strategies[name].propose())
            seconds[name] += time.perf_counter() - started
        settled = case.objective.search(proposed)
        for name, t, loss in zip(active, settled.positions.tolist(), settled.losses.tolist(), strict=True):
            best[name].append(min(loss, best[name][-1]))
            started = time.perf_counter()
            strategies[name].accept(t)
            seconds[name] += time.perf_counter() - started
    return {
        name: Curve(torch.tensor(curve, dtype=torch.float64), seconds[name] / max(1, len(curve) - 1))
        for name, curve in best.items()
    }


class Results:
    """Curves of many runs in a folder: one safetensors file a case, rewritten after every seed.

    The keys are `best/METHOD/SEED` (sliders + 1,) and `seconds/METHOD/SEED` ().

    Args:
        folder: made when something is first written.
        others: folders whose curves are read, too.
    """

    def __init__(self, folder: str | Path, *others: str | Path) -> None:
        self.folder = Path(folder)
        self.folders = (self.folder, *map(Path, others))

    def cases(self) -> list[str]:
        """Names of the cases in the folders, small ones first."""
        found = {path.stem for folder in self.folders for path in folder.glob("*.safetensors")}
        return sorted(found, key=lambda name: (name.startswith("target"), len(name), name))

    def _stored(self, case: str) -> dict[str, Tensor]:
        paths = [folder / f"{case}.safetensors" for folder in self.folders]
        return {name: curve for path in paths if path.exists() for name, curve in load_file(path).items()}

    def missing(self, case: str, seed: int, methods: Iterable[str], sliders: int) -> list[str]:
        """The methods that have not been run for so many sliders."""
        stored = self._stored(case)
        curves = {name: stored.get(f"best/{name}/{seed}") for name in methods}
        return [n for n, c in curves.items() if c is None or len(c) <= METHODS[n].count(sliders)]

    def add(self, case: str, seed: int, curves: Mapping[str, Curve]) -> None:
        """Keep the curves of one seed; the file is replaced whole."""
        stored = Results(self.folder)._stored(case)
        for name, curve in curves.items():
            stored[f"best/{name}/{seed}"] = curve.best
            stored[f"seconds/{name}/{seed}"] = torch.tensor(curve.seconds)
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / f"{case}.safetensors", lambda part: save_file(stored, part))

    def curves(self, case: str) -> dict[str, Float[Tensor, "seeds sliders"]]:
        """Best loss so far by method; rows are the seeds that every method has, as far as all of them went.

        Raises:
            FileNotFoundError: no such case in the folder.
        """
        stored = self._stored(case)
        if not stored:
            raise FileNotFoundError(
                f"no {case}.safetensors in {self.folder}; run `python -m workbench.subspaces.simulation "
                f"--out {self.folder}` first"
            )
        runs = [key.split("/")[1:] for key in stored if key.startswith("best/")]
        names = [name for name in METHODS if any(run[0] == name for run in runs)]
        shared = set.intersection(*({int(seed) for name, seed in runs if name == m} for m in names))
        of = {name: [stored[f"best/{name}/{seed}"] for seed in sorted(shared)] for name in names}
        # a longer run that was interrupted has brought only some seeds so far
        return {name: torch.stack([run[: min(map(len, runs))] for run in runs]) for name, runs in of.items()}

    def seconds(self, case: str) -> dict[str, float]:
        """Mean own time of each method per slider."""
        stored = self._stored(case)
        found: dict[str, list[float]] = {}
        for key, value in stored.items():
            kind, name, _ = key.split("/")
            if kind == "seconds":
                found.setdefault(name, []).append(float(value))
        return {name: sum(values) / len(values) for name, values in found.items()}


def cases(sizes: Sequence[int], generator: str = "") -> dict[str, Callable[[int], Case]]:
    """Simulation (i) for each number of latents, and (ii) for a generator of the zoo ("" leaves it out).

    Returns:
        By name, functions from a seed to the case.

    Raises:
        ZooError: no such network.
        ValueError: it is no generator.
    """
    made: dict[str, Callable[[int], Case]] = {f"synthetic-{n}": partial(Case.synthetic, n) for n in sizes}
    if generator:
        from workbench.zoo.loading import load

        model = load(generator, device="cpu")
        if not isinstance(model, Generator):
            raise ValueError(f"{generator} is a classifier, a generator was expected, such as 'mnist-dcgan'")
        made[f"target-{model.name}"] = partial(Case.hidden_target, model)
    return made


def run(
    results: Results,
    cases: Mapping[str, Callable[[int], Case]],
    *,
    seeds: int | Sequence[int] = 20,
    sliders: int = 200,
    methods: Sequence[str] | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Run what `results` lacks of `cases`, which are as the function `cases` gives them.

    `seeds` says how many, from 0 on, or which.
    """
    for name, make in cases.items():
        chosen = [m for m in methods_for(name) if methods is None or m in methods]
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            lacking = results.missing(name, seed, chosen, sliders)
            if not lacking:
                continue
            started = time.perf_counter()
            results.add(name, seed, simulate(make(seed), lacking, sliders=sliders))
            report(f"{name} seed {seed}: {len(lacking)} methods, {time.perf_counter() - started:.1f} s")


# -- tables ----------------------------------------------------------------------------------------


def compare(curves: Mapping[str, Float[Tensor, "seeds sliders"]], *, reference: str = REFERENCE) -> pd.DataFrame:
    """Final losses of all methods, and how `reference` stands against each on the same seeds.

    Both are read after as many sliders as both had. `wins` counts the seeds where `reference` is
    lower; `sign_p` and `wilcoxon_p` are one-sided p-values of "not lower" (sign test, signed ranks).
    """
    import pandas as pd

    rows = []
    for name, own in curves.items():
        at = min(own.shape[1], curves[reference].shape[1]) - 1
        losses, ours = own[:, at].numpy(), curves[reference][:, at].numpy()
        q1, median, q3 = (
            float(q) for q in torch.tensor(losses).quantile(torch.tensor([0.25, 0.5, 0.75]).double())
        )
        row = {"method": name, "sliders": at, "q1": q1, "median": median, "q3": q3}
        row["reference_median"] = float(curves[reference][:, at].quantile(0.5))
        if name != reference:
            wins, ties = int((ours < losses).sum()), int((ours == losses).sum())
            row["wins"], row["seeds"] = wins, len(losses)
            row["sign_p"] = (
                binomtest(wins, len(losses) - ties, alternative="greater").pvalue if ties < len(losses) else 1.0
            )
            row["wilcoxon_p"] = wilcoxon(ours, losses, alternative="less").pvalue if ties < len(losses) else 1.0
        rows.append(row)
    return pd.DataFrame(rows)


def table(results: Results) -> pd.DataFrame:
    """Best loss so far after the slider counts `SHOWN`: a row a case, method and seed."""
    import pandas as pd

    rows = []
    for case in results.cases():
        for name, curves in results.curves(case).items():
            for seed, curve in enumerate(curves):
                row: dict[str, object] = {"case": case, "method": name, "seed": seed, "start": float(curve[0])}
                row |= {f"after_{k}": float(curve[k]) if k < len(curve) else None for k in SHOWN}
                rows.append(row)
    return pd.DataFrame(rows)


def summary(results: Results, cases: Iterable[str] | None = None) -> pd.DataFrame:
    """`compare` for every case (or for those named), with each method's own time per slider."""
    import pandas as pd

    parts = []
    for case in results.cases() if cases is None else cases:
        part = compare(results.curves(case))
        part.insert(0, "case", case)
        seconds = results.seconds(case)
        part["seconds_per_slider"] = [seconds[name] for name in part["method"]]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def write_tables(results: Results) -> None:
    """`curves.csv` and `summary.csv` beside the curves."""
    tables = Tables(results.folder)
    tables.write("curves", table(results))
    tables.write("summary", summary(results))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m workbench.subspaces.simulation", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; resumed if it has some")
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="latents of simulation (i)")
    parser.add_argument("--generator", default="mnist-dcgan", help="of simulation (ii); '' leaves it out")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sliders", type=int, default=200)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), help="all by default")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    if not options.sizes and not options.generator:
        parser.error("--sizes without a number and --generator '' leave nothing to run; give one of the two")
    if options.methods is not None and REFERENCE not in options.methods:
        parser.error(
            f"--methods {' '.join(options.methods)}: {REFERENCE} is missing, which the tables compare all others "
            "with; add it"
        )
    if options.seeds < 1 or options.sliders < 1:
        parser.error(f"--seeds {options.seeds} --sliders {options.sliders}; expected at least one of each")
    torch.set_num_threads(options.threads)
    try:
        chosen = cases(options.sizes, options.generator)
    except (LookupError, ValueError) as error:
        parser.error(str(error))
    results = Results(options.out)
    settings = {k: v for k, v in vars(options).items() if k != "out"}
    try:
        with record_run(options.out, "workbench.subspaces.simulation", settings):
            run(
                results,
                chosen,
                seeds=options.seeds,
                sliders=options.sliders,
                methods=options.methods,
                report=lambda text: print(text, flush=True),
            )
    finally:
        if results.cases():
            write_tables(results)
    print(summary(results).to_string(index=False))


if __name__ == "__main__":
    main()
