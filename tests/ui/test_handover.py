"""A sample goes on to another method's panel, one at a time."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

import workbench as wb
from workbench.ui.handover import Handover, Sample


def sample(*hidden: nn.Module) -> Sample:
    torch.manual_seed(0)
    G = wb.Generator(nn.Sequential(*hidden, nn.Unflatten(1, (1, 2, 2))), latent_shape=4, device="cpu")
    C = wb.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), device="cpu")
    return Sample(G, C, torch.zeros(4), torch.full((1, 2, 2), 0.5), "z", "x", name="sample 3")


def test_the_panel_that_opens_takes_the_place_of_the_one_before():
    handover = Handover()
    assert all(button.disabled for button in handover.buttons.values())
    handover.offer(sample(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), nn.Sigmoid()))
    assert not any(button.disabled for button in handover.buttons.values())
    opened = []
    for method in ("flip_points", "boundaries", "subspaces"):
        handover.buttons[method].click()
        opened.append(handover.panel)
        assert isinstance(handover.panel, getattr(wb, method).Panel)
        assert handover.code.code.startswith(f"wb.{method}.Panel(")
    assert [panel.comm is None for panel in opened] == [True, True, False]
    handover.leave.click()
    assert opened[2].comm is None and handover.panel is None and handover.leave.layout.display == "none"
    handover.close()


def test_what_a_method_refuses_is_said():
    handover = Handover()
    handover.offer(replace(sample(nn.Linear(4, 4), nn.Sigmoid()), code=torch.zeros(3)))
    handover.buttons["boundaries"].click()
    assert handover.panel is None and "Boundaries: " in handover._said.value
    handover.close()
