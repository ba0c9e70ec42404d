"""What `wb.open` begins with where it has a session: its networks, inputs and seed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.files import exists
from workbench.models import Classifier, Generator, ModelError
from workbench.results import sha256_of
from workbench.sessions.session import NOTES, SAMPLE, Session
from workbench.sessions.state import SessionError, State

#: The name under which a session has what is not of one panel.
TABS = "tabs"


@dataclass(frozen=True)
class Beginning:
    """What the tabs are opened with.

    Attributes:
        generator, classifier, encoder, x, seed: as for `wb.open`.
        current: the name of the tab that was open, or "".
        session: or None.
        of_class: the generator of the class that the tabs were about, or None.
    """

    generator: Generator | None
    classifier: Classifier | None
    encoder: Any
    x: Float[Tensor, "n *input"] | None
    seed: int
    current: str = ""
    session: Session | None = None
    of_class: Generator | None = None


def resume(path: str | Path | Session, given: Beginning, *, seed: int | None) -> Beginning:
    """What was given, and of the rest what the session has.

    Raises:
        ModelError: there is no session yet, and no network is given for a new one.
        SessionError: the session cannot be opened, or belongs to other networks; see `Session.belongs_to`.
    """
    new = not isinstance(path, Session) and not exists(Path(path).expanduser())
    if new and given.generator is None and given.classifier is None:
        raise ModelError(
            f"there is no session at {path} yet; give the networks for a new one: "
            f"wb.open(G, C, session={str(path)!r})"
        )
    session = path if isinstance(path, Session) else Session(path)
    try:
        for item in session.items():
            if item.kind in (SAMPLE, NOTES):  # damaged ones are told before anything is written
                session.load(item)
        state = session.panel(TABS) or State()
        generator, classifier, encoder = given.generator, given.classifier, given.encoder
        of_encoder = None if encoder is None else encoder.classifier
        known = session.models.get("encoder")
        if known and encoder is None and classifier is not None and known["fingerprint"] == classifier.fingerprint:
            of_encoder = classifier
        device = next((m.device for m in (generator, classifier) if m is not None), "auto")
        found = session.belongs_to(
            {"generator": generator, "classifier": classifier, "encoder": of_encoder}, device=device
        )
        if encoder is None and found["encoder"] is not None:
            layer = state.settings.get("encoder_layer")
            if layer is None:  # a kernel that ended between writing the networks and the tabs' own state
                raise SessionError(
                    f"{session.path.name} does not say at which layer its encoder ends; "
                    "pass encoder=wb.inverse_sets.Encoder(C, layer)"
                )
            encoder = import_module("workbench.inverse_sets").Encoder(found["encoder"], layer)
        stored = int(state.settings.get("seed", 0))
    except BaseException:
        session.close()
        raise
    return Beginning(
        found["generator"],  # type: ignore[arg-type] # the role says which of the two kinds
        found["classifier"],  # type: ignore[arg-type]
        encoder,
        state.tensors.get("x") if given.x is None else given.x,
        stored if seed is None else seed,
        state.settings.get("current", ""),
        session,
        _about(found["generator"], state),
    )


def of_class(generator: Generator, fixed: Tensor, name: str) -> Generator:
    """A generator with a class fixed (index or embedding) that has a name of its own, such as a repaired one."""
    bound = generator.of_class(fixed.to(generator.device) if fixed.ndim else int(fixed))
    bound.name = name
    return bound


def panel_name(method: str, generator: Generator | None) -> str:
    """Under which name a session has a panel: one for each class that it was about."""
    if generator is None or generator.fixed is None:
        return method
    return f"{method} of class {sha256_of(generator.fixed)[:12]}"


def _about(generator: Any, state: State) -> Generator | None:
    fixed = state.tensors.get("fixed")
    return None if fixed is None or generator is None else of_class(generator, fixed, state.settings["of_class"])


def state_of(tabs: Any) -> State:
    """What a session has of the tabs themselves."""
    settings = {
        "seed": tabs.seed,
        "current": tabs.current,
        "encoder_layer": None if tabs.encoder is None else tabs.encoder.layer,
    }
    tensors = {} if tabs.x is None else {"x": torch.as_tensor(tabs.x)}
    if tabs.generator is not None and tabs.generator.fixed is not None:
        settings["of_class"], tensors["fixed"] = tabs.generator.name, tabs.generator.fixed
    return State(settings, tensors=tensors)
