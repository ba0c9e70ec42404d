"""Lower bounds beside flip-point distances, how tight and how dear: `python -m benchmarks.certificates`."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

import workbench as wb
from benchmarks.flip_points import relu_network
from benchmarks.timing import RESULTS, write
from workbench.datasets import mnist

#: Images a network: a wide convolution takes minutes for one.
IMAGES = {"relu-network": 100, "mnist-erf-1": 100, "mnist-cnn": 4}


def load(name: str) -> wb.Classifier:
    """A network of the zoo, or the plain ReLU network of `benchmarks.flip_points`."""
    if name != "relu-network":
        return wb.load(name, device="cpu")
    train = mnist.load("train")
    module = relu_network(train.tensor(), torch.from_numpy(train.labels).long())
    return wb.Classifier(module, (1, 28, 28), device="cpu", name=name)


def measure(name: str, count: int, evaluations: int) -> dict[str, Any]:
    """Shares of the untargeted distance that are certified for the first images of the test set."""
    classifier = load(name)
    found = wb.flip_points.closest(classifier, mnist.load("test").tensor()[:count])
    began, worked = time.perf_counter(), time.process_time()
    bounded = wb.flip_points.certify(classifier, found, evaluations=evaluations)
    seconds, work = time.perf_counter() - began, time.process_time() - worked
    low, median, high = bounded.certified.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)).tolist()
    return {
        "images": count,
        "how": bounded.certificate,
        "evaluations": evaluations,
        "median distance": float(bounded.distances.median()),
        "median lower bound": float(bounded.lower.median()),
        "lower / distance: median": median,
        "lower / distance: 10 % quantile": low,
        "lower / distance: 90 % quantile": high,
        "bounds above the distance (must be 0)": int((bounded.lower > bounded.distances).sum()),
        "seconds an image": seconds / count,
        "processor seconds an image": work / count,
    }


def main() -> None:
    """Measure everything and write `benchmarks/results/certificates.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=list(IMAGES))
    parser.add_argument("--images", type=int, help="of each network; default: more of the small ones")
    parser.add_argument("--evaluations", type=int, default=8)
    parser.add_argument("--keep", action="store_true", help="what an earlier run found for other networks")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kept = json.loads((RESULTS / "certificates.json").read_text()) if options.keep else {}
    findings: dict[str, Any] = {name: kept[name] for name in IMAGES if name in kept}
    for name in options.networks:
        findings[name] = measure(name, options.images or IMAGES[name], options.evaluations)
        print(name, findings[name], flush=True)
        write("certificates", findings)


if __name__ == "__main__":
    main()
