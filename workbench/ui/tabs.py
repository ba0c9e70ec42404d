"""All panels for a generator and a classifier in tabs: what is chosen in one becomes the query of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import ipywidgets as widgets
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models import Classifier, Generator, ModelError
from workbench.models.errors import WorkbenchError
from workbench.models.latent import pictures_for
from workbench.ui import parts
from workbench.ui.handover import Handover, Sample

#: Pictures of the generator that flip points begin with, where no inputs are given.
_DRAWN = 60


@dataclass(frozen=True)
class _Method:
    """One tab: its title, when there is one, how its panel is made, the code or the picture that is chosen in it,
    and how it is asked."""

    title: str
    fits: Callable[[Tabs], bool]
    make: Callable[[Any, Tabs], widgets.Widget]
    chosen: Callable[[Any], Tensor | None] = lambda panel: None
    picture: Callable[[Any], Tensor | None] = lambda panel: None
    ask: Callable[[Any, Sample], object] | None = None


class Tabs(widgets.VBox):
    """The panels of all methods that apply to a generator, a classifier, or both; see `wb.open`.

    A panel is made when its tab is first opened. The buttons below send what is chosen in the open tab (the point
    of the search, the query of the boundaries, the sample of an inverse set that was clicked) to another; the
    picture whose flip points are shown, too, where the encoder's codes are the generator's latents. From the tab
    of the classes the chosen class itself goes on, repaired where it was: the other tabs are then about that
    class, and are made anew.

    Args:
        generator, classifier: one of them at least. A generator with classes has one fixed for all tabs but that
            of the classes: that of `generator.of_class(…)`, or its first, until another is sent on.
        encoder: of inverse sets, `wb.inverse_sets.Encoder(classifier, layer)`.
        x: (n, *input) the classifier's inputs whose flip points are looked for; by default pictures of the
            generator's.
        seed: of everything random.

    Attributes:
        generator: of all tabs but that of the classes, whose class is fixed.
        panels: by the name of the method, those that were opened.
        current: the name of the open tab's method.
        sample: what was sent last, or None.

    Raises:
        ModelError: neither network, or a generator and a classifier exchanged.
    """

    def __init__(
        self,
        generator: Generator | None = None,
        classifier: Classifier | None = None,
        *,
        encoder: Any = None,
        x: Float[Tensor, "n *input"] | None = None,
        seed: int = 0,
    ) -> None:
        for name, model, kind in (("generator", generator, Generator), ("classifier", classifier, Classifier)):
            if model is not None and not isinstance(model, kind):
                raise ModelError(
                    f"the {name} is a {type(model).__name__}; expected wb.open(G, C), wb.open(G) or "
                    "wb.open(classifier=C)"
                )
        if generator is None and classifier is None:
            raise ModelError(
                "there is nothing to open; expected wb.open(G, C), wb.open(G) or wb.open(classifier=C)"
            )
        self.whole, self.classifier, self.encoder, self.x, self.seed = generator, classifier, encoder, x, seed
        self.generator = _bound(generator)
        self.panels: dict[str, Any] = {}
        self.sample: Sample | None = None
        self._names = [name for name, method in _METHODS.items() if method.fits(self)]
        self._places = {name: widgets.VBox() for name in self._names}
        self._tab = widgets.Tab(list(self._places.values()), titles=[_METHODS[n].title for n in self._names])
        self._tab.observe(lambda change: self._opened(), names="selected_index")
        self.handover = Handover()
        self.handover.route = self._routed
        self.handover.source = self._chosen
        self._about = widgets.HTML()
        super().__init__([self._about, self._tab, self.handover], layout=widgets.Layout(width="100%"))
        self._say_class()
        self._opened()

    @property
    def current(self) -> str:
        """The name of the open tab's method."""
        return self._names[self._tab.selected_index or 0]

    def show(self, method: str) -> Any:
        """Open the tab of a method, by the name of its module such as `flip_points`, and return its panel.

        Raises:
            ModelError: a method that does not apply to these networks.
        """
        if method not in self._names:
            raise ModelError(f"{method!r} does not apply here; expected one of {', '.join(self._names)}")
        self._tab.selected_index = self._names.index(method)
        return self.panels.get(method)

    def close(self) -> None:
        """Stop and close every panel."""
        for panel in getattr(self, "panels", {}).values():
            panel.close()
        if hasattr(self, "handover"):
            self.handover.close()
            self._about.close()
            self._tab.close()
        super().close()

    def _opened(self) -> None:
        """Make the open tab's panel, where that was not done before."""
        name = self.current
        self.handover.offer(None)
        if name in self.panels:
            return
        try:
            panel = _METHODS[name].make(import_module(f"workbench.{name}").Panel, self)
        except WorkbenchError as error:
            self._places[name].children = [widgets.HTML(parts.note(str(error)))]
            return
        if name == "inverse_sets":
            panel.handover.layout.display = "none"  # the buttons below do the same for every tab
        self.panels[name] = panel
        self._places[name].children = [panel]

    def _chosen(self) -> Sample | None:
        """What is chosen in the open tab, and can be sent on."""
        panel = self.panels.get(self.current)
        if panel is not None and self.current == "embeddings":
            return self._chosen_class(*panel.chosen)
        if panel is None or self.generator is None or self.classifier is None or not _fit(self):
            return None
        code, picture = _METHODS[self.current].chosen(panel), _METHODS[self.current].picture(panel)
        if code is not None:
            picture = pictures_for(self.classifier, self.generator)(self.generator.render(code[None]))[0]
        elif (
            picture is not None and self.encoder is not None and self.encoder.shape == self.generator.latent_shape
        ):
            code = self.encoder(picture[None].to(self.generator.device, self.generator.dtype))[0]
        if code is None or picture is None:
            return None
        self.sample = Sample(
            self.generator,
            self.classifier,
            code,
            picture,
            "tabs.sample.code",
            "tabs.sample.picture",
            name=f"what is chosen in {_METHODS[self.current].title}",
        )
        return self.sample

    def _chosen_class(self, generator: Generator, code: Tensor) -> Sample:
        """A picture of the class that is chosen on the map, whose generator goes with it."""
        assert self.classifier is not None
        picture = generator.render(code[None])
        if generator.output_shape == self.classifier.input_shape:
            picture = pictures_for(self.classifier, generator)(picture)
        sources = "tabs.sample.code", "tabs.sample.picture"
        self.sample = Sample(generator, self.classifier, code, picture[0], *sources, name=generator.name)
        return self.sample

    def _routed(self, method: str, sample: Sample) -> None:
        self._take(sample.generator)
        panel = self.show(method)
        ask = _METHODS[method].ask
        if panel is not None and ask is not None:
            ask(panel, sample)

    def _take(self, generator: Generator) -> None:
        """Have another class in all tabs but that of the classes; their panels are made anew when opened."""
        if self.generator is None or _same_class(self.generator, generator):
            return
        self.generator = generator
        stay = {"embeddings", "flip_points"} if self.x is not None else {"embeddings"}
        for name in [name for name in self.panels if name not in stay]:
            self._places[name].children = []
            self.panels.pop(name).close()
        self._say_class()

    def _say_class(self) -> None:
        """Which class the tabs are about."""
        if self.generator is None or self.generator.class_names is None:
            self._about.layout.display = "none"
            return
        told = f"All tabs but Classes are about {self.generator.name}" if "embeddings" in self._names else ""
        self._about.value = parts.note(told or f"All tabs are about {self.generator.name}")


