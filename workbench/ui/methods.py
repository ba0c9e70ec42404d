"""The methods that tabs are of: what each is called, when it applies, how its panel is made and asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
from torch import Tensor

from workbench.models import Generator, ModelError
from workbench.models.latent import pictures_for

if TYPE_CHECKING:
    from workbench.ui.handover import Sample
    from workbench.ui.tabs import Tabs

#: By the name of the method's module, in the order of the tabs.
TITLES = {
    "subspaces": "Subspace search",
    "boundaries": "Boundaries",
    "inverse_sets": "Inverse sets",
    "embeddings": "Classes",
    "flip_points": "Flip points",
}

#: Pictures of the generator that flip points begin with, where no inputs are given.
_DRAWN = 60


@dataclass(frozen=True)
class Method:
    """One tab: when there is one, how its panel is made and asked, the code or picture that is chosen in it."""

    fits: Callable[[Tabs], bool]
    make: Callable[[Any, Tabs], widgets.Widget]
    chosen: Callable[[Any], Tensor | None] = lambda panel: None
    picture: Callable[[Any], Tensor | None] = lambda panel: None
    ask: Callable[[Any, Sample], object] | None = None


def same_class(one: Generator, other: Generator) -> bool:
    """Whether two generators of one network have the same class fixed."""
    if one.fixed is None or other.fixed is None:
        return one.fixed is other.fixed
    return one.name == other.name and torch.equal(one.fixed, other.fixed)


def bound(generator: Generator | None) -> Generator | None:
    """The generator with a class fixed, its first where none is."""
    if generator is None or generator.class_names is None:
        return generator
    try:
        _ = generator.bound
    except ModelError:
        return generator.of_class(0)
    return generator


def fit(tabs: Tabs) -> bool:
    """Whether the classifier takes the generator's pictures as they are."""
    return (
        tabs.generator is not None
        and tabs.classifier is not None
        and tabs.generator.output_shape == tabs.classifier.input_shape
    )


def _inputs(tabs: Tabs) -> Tensor | None:
    """What flip points begin with."""
    if tabs.x is not None or tabs.generator is None or tabs.classifier is None or not fit(tabs):
        return tabs.x
    drawn = tabs.generator.sample(_DRAWN, seed=tabs.seed).outputs
    return pictures_for(tabs.classifier, tabs.generator)(drawn)


#: By the name of the method's module; a folder may not import another, so that panels are found by name.
METHODS = {
    "subspaces": Method(
        lambda tabs: tabs.generator is not None,
        lambda panel, tabs: panel(tabs.generator, seed=tabs.seed),
        lambda panel: panel.search.points[panel.search.current].latent,
        ask=lambda panel, sample: panel.new_start(sample.code),
    ),
    "boundaries": Method(
        lambda tabs: tabs.generator is not None,
        lambda panel, tabs: panel(tabs.generator, seed=tabs.seed),
        lambda panel: panel.query,
        ask=lambda panel, sample: panel.ask(sample.code, sample.code_source),
    ),
    "inverse_sets": Method(
        fit,
        lambda panel, tabs: panel(tabs.generator, tabs.classifier, encoder=tabs.encoder, seed=tabs.seed),
        lambda panel: panel.handover.sample and panel.handover.sample.code,
    ),
    "embeddings": Method(
        lambda tabs: (
            tabs.whole is not None and tabs.whole.class_embeddings is not None and tabs.classifier is not None
        ),
        lambda panel, tabs: panel(tabs.whole, tabs.classifier, seed=tabs.seed),
    ),
    "flip_points": Method(
        lambda tabs: tabs.classifier is not None,
        lambda panel, tabs: panel(tabs.classifier, _inputs(tabs), seed=tabs.seed),
        picture=lambda panel: None if panel.query is None else panel.query[0],
        ask=lambda panel, sample: panel.one.ask(sample.picture.cpu(), sample.picture_source),
    ),
}
