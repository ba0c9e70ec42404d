"""Building the documentation for a test: without running cells, reports or browser tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.project import ROOT

DOCS = ROOT / "docs"


def build(folder: Path, *options: str) -> Path:
    """Build the pages below an empty folder and return where they are; a build that fails fails the test."""
    nothing = folder / "nothing"
    settings = {"nb_execution_mode": "off", "pictures_folder": nothing, "reports_folder": nothing}
    command = [
        *(sys.executable, "-m", "sphinx", "-q", *options, "-b", "html", "-d", str(folder / "doctrees")),
        *(f"-D{name}={value}" for name, value in settings.items()),
        *(str(DOCS), str(folder / "html")),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"
