"""The face of a session: whether all is saved, the samples that were kept, the notes."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace

import ipywidgets as widgets
import torch
from torch import Tensor, nn

from workbench.sessions.session import NOTES, SAMPLE, KeptSample, Session
from workbench.sessions.state import SessionError
from workbench.ui import parts
from workbench.ui.sample_grid import SampleGrid
from workbench.ui.saving import Saving

_HINT = "What you find, think or plan: it is saved while you write."


class SessionView(widgets.VBox):
    """The samples that were kept as a strip, and the notes; `status` stands where a host puts it.

    Args:
        session: that is shown, and written to.
        chosen: called with a kept sample that was clicked, or None when it is no longer chosen.

    Attributes:
        saving: writes what has changed.
        status: one discreet line: when what was saved, or why not.
        samples: those of the session, in the order of the strip.
    """

    def __init__(self, session: Session, *, chosen: Callable[[KeptSample | None], object]) -> None:
        self.session, self._chosen = session, chosen
        self.samples: list[KeptSample] = []
        self._own: dict[str, KeptSample] = {}  # kept here: they may still have to be written
        self.current: KeptSample | None = None
        self.status = widgets.HTML(layout=widgets.Layout(align_self="flex-end", margin="0 4px 0 0"))
        self.text = ""
        self.saving = Saving(session, self._say)
        self._draft = self.saving.watch(NOTES, NOTES, session.draft_state)
        self._build()
        session.on_change(self._changed)
        self._show_samples()
        self._say(f"opened {session.path.name}", False)

    def _build(self) -> None:
        self.strip = SampleGrid(
            arrangement="strip",
            name="kept",
            tile=56,
            empty_text="Samples that you keep stand here, and can be sent on again.",
        )
        self.strip.on_activate(self._clicked)
        self.remove = parts.button("Remove", "Take the kept sample that is chosen out of the session")
        self.remove.on_click(lambda _: self._remove())
        self.remove.layout.display = "none"
        self.notes = widgets.Textarea(
            value=self.session.notes,
            placeholder=_HINT,
            layout=widgets.Layout(width="100%", height="140px"),
        )
        self.notes.observe(lambda change: self._noted(change["new"]), names="value")
        self.more = widgets.Accordion([self.notes], selected_index=0 if self.session.notes else None)
        self.more.titles = ("Notes",)
        kept = widgets.HBox(
            [widgets.Box([self.strip], layout=widgets.Layout(flex="1 1 320px", min_width="0")), self.remove],
            layout=widgets.Layout(align_items="center", grid_gap="8px"),
        )
        super().__init__([kept, self.more], layout=widgets.Layout(width="100%", grid_gap="6px"))

    # -- what the user does --------------------------------------------------------------------

    def keep(self, sample: KeptSample) -> None:
        """Take a sample into the strip; it is written behind the kernel, and again where that failed."""
        name = self.session.free_name(SAMPLE, usual="sample", taken=self._own)
        self._own[name] = replace(sample, name=name)
        self.saving.watch(SAMPLE, name, sample.state)()
        self._show_samples()

    def choose(self, sample: KeptSample | None) -> None:
        """Make a kept sample the one that is sent on; None takes that back."""
        self.current = sample
        self.strip.current = self._place(sample)
        self.remove.layout.display = None if sample is not None else "none"
        self._chosen(sample)

    def _clicked(self, place: int) -> None:
        clicked = self.samples[place]
        self.choose(None if self._place(self.current) == place else clicked)

    def _remove(self) -> None:
        if self.current is None:
            return
        name = self.current.name
        try:
            self.saving.drop(SAMPLE, name)
        except SessionError as error:
            self._say(f"not removed: {error}", True)
            return
        self._own.pop(name, None)
        self.choose(None)
        self._show_samples()

    def _noted(self, text: str) -> None:
        if text != self.session.notes:
            self.session.draft(text)
            self._draft()

    # -- what follows from it ------------------------------------------------------------------

    def _changed(self, kind: str) -> None:
        """Something was written or removed, by a button here or by a line of Python."""
        if kind == SAMPLE:
            self._show_samples()
        elif kind == NOTES:
            self.notes.value = self.session.notes

    def _show_samples(self) -> None:
        stored = self.session.samples
        names = {sample.name for sample in stored}
        self.samples = stored + [sample for name, sample in self._own.items() if name not in names]
        place = self._place(self.current)
        if not self.samples:
            self.strip.clear()
        else:
            first = self.samples[0].picture.shape
            pictures = torch.stack([_normalised(sample, first) for sample in self.samples])
            self.strip.show(pictures, labels=[sample.name for sample in self.samples], current=place)
        if self.current is not None and place < 0:
            self.choose(None)

    def _place(self, sample: KeptSample | None) -> int:
        """Where the sample of that name stands in the strip, or -1: it is read anew after every change."""
        names = [one.name for one in self.samples]
        return names.index(sample.name) if sample is not None and sample.name in names else -1

    def _say(self, text: str, failed: bool) -> None:
        self.text = text
        colour = "var(--jp-error-color1,#cf222e)" if failed else "var(--jp-ui-font-color2,#656d76)"
        style = f"font-size:12px;line-height:1.5;color:{colour}"
        self.status.value = f'<span role="status" style="{style}">{html.escape(text)}</span>'

    def close(self) -> None:
        """Write what is still to be written, give the session back, and close every widget."""
        if hasattr(self, "strip"):
            self.session.close()
            self.status.close()
            parts.close_all(self)
        super().close()


def _normalised(sample: KeptSample, shape: torch.Size) -> Tensor:
    """The picture from black 0 to white 1, in the size of the strip's first where it has another."""
    low, high = sample.value_range
    picture = (sample.picture.float() - low) / (high - low)
    if picture.shape == shape:
        return picture
    if picture.ndim == len(shape) == 3:
        if picture.shape[0] != shape[0]:
            picture = picture.mean(0, keepdim=True)
        return nn.functional.interpolate(picture[None], tuple(shape[1:]))[0].expand(shape)
    return torch.zeros(shape)
