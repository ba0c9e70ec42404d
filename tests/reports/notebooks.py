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


STORED_PARAMETERS = """
base = 2  # of the powers
shown = 3  # of them
folder = ""  # where they are kept and found again; "" for a folder of this run alone
"""

STORED = """
import dataclasses
import time
from pathlib import Path

import torch
import workbench as wb
from torch import Tensor, nn
from workbench.progress import Step, run, track
from workbench.results import Provenance, Result, Tables

CALLS = Path(folder).parent / "calls.txt"
store = wb.reports.Store(folder)
module = nn.Linear(2, 4)
nn.init.constant_(module.weight, 0.1)
nn.init.zeros_(module.bias)
G = wb.Generator(module, latent_shape=2, name="tiny", device="cpu")
digits = wb.datasets.mnist.sample()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Powers(Result):
    values: Tensor


def powers(model, base, count, progress=None):
    with CALLS.open("a") as calls:
        calls.write("powers\\n")
    made = Provenance.of(model, call="powers(...)", seed=0, passes={"forward": count})
    return Powers(provenance=made, values=torch.tensor([float(base**i) for i in range(count)]))


found = store.result("powers", powers, G, base, 6)
for row in (0, 1):
    kept = Tables(store.folder(f"rows/row-{row}", row=row))
    if not len(kept.table("rows")):
        with CALLS.open("a") as calls:
            calls.write("row\\n")
        kept.write("rows", {"row": [row]})
print(found.values[:shown].tolist())
"""

#: Tells steps until the one who runs the report says that it heard one of them.
HEARD = """
def told(steps=6000):
    for done in range(steps):
        yield Step(1, 4, "telling")
        if (CALLS.parent / "heard").exists():
            return
        time.sleep(0.01)


for outer in track(["a", "b"], "part {}".format):
    run(told())
"""
