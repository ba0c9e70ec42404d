"""The directive `claims`: what a paper says and what was measured here, read from benchmarks/results."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
_MARKS = {"True": ("✓", "wb-holds"), "False": ("✗", "wb-fails")}


class Claims(SphinxDirective):
    """The table `claims.csv` of a folder in benchmarks/results, and how often claims hold."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A sentence and the table."""
        folder = RESULTS / self.arguments[0]
        for name in ("claims.csv", "runs.json"):
            self.env.note_dependency(str(folder / name))
        with (folder / "claims.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        last = json.loads((folder / "runs.json").read_text(encoding="utf-8"))[-1]
        hold = sum(row["holds"] == "True" for row in rows)
        said = (
            f"Of {len(rows)} claims {hold} hold in this measurement, which ended on {last['ended'][:10]} "
            f"({last['device']}, torch {last['versions']['torch']}). It is made again by"
        )
        command = nodes.literal_block(last["command"], last["command"], language="console")
        broken = [row for row in rows if row["holds"] != "True"]
        kept = [row for row in rows if row["holds"] == "True"]
        found: list[nodes.Node] = [nodes.paragraph(said, said), command]
        if broken:
            found += [nodes.rubric("", "What does not hold"), _table(broken)]
        if kept:
            opening = f'<details class="wb-claims-that-hold"><summary>The {len(kept)} claims that hold</summary>'
            found += [_html(opening), _table(kept), _html("</details>")]
        return found


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def _table(rows: list[dict[str, str]]) -> nodes.table:
    columns = [column for column in rows[0] if column != "holds"]
    titles = {"claim": "claim", "paper": "in the paper", "here": "measured here"}
    table = nodes.table(classes=["wb-claims"])
    group = nodes.tgroup(cols=len(columns) + 1)
    group += [nodes.colspec(colwidth=width) for width in (1, *[10] * len(columns))]
    head, body = nodes.thead(), nodes.tbody()
    head += _row(["", *(titles[column] for column in columns)])
    for row in rows:
        mark, look = _MARKS[row["holds"]]
        line = _row([mark, *(row[column] for column in columns)])
        line[0]["classes"].append(look)
        body += line
    group += [head, body]
    table += group
    return table


def _row(cells: list[str]) -> nodes.row:
    row = nodes.row()
    row += [nodes.entry("", nodes.paragraph(cell, cell)) for cell in cells]
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("claims", Claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
