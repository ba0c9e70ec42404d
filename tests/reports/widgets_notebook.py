"""A notebook with every widget of ours, executed without a browser, as a report leaves it."""

from __future__ import annotations

from functools import cache
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HOSTILE = "</script><script>document.title = 'hacked'</script>"

_MAKE = f"""
import ipywidgets as widgets, numpy as np, plotly.graph_objects as go
from workbench.ui import parts
from workbench.ui.canvas import Canvas
from workbench.ui.class_map import ClassMapView
from workbench.ui.code_line import CodeLine
from workbench.ui.film_strip import FilmStrip
from workbench.ui.map_plot import MapPlot
from workbench.ui.plot import Plot
from workbench.ui.sample_grid import SampleGrid

draw = np.random.default_rng(0)
HOSTILE = {HOSTILE!r}
"""

_STRIP = """
strip = FilmStrip(height=112, busy=True)
strip.show(np.linspace(0, 1, 25)[:, None, None, None] * np.ones((1, 28, 28)), captions=[HOSTILE] * 25)
strip
"""

_GRID = """
grid = SampleGrid(tile=48, height=200)
grid.show(draw.random((40, 1, 12, 12)), values={"level": list(range(40))[::-1]}, labels=[HOSTILE] * 40)
grid
"""

_PANEL = """
plot = Plot()
curve = go.Scatter(x=np.arange(5.0), y=np.arange(5.0) ** 2, name=HOSTILE)
plot.draw(go.Figure(curve, {"height": 200, "title": HOSTILE}))
canvas = Canvas()
canvas.show(np.eye(28))
seed = widgets.BoundedIntText(value=7, description="seed")
row = widgets.HBox([widgets.Button(description="Start"), seed])
left = widgets.VBox([strip, row], layout={"flex": "2 1 300px"})
tabs = widgets.Tab([canvas, plot], titles=["Draw", HOSTILE])
folder = parts.live_only(widgets.Text("folder"))
more = widgets.Accordion([widgets.HTML("<b>more</b>"), folder], titles=["Facts", "Files"])
widgets.VBox([widgets.HBox([left, tabs]), widgets.Label(HOSTILE), CodeLine(code="1 < 2"), FilmStrip(), more])
"""

_MAP = """
positions = draw.normal(size=(30, 2)) * 10
pictures = draw.random((30, 3, 1, 8, 8))
names = [f"class {i}" for i in range(29)] + [HOSTILE]
view = ClassMapView(MapPlot(positions, names, height=360, samples=pictures))
followers = SampleGrid(name="pictures", tile=32, height=120)
followers.show(pictures.reshape(90, 1, 8, 8))
view.leads(followers, each=3)
view.plot.show_thumbnails(pictures[:, 0])
display(view, followers)
"""


@cache
def executed() -> Any:
    """The notebook; it is made once, and belongs to all that ask for it."""
    cells = [new_markdown_cell("# Report: widgets"), new_code_cell(_MAKE)]
    for heading, source in (("Strip", _STRIP), ("Grid", _GRID), ("Panel", _PANEL), ("Map", _MAP)):
        cells += [new_markdown_cell(f"## {heading}"), new_code_cell(source)]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    NotebookClient(notebook, timeout=120, kernel_name=NATIVE_KERNEL_NAME).execute()
    return notebook
