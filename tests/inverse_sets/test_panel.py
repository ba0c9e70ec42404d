"""The panel does by its widgets what inverse sets do by a few lines of Python."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import workbench as wb
from tests.finished import finished
from workbench.inverse_sets import Encoder, InverseSetError, Panel, band
from workbench.inverse_sets.browse import activity, upper
from workbench.inverse_sets.panel import last_hidden
from workbench.inverse_sets.panel_neurons import PAGE
from workbench.models import Neuron

NAMES = ["ant", "<b>bee</b>", "cat"]
CONV, RELU, FLAT, SCORES = "0", "1", "2", "4"


def generator() -> wb.Generator:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 25), nn.Tanh(), nn.Unflatten(1, (1, 5, 5)))
    return wb.Generator(module, latent_shape=6, value_range=(-1, 1), device="cpu")


def classifier(channels: int = 4) -> wb.Classifier:
    torch.manual_seed(1)
    layers = nn.Conv2d(1, channels, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(9 * channels, 3)
    return wb.Classifier(nn.Sequential(*layers), (1, 5, 5), class_names=NAMES, device="cpu")


@pytest.fixture
def panel() -> Iterator[Panel]:
    made = Panel(generator(), classifier(), n=12, seed=3)
    finish(made)
    yield made
    made.close()


def finish(panel: Panel) -> None:
    finished(panel.neurons.jobs, panel.jobs, panel.drawing)


def choose(panel: Panel, channel: int, layer: str | None = None) -> None:
    """Click a channel's tile."""
    if layer is not None:
        panel.neurons.layer.value = layer
        finish(panel)
    panel.neurons.grid.selected = [panel.neurons._channels.index(channel) - panel.neurons._first]
    finish(panel)


def drag(panel: Panel, left: float, right: float) -> None:
    """Draw a box across the histogram."""
    box = {"type": "rect", "x0": right, "x1": left, "y0": 0, "y1": 1}
    panel.plot.children[0]._js2py_relayout = {"relayout_data": {"selections": [box]}, "source_view_id": "a"}
    finish(panel)


def again(panel: Panel) -> dict:
    """The names that the shown line gives."""
    space = {"wb": wb, "G": panel.generator, "C": panel.classifier, "E": panel.encoder}
    exec(panel.code.code, space)
    return space


