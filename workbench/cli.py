"""The command line: open JupyterLab, list what ships, run a report or a sweep, say what is missing."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column

if TYPE_CHECKING:
    from workbench.progress import Step

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
console = Console()
#: Differences that `workbench verify` prints.
_SHOWN = 20
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
    _table(rows)
    for entry in registry.entries():
        if not entry.available:
            console.print(f"\n{entry.name}: {entry.advice}", **_PLAIN)


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Columns under their names, which are the first row."""
    from workbench.tables import aligned

    for number, line in enumerate(aligned(rows)):
        console.print(line, style=None if number else "bold", **_PLAIN)


@contextmanager
def _refusals() -> Iterator[None]:
    """What the workbench refuses is said in red, and ends the command with 2."""
    from workbench.errors import WorkbenchError

    try:
        yield
    except (WorkbenchError, FileNotFoundError, LookupError) as error:
        console.print(str(error), style="red", **_PLAIN)
        raise typer.Exit(2) from None


@app.command()
def reports() -> None:
    """List the reports that ship, with the parameters that each takes."""
    from workbench.reports import catalogue

    for report in catalogue():
        console.print(f"{report.name}: {report.title}", style="bold green", **_PLAIN)
        rows = [(p.name, p.kind, repr(p.default), p.meaning) for p in report.parameters]
        _table([("parameter", "type", "default", "meaning"), *rows])
        console.print()


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="A report of `workbench reports`, or a path that ends in .ipynb.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the notebook, the page, the results and the record of the run.")
    ],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="A parameter; give as many as you like."),
    ] = None,
) -> None:
    """Run a report; run it again to go on where it stopped or failed."""
    from workbench.reports import find, run

    with _refusals():
        values = find(name).parse(_assignments(parameter or []))
        with _progress() as tell:
            done = run(name, values, out, command=shlex.join(["workbench", *sys.argv[1:]]), progress=tell)
    console.print(
        f"{done.status}: {done.cells[0]} of {done.cells[1]} cells in {done.seconds:.0f} s; {done.folder}",
        style="green" if done.status == "finished" else "red",
        **_PLAIN,
    )
    if done.error:
        console.print(done.error, style="red", **_PLAIN)
        raise typer.Exit(1)
    if done.status == "partial":
        console.print("run it again to go on with the results that are there", **_PLAIN)
        raise typer.Exit(130)


@app.command()
def sweep(
    name: Annotated[
        str,
        typer.Argument(
            help="A report of `workbench reports`, a path that ends in .ipynb, or flip_points.closest."
        ),
    ],
    grid: Annotated[Path, typer.Option(help="YAML file: a value or a list of values for each parameter.")],
    out: Annotated[Path | None, typer.Option(help="Folder for all results.", show_default="sweep-NAME")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Workers on this machine.", show_default="one a GPU, else one a core")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Run on this Dask cluster, such as tcp://10.0.0.1:8786; trust it as yourself."),
    ] = None,
    retries: Annotated[
        int | None, typer.Option(help="How often a run or shard that fails is tried again.", show_default="0, 2")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")] = False,
) -> None:
    """Run a report with all combinations of a grid, or one method over a whole data set; run it again to go on."""
    from workbench.sweeps.plan import plan

    with _refusals():
        planned = plan(name, grid)
        console.print(planned.text, **_PLAIN)
        if dry_run:
            return
        options = {"workers": workers, "scheduler": scheduler, **({} if retries is None else {"retries": retries})}
        with _progress("") as told:
            done = planned.run(
                out or Path(f"sweep-{Path(name).stem}"),
                progress=told,
                command=shlex.join(["workbench", *sys.argv[1:]]),
                **options,
            )
    style = "green" if done.status == "finished" else "red"
    console.print(f"{done.status} in {done.seconds:.0f} s; {done.folder / 'table.csv'}", style=style, **_PLAIN)
    for part, why in done.errors.items():
        console.print(f"{part}: {why}", style="red", **_PLAIN)
    if done.status == "partial":
        console.print("run it again to go on with what is stored", **_PLAIN)
        raise typer.Exit(130)
    if done.errors:
        raise typer.Exit(1)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="What `workbench report … --out` wrote.")],
    out: Annotated[Path | None, typer.Option(help="Keep the second run in this folder.")] = None,
    tolerance: Annotated[
        float, typer.Option(help="Share by which numbers may differ on another device or with other versions.")
    ] = 1e-3,
) -> None:
    """Run a report again and compare the numbers."""
    from workbench.reports import verify as again

    with _refusals(), _progress() as tell:
        found = again(folder, out, tolerance=tolerance, progress=tell)
    for name in found.changed:
        console.print(f"{name} is not what the report wrote", style="red", **_PLAIN)
    if found.run.status != "finished":
        console.print(f"the second run is {found.run.status}: {found.run.error}", style="red", **_PLAIN)
    for difference in found.differences[:_SHOWN]:
        console.print(f"{difference.where}: was {difference.before}, is {difference.now}", style="red", **_PLAIN)
    if len(found.differences) > _SHOWN:
        console.print(f"and {len(found.differences) - _SHOWN} more", style="red", **_PLAIN)
    how = f"within {found.tolerance:g} ({found.why})" if found.tolerance else "equal"
    told = f"{found.compared - len(found.differences)} of {found.compared} values are {how}"
    console.print(told, style="green" if found.holds else "red", **_PLAIN)
    if not found.holds:
        raise typer.Exit(1)


