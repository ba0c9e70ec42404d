"""Small notebooks that the tests of reports run."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = """
size = 4  # points of the curve; more = slower
name = "a # b"  # of the curve
scale = 1.5  # of the second axis
marked = False  # its points
sizes = [8, 32]  # a list
folder = ""  # where the squares are kept and found again; "" for a folder of this run alone
"""

SQUARES = """
import sys
from pathlib import Path
kept = Path(folder) / "squares.csv"
if not kept.exists():
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(",".join(str(i * i) for i in range(size)))
    print("computed")
print(sys.executable)
print(repr(name))
"""

FIGURE = """
import plotly.graph_objects as go
curve = go.Scatter(y=[scale * float(v) for v in kept.read_text().split(",")], name=name)
go.Figure(curve, {"title": "</script><script>document.title = 'hacked'</script>"}).show()
"""


def write(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a title, a cell of parameters and others, each under its heading."""
    made = [new_markdown_cell("# Report: squares\n\nA few."), new_code_cell(parameters.strip())]
    made[1].metadata["tags"] = ["parameters"]
    for number, source in enumerate(cells, start=1):
        made += [new_markdown_cell(f"## Part {number}"), new_code_cell(source.strip())]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(new_notebook(cells=made, metadata={"kernelspec": kernel}), path)
    return path