def test_the_activations_of_all_channels_are_those_of_its_neurons():
    C, x = classifier(), torch.rand(7, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    C.batches.size = 3
    found = activity(C, x, [RELU, SCORES])
    asked = [Neuron(RELU, 2), Neuron(RELU, 1, reduce="mean"), Neuron(RELU, 3, reduce="max"), Neuron(SCORES, 1)]
    expected = C.activations(x, asked)
    for neuron, column in zip(asked, expected.unbind(1), strict=True):
        assert torch.allclose(found[neuron.layer].of(neuron), column, atol=1e-6)
    with pytest.raises(InverseSetError, match="not recorded"):
        found[RELU].of(Neuron(RELU, 0, position=(0, 0)))


def test_the_band_that_a_neuron_begins_with_holds_its_largest_activations():
    values = torch.arange(101.0)
    assert upper(values) == (95.0, 100.0)
    assert upper(values, 0.25) == (75.0, 100.0)
    assert upper(torch.cat([torch.zeros(99), torch.ones(1)])) == (0.5, 1.0)
    with pytest.raises(InverseSetError, match="dead"):
        upper(torch.zeros(5))


def test_an_empty_panel_says_what_to_do(panel):
    assert panel.rows == [] and "Choose a neuron" in panel._list.children[0].value
    assert panel.again.disabled and panel.keep.disabled and panel.also.disabled
    assert panel.neurons.layer.value == SCORES and panel.neurons.grid.count == 3
    assert panel.neurons.grid.labels[0].startswith("ant · ")


def test_a_click_on_a_neuron_samples_its_upper_band(panel):
    choose(panel, 2)
    chosen = panel.query[0]
    assert (chosen.low, chosen.high) == upper(panel.neurons.values(chosen.neuron))
    values = panel.found.values[:, 0]
    assert len(values) == 12 and (values >= chosen.low).all() and (values <= chosen.high).all()
    assert panel.rows[0].grid.labels == [f"{v:.3g}" for v in values.tolist()]
    assert "12 of 12" in panel.rows[0].facts.value
    assert panel.plot._widget.layout.shapes[0].x0 == chosen.low
    assert list(panel.plot._widget.data[1].x) == pytest.approx(values.tolist())


def test_the_shown_line_finds_the_samples_that_are_shown(panel):
    choose(panel, 2)
    drag(panel, 0.012344, 0.13)
    assert (panel.query[0].low, panel.query[0].high) == (0.01234, 0.13)
    assert len(panel.rows) == 1
    assert torch.equal(again(panel)["found"].codes, panel.found.codes)


def test_the_numbers_beside_the_histogram_set_the_band(panel):
    choose(panel, 0)
    panel.low.value = panel.high.value - 0.05
    finish(panel)
    assert panel.found.limits[0].tolist() == pytest.approx([panel.low.value, panel.high.value])
    before = panel.found
    panel.low.value = panel.high.value + 1
    assert "swap them" in panel.jobs.text and panel.found is before


def test_rows_that_are_kept_stand_beside_the_next_band(panel):
    choose(panel, 2)
    first = panel.found
    panel.keep.click()
    drag(panel, 0.0, 0.1)
    drag(panel, 0.0, 0.12)
    assert len(panel.rows) == 2 and panel.rows[0].found is first
    assert [*panel._list.children] == [*reversed(panel.rows)]
    assert [row.codes.tolist() for row in again(panel)["rows"]] == [row.found.codes.tolist() for row in panel.rows]
    assert len(panel.plot._widget.layout.shapes) == 2
    panel.rows[0].children[0].children[0].children[1].click()
    finish(panel)
    assert len(panel.rows) == 1 and len(panel.plot._widget.layout.shapes) == 1
    assert panel.code.code.startswith("found = ")


def test_a_second_neuron_is_asked_for_besides(panel):
    choose(panel, 2)
    panel.also.value = True
    choose(panel, 0, RELU)
    assert [one.neuron for one in panel.query] == [Neuron(SCORES, 2), Neuron(RELU, 0)]
    assert not panel.also.value and panel.found.values.shape[1] == 2
    assert all(text.count(" · ") == 1 for text in panel.rows[0].grid.labels)
    assert torch.equal(again(panel)["found"].values, panel.found.values)
    assert panel.chips.index == 1 and panel.high.value == panel.query[1].high
    panel.chips.index = 0
    assert panel.high.value == panel.query[0].high
    panel.without.click()
    finish(panel)
    assert [one.neuron for one in panel.query] == [Neuron(RELU, 0)]


def test_the_same_neuron_twice_is_refused(panel):
    choose(panel, 2)
    panel.also.value = True
    panel.ask(Neuron(SCORES, 2))
    assert "two bands" in panel.jobs.text and len(panel.query) == 1


def test_a_dead_neuron_says_so():
    C = classifier()
    C.module[4].weight.zero_()
    panel = Panel(generator(), C, n=4)
    finish(panel)
    choose(panel, 1)
    assert "dead" in panel.jobs.text and panel.rows == [] and panel.query == []
    panel.close()


def test_a_channel_is_read_at_its_centre_by_its_mean_or_by_its_maximum(panel):
    assert panel.neurons.way.layout.display == "none"
    panel.neurons.layer.value = RELU
    finish(panel)
    assert panel.neurons.way.layout.display is None
    panel.neurons.way.value = "maximum"
    choose(panel, 1)
    assert panel.query[0].neuron == Neuron(RELU, 1, reduce="max")
    assert torch.equal(again(panel)["found"].codes, panel.found.codes)


def test_the_pictures_of_a_tile_are_those_that_excite_the_channel_most(panel):
    panel.neurons.layer.value = RELU
    finish(panel)
    values = panel.neurons.activities[RELU].values["centre"]
    tiles = panel.neurons._tiles(values)
    best = panel.neurons._pictures[values[:, 3].argmax()]
    assert tiles.shape == (4, 1, 10, 10) and torch.equal(tiles[3, :, :5, :5], best)


def test_a_wide_layer_is_turned_by_the_page_the_most_active_first():
    panel = Panel(generator(), classifier(channels=8), n=4)
    finish(panel)
    panel.neurons.layer.value = FLAT
    finish(panel)
    neurons = panel.neurons
    largest = neurons.activities[FLAT].values["centre"].amax(0)
    shown = [int(text.split(" · ")[0]) for text in neurons.grid.labels]
    assert len(shown) == PAGE and largest[shown].tolist() == largest.sort(descending=True).values[:PAGE].tolist()
    neurons.forth.click()
    assert neurons.grid.count == 72 - PAGE and neurons.forth.disabled
    later = neurons._channels[PAGE]
    choose(panel, later)
    assert panel.query[0].neuron == Neuron(FLAT, later) and neurons.grid.selected == [0]
    neurons.back.click()
    assert neurons.grid.count == PAGE and neurons.grid.selected == [] and neurons.back.disabled
    panel.close()


def test_a_band_that_cannot_be_reached_shows_what_came_nearest():
    C = classifier()
    panel = Panel(generator(), C, n=5, neurons=band(C, SCORES, 0, 50.0, 60.0))
    finish(panel)
    row = panel.rows[0]
    assert len(panel.found) == 0 and row.grid.name == "nearest"
    assert row.grid.count == len(panel.found.nearest_codes) > 0
    assert "no seed reached the band" in row.facts.value
    row.grid.selected = [1]
    assert torch.equal(panel.handover.sample.code, panel.found.nearest_codes[1])
    panel.close()


def test_cancel_keeps_the_samples_that_there_are():
    C = classifier()
    panel = Panel(generator(), C, n=4000, walkers=2)
    finish(panel)
    seen = []
    show = panel._show
    panel._show = lambda row, found, done: (show(row, found, done=done), seen.append(done), panel.jobs.cancel())
    choose(panel, 2)
    assert seen == [False, True]
    assert panel.found.provenance.partial and 0 < len(panel.found) < 4000
    assert panel.rows[0].grid.count == len(panel.found) and not panel.rows[0].grid.busy
    assert ", stopped" in panel.rows[0].facts.value
    panel.close()


def test_distances_are_taken_where_one_chooses(panel):
    assert panel.distance.value == last_hidden(panel.classifier) == FLAT
    choose(panel, 2)
    panel.distance.value = "pixel"
    finish(panel)
    assert panel.found.distance == "pixel" and "distance='pixel'" in panel.code.code


def test_with_an_encoder_distances_are_taken_in_its_codes():
    C = classifier()
    panel = Panel(generator(), C, n=6, encoder=Encoder(C, RELU), neurons=band(C, SCORES, "cat", 0.0, 0.1))
    finish(panel)
    assert panel.found.distance == f"layer {RELU} of {C.name}" and "encoder=E" in panel.code.code
    assert torch.equal(again(panel)["found"].codes, panel.found.codes)
    panel.close()


def test_given_pictures_are_what_neurons_are_browsed_with():
    x = torch.rand(9, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    panel = Panel(generator(), classifier(), images=x)
    finish(panel)
    assert torch.allclose(panel.neurons.activities[SCORES].values["centre"], panel.classifier.scores(x), atol=1e-6)
    panel.close()
    with pytest.raises(InverseSetError, match="images of shape"):
        Panel(generator(), classifier(), images=x - 1)


@pytest.mark.parametrize(("layer", "how"), [(CONV, {"position": (0, 0)}), (FLAT, {"reduce": "mean"})])
def test_a_neuron_that_is_no_tile_is_sampled_and_none_is_marked(layer: str, how: dict):
    C = classifier()
    panel = Panel(generator(), C, n=4, neurons=band(C, layer, 2, 0.0, 0.1, **how))
    finish(panel)
    neuron = panel.query[0].neuron
    assert panel.rows and panel.found is not None and panel.neurons.values(neuron) is None
    assert panel.neurons.layer.value == layer and panel.neurons.grid.count and panel.neurons.grid.selected == []
    assert len(panel.plot._widget.data[0].x) > 0
    choose(panel, 2)
    assert panel.query[0].neuron == Neuron(layer, 2) and panel.neurons.grid.selected == [2]
    panel.close()


@pytest.mark.parametrize("settings", [{"method": "fast"}, {"walkers": 1}, {"n": 0}])
def test_settings_that_the_sampler_would_refuse_are_refused_at_once(settings: dict):
    with pytest.raises(InverseSetError, match=f"{next(iter(settings))}="):
        Panel(generator(), classifier(), **settings)


def test_bands_of_another_classifier_are_refused():
    with pytest.raises(InverseSetError, match="another classifier"):
        Panel(generator(), classifier(), neurons=band(classifier(), SCORES, 0, 0.0, 1.0))


def test_a_sample_is_sent_to_a_method_whose_panel_closes_with_this_one(panel):
    choose(panel, 2)
    handover = panel.handover
    assert handover.buttons["subspaces"].disabled
    panel.rows[0].grid.selected = [4]
    sample = handover.sample
    assert torch.equal(sample.code, panel.found.codes[4])
    assert torch.allclose(sample.picture, (panel.found.outputs[4] + 1) / 2)
    found = again(panel)
    assert torch.allclose(eval(sample.picture_source, found), sample.picture)
    assert torch.equal(eval(sample.code_source, found), sample.code)
    handover.buttons["subspaces"].click()
    opened = handover.panel
    assert isinstance(opened, wb.subspaces.Panel) and handover.children[-1] is opened
    assert handover.code.code == "wb.subspaces.Panel(G, found.codes[4])"
    panel.close()
    assert opened.comm is None


def test_a_host_may_take_what_is_sent(panel):
    sent = []
    panel.handover.route = lambda method, sample: sent.append((method, sample.name))
    choose(panel, 2)
    panel.rows[0].grid.selected = [1]
    panel.handover.buttons["flip_points"].click()
    assert sent == [("flip_points", "sample 1")] and panel.handover.panel is None


def test_a_sample_that_is_gone_cannot_be_sent(panel):
    choose(panel, 2)
    panel.rows[0].grid.selected = [1]
    drag(panel, 0.0, 0.1)
    assert panel.handover.sample is None and panel.handover.buttons["boundaries"].disabled


def test_names_with_html_in_them_are_escaped(panel):
    choose(panel, 1)
    shown = panel.title.value + panel.rows[0].children[0].children[0].children[0].value
    assert shown.count("&lt;b&gt;bee") == 2 and "<b>bee" not in shown
    assert "&lt;b&gt;bee" in panel.plot._widget.layout.xaxis.title.text


def test_closing_leaves_no_thread_behind(panel):
    choose(panel, 2)
    panel.again.click()
    panel.close()
    for jobs in (panel.jobs, panel.neurons.jobs):
        assert jobs._thread is None or jobs.wait(5)
