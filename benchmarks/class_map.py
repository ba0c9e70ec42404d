"""The map of BigGAN's 1,000 class embeddings and the placing of the 50 published ones, beside scikit-learn.

`python -m benchmarks.class_map` writes `benchmarks/results/class-map.json`, on one thread. The folder
`WORKBENCH_DATA` holds the embeddings. Both maps take the same rows (of unit length) at the same perplexity; their
divergences are computed by one function, without approximation, from the same joint probabilities.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.manifold import TSNE

from benchmarks.timing import ratio, side_by_side, write
from workbench.embeddings import class_map, place
from workbench.embeddings.class_map import divergence, joint_probabilities, nearest, rank_of_own, rows_to_map

DOGS = range(151, 269)
PERPLEXITY = 30.0


def published(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The published embeddings (n, width) of ImageNet classes, and their classes (n,)."""
    files = sorted((folder / "biggan_am_embeddings").glob("imagenet_*.npy"))
    rows = torch.from_numpy(np.concatenate([np.load(file) for file in files]))
    return rows, torch.tensor([int(file.name.split("_")[1]) for file in files])


def dogs_among_dogs(positions: torch.Tensor) -> float:
    """The share of dogs among the five nearest neighbours of the dog classes."""
    found = nearest(positions)[list(DOGS)]
    return float(((found >= DOGS.start) & (found < DOGS.stop)).double().mean())


def measure(folder: Path, *, rounds: int) -> dict[str, Any]:
    embeddings = torch.from_numpy(np.load(folder / "biggan_embeddings_256.npy"))
    new, own = published(folder)
    rows = rows_to_map(embeddings, "cosine")
    shared = joint_probabilities(rows, PERPLEXITY, seed=0)
    drawn: dict[str, list[np.ndarray]] = {"ours": [], "scikit-learn": []}  # a map a round, the warm-up too
    first = class_map(embeddings, perplexity=PERPLEXITY, seed=0)

    def ours() -> None:
        seed = len(drawn["ours"])
        drawn["ours"].append(class_map(embeddings, perplexity=PERPLEXITY, seed=seed).positions.numpy())

    def theirs() -> None:
        seed = len(drawn["scikit-learn"])
        drawn["scikit-learn"].append(
            TSNE(perplexity=PERPLEXITY, init="pca", random_state=seed, n_jobs=1).fit_transform(rows)
        )

    ways = {"ours": ours, "scikit-learn": theirs, "placing": lambda: place(first, new)}
    seconds = side_by_side(ways, rounds=rounds, clock=time.process_time)
    ranks = rank_of_own(place(first, new), first.positions, own)
    summaries = {
        name: {
            "seconds": round(statistics.median(seconds[name]), 3),
            "divergence": [round(divergence(shared.P, at.astype(np.float64)), 4) for at in maps],
            "dogs among dogs": [round(dogs_among_dogs(torch.from_numpy(at)), 4) for at in maps],
        }
        for name, maps in drawn.items()
    }
    return {
        "classes": len(embeddings),
        "perplexity": PERPLEXITY,
        "maps": summaries,
        "time of ours over scikit-learn's": round(ratio(seconds, "ours", "scikit-learn"), 3),
        "placing": {
            "embeddings": len(new),
            "seconds": round(statistics.median(seconds["placing"]), 3),
            "time over scikit-learn's map": round(ratio(seconds, "placing", "scikit-learn"), 3),
            "time over our map": round(ratio(seconds, "placing", "ours"), 3),
            "median rank of the own class": float(ranks.double().median()),
            "at rank 1": int((ranks == 1).sum()),
            "largest rank": int(ranks.max()),
        },
        "clock": "process time; medians over the rounds, ratios within each round; a seed a round",
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if "WORKBENCH_DATA" not in os.environ:
        raise SystemExit("set WORKBENCH_DATA to the folder that holds biggan_embeddings_256.npy")
    findings = measure(Path(os.environ["WORKBENCH_DATA"]), rounds=arguments.rounds)
    print(write("class-map", findings))


if __name__ == "__main__":
    main()
