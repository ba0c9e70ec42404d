"""Whole panels in the hands of somebody who tries everything: each answers with a result, or says why not."""

from __future__ import annotations

import ast
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ipywidgets as widgets
import nbformat
import pytest
import torch
import traitlets
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import workbench as wb
from tests.fuzz import hands, networks, outcomes
from tests.fuzz.markup import elements
from workbench.reports import Run

HOSTILE = ("<script>alert(1)</script>", "../../${HOME}\n'\"{x}", "&lt;b&gt;%{x}<img src=x onerror=alert(1)>")
#: Whoever has waited for so many seconds presses Cancel; what does not stop then for so many hangs.
_PATIENCE, _HANGS = 0.5, 60
#: Cases for each panel.
_CASES = 150 if os.environ.get("WORKBENCH_FUZZ") == "nightly" else 3
#: Elements that no text of ours has.
_CODE = {"script", "iframe", "object", "embed", "form", "svg", "link", "meta", "onerror", "onload", "onclick"}


def generator(latents: int = 4) -> wb.Generator:
    """A generator with a hostile name."""
    torch.manual_seed(0)
    layers = [nn.Linear(latents, 8), nn.ReLU(), nn.Linear(8, 36), nn.Tanh(), nn.Unflatten(1, (1, 6, 6))]
    return wb.Generator(nn.Sequential(*layers), (latents,), device="cpu", name=HOSTILE[0])


def with_classes() -> wb.Generator:
    """A generator with hostile classes, as many as a map needs."""
    torch.manual_seed(2)
    network = networks.Conditional()
    network.table = nn.Embedding(6, 2)
    return wb.Generator(
        network, (4,), class_embeddings="table.weight", class_names=[*HOSTILE, "a", "b", "c"], device="cpu"
    )


def classifier() -> wb.Classifier:
    """A classifier with hostile classes."""
    return wb.Classifier(
        networks.scorer(), (1, 6, 6), value_range=(-1, 1), class_names=HOSTILE, device="cpu", name=HOSTILE[2]
    )


def inputs() -> torch.Tensor:
    """Four of the classifier's inputs."""
    return torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(3)) * 2 - 1


def inverse_sets() -> Any:
    """The panel with a neuron in it."""
    C = classifier()
    return wb.inverse_sets.Panel(generator(), C, neurons=wb.inverse_sets.band(C, "1", 2, 0.0, 0.3), n=6)


PANELS: dict[str, Callable[[], Any]] = {
    "subspaces": lambda: wb.subspaces.Panel(generator(), steps=5),
    "boundaries": lambda: wb.boundaries.Panel(generator(2), samples=12),
    "boundaries of four latents": lambda: wb.boundaries.Panel(generator(), samples=12),
    "inverse sets": lambda: inverse_sets(),
    "embeddings": lambda: wb.embeddings.Panel(with_classes(), classifier(), trials=2, steps=3),
    "flip points": lambda: wb.flip_points.Panel(classifier(), inputs(), torch.tensor([0, 1, 2, 0]), effort="fast"),
    "all": lambda: wb.open(with_classes(), classifier()),
    "a session": lambda: wb.open(generator(), classifier(), session="a.workbench"),
}


class Escaped(logging.Handler):
    """Collects errors that ipywidgets would only log, and those of threads."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.errors.append(record.exc_info[1])

    def __enter__(self) -> Escaped:
        log = traitlets.log.get_logger()
        log.addHandler(self)
        self._told, log.propagate = log.propagate, False
        self._before, threading.excepthook = threading.excepthook, lambda told: self.errors.append(told.exc_value)
        return self

    def __exit__(self, *unused: object) -> None:
        log = traitlets.log.get_logger()
        log.removeHandler(self)
        log.propagate = self._told
        threading.excepthook = self._before

    def check(self) -> None:
        """Raise the first of the errors; traitlets may refuse what no browser of ours sends."""
        for error in self.errors:
            if not isinstance(error, traitlets.TraitError):
                raise error


def read_only(notebook: Path, parameters: Any, out: Path, **options: Any) -> Run:
    """In place of a run in a kernel: the notebook is one, and every cell of it is Python."""
    read = nbformat.read(notebook, as_version=4)
    nbformat.validate(read)
    cells = [cell for cell in read.cells if cell.cell_type == "code"]
    for cell in cells:
        ast.parse(cell.source)
    return Run(notebook.stem, Path(out), "finished", {}, (len(cells), len(cells)), 0.0)


@pytest.fixture(autouse=True, scope="module")
def no_kernels() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.reports.run", read_only)
        yield


@contextmanager
def in_a_folder() -> Iterator[Path]:
    """Work deep in a folder, whose home is in it, too; gives the folder."""
    before = Path.cwd()
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        root = Path(name).resolve()
        work = root / "a/b/c/d/e/work"
        work.mkdir(parents=True)
        patch.setenv("HOME", str(root / "home"))
        os.chdir(work)
        try:
            yield root
        finally:
            os.chdir(before)


def settle() -> None:
    """Wait until nothing runs; cancel what takes long."""
    asked, latest = time.monotonic() + _PATIENCE, time.monotonic() + _HANGS
    while busy := [jobs for jobs in hands.all_jobs() if not jobs.wait(0)]:
        now = time.monotonic()
        assert now < latest, f"it hangs: {[jobs.text for jobs in busy]}"
        if now > asked:
            for jobs in busy:
                jobs.cancel()
        busy[0].wait(0.05)


def check_shown(panel: widgets.Widget) -> None:
    """What stands on the page: finite numbers, texts that are texts, errors in our own words."""
    for widget in hands.in_sight(panel):
        if isinstance(widget, hands.Jobs) and widget.error is not None:
            outcomes.in_words(widget.error)
        if isinstance(widget, widgets.HTML):
            assert not _CODE & elements(widget.value).keys(), widget.value
            told = re.sub("<[^>]*>", " ", widget.value)
            assert not re.search(r"\b(nan|inf)\b", told), f"a number that is none: {told}"
        if isinstance(widget, hands.FilmStrip) and widget.line:
            assert all(math.isfinite(t) for t in widget.line["t"])
        assert not getattr(widget, "description_allow_html", False)


def check_files(root: Path, typed: list[str]) -> None:
    """Nothing lies outside the folder that one works in, but for what was named."""
    work = Path.cwd()
    # Path.expanduser raises for a user that there is not
    texts = [os.path.expanduser(text) for text in typed if "\0" not in text]  # noqa: PTH111
    named = [work, *((work / text).resolve() for text in texts)]
    for file in root.rglob("*"):
        assert file.is_dir() or any(file.is_relative_to(place) for place in named), file
        assert file.name != "executed"


@settings(max_examples=_CASES)
@pytest.mark.parametrize("name", list(PANELS))
@given(
    st.sampled_from([1, 3, 6, 12]).flatmap(
        lambda least: st.lists(hands.actions, min_size=least, max_size=2 * least)
    )
)
def test_a_panel_answers_or_says_why_not(name, doing):
    outcomes.tried += 1
    done: list[str] = []
    with in_a_folder() as root, Escaped() as escaped:
        panel = PANELS[name]()
        try:
            for action in doing:
                done.append(hands.do(panel, action))
                if action.patient:
                    settle()
                    check_shown(panel)
                escaped.check()
            settle()
            check_shown(panel)
            escaped.check()
            check_files(root, [action.word.lstrip("/") for action in doing])
        except BaseException as error:
            error.add_note("\n".join([f"In the panel of {name}:", *done]))
            raise
        finally:
            panel.close()
            settle()
        escaped.check()
