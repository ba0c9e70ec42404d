"""The button "Export as report" of a panel: where to, how far it is, and the page once it is there."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as widgets

from workbench.exports.description import Export, ExportError
from workbench.exports.links import served
from workbench.exports.write import REPORTS, write
from workbench.progress import Progress, as_steps
from workbench.ui import parts
from workbench.ui.jobs import Jobs

if TYPE_CHECKING:
    from workbench.reports import Run


class ExportView(widgets.VBox):
    """Writes what is on screen as a report, behind the panel, which stays usable meanwhile.

    Args:
        name: of the reports' files, such as `flip-points`.
        describe: gives what is on screen; raises an error that says what to do first where that is nothing.

    Attributes:
        describe: as above.
        run: how the last report went, or None before there is one.
    """

    def __init__(self, name: str, describe: Callable[[], Export]) -> None:
        self.describe = describe
        self.run: Run | None = None
        told = "Write what is on screen as notebook, page and results"
        self.button = parts.button("Export as report", told, width="118px", margin="0")  # as "Copy as code" above
        self.button.style.font_size = "12px"
        self.button.on_click(lambda _: self._clicked())
        self.folder = widgets.Text(
            placeholder=f"{REPORTS}/{name}-<date and time>",
            description="into",
            tooltip="A new or empty folder; by default one with date and time",
            layout=widgets.Layout(width="390px"),
            style={"description_width": "initial"},
        )
        self.jobs = Jobs()
        self.jobs.layout.display = "none"
        self.jobs.on_busy = lambda busy: setattr(self.button, "disabled", busy)
        self.said = widgets.HTML()
        super().__init__(
            [widgets.HBox([self.button, self.folder, self.jobs], layout=parts.row()), self.said],
            layout=widgets.Layout(width="100%"),
        )

    def export(self, folder: str | Path = "", *, progress: Progress | None = None) -> Run:
        """Write what is on screen as a report and return how that went; see `workbench.exports.write`."""
        return write(self.describe(), folder, progress=progress)

    def _clicked(self) -> None:
        self.said.value = ""
        try:
            export = self.describe()
        except ExportError as error:
            self._say(str(error))
            return
        folder = self.folder.value
        self.jobs.layout.display, self.button.disabled = None, True
        self.jobs.submit(
            lambda: as_steps(lambda progress: write(export, folder, progress=progress)),
            self._written,
            label="Report",
        )

    def _written(self, run: Run) -> None:
        self.run = run
        self.said.value = _told(run)

    def _say(self, text: str) -> None:
        self.said.value = parts.note(text)

    def close(self) -> None:
        """Stop the worker and close every widget of the view."""
        if hasattr(self, "jobs"):
            self.jobs.close()
            parts.close_all(self)
        super().close()


def _told(run: Run) -> str:
    """How a report went, with links to what it left where the browser can follow them."""
    done, total = run.cells
    texts = {"finished": "Written:", "partial": f"Stopped after {done} of {total} cells; what there is:"}
    said = html.escape(texts.get(run.status, f"The report failed, {run.error}; what there is:"))
    told = []
    for name, file, view in (("page", "report.html", "files"), ("notebook", "report.ipynb", "lab/tree")):
        address = served(run.folder / file, view) if (run.folder / file).is_file() else None
        if address is not None:
            told.append(f'<a href="{html.escape(address)}" target="_blank" rel="noopener"><u>{name}</u></a>')
    told.append(f"<code>{html.escape(str(run.folder))}</code>")
    return f'<span style="font-size:13px;line-height:1.5">{said} {" · ".join(told)}</span>'