@contextmanager
def _progress(unit: str = "cell ") -> Iterator[Callable[[Step], None]]:
    """Shows how far a report or sweep is: its cells, what the running one tells, and an estimate of the rest."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    told = TextColumn("{task.description}", markup=False, table_column=Column(overflow="ellipsis", no_wrap=True))
    began = time.monotonic()
    with Progress(*columns, told, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def tell(step: Step) -> None:
            if step.left is None and step.share:
                step = replace(step, left=(time.monotonic() - began) * (1 / step.share - 1))
            bar.update(task, completed=step.share, description=_line(step, unit))

        yield tell


def _line(step: Step, unit: str = "cell ") -> str:
    """A step in words: the time that is left, the cell or part, and what it does."""
    left = "" if step.left is None else f"about {timedelta(seconds=round(step.left))} to go · "
    told = [f"{unit}{min(step.done + bool(unit), step.total or 0)} of {step.total}: {step.text}"]
    inner = step.within
    while inner is not None:
        of = "" if inner.total is None else f" {inner.done}/{inner.total}"
        told.append(f"{inner.text}{of}")
        inner = inner.within
    return left + " · ".join(told)


def _assignments(texts: list[str]) -> dict[str, str]:
    """Names and texts from `key=value`.

    Raises:
        ReportError: something else, or a name twice.
    """
    from workbench.reports import ReportError

    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ReportError(f"-p {text} is no parameter; expected -p key=value")
        if name in found:
            raise ReportError(f"-p {name} is given twice: as {found[name]!r} and as {value!r}")
        found[name] = value
    return found


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
    from packaging.specifiers import SpecifierSet

    try:
        stated = metadata("latent-workbench")
    except PackageNotFoundError:
        return [Finding("latent-workbench", "not installed", False, "pip install -e .", essential=True)]
    wanted = [Requirement(text) for text in stated.get_all("Requires-Dist") or []]
    supported = SpecifierSet(stated["Requires-Python"] or "")
    python = platform.python_version()
    shown = f"{python} (supported: {supported})"
    findings = [Finding("python", shown, supported.contains(python, prereleases=True), essential=True)]
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
    from workbench.metrics.perceptual import backbone_of
    from workbench.zoo import registry

    found = [
        # What ships has to be here; the faces come with another package.
        _file(f"weights of {e.name}", e.path, e.advice, essential=e.weights is None)
        for e in registry.entries()
    ]
    place = backbone_of("alex")
    advice = f"only LPIPS distances need it: put {place.name} of download.pytorch.org/models at {place}"
    return [*found, _file("LPIPS backbone", place if place.exists() else None, advice)]


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
