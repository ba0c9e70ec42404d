"""The command line: open JupyterLab, list the models that ship, say what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
console = Console()


@app.command()
def lab(
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Folder for the tutorials of an installed workbench.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8888,
) -> None:
    """Open JupyterLab on the tutorials."""
    root = tutorials(folder)
    console.print(f"Tutorials: {root}")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", f"--port={port}"]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    os.execv(sys.executable, command)


def tutorials(folder: Path | None) -> Path:
    """The folder of the tutorials: the checkout's own, else a copy that never overwrites a user's work."""
    from workbench.ui.assets import asset

    shipped = asset("notebooks")
    if "_bundled" not in shipped.parts and folder is None:
        return shipped
    target = folder or Path.cwd() / "latent-workbench"
    for source in sorted(shipped.rglob("*.ipynb")):
        copy = target / source.relative_to(shipped)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    return target.resolve()


@app.command()
def models() -> None:
    """List the models that ship, and whether their weights are here."""
    from workbench.zoo import registry

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "kind", "shape", "parameters", "weights", "what it is"):
        table.add_column(column, justify="right" if column == "parameters" else "left")
    for entry in registry.entries():
        here = "[green]here[/]" if entry.available else "[yellow]missing[/]"
        shape = " x ".join(map(str, entry.input_shape))
        table.add_row(entry.name, entry.kind, shape, f"{entry.parameters:,}", here, entry.summary)
    console.print(table)


class Finding(NamedTuple):
    """One line of `workbench doctor`."""

    what: str
    found: str
    good: bool
    advice: str = ""
    essential: bool = False


@app.command()
def doctor() -> None:
    """Say which devices, versions, weights and data are here, and what to do about what is missing."""
    findings = [*_devices(), *_versions(), *_weights(), *_data()]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "what", "found", "what to do"):
        table.add_column(column)
    for f in findings:
        mark = "[green]✓[/]" if f.good else ("[red]✗[/]" if f.essential else "[yellow]–[/]")
        table.add_row(mark, f.what, f.found, f.advice)
    console.print(table)
    if any(f.essential and not f.good for f in findings):
        raise typer.Exit(1)


def _devices() -> list[Finding]:
    from workbench.models import available_devices

    devices = available_devices()
    best = devices[0]
    advice = "" if best != "cpu" else "everything runs on the CPU; a CUDA or MPS build of torch is faster"
    return [Finding("device", f"{', '.join(devices)} (auto takes {best})", best != "cpu", advice)]


def _versions() -> list[Finding]:
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("latent-workbench") or []]
    except PackageNotFoundError:
        return [Finding("latent-workbench", "not installed", False, "pip install -e .", essential=True)]
    findings = [Finding("python", sys.version.split()[0], sys.version_info >= (3, 11), essential=True)]
    for need in sorted(wanted, key=lambda r: r.name.lower()):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            found = ""
        good = bool(found) and need.specifier.contains(found, prereleases=True)
        advice = "" if good else f"pip install '{need}'"
        findings.append(Finding(need.name, found or "not installed", good, advice, essential=True))
    return [*findings, _pair()]


def _pair() -> Finding:
    """torchvision is built for one torch: a mismatch fails at import."""
    try:
        import torchvision

        return Finding("torch and torchvision", f"fit together ({torchvision.__version__})", True)
    except Exception as error:  # whatever a mismatched binary raises is the finding
        return Finding(
            "torch and torchvision", str(error)[:60], False, "install both in one pip command", essential=True
        )


def _weights() -> list[Finding]:
    from workbench.zoo import registry

    findings = [
        Finding(f"weights of {e.name}", "here" if e.available else "missing", e.available, "" if e.available else e.advice)
        for e in registry.entries()
    ]
    import torch

    backbone = Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"
    advice = f"only LPIPS needs it; online it is fetched on first use, offline put it at {backbone}"
    findings.append(
        Finding("LPIPS backbone", "here" if backbone.exists() else "missing", backbone.exists(),
                "" if backbone.exists() else advice)
    )
    return findings


def _data() -> list[Finding]:
    from workbench.datasets import mnist

    path = mnist.find()
    advice = "" if path else "set WORKBENCH_DATA to the folder of mnist.npz, or mnist.load(…, download=True)"
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromium = os.environ.get("WORKBENCH_CHROMIUM") or chromium
    return [
        Finding("MNIST sample", "embedded", True),
        Finding("MNIST in full", str(path or "missing"), path is not None, advice),
        Finding("Chromium", chromium or "missing", chromium is not None,
                "" if chromium else "only the browser tests need it: apt install chromium"),
    ]
