"""The directive `gallery`: the reports that ship, each with the page that a small run of it exported."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from run_reports import parameters
from workbench.reports import Report, catalogue


def _folder(app: Sphinx) -> Path:
    return Path(app.srcdir) / str(app.config.reports_folder)


def _record(folder: Path) -> dict[str, Any] | None:
    """What `report.json` says of a run that finished and left a page."""
    try:
        record = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if record["status"] == "finished" and (folder / "report.html").exists() else None


class Gallery(SphinxDirective):
    """A card for each report in the catalogue: its picture, what it was asked, how long it took."""

    def run(self) -> list[nodes.Node]:
        """The cards, and where no report was run a sentence that says how."""
        folder = _folder(self.env.app)
        cards = [self._card(report, folder / report.name) for report in catalogue()]
        text = "\n".join(["::::{grid} 1 1 2 2", ":gutter: 3", "", *cards, "::::"])
        if not any(_record(folder / report.name) for report in catalogue()):
            text = f"```{{note}}\nThe reports were not run with these pages: `make docs` runs them.\n```\n\n{text}"
        return self.parse_text_to_nodes(text)

    def _card(self, report: Report, folder: Path) -> str:
        record = _record(folder)
        self.env.note_dependency(str(folder / "report.json"))
        title = f":::{{grid-item-card}} {report.title[:1].upper()}{report.title[1:]}"
        if record is None:
            told = f"Not run with these pages; `workbench report {report.name} --out FOLDER` runs it."
            return "\n".join([title, "", told, ":::", ""])
        options = [f":link: reports/{report.name}.html"]
        if (folder / "report.png").exists():
            page = Path(self.env.doc2path(self.env.docname)).parent
            options += [f":img-bottom: {Path(os.path.relpath(folder / 'report.png', page)).as_posix()}"]
        asked = ", ".join(f"{name} = {value!r}" for name, value in parameters(report.name).items())
        told = f"{asked or 'as it ships'} · {record['seconds']:.0f} s on {record['device']}"
        return "\n".join([title, *options, "", "{.wb-small}", told, ":::", ""])


def _copy_pages(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    for report in catalogue():
        folder = _folder(app) / report.name
        if _record(folder):
            target = Path(app.outdir) / "reports" / f"{report.name}.html"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / "report.html", target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive, and where reports are looked for."""
    app.add_config_value("reports_folder", "_build/reports", "env", str)
    app.add_directive("gallery", Gallery)
    app.connect("build-finished", _copy_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
