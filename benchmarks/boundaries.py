"""Supporting sets and trees beside the bare cost of their passes and the plain one-at-a-time algorithm.

`python -m benchmarks.boundaries` writes `benchmarks/results/boundaries.json`. Each row's ways run in turn on the
same query; times are medians of a process's own time over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import contourpy
import numpy as np
import torch
from torch import Tensor

import workbench as wb
from benchmarks.timing import ratio, side_by_side, write
from workbench.boundaries import Exploration, SupportingSet
from workbench.boundaries.explore import CACHED
from workbench.boundaries.sign_layer import sign_layer
from workbench.boundaries.tree import SPACING, Tree
from workbench.metrics import pixel_deviation

LAYERS = {
    "mnist-dcgan": ("3", "6", "9"),
    "digiface-dcgan": ("main.2", "main.5", "main.8"),
}


def one_at_a_time(G: wb.Generator, found: SupportingSet, like: Exploration) -> tuple[Tensor, int]:
    """Algorithm 2 written plainly with torch: one target, one pass, one node at a time, with the same draws."""
    read = G.until(found.layer, before=True)
    units, signs, d = found.units, found.signs, found.query.numel()
    draw = torch.Generator().manual_seed(like.provenance.seed)
    blocks: list[Tensor] = []
    nodes = torch.zeros(len(like.points), d, dtype=torch.float64)
    query, count = found.query.double().flatten(), 1
    for tried in range(like.tried):
        if tried % 1024 == 0:
            blocks = list(like.interval * (2 * torch.rand(1024, d, generator=draw, dtype=torch.float64) - 1))
        target = blocks[tried % 1024]
        distance = (nodes[:count] - target).norm(dim=1)
        near = nodes[distance.argmin()]
        way = target - near
        point = (near + way * (like.step / way.norm())).clamp(-like.interval, like.interval)
        with torch.no_grad():
            heights = read((query + point).to(G.dtype).reshape(1, *found.query.shape)).flatten()[units] * signs
        if bool((heights >= 0).all()) and float((nodes[:count] - point).norm(dim=1).min()) >= SPACING * like.step:
            nodes[count] = point
            count += 1
    return (query + nodes[:count]).to(G.dtype).reshape(count, *found.query.shape), like.tried


def trees(network: str, layer: str, *, samples: int, rounds: int, plain_samples: int) -> dict[str, Any]:
    G = wb.load(network, device="cpu")
    z = G.latents(1, seed=1)
    found = wb.boundaries.supporting_set(G, z, layer)
    step = wb.boundaries.explore(G, z, found, samples=samples).step
    made: dict[str, Exploration] = {}

    def grow(n: int) -> Exploration:
        made["tree"] = wb.boundaries.explore(G, z, found, samples=n, step=step)
        return made["tree"]

    tree = grow(samples)
    candidates = torch.cat([tree.samples, tree.rejected])
    at = sign_layer(G, layer)
    kept = at.reader(found.units)

    def push(read: Callable[[Tensor], Tensor]) -> None:
        with torch.no_grad():
            for part in candidates.split(CACHED):
                read(part)

    ways = {
        "tree": lambda: grow(samples),
        "kept units alone": lambda: push(kept),
        "whole layer": lambda: push(at.pre_activations),
    }
    seconds = side_by_side(ways, rounds=rounds, clock=time.process_time)
    each = zip(seconds["kept units alone"], seconds["whole layer"], strict=True)
    seconds["bare"] = [min(pair) for pair in each]
    row: dict[str, Any] = {
        "boundaries kept": len(found.units),
        "tries": tree.tried,
        "samples": len(tree.samples),
        "acceptance": tree.acceptance,
        "points pushed through the layers": tree.provenance.passes["forward to the layer"],
        "tree over its candidates in full batches": ratio(seconds, "tree", "bare"),
        "tree over the same through the whole layer": ratio(seconds, "tree", "whole layer"),
        "microseconds a try": 1e6 * statistics.median(seconds["tree"]) / tree.tried,
    }
    short = grow(plain_samples)
    plain: dict[str, Tensor] = {}

    def slow() -> None:
        plain["points"], _ = one_at_a_time(G, found, short)

    both = {"tree": lambda: grow(plain_samples), "plain": slow}
    seconds = side_by_side(both, rounds=1, clock=time.process_time)
    ours, theirs = short.samples, plain["points"][1:]
    pictures = [pixel_deviation(G.render(p), G.value_range) for p in (ours, theirs)]
    radii = [float((p - short.query).flatten(1).norm(dim=1).mean()) for p in (ours, theirs)]
    row["beside the plain algorithm"] = {
        "samples": len(ours),
        "times as many samples a second": ratio(seconds, "plain", "tree"),
        "the same tree": ours.shape == theirs.shape and bool(torch.equal(ours, theirs)),
        "mean radius": radii,
        "deviation of the images": pictures,
    }
    return row


def masks(network: str, layer: str, *, steps: int, rounds: int) -> dict[str, Any]:
    """BerOpt beside the forward and backward passes that it needs."""
    G = wb.load(network, device="cpu")
    z = G.latents(1, seed=1)[0]
    at = sign_layer(G, layer)
    with torch.no_grad():
        hidden = at.activation(at.pre_activations(z[None]))
    output = G.render(z[None])

    def optimise() -> None:
        wb.boundaries.supporting_set(G, z, layer, most_steps=steps, tolerance=-1.0)

    def passes() -> None:
        G.render(z[None])
        for _ in range(steps):
            masked = hidden.expand(8, *hidden.shape[1:]).clone().requires_grad_()
            loss = (at.output(z, masked) - output).flatten(1).norm(dim=1).mean()
            torch.autograd.grad(loss, masked)

    seconds = side_by_side({"BerOpt": optimise, "passes": passes}, rounds=rounds, clock=time.process_time)
    return {
        "steps": steps,
        "forward and backward passes": 8 * steps,
        "milliseconds a step": 1000 * statistics.median(seconds["BerOpt"]) / steps,
        "BerOpt over its passes": ratio(seconds, "BerOpt", "passes"),
    }


def nodes(latents: int, *, most: int) -> dict[str, Any]:
    """Microseconds a try of a tree without a network, against its size."""
    box = torch.full((latents,), 2.0, dtype=torch.float64)
    tree = Tree(lambda rows: torch.ones(len(rows), dtype=torch.bool), step=0.3, low=-box, high=box, seed=0)
    row: dict[str, float] = {}
    for size in (1000, 10_000, most):
        began, before = time.process_time(), tree.tried
        while len(tree) < size:
            tree.grow(1 << 20, size)
        row[f"up to {size}"] = 1e6 * (time.process_time() - began) / (tree.tried - before)
    return {"latents": latents, "microseconds a try": row}


def exact_arrangement(*, side: int, rounds: int) -> dict[str, Any]:
    """Boundaries of the two first layers of `mnist-dcgan-2d`, exact, beside marching squares on a grid."""
    G = wb.load("mnist-dcgan-2d", device="cpu")
    plane = wb.boundaries.Plane.of(G)
    x0, x1, y0, y1 = plane.extent
    layers = ("0", "2")

    def exact() -> None:
        for layer in layers:
            assert wb.boundaries.arrangement(G, layer, plane).exact

    grid: dict[str, np.ndarray] = {}

    def read() -> None:
        ticks = [torch.linspace(a, b, side) for a, b in ((x0, x1), (y0, y1))]
        places = torch.stack(torch.meshgrid(*ticks, indexing="xy"), -1).reshape(-1, 2)
        with torch.no_grad():
            rows = [torch.cat(list(G.read(part, layers).values()), 1) for part in places.split(4096)]
        grid["values"] = torch.cat(rows).numpy().reshape(side, side, -1)

    def marching() -> None:
        read()
        for k in range(grid["values"].shape[2]):
            contourpy.contour_generator(z=np.ascontiguousarray(grid["values"][..., k])).lines(0.0)

    ways = {"exact": exact, "grid, values alone": read, "grid, marching squares": marching}
    seconds = side_by_side(ways, rounds=rounds, clock=time.process_time)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    made = [wb.boundaries.arrangement(G, layer, plane) for layer in layers]
    return {
        "median seconds": medians,
        "exact over the grid's values alone": ratio(seconds, "exact", "grid, values alone"),
        "exact over the grid with marching squares": ratio(seconds, "exact", "grid, marching squares"),
        "points through the network, exact": sum(a.provenance.passes["forward to the layer"] for a in made),
        "points through the network, grid": side * side,
        "pieces of boundaries": [len(a.segments) for a in made],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--plain-samples", type=int, default=300, help="of the plain algorithm's tree")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    findings: dict[str, Any] = {"settings": vars(options), "trees": {}, "supporting sets": {}}
    for network, layers in LAYERS.items():
        for layer in layers:
            name = f"{network}, layer {layer}"
            findings["trees"][name] = trees(
                network,
                layer,
                samples=options.samples,
                rounds=options.rounds,
                plain_samples=options.plain_samples,
            )
            print(name, findings["trees"][name], flush=True)
            found = masks(network, layer, steps=options.steps, rounds=options.rounds)
            findings["supporting sets"][name] = found
            print(name, found, flush=True)
    findings["arrangement"] = exact_arrangement(side=512, rounds=options.rounds)
    print(findings["arrangement"], flush=True)
    findings["nearest nodes"] = [nodes(64, most=options.nodes)]
    print(findings["nearest nodes"], flush=True)
    print(write("boundaries", findings))


if __name__ == "__main__":
    main()
