"""Exact arrangements beside SplineCam's own code, piece by piece.

`python -m benchmarks.arrangements FOLDER` writes `benchmarks/results/arrangements.json`; FOLDER is a checkout of
https://github.com/AhmedImtiazPrio/splinecam (MIT), commit d743182 when it was measured. It needs graph-tool
(Debian's `python3-graph-tool` wants numpy below 2), igraph, networkx and matplotlib. It is written for CUDA; what
runs here is a copy in which that is replaced. `benchmarks.boundaries` compares the arrangement with a grid.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import nn

import workbench as wb
from benchmarks.timing import ratio, side_by_side, write

#: What is replaced in the copy, everywhere: CUDA, worker processes, and what newer TorchScript or a graph-tool
#: without drawing refuse.
REPLACED = (
    (r"\.cuda\(\)", ""),
    (r"(device ?(?:: str )?= ?)'cuda'", r"\1'cpu'"),
    (r"pin_memory=True", "pin_memory=False"),
    (r"workers ?= ?2", "workers=0"),
    (r"(?m)^@torch\.jit\.script\n(def (?:region_eccentricity_2d|get_square_slice))", r"\1"),
    (r"from graph_tool\.draw import graph_draw", "graph_draw = None"),
)


def import_splinecam(checkout: Path, folder: Path) -> Any:
    """SplineCam for the processor, out of a patched copy of its checkout."""
    (folder / "splinecam").mkdir()
    for source in (checkout / "splinecam").glob("*.py"):
        text = source.read_text()
        for old, new in REPLACED:
            text = re.sub(old, new, text)
        (folder / "splinecam" / source.name).write_text(text)
    sys.path.insert(0, str(folder))
    import splinecam

    return splinecam


def plain(steps: tuple[nn.Module, ...]) -> nn.Sequential:
    """Copies of a network's steps, in double precision and without hooks."""
    copied = [copy.deepcopy(step).double() for step in steps]
    for step in copied:
        step._forward_hooks.clear()
        step._forward_pre_hooks.clear()
    return nn.Sequential(*copied).eval()


def splinecam_segments(splinecam: Any, network: nn.Sequential, reach: float) -> tuple[np.ndarray, int]:
    """The pieces (n, 2, 2) of the last layer's boundaries, and the number of cells of the layers before."""
    corners = reach * torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]], dtype=torch.float64)
    plane = splinecam.utils.get_proj_mat(corners)
    plane[:, -1] = 0  # the mean of five corners, of which two are the same, is not the middle
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        wrapped = splinecam.wrappers.model_wrapper(
            network, input_shape=(2,), T=plane, dtype=torch.float64, device="cpu"
        )
        cells, ends, _ = splinecam.compute.get_partitions_with_db(corners, plane, wrapped)
    return ends.reshape(-1, 2, 2).numpy(), len(cells)


def farthest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest distance from a piece of either to the nearest of the other, as points of four numbers."""

    def points(pieces: np.ndarray) -> np.ndarray:
        flat = np.round(pieces, 6).reshape(-1, 4)
        swap = (flat[:, 0] > flat[:, 2]) | ((flat[:, 0] == flat[:, 2]) & (flat[:, 1] > flat[:, 3]))
        return np.where(swap[:, None], pieces.reshape(-1, 4)[:, [2, 3, 0, 1]], pieces.reshape(-1, 4))

    a, b = points(ours), points(theirs)
    return float(max(cKDTree(a).query(b)[0].max(), cKDTree(b).query(a)[0].max()))


def compared(splinecam: Any, layer: str, steps: int, *, rounds: int) -> dict[str, Any]:
    G = wb.load("mnist-dcgan-2d", device="cpu")
    plane = wb.boundaries.Plane.of(G)
    network = plain(G.chain[:steps])
    found: dict[str, Any] = {}

    def exact() -> None:
        found["ours"] = wb.boundaries.arrangement(G, layer, plane)

    def peer() -> None:
        found["theirs"] = splinecam_segments(splinecam, network, plane.extent[1])

    seconds = side_by_side({"exact": exact, "SplineCam": peer}, rounds=rounds, clock=time.process_time)
    ours, (theirs, cells) = found["ours"], found["theirs"]
    return {
        "median seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "SplineCam over exact": ratio(seconds, "SplineCam", "exact"),
        "cells of the layers before": {"exact": ours.cells, "SplineCam": cells},
        "pieces of boundaries": {"exact": len(ours.segments), "SplineCam": len(theirs)},
        "farthest piece from the other's nearest": farthest(ours.segments.numpy(), theirs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="of SplineCam")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        splinecam = import_splinecam(options.checkout, Path(folder))
        findings = {
            f"mnist-dcgan-2d, layer {layer}": compared(splinecam, layer, steps, rounds=options.rounds)
            for layer, steps in (("0", 1), ("2", 3))
        }
    print(write("arrangements", findings).read_text())


if __name__ == "__main__":
    main()
