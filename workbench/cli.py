"""The command line: open JupyterLab, list the models that ship, say what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
console = Console()
#: A line as it is: a narrow terminal wraps it, a pipe gets it whole, and brackets in it are no markup.
_PLAIN: Any = {"soft_wrap": True, "highlight": False, "markup": False}


@app.command()
def lab(
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Copy the notebooks into this folder and open them there.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8888,
) -> None:
    """Open JupyterLab on the tutorials."""
    root = notebooks(folder)
    console.print(f"Notebooks: {root}", **_PLAIN)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", f"--port={port}"]
    if (root / "tutorials").is_dir():
        command.append("--LabApp.default_url=/lab/tree/tutorials")
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    os.execv(sys.executable, command)


def notebooks(folder: Path | None) -> Path:
    """The folder of the notebooks: the checkout's own, else a copy that never overwrites a user's work."""
    from workbench.ui.assets import asset

    shipped = asset("notebooks")
    if "_bundled" not in shipped.parts and folder is None:
        return shipped
    target = folder or Path.cwd() / "latent-workbench"
    for source in sorted(p for p in shipped.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts):
        copy = target / source.relative_to(shipped)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    return target.resolve()


@app.command()
def models() -> None:
    """List the models that ship, and whether their weights are here."""
    from workbench.zoo import registry

    rows = [("name", "kind", "shape", "parameters", "weights", "what it is")]
    for entry in registry.entries():
        shape = " x ".join(map(str, entry.input_shape))
        weights = "here" if entry.available else "missing"
        rows.append((entry.name, entry.kind, shape, f"{entry.parameters:,}", weights, entry.summary))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        console.print(line, style="bold" if row is rows[0] else None, **_PLAIN)
    for entry in registry.entries():
        if not entry.available:
            console.print(f"\n{entry.name}: {entry.advice}", **_PLAIN)


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
    width = max(len(f.what) for f in findings)
    for f in findings:
        mark = "[green]✓[/]" if f.good else ("[red]✗[/]" if f.essential else "[yellow]–[/]")
        console.print(f"{mark} {escape(f.what):{width}}  {escape(f.found)}", soft_wrap=True, highlight=False)
        if f.advice:
            console.print(f"  {'':{width}}  [dim]→ {escape(f.advice)}[/]", soft_wrap=True, highlight=False)
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
        shown = f"{found or 'not installed'} (supported: {need.specifier})"
        findings.append(Finding(need.name, shown, good, advice, essential=True))
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

    found = [
        # What ships has to be here; the faces come with another package.
        _file(f"weights of {e.name}", e.path, e.advice, essential=e.weights is None)
        for e in registry.entries()
    ]
    import torch

    backbone = Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"
    advice = f"only LPIPS distances need it: put {backbone.name} of download.pytorch.org/models at {backbone}"
    return [*found, _file("LPIPS backbone", backbone if backbone.exists() else None, advice)]


def _file(what: str, path: Path | str | None, advice: str, *, essential: bool = False) -> Finding:
    """A file that is here, or what to do about its absence."""
    here = path is not None
    return Finding(what, str(path) if here else "missing", here, "" if here else advice, essential)


def _data() -> list[Finding]:
    from workbench.datasets import mnist

    advice = "set WORKBENCH_DATA to the folder of mnist.npz, or call mnist.load('train', download=True) once"
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    asked = os.environ.get("WORKBENCH_CHROMIUM")
    chromium = next(filter(None, map(shutil.which, [asked] if asked else names)), None)
    return [
        Finding("MNIST sample", f"embedded, {len(mnist.sample())} digits", True),
        _file("MNIST in full", mnist.find(), advice),
        _file(
            "Chromium", chromium, "only the browser tests need it: apt install chromium, or set WORKBENCH_CHROMIUM"
        ),
    ]