def _same_class(one: Generator, other: Generator) -> bool:
    """Whether two generators of one network have the same class fixed."""
    if one.fixed is None or other.fixed is None:
        return one.fixed is other.fixed
    return one.name == other.name and torch.equal(one.fixed, other.fixed)


def _bound(generator: Generator | None) -> Generator | None:
    """The generator with a class fixed, its first where none is."""
    if generator is None or generator.class_names is None:
        return generator
    try:
        _ = generator.bound
    except ModelError:
        return generator.of_class(0)
    return generator


def _fit(tabs: Tabs) -> bool:
    """Whether the classifier takes the generator's pictures as they are."""
    return (
        tabs.generator is not None
        and tabs.classifier is not None
        and tabs.generator.output_shape == tabs.classifier.input_shape
    )


def _inputs(tabs: Tabs) -> Tensor | None:
    """What flip points begin with."""
    if tabs.x is not None or tabs.generator is None or tabs.classifier is None or not _fit(tabs):
        return tabs.x
    drawn = tabs.generator.sample(_DRAWN, seed=tabs.seed).outputs
    return pictures_for(tabs.classifier, tabs.generator)(drawn)


#: By the name of the method's module; a folder may not import another, so that panels are found by name.
_METHODS = {
    "subspaces": _Method(
        "Subspace search",
        lambda tabs: tabs.generator is not None,
        lambda panel, tabs: panel(tabs.generator, seed=tabs.seed),
        lambda panel: panel.search.points[panel.search.current].latent,
        ask=lambda panel, sample: panel.new_start(sample.code),
    ),
    "boundaries": _Method(
        "Boundaries",
        lambda tabs: tabs.generator is not None,
        lambda panel, tabs: panel(tabs.generator, seed=tabs.seed),
        lambda panel: panel.query,
        ask=lambda panel, sample: panel.ask(sample.code, sample.code_source),
    ),
    "inverse_sets": _Method(
        "Inverse sets",
        _fit,
        lambda panel, tabs: panel(tabs.generator, tabs.classifier, encoder=tabs.encoder, seed=tabs.seed),
        lambda panel: panel.handover.sample and panel.handover.sample.code,
    ),
    "embeddings": _Method(
        "Classes",
        lambda tabs: (
            tabs.whole is not None and tabs.whole.class_embeddings is not None and tabs.classifier is not None
        ),
        lambda panel, tabs: panel(tabs.whole, tabs.classifier, seed=tabs.seed),
    ),
    "flip_points": _Method(
        "Flip points",
        lambda tabs: tabs.classifier is not None,
        lambda panel, tabs: panel(tabs.classifier, _inputs(tabs), seed=tabs.seed),
        picture=lambda panel: None if panel.query is None else panel.query[0],
        ask=lambda panel, sample: panel.one.ask(sample.picture.cpu(), sample.picture_source),
    ),
}
