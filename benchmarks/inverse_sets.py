"""Sampling inverse sets beside the bare cost of its passes, beside full optimisation, and for many samples.

`python -m benchmarks.inverse_sets` writes `benchmarks/results/inverse-sets.json`. Times are of the process itself,
medians over the rounds; the networks are `mnist-inverter` and `mnist-cnn`, distances in layer 12.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

import workbench as wb
from benchmarks.timing import ratio, side_by_side, write
from workbench.inverse_sets import Band, Encoder, InverseSet, band, ppgn_chains, sample
from workbench.inverse_sets.seeds import MEASURED

#: Layer, channel and band of the neurons that are sampled.
NEURONS = (("14", 3, 4.0, 5.0), ("14", 8, 4.0, 5.0), ("6", 10, 0.5, 1.0))


def still(step: object) -> None:
    """No bar."""


def bare(
    G: wb.Generator,
    C: wb.Classifier,
    given: Band,
    steps: tuple[int, int],
    pictures: torch.Tensor,
    walkers: int = 10,
) -> None:
    """The same passes written plainly on the bare modules, in the same batches, and nothing else."""
    layers = list(C.module.children())
    read, features_at = int(given.neuron.layer) + 1, 13

    def look(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (G.module(codes) + 1) / 2
        kept = {}
        for i, layer in enumerate(layers[: max(read, features_at)], start=1):
            x = kept[i] = layer(x)
        return kept[features_at], given.neuron.read(kept[read])

    with torch.no_grad():
        look(G.latents(MEASURED, seed=0))
    for step in range(sum(steps) + 1):
        codes = G.latents(walkers, seed=step).requires_grad_()
        features, values = look(codes)
        if step <= steps[0]:
            torch.autograd.grad(features.square().sum() + values.sum(), codes)
        else:
            torch.autograd.grad(values.sum(), codes, retain_graph=True)
            torch.autograd.grad(features.square().sum(), codes)
    with torch.no_grad():
        for layer in layers[:read]:
            pictures = layer(pictures)


def over_passes(G: wb.Generator, C: wb.Classifier, E: Encoder, *, n: int, rounds: int) -> dict[str, Any]:
    """Seconds of `n` samples and of the passes that they took, for each neuron."""
    found = {}
    for layer, channel, low, high in NEURONS:
        given = band(C, layer, channel, low, high)
        once = sample(G, given, n, encoder=E, progress=still)
        steps = (int(once.steps[0]), int(once.steps[1]))
        seconds = side_by_side(
            {
                "sample": lambda given=given: sample(G, given, n, encoder=E, progress=still),
                "passes": lambda given=given, steps=steps, once=once: bare(
                    G, C, given, steps, (once.outputs + 1) / 2
                ),
            },
            rounds=rounds,
            clock=time.process_time,
        )
        found[f"{given.label} in [{low:g}, {high:g}]"] = {
            "seconds": {name: statistics.median(times) for name, times in seconds.items()},
            "sample over its passes": ratio(seconds, "sample", "passes"),
            **told(once),
        }
    return found


def told(found: InverseSet) -> dict[str, Any]:
    """What a result says of itself."""
    return {
        "samples": len(found),
        "gradient steps": found.steps.tolist(),
        "passes": dict(found.provenance.passes),
        "diversity": found.diversity,
        "coverage": found.coverage.tolist(),
    }


def against_full(G: wb.Generator, C: wb.Classifier, E: Encoder, *, n: int) -> dict[str, Any]:
    """The sampler beside full optimisation of equation (6), and PPGN's chains, with their passes."""
    given = band(C, *NEURONS[0])
    ways = {
        "tangent": lambda: sample(G, given, n, encoder=E, progress=still),
        "full": lambda: sample(G, given, n, encoder=E, method="full", progress=still),
        "PPGN": lambda: ppgn_chains(G, given, n, encoder=E, progress=still),
    }
    rows = {}
    for name, way in ways.items():
        began = time.process_time()
        rows[name] = told(way())
        rows[name]["seconds"] = time.process_time() - began
    total = {name: sum(row["passes"].values()) for name, row in rows.items()}
    rows["passes of full over those of tangent"] = total["full"] / total["tangent"]
    rows["diversity of tangent over that of full"] = rows["tangent"]["diversity"] / rows["full"]["diversity"]
    return rows


def many(n: int) -> dict[str, Any]:
    """`n` samples in this process: its seconds, passes, and how much memory it took at most beyond the result."""
    torch.set_num_threads(1)
    G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")
    assert isinstance(G, wb.Generator) and isinstance(C, wb.Classifier)
    E, given = Encoder(C, "12"), band(C, *NEURONS[0])
    sample(G, given, 100, encoder=E, progress=still)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    found = sample(G, given, n, encoder=E, progress=still)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    held = sum(t.numel() * t.element_size() for t in vars(found).values() if isinstance(t, torch.Tensor))
    return {"seconds": seconds, **told(found), "peak MB": peak / 1024, "result MB": held / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--full", type=int, default=100, help="samples of full optimisation")
    parser.add_argument("--many", type=int, nargs="*", default=[500, 1000, 2500, 5000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", type=int, help="only so many samples, told as JSON; for its own process")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(many(options.alone)))
        return
    torch.set_num_threads(1)
    G, C = wb.load("mnist-inverter", device="cpu"), wb.load("mnist-cnn", device="cpu")
    assert isinstance(G, wb.Generator) and isinstance(C, wb.Classifier)
    E = Encoder(C, "12")
    alone = [sys.executable, "-m", "benchmarks.inverse_sets", "--alone"]
    found = {
        "settings": vars(options),
        "over passes": over_passes(G, C, E, n=options.samples, rounds=options.rounds),
        "against full optimisation": against_full(G, C, E, n=options.full),
        "many": {
            str(n): json.loads(subprocess.run([*alone, str(n)], check=True, capture_output=True).stdout)
            for n in options.many
        },
    }
    print(json.dumps(found, indent=1), write("inverse-sets", found))


if __name__ == "__main__":
    main()
