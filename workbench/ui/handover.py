"""A sample goes on to another method: that method's panel opens underneath, or wherever a host takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import ipywidgets as widgets
from jaxtyping import Float
from torch import Tensor

from workbench.models import Classifier, Generator
from workbench.models.errors import WorkbenchError
from workbench.ui import parts
from workbench.ui.code_line import CodeLine
from workbench.ui.methods import TITLES


@dataclass(frozen=True)
class Sample:
    """One picture of a generator, with all that another method may ask of it.

    Attributes:
        generator: that made it; one with classes has its class fixed. None where a host has none.
        classifier: of its pictures. None where a host has none.
        code: (*latent) that makes it, or None where none is known: then it is sent to flip points only.
        picture: (*input) itself, in the classifier's value range; without a classifier, in the generator's.
        code_source, picture_source: the Python expressions that give the two, with `G` and `C` for the networks.
        name: what it is called, such as `sample 7`.
    """

    generator: Generator | None
    classifier: Classifier | None
    code: Float[Tensor, " *latent"] | None
    picture: Float[Tensor, " *input"]
    code_source: str
    picture_source: str
    name: str = "sample"


@dataclass(frozen=True)
class _Target:
    """A method: what the button says of it, and how its panel is made of a sample."""

    tooltip: str
    make: Callable[[Any, Sample], widgets.Widget]
    code: Callable[[Sample], str]


#: Methods by the name of their folder: a folder may not import another, so that panels are found by name.
_TARGETS = {
    "flip_points": _Target(
        "The closest pictures that the classifier takes for other classes",
        lambda panel, sample: panel(sample.classifier, sample.picture[None]),
        lambda sample: f"wb.flip_points.Panel(C, {sample.picture_source})",
    ),
    "boundaries": _Target(
        "The boundaries in the generator that carry this sample",
        lambda panel, sample: panel(sample.generator, sample.code),
        lambda sample: f"wb.boundaries.Panel(G, {sample.code_source})",
    ),
    "subspaces": _Target(
        "Search on from this sample along the directions that change it most",
        lambda panel, sample: panel(sample.generator, sample.code),
        lambda sample: f"wb.subspaces.Panel(G, {sample.code_source})",
    ),
}


class Handover(widgets.VBox):
    """Buttons that send a sample to other methods; the panel that opens stands underneath until it is closed.

    Attributes:
        sample: what the buttons send, or None.
        panel: that is open underneath, or None.
        route: takes over where it is set (by a host with tabs for all methods, say): called with the method's
            name and the sample, in place of opening a panel here.
        source: asked for the sample when a button is pressed and none was offered, where it is set.
    """

    def __init__(self) -> None:
        self.sample: Sample | None = None
        self.panel: widgets.Widget | None = None
        self.route: Callable[[str, Sample], object] | None = None
        self.source: Callable[[], Sample | None] | None = None
        self._said = widgets.HTML()
        self.buttons = {name: parts.button(TITLES[name], target.tooltip) for name, target in _TARGETS.items()}
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self.send(name))
        self.leave = parts.button("Close it", "Close the panel underneath")
        self.leave.on_click(lambda _: self._leave())
        self.code = CodeLine()
        self._controls = widgets.HBox([self._said, *self.buttons.values(), self.leave], layout=parts.row())
        super().__init__([self._controls], layout=widgets.Layout(grid_gap="8px", width="100%"))
        parts.live_only(self)
        self.offer(None)

    def offer(self, sample: Sample | None) -> None:
        """Make `sample` what the buttons send; None takes it away."""
        self.sample = sample
        if sample is None and self.source is not None:
            self.say("send what is chosen above to")
        else:
            self.say(f"send {sample.name} to" if sample else "choose a sample above to send it to")
        self._enable()

    def add(self, button: widgets.Button) -> None:
        """Put a further button before those that send."""
        self._controls.children = [button, *self._controls.children]

    def send(self, method: str) -> None:
        """Open a method's panel on the sample, in place of the one that is open.

        Args:
            method: `flip_points`, `boundaries` or `subspaces`.
        """
        sample = self.source() if self.sample is None and self.source is not None else self.sample
        if sample is None:
            self.say("nothing is chosen above that could be sent on")
            return
        if sample.code is None and method != "flip_points":
            self.say(f"no latent is known for {sample.name}: it can be sent to flip points only")
            return
        if self.route is not None:
            self.route(method, sample)
            return
        self._leave()
        try:
            panel = import_module(f"workbench.{method}").Panel
            self.panel = _TARGETS[method].make(panel, sample)
        except WorkbenchError as error:
            self.say(f"{TITLES[method]}: {error}")
            return
        self.code.code = _TARGETS[method].code(sample)
        self.children = [self._controls, self.code, self.panel]
        self._enable()

    def _leave(self) -> None:
        if self.panel is not None:
            self.children = [self._controls]
            self.panel.close()
            self.panel = None
            self._enable()

    def say(self, text: str) -> None:
        """Show a line of text before the buttons."""
        self._said.value = parts.note(text)

    def _enable(self) -> None:
        for button in self.buttons.values():
            button.disabled = self.sample is None and self.source is None
        self.leave.layout.display = None if self.panel is not None else "none"

    def close(self) -> None:
        """Close every widget, and the panel that is open underneath."""
        if hasattr(self, "buttons"):
            self._leave()
            parts.close_all(self.code)
            self.code.close()
            parts.close_all(self)
        super().close()
