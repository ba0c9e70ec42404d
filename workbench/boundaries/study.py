"""The paper's claims about E-GBAS (section 4), measured at full size and resumably.

    python -m workbench.boundaries.study --out benchmarks/results/generative-boundaries

finds supporting sets, grows trees and draws what they are compared with for several queries in several layers of
the shipped generators; an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from scipy.ndimage import label
from torch import Tensor

from workbench.boundaries.baselines import BASELINES, epsilon_radii
from workbench.boundaries.claims import OURS, claims, table_1, table_2
from workbench.boundaries.explore import Exploration, explore
from workbench.boundaries.sign_layer import BoundaryError, known_layer, sign_layers
from workbench.boundaries.supporting_set import SupportingSet, supporting_set
from workbench.metrics import concentration, cosine_similarity, deviation_image
from workbench.models import Classifier, Generator
from workbench.models.latent import pictures_for
from workbench.tables import Tables, record_run
from workbench.zoo.loading import load

if TYPE_CHECKING:
    import pandas as pd

#: Layers of the full size, by generator: Tables 1 and 2, figures 2 and 5, Table 1 on faces.
FULL = {
    "mnist-dcgan": ("3", "6", "9", "11"),
    "mnist-dcgan-2d": ("1", "3"),
    "digiface-dcgan": ("main.2", "main.5", "main.8"),
}
#: Judges of a generator's images: its own discriminator (Table 2), and a classifier of what they show (figure 2).
DISCRIMINATORS = {"mnist-dcgan": "mnist-dcgan-discriminator"}
READERS = {"mnist-dcgan": "mnist-cnn", "mnist-dcgan-2d": "mnist-cnn"}
#: Points of a side of the grid on which the region of two latents is measured; odd, so that the query is one.
_GRID = 401


@dataclass(frozen=True)
class Settings:
    """How large the study is.

    Attributes:
        queries: draws of the prior that are explored in each layer.
        samples: of each tree and of each set that it is compared with.
        seed: of the queries and of everything drawn around them.
    """

    queries: int = 10
    samples: int = 500
    seed: int = 0


def measure(
    results: Tables,
    generator: Generator,
    layers: Sequence[str],
    settings: Settings,
    *,
    network: str,
    report: Callable[[str], None] = print,
) -> None:
    """Measure what `results` lack of a generator's layers.

    Writes `trees.csv`, a row a query and layer, and `samples.csv`, a row for each set of samples around it.

    Args:
        network: the generator's name in the tables, and in the zoo if its judges are to be found.

    Raises:
        ValueError: the folder holds measurements of other settings.
    """
    judges = judges_of(network, generator)
    queries = generator.latents(settings.queries, seed=settings.seed)
    for layer in layers:
        for place, z in enumerate(queries):
            key = {"network": network, "layer": layer, "query": place}
            kept = _row(results.table("trees"), key)
            if kept is not None:
                _check_same(kept, settings, generator, results.folder)
                continue
            report(measure_query(results, generator, layer, place, z, settings, network=network, judges=judges))


def measure_query(
    results: Tables,
    generator: Generator,
    layer: str,
    place: int,
    z: Float[Tensor, " *latent"],
    settings: Settings,
    *,
    network: str,
    judges: Sequence[Classifier | None],
) -> str:
    """Add the rows of one query to `trees.csv` and `samples.csv`; what was found, in a line.

    Args:
        place: of the query among all.
        network: the generator's name in the tables.
        judges: those of `judges_of`.
    """
    key = {"network": network, "layer": layer, "query": place}
    began = time.perf_counter()
    tree_row, sample_rows = one_query(generator, z, layer, settings, *judges)
    made = {"wanted": settings.samples, "seed": settings.seed, "fingerprint": generator.fingerprint[:16]}
    _replace(results, "samples", key, sample_rows)
    results.add("trees", {**key, **tree_row, **made})
    took = time.perf_counter() - began
    return (
        f"{network}, layer {layer}, query {place}: {tree_row['kept']} boundaries, "
        f"{tree_row['tried']} tries, {tree_row['acceptance']:.0%} accepted, {took:.0f} s"
    )


def one_query(
    generator: Generator,
    z: Float[Tensor, " *latent"],
    layer: str,
    settings: Settings,
    discriminator: Classifier | None = None,
    reader: Classifier | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What was measured around one query: of its tree, and of each set of samples."""
    found = supporting_set(generator, z, layer, seed=settings.seed)
    tree = explore(generator, z, found, seed=settings.seed, samples=settings.samples)
    row = _tree_row(generator, found, tree, reader)
    sets: dict[str, Tensor] = {OURS: tree.samples}
    for name, make in BASELINES.items():
        try:
            sets[name] = make(generator, tree, seed=settings.seed).points
        except BoundaryError:  # nothing left the region, or nothing stayed: there is nothing to compare with
            continue
    return row, [
        {"method": name, **_sample_row(generator, found, tree, points, discriminator)}
        for name, points in sets.items()
        if len(points)
    ]


