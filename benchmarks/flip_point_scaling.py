"""Cost of flip points against their number, and the batched solver beside the homotopy.

`python -m benchmarks.flip_point_scaling` writes `benchmarks/results/flip-point-scaling.json`. The homotopy runs
along the paper's wavelets, without pixel bounds, toward the class of the nearest boundary of each image.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import torch

import workbench as wb
from benchmarks.flip_points import network
from benchmarks.timing import write
from workbench.datasets import mnist


def scaling(classifier: wb.Classifier, sizes: list[int]) -> dict[str, Any]:
    """Milliseconds an image and the process's peak memory, sizes ascending; images beyond 60,000 come again."""
    x = mnist.load("train").tensor()
    rows = {}
    for size in sorted(sizes):
        some = x[torch.arange(size) % len(x)]
        began = time.process_time()
        found = wb.flip_points.closest(classifier, some, effort="fast", seed=0)
        took = time.process_time() - began
        held = sum(t.numel() * t.element_size() for t in (some, found.inputs, found.points))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        rows[size] = {
            "milliseconds of the process an image": 1000 * took / size,
            "peak MiB": peak / 2**20,
            "peak MiB without images and results": (peak - held) / 2**20,
            "success": float(found.found.double().mean()),
        }
        print(size, rows[size], flush=True)
        del some, found  # or the next size holds these beside its own
    return rows


def beside_homotopy(images: int) -> dict[str, Any]:
    """Distances and times of both solvers for the same pairs."""
    classifier = wb.load("mnist-erf-1", device="cpu")
    x = mnist.load("test").tensor()[:images]
    along: dict[str, Any] = {"basis": classifier.module[0].basis, "bounds": None}
    targets = wb.flip_points.closest(classifier, x, effort="fast", **along).targets
    began = time.process_time()
    chain = wb.flip_points.closest(classifier, x, targets, method="homotopy", **along)
    chain_took = time.process_time() - began
    rows: dict[str, Any] = {
        "pairs": len(x),
        "found by the homotopy": int(chain.found.sum()),
        "milliseconds a pair, homotopy": 1000 * chain_took / len(x),
    }
    for effort in ("fast", "accurate"):
        began = time.process_time()
        batched = wb.flip_points.closest(classifier, x, targets, effort=effort, **along)
        took = time.process_time() - began
        ratio = (batched.distances / chain.distances)[chain.found & batched.found]
        rows[f"batched, effort {effort}"] = {
            "found": int(batched.found.sum()),
            "share within 1 % of the homotopy": float(((ratio - 1).abs() <= 0.01).double().mean()),
            "share no more than 1 % farther": float((ratio <= 1.01).double().mean()),
            "median ratio of the distances": float(ratio.median()),
            "milliseconds a pair": 1000 * took / len(x),
            "times as fast": chain_took / took,
        }
    return rows


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1_000, 10_000, 60_000])
    parser.add_argument("--pairs", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    findings: dict[str, Any] = {"seed": 0}
    findings["relu-network, effort fast"] = scaling(network("relu-network"), options.sizes)
    write("flip-point-scaling", findings)
    findings["mnist-erf-1, batched beside homotopy"] = beside_homotopy(options.pairs)
    write("flip-point-scaling", findings)


if __name__ == "__main__":
    main()
