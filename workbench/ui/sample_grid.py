"""A grid of many samples, or a strip of a few: look, sort, select and export (widgets/sample-grid)."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import traitlets as t

from workbench.ui.assets import asset_text
from workbench.ui.pictured import Pictured, cut, tiled
from workbench.ui.shared_module import SharedModule
from workbench.ui.sprites import frames, frames_per_sheet, pack

if TYPE_CHECKING:
    from PIL import Image

    from workbench.ui.sprites import Array, Sheet

# A sheet with fewer frames than this is encoded again with the next ones: one call for each new sample
# then leaves some tens of sheets, not one for each sample.
_SMALL_SHEET = 64


# Samples in the still picture of a grid or strip, those in a row, and their longer side in pixels.
_STILLS, _IN_A_ROW, _STILL = 60, 12, 56


def _selection(data: Any, grid: SampleGrid) -> list[int]:
    """Of the samples that the browser names, those that are there: others may have gone meanwhile."""
    if not isinstance(data, list):
        return grid.selected
    return [i for i in data if type(i) is int and 0 <= i < grid.count]


def _activation(data: Any, grid: SampleGrid) -> dict[str, Any]:
    """The sample that the browser opened, if it is there; else the present one."""
    index = data.get("index") if isinstance(data, dict) else None
    return data if type(index) is int and 0 <= index < grid.count else grid.activated


def _sorting(data: Any, grid: SampleGrid) -> dict[str, Any]:
    """The order that the browser asks for, if there is such a value; else the present one."""
    by = data.get("by") if isinstance(data, dict) else None
    if not isinstance(by, str) or (by and by not in grid.values):
        return grid.sort
    return {"by": by, "descending": bool(data.get("descending"))}


class SampleGrid(Pictured, SharedModule):
    """Samples as tiles on one canvas: thousands scroll without lag, values show on hover, sort and select.

    Samples travel as compressed sheets. A selection comes back as indices of samples, in ``selected``,
    when the user has made it; hovering, scrolling and rubber bands in progress send nothing.

    >>> grid = SampleGrid(empty_text="Choose a neuron, then press Start.")
    >>> grid.show(images, value_range=(-1, 1), values={"activation": a}, sort_by="activation", descending=True)
    >>> grid.append(more_images, values={"activation": b})
    >>> grid.on_select(lambda indices: print(indices))
    >>> grid.filter([7, 3, 12])                                     # such as the points of a lasso

    ``SampleGrid(arrangement="strip")`` is one row with labels below the pictures: a history of steps.
    """

    _source = asset_text("widgets/sample-grid/sample-grid.js")
    _style_sheet = asset_text("widgets/sample-grid/sample-grid.css")

    # To the browser. The bytes of the sheets are in traits sheet_0, sheet_1 ..., made when needed, so that
    # appending sends only what is new; `sheets` says what they hold, and its change is the signal to draw.
    sheets = t.List().tag(sync=True)
    values = t.Dict(help="name -> one number (or None) for each sample").tag(sync=True)
    labels = t.List(t.Unicode(), help="one text for each sample, or none").tag(sync=True)
    arrangement = t.Enum(["grid", "strip"], "grid").tag(sync=True)
    captions = t.Bool(False, help="labels stand below the pictures of a grid, too").tag(sync=True)
    multiple = t.Bool(True, help="several samples can be selected").tag(sync=True)
    tile = t.Int(64, help="longer side of a tile, CSS pixels").tag(sync=True)
    height = t.Int(420, help="greatest height of a grid, CSS pixels").tag(sync=True)
    current = t.Int(-1, help="marked sample of a strip; -1 for none").tag(sync=True)
    parents = t.List(help="index of the sample each one came from, or None").tag(sync=True)
    busy = t.Bool(False, help="more samples are coming").tag(sync=True)
    name = t.Unicode("samples", help="what the count and the exported file are called").tag(sync=True)
    empty_text = t.Unicode("No samples yet.", help="shown while there are none: say what to do").tag(sync=True)
    uid = t.Unicode(help="joins the views of this model in one page").tag(sync=True)
    only = t.List(t.Int(), None, allow_none=True, help="samples in sight, in order; None: all").tag(sync=True)

    # Both ways.
    selected = t.List(t.Int(), help="indices of the selected samples, ascending").tag(
        sync=True, from_json=_selection
    )
    sort = t.Dict({"by": "", "descending": False}, help="by: name of a value, or '' for order").tag(
        sync=True, from_json=_sorting
    )

    # From the browser: {"index": i, "serial": n} at a double click or Enter; in a strip at every click.
    activated = t.Dict().tag(sync=True, from_json=_activation)

    def __init__(
        self, *, arrangement: Literal["grid", "strip"] = "grid", multiple: bool | None = None, **traits: Any
    ) -> None:
        multiple = arrangement == "grid" if multiple is None else multiple
        super().__init__(arrangement=arrangement, multiple=multiple, uid=uuid.uuid4().hex, **traits)
        self._stamp = 0
        self._tail: np.ndarray | None = None  # pictures of the last sheet while it is small
        self._value_range = (0.0, 1.0)

    @property
    def count(self) -> int:
        """Number of samples shown."""
        return sum(sheet["count"] for sheet in self.sheets)

    def show(
        self,
        images: Array,
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        values: Mapping[str, Sequence[float]] | None = None,
        labels: Sequence[str] | None = None,
        parents: Sequence[int | None] | None = None,
        current: int = -1,
        sort_by: str | None = None,
        descending: bool = False,
    ) -> None:
        """Show these samples instead of the present ones; the selection is cleared.

        Args:
            images: images (n, 1 or 3, H, W) or signals (n, L) or (n, channels, L).
            value_range: values shown as black and white; for signals the y-range.
            values: numbers for each sample, shown on hover, to sort by; not finite ones show as missing.
            labels: a text for each sample.
            parents: for each sample the index of the one it came from, or None; a strip marks branches.
            current: index of the marked sample of a strip, -1 for none.
            sort_by: name of a value to sort by; None keeps the order.

        Raises:
            ValueError: values or labels of another length, an unknown ``sort_by``, or images that cannot
                be drawn (see :mod:`workbench.ui.sprites`).
        """
        pictures = frames(images, value_range)
        n = len(pictures)
        new_values = _checked_values(values or {}, n)
        new_labels = _checked_length("labels", list(map(str, labels or [])), n)
        new_parents = _checked_length("parents", _plain_indices(parents or []), n)
        if sort_by is not None and sort_by not in new_values:
            raise ValueError(f"sort_by must be one of {sorted(new_values)}, got {sort_by!r}.")
        packed = _packed(pictures)
        with self.hold_sync():
            self._value_range = value_range
            self.values, self.labels, self.parents, self.current = (
                new_values,
                new_labels,
                new_parents,
                current,
            )
            self.selected, self.only = [], None
            self.sort = {"by": sort_by or "", "descending": bool(descending)}
            self._put(packed, kept=[])

    def append(
        self,
        images: Array,
        values: Mapping[str, Sequence[float]] | None = None,
        *,
        labels: Sequence[str] | None = None,
        parents: Sequence[int | None] | None = None,
        current: int | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        """Add samples at the end; arguments as in :meth:`show`, of which names and sizes must stay the same."""
        if not self.sheets:
            self.show(
                images,
                value_range=value_range or self._value_range,
                values=values,
                labels=labels,
                parents=parents,
                current=-1 if current is None else current,
            )
            return
        pictures = frames(images, value_range or self._value_range)
        n, height, width, _ = pictures.shape
        last = self.sheets[-1]
        if (width, height) != (last["width"], last["height"]):
            raise ValueError(
                f"Appended frames must have the size of those shown, {last['width']} x {last['height']} pixels; "
                f"got {width} x {height}. Use show() for other images."
            )
        added = _checked_values(values or {}, n)
        if set(added) != set(self.values):
            raise ValueError(f"Appended samples need the values {sorted(self.values)}, got {sorted(added)}.")
        before = self.count
        new_labels = _checked_length("labels", list(map(str, labels or [])), n)
        new_parents = _checked_length("parents", _plain_indices(parents or []), n)
        kept = list(self.sheets)
        if self._tail is not None and self._tail.shape[1:] == pictures.shape[1:]:
            pictures = np.concatenate([self._tail, pictures])
            kept = kept[:-1]
        packed = _packed(pictures)
        with self.hold_sync():
            self.values = {name: [*old, *added[name]] for name, old in self.values.items()}
            if self.labels or new_labels:
                self.labels = _padded(self.labels, before, "") + _padded(new_labels, n, "")
            if self.parents or new_parents:
                self.parents = _padded(self.parents, before, None) + _padded(new_parents, n, None)
            if current is not None:
                self.current = current
            self._put(packed, kept=kept)

    def clear(self) -> None:
        """Take all samples away and show ``empty_text`` again."""
        with self.hold_sync():
            self.selected, self.values, self.labels, self.parents, self.current = [], {}, [], [], -1
            self.only = None
            self._tail = None
            self._keep_slots(0)
            self.sheets = []

    def filter(self, indices: Sequence[int] | None) -> None:
        """Show only these samples, in this order unless the grid is sorted by a value; None shows all again.

        Samples keep their indices, and the selection stays. ``grid.selected = indices`` marks samples instead.

        Raises:
            ValueError: an index that no sample has, or one that comes twice.
        """
        if indices is None:
            self.only = None
            return
        chosen = [int(i) for i in indices]
        wrong = [i for i in chosen if not 0 <= i < self.count]
        if wrong:
            raise ValueError(f"filter needs indices of the {self.count} samples, got {wrong[0]}.")
        twice = [i for i, times in Counter(chosen).items() if times > 1]
        if twice:
            raise ValueError(f"filter needs each index once, got {twice[0]} more often.")
        self.only = chosen

    def still(self) -> Image.Image | None:
        """The first samples in the order that they are shown in."""
        order = self._order()[: _IN_A_ROW if self.arrangement == "strip" else _STILLS]
        if not order:
            return None
        images: dict[int, Image.Image] = {}
        first = 0
        for sheet in self.sheets:
            inside = [i for i in order if first <= i < first + sheet["count"]]
            if inside:
                pictures = cut(getattr(self, sheet["slot"]), sheet, [i - first for i in inside])
                images |= dict(zip(inside, pictures, strict=True))
            first += sheet["count"]
        return tiled([images[i] for i in order], columns=_IN_A_ROW, side=_STILL)

    def on_select(self, callback: Callable[[list[int]], object]) -> Callable[[], None]:
        """Call ``callback`` with the indices of the selected samples; returns a function that stops this."""
        return self._listen("selected", lambda new: callback(list(new)))

    def on_activate(self, callback: Callable[[int], object]) -> Callable[[], None]:
        """Call ``callback`` with the index of a sample that was opened: double click, Enter, click in a strip."""
        return self._listen("activated", lambda new: callback(int(new["index"])) if new else None)

    def _order(self) -> list[int]:
        """Indices of the samples in sight, as the browser orders them: missing values come last."""
        order = [i for i in self.only if i < self.count] if self.only is not None else list(range(self.count))
        values = self.values.get(self.sort["by"]) if self.arrangement == "grid" else None
        if values is not None:
            sign = -1 if self.sort["descending"] else 1
            return sorted(order, key=lambda i: (values[i] is None, sign * (values[i] or 0.0), i))
        return order[::-1] if self.sort["descending"] and self.arrangement == "grid" else order

    def _listen(self, name: str, callback: Callable[[Any], object]) -> Callable[[], None]:
        def changed(change: Any) -> None:
            callback(change["new"])

        self.observe(changed, names=name)
        return lambda: self.unobserve(changed, names=name)

    def _put(self, packed: list[tuple[Sheet, np.ndarray | None]], *, kept: list[dict[str, Any]]) -> None:
        """Have sheets follow the kept ones."""
        described = list(kept)
        for sheet, tail in packed:
            slot = f"sheet_{len(described)}"
            self._fill_slot(slot, sheet.data)
            self._stamp += 1
            described.append({"slot": slot, "stamp": self._stamp, **sheet.layout()})
            self._tail = tail
        self._keep_slots(len(described))
        self.sheets = described

    def _fill_slot(self, slot: str, data: bytes) -> None:
        if self.has_trait(slot):
            self.set_trait(slot, data)
        else:
            self.add_traits(**{slot: t.Bytes(data).tag(sync=True)})

    def _keep_slots(self, count: int) -> None:
        """Empty the sheets that are no longer used: a trait cannot be removed, but it need not hold anything."""
        for slot in self.trait_names(sync=True):
            if slot.startswith("sheet_") and int(slot.removeprefix("sheet_")) >= count:
                self.set_trait(slot, b"")


def _packed(pictures: np.ndarray) -> list[tuple[Sheet, np.ndarray | None]]:
    """Pictures as sheets, each with its pictures while it is small."""
    size = frames_per_sheet(pictures.shape[1], pictures.shape[2])
    parts = [pictures[first : first + size] for first in range(0, len(pictures), size)]
    return [(pack(part), part if len(part) < min(size, _SMALL_SHEET) else None) for part in parts]


def _checked_values(values: Mapping[str, Sequence[float]], n: int) -> dict[str, list[float | None]]:
    """Return plain numbers, None for what is not finite: JSON knows neither NaN nor infinity."""
    plain = {}
    for name, column in values.items():
        numbers = [float(v) for v in column]
        if not numbers:
            raise ValueError(f"{name} needs one entry for each of the {n} samples, got none.")
        plain[str(name)] = [v if math.isfinite(v) else None for v in _checked_length(name, numbers, n)]
    return plain


def _checked_length(name: str, entries: list[Any], n: int) -> list[Any]:
    if entries and len(entries) != n:
        raise ValueError(f"{name} needs one entry for each of the {n} samples, got {len(entries)}.")
    return entries


def _plain_indices(indices: Sequence[int | None]) -> list[int | None]:
    return [None if i is None else int(i) for i in indices]


def _padded(entries: Sequence[Any], n: int, fill: Any) -> list[Any]:
    return [*entries, *[fill] * (n - len(entries))]
