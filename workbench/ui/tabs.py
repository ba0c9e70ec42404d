"""All panels for a generator and a classifier in tabs: what is chosen in one becomes the query of another."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from jaxtyping import Float
from torch import Tensor

from workbench.models import Classifier, Generator, ModelError
from workbench.models.errors import WorkbenchError
from workbench.models.latent import pictures_for
from workbench.sessions.session import PANEL, KeptSample, Session
from workbench.ui import parts
from workbench.ui.handover import Handover, Sample
from workbench.ui.methods import METHODS, TITLES, bound, fit, same_class
from workbench.ui.resuming import TABS, Beginning, of_class, panel_name, resume, state_of
from workbench.ui.saving import Savable
from workbench.ui.session_view import SessionView


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
        seed: of everything random, by default 0.
        session: the path of a session, such as `"digits.workbench"`, or a `wb.Session`, which is closed with the
            tabs. What you do is saved there as you go. One that exists is opened again: all that was shown as
            saved is there, and networks of the zoo, `x` and the seed need not be given again.

    Attributes:
        generator: of all tabs but that of the classes, whose class is fixed.
        panels: by the name of the method, those that were opened.
        current: the name of the open tab's method.
        sample: what was sent last, or None.
        session: the `wb.Session`, or None.

    Raises:
        ModelError: neither network, or a generator and a classifier exchanged.
        SessionError: the session belongs to other networks, is open in another process, or is no session.
    """

    whole: Generator | None
    generator: Generator | None
    classifier: Classifier | None
    encoder: Any
    x: Float[Tensor, "n *input"] | None
    seed: int
    session: Session | None

    def __init__(
        self,
        generator: Generator | None = None,
        classifier: Classifier | None = None,
        *,
        encoder: Any = None,
        x: Float[Tensor, "n *input"] | None = None,
        seed: int | None = None,
        session: str | Path | Session | None = None,
    ) -> None:
        for name, model, kind in (("generator", generator, Generator), ("classifier", classifier, Classifier)):
            if model is not None and not isinstance(model, kind):
                raise ModelError(
                    f"the {name} is a {type(model).__name__}; expected wb.open(G, C), wb.open(G) or "
                    "wb.open(classifier=C)"
                )
        given = Beginning(generator, classifier, encoder, x, seed or 0)
        begin = given if session is None else resume(session, given, seed=seed)
        if begin.generator is None and begin.classifier is None:
            if begin.session is not None:
                begin.session.close()
            raise ModelError(
                "there is nothing to open; expected wb.open(G, C), wb.open(G) or wb.open(classifier=C)"
            )
        self.whole, self.classifier, self.session = begin.generator, begin.classifier, begin.session
        self.encoder, self.x, self.seed = begin.encoder, begin.x, begin.seed
        self.generator = bound(self.whole) if begin.of_class is None else begin.of_class
        self.panels: dict[str, Any] = {}
        self.sample: Sample | None = None
        self._names = [name for name, method in METHODS.items() if method.fits(self)]
        self._places = {name: widgets.VBox() for name in self._names}
        self._tab = widgets.Tab(list(self._places.values()), titles=[TITLES[n] for n in self._names])
        self._tab.observe(lambda change: self._opened(), names="selected_index")
        self.handover = Handover()
        self.handover.route = self._routed
        self.handover.source = self._chosen
        for name, button in self.handover.buttons.items():
            button.layout.display = None if name in self._names else "none"
        self._about = widgets.HTML()
        self.kept: SessionView | None = None
        children = [self._about, self._tab, self.handover]
        if self.session is not None:
            self.kept = SessionView(self.session, chosen=self._kept_chosen)
            keep = parts.button("Keep", f"Keep what is chosen in {self.session.path.name}")
            keep.on_click(lambda _: self.keep())
            self.handover.add(keep)
            children = [self.kept.status, *children, self.kept]
            self._settled = self.kept.saving.watch(PANEL, TABS, lambda: state_of(self))
            if begin.current in self._names:
                self._tab.selected_index = self._names.index(begin.current)
        super().__init__(children, layout=widgets.Layout(width="100%"))
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

    def keep(self) -> None:
        """Keep what is chosen in the open tab in the session."""
        sample = self._chosen()
        if self.kept is None or sample is None:
            self.handover.say("nothing is chosen above that could be kept")
            return
        fixed = None if sample.generator is None else sample.generator.fixed
        self.kept.keep(
            KeptSample(
                sample.picture.cpu(),
                self._range(sample),
                sample.code,
                TITLES[self.current],
                condition=fixed,
                of_class="" if fixed is None or sample.generator is None else sample.generator.name,
            )
        )

    def close(self) -> None:
        """Save what is still to be saved, stop and close every panel."""
        kept = getattr(self, "kept", None)
        if kept is not None:
            kept.close()
        for panel in getattr(self, "panels", {}).values():
            panel.close()
        if hasattr(self, "handover"):
            self.handover.close()
            parts.close_all(self)
        super().close()

    def _opened(self) -> None:
        """Make the open tab's panel, where that was not done before."""
        name = self.current
        self.handover.offer(None)
        if self.kept is not None:
            self.kept.choose(None)
            self._settled()
        if name in self.panels:
            return
        try:
            panel = METHODS[name].make(import_module(f"workbench.{name}").Panel, self)
        except WorkbenchError as error:
            parts.replace(self._places[name], [widgets.HTML(parts.note(str(error)))])
            return
        if name == "inverse_sets":
            panel.handover.layout.display = "none"  # the buttons below do the same for every tab
        self.panels[name] = panel
        parts.replace(self._places[name], [panel])
        if self.kept is not None:
            self._resume(name, panel)

    def _resume(self, name: str, panel: Savable) -> None:
        """Show what the session has of a panel, and save from then on what is settled in it."""
        assert self.session is not None and self.kept is not None
        place = self._places[name]
        if name != "embeddings" and not (name == "flip_points" and self.x is not None):
            name = panel_name(name, self.generator)
        try:
            state = self.session.panel(name)
            if state is not None:
                panel.restore(state)
        except Exception as error:  # what was saved stays in the session, and the panel can be used
            aside = self.session.set_aside(name)
            said = f"Not all that was saved of this panel can be shown: {error}. The session has it as “{aside}”."
            parts.replace(place, [widgets.HTML(parts.note(said)), panel])
        panel.on_settled = self.kept.saving.watch(PANEL, name, panel.state)
        panel.on_settled()  # what was settled since it was made

    def _chosen(self) -> Sample | None:
        """What is chosen in the open tab, and can be kept or sent on."""
        panel = self.panels.get(self.current)
        if panel is not None and self.current == "embeddings":
            return self._chosen_class(*panel.chosen)
        if panel is None:
            return None
        method, generator = METHODS[self.current], self.generator
        code, picture = method.chosen(panel), method.picture(panel)
        if code is not None and generator is not None:
            picture = generator.render(code[None])[0]
            if self.classifier is not None and fit(self):
                picture = pictures_for(self.classifier, generator)(picture[None])[0]
        elif (
            picture is not None
            and generator is not None
            and self.encoder is not None
            and self.encoder.shape == generator.latent_shape
        ):
            code = self.encoder(picture[None].to(generator.device, generator.dtype))[0]
        if picture is None:
            return None
        return self._as_sample(code, picture, f"what is chosen in {TITLES[self.current]}")

    def _as_sample(self, code: Tensor | None, picture: Tensor, name: str) -> Sample:
        self.sample = Sample(
            self.generator,
            self.classifier,
            code,
            picture,
            "tabs.sample.code",
            "tabs.sample.picture",
            name=name,
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

    def _range(self, sample: Sample) -> tuple[float, float]:
        """The value range of a sample's picture."""
        if self.classifier is not None and tuple(sample.picture.shape) == self.classifier.input_shape:
            return self.classifier.value_range
        assert self.generator is not None
        return self.generator.value_range

    def _kept_chosen(self, kept: KeptSample | None) -> None:
        """A kept sample was clicked: it is what is sent on, until it is clicked again."""
        if kept is None:
            self.handover.offer(None)
            return
        device = (self.generator or self.classifier).device  # type: ignore[union-attr] # there is one of them
        code = None if kept.code is None else kept.code.to(device)
        sample = self._as_sample(code, kept.picture.to(device), kept.name)
        if kept.condition is not None and self.whole is not None:
            sample = replace(sample, generator=of_class(self.whole, kept.condition, kept.of_class))
            self.sample = sample
        self.handover.offer(sample)

    def _routed(self, method: str, sample: Sample) -> None:
        if method == "flip_points" and self.classifier is not None:
            taken = self.classifier.input_shape
            if tuple(sample.picture.shape) != taken:
                self.handover.say(f"{self.classifier.name} takes {taken}, not {tuple(sample.picture.shape)}")
                return
        self._take(sample.generator)
        panel = self.show(method)
        ask = METHODS[method].ask
        if panel is not None and ask is not None:
            ask(panel, sample)

    def _take(self, generator: Generator | None) -> None:
        """Have another class in all tabs but that of the classes; their panels are made anew when opened."""
        if self.generator is None or generator is None or same_class(self.generator, generator):
            return
        self.generator = generator
        stay = {"embeddings", "flip_points"} if self.x is not None else {"embeddings"}
        for name in [name for name in self.panels if name not in stay]:
            parts.replace(self._places[name], [])
            self.panels.pop(name).close()
        if self.kept is not None:
            self._settled()
        self._say_class()

    def _say_class(self) -> None:
        """Which class the tabs are about."""
        if self.generator is None or self.generator.class_names is None:
            self._about.layout.display = "none"
            return
        told = f"All tabs but Classes are about {self.generator.name}" if "embeddings" in self._names else ""
        self._about.value = parts.note(told or f"All tabs are about {self.generator.name}")
