"""The report of all methods at once: what applies is shown and saved, the rest is left out with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from workbench import reports

SMALL = {"frames": 5, "samples": 10, "images": 20, "steps": 1}


def finished(out: Path, **parameters: Any) -> tuple[str, str]:
    """What a small run prints, and its page."""
    run = reports.run("overview", {**SMALL, **parameters}, out, progress=lambda step: None)
    assert (run.status, run.error) == ("finished", "")
    cells = nbformat.read(out / "report.ipynb", as_version=4).cells
    printed = [o.text for cell in cells for o in cell.get("outputs", ()) if o.output_type == "stream"]
    return "".join(printed), (out / "report.html").read_text(encoding="utf-8")


def test_every_method_has_its_section_with_live_widgets_and_saved_results(tmp_path):
    printed, page = finished(tmp_path, generator="mnist-dcgan-2d")
    assert "Left out" not in printed
    saved = {path.parent.relative_to(tmp_path / "results").as_posix() for path in tmp_path.rglob("result.json")}
    assert {name.partition("/")[0] for name in saved} == {
        "subspaces",
        "boundaries",
        "inverse_sets",
        "embeddings",
        "flip_points",
    }
    assert len(wb.load_result(tmp_path / "results" / "inverse_sets" / "samples")) == 10
    assert page.count('class="wb-map"') == 1
    assert page.count('class="wb-view"') >= 9
    assert page.count('role="tabpanel"') == 2  # flip points in pixels and in latents
    assert len(page.encode()) < 25e6


@pytest.mark.nightly
def test_what_does_not_apply_is_left_out_with_the_reason(tmp_path):
    networks = {
        "generator": "glyphs-biggan",
        "classifier": "mnist-dcgan-discriminator",
        "conditional": "mnist-dcgan",
    }
    printed, page = finished(tmp_path, **networks)
    told = "\n".join(line for line in printed.splitlines() if "Left out" in line)
    for reason in (
        "makes (1, 32, 32), mnist-dcgan-discriminator takes",
        "single score",
        "mnist-dcgan has no classes",
    ):
        assert reason in told
    assert 'class="wb-map"' not in page
