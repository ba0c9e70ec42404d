"""Activation maximisation beside the bare cost of its passes, and five trials in one batch beside one.

`python -m benchmarks.embeddings` writes `benchmarks/results/embeddings.json`. The ways run in turn on the same
class; times are medians of the process's own time over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

import workbench as wb
from benchmarks.timing import ratio, side_by_side, write
from workbench.embeddings.objective import limits_of


def still(step: object) -> None:
    """No bar."""


def bare(G: wb.Generator, C: wb.Classifier, index: int, *, trials: int, steps: int, latents: int) -> torch.Tensor:
    """The same search written plainly on the bare modules: passes, Adam and clipping, and nothing else."""
    assert G.class_embeddings is not None
    draw = torch.Generator().manual_seed(0)
    rows = G.class_embeddings[index] + 0.1 * torch.randn(trials, G.class_embeddings.shape[1], generator=draw)
    rows.requires_grad_()
    adam = torch.optim.Adam([rows], lr=0.01)
    low, high = limits_of(G.class_embeddings)
    (a, b), (c, d) = G.value_range, C.value_range
    for step in range(steps):
        if step % 20 == 0:
            z = torch.randn(trials * latents, *G.latent_shape, generator=draw)
        pictures = G.module(z, rows.repeat_interleave(latents, 0))
        scores = C.module(c + (pictures - a) * ((d - c) / (b - a)))
        loss = -scores.log_softmax(1)[:, index].mean() * trials
        (rows.grad,) = torch.autograd.grad(loss, rows)
        adam.step()
        rows.data.clamp_(low, high)
    return rows


def measure(
    G: wb.Generator, C: wb.Classifier, *, index: int, steps: int, rounds: int, trials: int
) -> dict[str, Any]:
    """Seconds of each way, and what they come to."""
    latents = 20

    def ours(variant: str, count: int) -> None:
        wb.embeddings.maximize(G, C, index, variant, trials=count, steps=steps, latents=latents, progress=still)

    ways = {
        "AM-S": lambda: ours("AM-S", trials),
        "AM-D-S": lambda: ours("AM-D-S", trials),
        "passes": lambda: bare(G, C, index, trials=trials, steps=steps, latents=latents),
        "AM-S, one trial": lambda: ours("AM-S", 1),
        "passes, one trial": lambda: bare(G, C, index, trials=1, steps=steps, latents=latents),
    }
    wb.embeddings.maximize(G, C, index, steps=1, trials=1, progress=still)  # what is imported at first use
    seconds = side_by_side(ways, rounds=rounds, warm_up=0, clock=time.process_time)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "seconds": medians,
        "AM-S over its passes": ratio(seconds, "AM-S", "passes"),
        "AM-D-S over its passes": ratio(seconds, "AM-D-S", "passes"),
        f"{trials} trials over one": ratio(seconds, "AM-S", "AM-S, one trial"),
        f"passes of {trials} trials over those of one": ratio(seconds, "passes", "passes, one trial"),
        "milliseconds a row, forward and backward": {
            str(rows): 1000 * row_cost(G, C, index, rows) for rows in (1, 5, 20, 100)
        },
    }


def row_cost(G: wb.Generator, C: wb.Classifier, index: int, rows: int) -> float:
    """Seconds of one row of a batch of `rows`, forward and backward."""
    times = []
    for _ in range(4):
        began = time.process_time()
        bare(G, C, index, trials=1, steps=1, latents=rows)
        times.append(time.process_time() - began)
    return statistics.median(times[1:]) / rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="glyphs-biggan")
    parser.add_argument("--classifier", default="glyphs-cnn")
    parser.add_argument("--index", type=int, default=0, help="class")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    G, C = (wb.load(name, device="cpu") for name in (options.generator, options.classifier))
    assert isinstance(G, wb.Generator) and isinstance(C, wb.Classifier)
    sizes = {name: getattr(options, name) for name in ("index", "steps", "rounds", "trials")}
    found = measure(G, C, **sizes)
    print(found, write("embeddings", {"settings": vars(options), **found}))


if __name__ == "__main__":
    main()
