"""Imported first by the cells of a page: one thread, and Plotly figures as elements that need no network."""

from __future__ import annotations

import plotly.io
import torch
from plotly.io.base_renderers import HtmlRenderer

from workbench.reports.page_widgets import figure_element


class _Element(HtmlRenderer):
    """A figure as the element that a page with plotly.js draws."""

    count = 0

    def to_mimebundle(self, fig_dict: dict[str, object]) -> dict[str, str]:
        _Element.count += 1
        return {"text/html": figure_element(fig_dict, f"figure-{_Element.count}")}


plotly.io.renderers["page"] = _Element()
plotly.io.renderers.default = "page"
torch.set_num_threads(1)
