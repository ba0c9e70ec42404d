"""Speed and accuracy of subspace search on the face generator: `python -m benchmarks.subspaces`."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.func import jacfwd

import workbench as wb
from benchmarks.timing import ratio, side_by_side, write
from workbench.numerics.jacobians import Linearisation
from workbench.numerics.spectra import spectrum_steps
from workbench.progress import run
from workbench.ui.film_strip import FilmStrip

FRAMES = 25
PROBES = 12


def spectrum_speed(G: wb.Generator, rounds: int) -> dict[str, Any]:
    """The exact spectrum against a batch of as many images, and against torch's own Jacobian and SVD."""
    z = G.latents(1, seed=0)[0]
    batch = G.latents(G.latent_size, seed=1)

    def forward() -> None:
        with torch.no_grad():
            G.module(batch)

    def torch_jacobian() -> None:
        jacobian = jacfwd(lambda v: G.module(v[None])[0])(z).reshape(-1, G.latent_size)
        torch.linalg.svd(jacobian, full_matrices=False)

    seconds = side_by_side(
        {
            "forward pass of a batch": forward,
            "exact": lambda: run(spectrum_steps(G, z, route="exact"), lambda _: True),
            "matrix-free": lambda: run(spectrum_steps(G, z, route="matrix-free", rank=5), lambda _: True),
            "torch.func.jacfwd and svd": torch_jacobian,
        },
        rounds=rounds,
    )
    passes = {
        route: vars(run(spectrum_steps(G, z, route=route, rank=5), lambda _: True).passes)
        for route in ("exact", "matrix-free")
    }
    return {
        "median_seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "passes": passes,
        "exact over a forward batch of 100 (at most 1.2)": ratio(seconds, "exact", "forward pass of a batch"),
        "jacfwd and svd over exact (at least 5)": ratio(seconds, "torch.func.jacfwd and svd", "exact"),
    }


def matrix_free_accuracy(G: wb.Generator, points: int) -> dict[str, Any]:
    """The smallest cosine between the leading five directions of both routes, over several points."""
    cosines = []
    widest = 0
    push = Linearisation.push

    def watched(self: Linearisation, tangents: torch.Tensor) -> torch.Tensor:
        nonlocal widest
        widest = max(widest, len(tangents))
        return push(self, tangents)

    for seed in range(points):
        z = G.latents(1, seed=seed)[0]
        exact = run(spectrum_steps(G, z, route="exact"), lambda _: True)
        Linearisation.push = watched  # type: ignore[method-assign]
        free = run(spectrum_steps(G, z, route="matrix-free", rank=5), lambda _: True)
        Linearisation.push = push  # type: ignore[method-assign]
        cosines.append((exact.directions[:5] * free.directions[:5]).sum(1).abs().min().item())
    return {
        "points": points,
        "smallest cosine of the top five (at least 0.999)": min(cosines),
        "columns of the Jacobian held at once": f"{widest} of {G.latent_size}",
    }


def bare_passes(G: wb.Generator) -> float:
    """Seconds of the network passes that the next line needs, and nothing else.

    A tangent counts as a forward pass: one for each latent of the Jacobian, the point itself, the
    probes of the line's ends, and its frames.
    """
    batches = [G.latents(count, seed=0) for count in (G.latent_size, 1, PROBES, FRAMES)]
    began = time.perf_counter()
    with torch.no_grad():
        for batch in batches:
            G.module(batch)
    return time.perf_counter() - began


def release_to_sheet(G: wb.Generator, rounds: int) -> dict[str, Any]:
    """From a release to the next 25 frames as one sheet, against the bare network passes of that."""
    search = wb.subspaces.Search(G, seed=0, steps=FRAMES)
    first = search.line(0)
    strip = FilmStrip()

    def release() -> None:
        reached = search.accept(first, float(first.positions[-5]), draw=0, point=0)
        line = search.line(0, point=reached.index)
        strip.show(line.outputs, positions=line.positions.tolist(), value_range=G.value_range)

    seconds = side_by_side({"release to sheet": release, "bare passes": lambda: bare_passes(G)}, rounds=rounds)
    return {
        "median_seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "passes": {"tangents": G.latent_size, "forward": 1 + PROBES + FRAMES},
        "release to the next 25 frames as a sheet, over the bare passes": ratio(
            seconds, "release to sheet", "bare passes"
        ),
    }


_WATCH = """(el) => {
    window.times = [];
    let released = 0;
    addEventListener("pointerup", () => (released = performance.now()), true);
    new MutationObserver(() => {
        if (released) window.times.push(performance.now() - released);
        released = 0;
    }).observe(el.closest("[data-line]"), { attributes: true, attributeFilter: ["data-line"] });
}"""


def release_to_screen(rounds: int) -> dict[str, Any]:
    """The same in JupyterLab: from the pointer's release until the browser has drawn the next line."""
    from playwright.sync_api import sync_playwright

    from tests.browser.harness import Lab, launched

    cells = [
        "import workbench as wb\nfrom benchmarks.subspaces import bare_passes\nG = wb.load('digiface-dcgan')",
        "panel = wb.subspaces.Panel(G, seed=0)\npanel",
    ]
    lab = Lab(Path(tempfile.mkdtemp()))
    bare, messages = [], 0
    try:
        with sync_playwright() as playwright:
            browser = launched(playwright)
            with lab.opened(browser, cells) as notebook:
                notebook.until("panel._shown == (0, 0) and panel.jobs._thread is None", True)
                slider = notebook.page.get_by_role("slider", name="Position on the line")
                slider.evaluate(_WATCH)
                for turn in range(rounds):
                    bare.append(float(notebook.kernel.value("bare_passes(G)")))
                    box = slider.bounding_box()
                    assert box is not None
                    mouse, y = notebook.page.mouse, box["y"] + 26
                    mouse.move(box["x"] + box["width"] / 2, y)
                    before = notebook.watch.comm_messages()
                    mouse.down()
                    for i in range(1, 41):
                        mouse.move(box["x"] + box["width"] * (0.5 + 0.01 * i), y)
                    messages += notebook.watch.comm_messages() - before
                    mouse.up()
                    notebook.until("(panel.search.current, panel.jobs._thread is None)", (turn + 1, True))
                    notebook.settle(300)
                times = [ms / 1000 for ms in notebook.page.evaluate("window.times")]
            browser.close()
    finally:
        lab.close()
    return {
        "median_seconds": {"release to screen": statistics.median(times), "bare passes": statistics.median(bare)},
        "kernel messages while scrubbing (0)": messages,
        "release to the next 25 frames on screen, over the bare passes (at most 2.5)": statistics.median(
            a / b for a, b in zip(times, bare, strict=True)
        ),
    }


def main() -> None:
    """Measure everything and write `benchmarks/results/subspaces-speed.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--points", type=int, default=50, help="latents for the accuracy of the matrix-free route")
    parser.add_argument("--no-browser", action="store_true", help="leave JupyterLab out")
    options = parser.parse_args()
    G = wb.load("digiface-dcgan")
    assert isinstance(G, wb.Generator)
    findings = {
        "model": repr(G),
        "spectrum": spectrum_speed(G, options.rounds),
        "matrix-free": matrix_free_accuracy(G, options.points),
        "release": release_to_sheet(G, options.rounds),
    }
    if not options.no_browser:
        findings["release in JupyterLab"] = release_to_screen(options.rounds)
    path = write("subspaces-speed", findings, device=G.device)
    print(path.read_text())


if __name__ == "__main__":
    main()