def _tree_row(
    generator: Generator, found: SupportingSet, tree: Exploration, reader: Classifier | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "units": found.theta.numel(),
        "candidates": found.candidates,
        "kept": len(found.units),
        "error": found.error,
        "step": tree.step,
        "tried": tree.tried,
        "acceptance": tree.acceptance,
        "norm_of_query": float(tree.query.norm()),
        "norm_of_samples": float(tree.samples.flatten(1).norm(dim=1).mean()) if len(tree.samples) else None,
        "epsilon_l2": None,
        "epsilon_linf": None,
        "query_read_as": None,
        "masked_read_as": None,
    }
    if bool(tree.left_region.any()):
        row["epsilon_l2"], row["epsilon_linf"] = epsilon_radii(tree)
    if reader is not None:
        pictures = pictures_for(reader, generator)(torch.stack([found.output, found.masked]))
        row["query_read_as"], row["masked_read_as"] = reader.scores(pictures).argmax(1).tolist()
    return row


def _sample_row(
    generator: Generator,
    found: SupportingSet,
    tree: Exploration,
    points: Float[Tensor, "n *latent"],
    discriminator: Classifier | None,
) -> dict[str, Any]:
    outputs = generator.render(points)
    image = deviation_image(outputs, generator.value_range)
    reader = known_layer(generator, found.layer).reader(found.units)
    with torch.no_grad():
        heights = generator.batches.map(reader, points) * found.signs
    row: dict[str, Any] = {
        "samples": len(points),
        "radius": float((points - tree.query).flatten(1).norm(dim=1).mean()),
        "inside": float((heights >= 0).all(1).double().mean()),
        "deviation": float(image.mean()),
        "concentration": concentration(image),
        "coverage": _coverage(generator, tree, reader, found.signs, points) if tree.query.numel() == 2 else None,
    }
    if discriminator is not None:
        pictures = pictures_for(discriminator, generator)(torch.cat([found.output[None], outputs]))
        with torch.no_grad():
            for place, name in enumerate(sign_layers(discriminator), 1):
                features = discriminator.batches.map(discriminator.until(name), pictures)
                row[f"similarity_{place}"] = cosine_similarity(features[1:], features[0])
    return row


def _coverage(
    generator: Generator, tree: Exploration, reader: Callable[[Tensor], Tensor], signs: Tensor, points: Tensor
) -> float:
    """Share of the region within two steps of a sample, on a grid over the tree's box.

    Only the part of the region that hangs together with the query counts.
    """
    ticks = torch.linspace(-tree.interval, tree.interval, _GRID, dtype=tree.query.dtype)
    moves = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    grid = (tree.query.flatten() + moves).reshape(-1, *tree.query.shape)
    with torch.no_grad():
        inside = (generator.batches.map(reader, grid) * signs >= 0).all(1)
    parts, _ = label(inside.view(_GRID, _GRID).cpu().numpy())
    own = torch.from_numpy(parts == parts[_GRID // 2, _GRID // 2]).flatten() & inside.cpu()
    distance = torch.cdist(grid.flatten(1)[own], points.flatten(1)).min(1).values
    return float((distance <= 2 * tree.step).double().mean())


def judges_of(network: str, generator: Generator) -> tuple[Classifier | None, Classifier | None]:
    """The discriminator and the reader of a generator of the zoo; None where it has none."""
    discriminator, reader = (_judge(judge_of.get(network), generator) for judge_of in (DISCRIMINATORS, READERS))
    return discriminator, reader


def _judge(name: str | None, generator: Generator) -> Classifier | None:
    model = None if name is None else load(name, device=generator.device)
    return model if isinstance(model, Classifier) else None


def _row(table: pd.DataFrame, key: dict[str, Any]) -> dict[str, Any] | None:
    """The first row of a table with these values."""
    for row in table.to_dict("records"):
        named = {str(name): value for name, value in row.items()}
        if all(str(named[name]) == str(value) for name, value in key.items()):
            return named
    return None


def _replace(results: Tables, name: str, key: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Add rows of a key to a table, in place of those that an interrupted run left of it."""
    import pandas as pd

    table = results.table(name)
    if len(table):
        of_key = [(table[column].astype(str) == str(value)) for column, value in key.items()]
        table = table[~pd.concat(of_key, axis=1).all(axis=1)]
    results.write(name, pd.concat([table, pd.DataFrame([{**key, **row} for row in rows])], ignore_index=True))


def _check_same(row: dict[str, Any], settings: Settings, generator: Generator, folder: Path) -> None:
    kept = (int(row["wanted"]), int(row["seed"]), row["fingerprint"])
    asked = (settings.samples, settings.seed, generator.fingerprint[:16])
    if kept != asked:
        raise ValueError(
            f"{folder} holds measurements with samples, seed and weights {kept}; {asked} were asked for: give "
            "another folder"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m workbench.boundaries.study", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; resumed if it has some")
    parser.add_argument("--networks", nargs="+", choices=list(FULL), default=list(FULL))
    parser.add_argument("--queries", type=int, default=Settings.queries)
    parser.add_argument("--samples", type=int, default=Settings.samples)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args(arguments))
    folder, networks = options.pop("out"), options.pop("networks")
    torch.set_num_threads(options.pop("threads"))
    settings = Settings(**options)
    results = Tables(folder)
    try:
        with record_run(folder, "workbench.boundaries.study", {**asdict(settings), "networks": networks}):
            for network in networks:
                model = load(network, device="cpu")
                assert isinstance(model, Generator)
                measure(
                    results,
                    model,
                    FULL[network],
                    settings,
                    network=network,
                    report=lambda text: print(text, flush=True),
                )
    finally:
        for name, table in (("table-1", table_1), ("table-2", table_2), ("claims", claims)):
            results.write(name, table(results))
    print(claims(results).to_string(index=False))


if __name__ == "__main__":
    main()
