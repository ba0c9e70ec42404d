"""What is saved of the panel of inverse sets: the layer, the bands, and all rows with their samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.inverse_sets.bands import Band
from workbench.models import Classifier, Neuron
from workbench.sessions import State
from workbench.sessions.expressions import expression

if TYPE_CHECKING:
    from workbench.inverse_sets.panel import Panel


def state_of(panel: Panel) -> State:
    """The query and the controls, and each row that has samples."""
    with panel.showing:
        rows = [row for row in panel.rows if row.found is not None]
        sampling = panel.asked or (bool(panel.rows) and panel.rows[-1].found is None)
        settings = {
            "layer": panel.neurons.layer.value,
            "bands": [_plain(band) for band in panel.query],
            "looked_at": panel.at,
            "count": panel.count.value,
            "distance": panel.distance.value,
            "kept": panel.kept or sampling,
            "sampling": sampling,
            "rows": [
                {"title": row.title, "wanted": row.wanted, "code": row.code, "several": row.several}
                for row in rows
            ],
        }
        return State(settings, {f"row {i}": row.found for i, row in enumerate(rows) if row.found is not None})


def restore(panel: Panel, state: State) -> None:
    """Show the rows of a state and its query; it is sampled where that had only begun.

    Raises:
        LayerError, InverseSetError: a neuron or band that this classifier does not have.
        SessionError: a line of Python is none of a panel's.
    """
    settings = state.settings
    told = [{**row, "code": expression(row["code"])} for row in settings["rows"]]
    bands = [_band(panel.classifier, plain) for plain in settings["bands"]]
    panel.jobs.halt()
    panel.resume(
        bands,
        at=settings["looked_at"],
        count=settings["count"],
        distance=settings["distance"],
        kept=settings["kept"],
        rows=[(row, state.results[f"row {i}"]) for i, row in enumerate(told)],
    )
    panel.neurons.layer.value = settings["layer"]
    panel.neurons.open_layers([settings["layer"], *(band.neuron.layer for band in bands)])
    if settings["sampling"]:
        panel.again.click()


def _plain(band: Band) -> dict[str, Any]:
    neuron = band.neuron
    place = None if neuron.position is None else list(neuron.position)
    return {
        "layer": neuron.layer,
        "channel": neuron.channel,
        "position": place,
        "reduce": neuron.reduce,
        "low": band.low,
        "high": band.high,
    }


def _band(classifier: Classifier, plain: dict[str, Any]) -> Band:
    place = plain["position"]
    neuron = Neuron(plain["layer"], plain["channel"], None if place is None else tuple(place), plain["reduce"])
    return Band(classifier, neuron, plain["low"], plain["high"])
