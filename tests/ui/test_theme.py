"""The shared palette: distinct colours that read on light and on dark paper."""

from __future__ import annotations

import pytest
import torch
from PIL import ImageColor

from workbench.ui import theme


def luminance(colour: str) -> float:
    """Relative luminance after WCAG 2.2."""
    parts = [v / 255 for v in ImageColor.getrgb(colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_drawings_that_do_not_know_the_theme_read_on_both_papers():
    assert contrast(theme.NEUTRAL_LINE, "#ffffff") >= 3
    assert contrast(theme.NEUTRAL_LINE, "#111111") >= 3


def test_the_first_colours_of_the_palette_read_on_both_papers():
    for colour in theme.palette(3):
        assert contrast(colour, "#ffffff") >= 3
        assert contrast(colour, "#111111") >= 3


def test_the_palette_repeats_only_when_it_is_used_up():
    assert len(set(theme.palette(len(theme.PALETTE)))) == len(theme.PALETTE)
    assert theme.palette(len(theme.PALETTE) + 1)[-1] == theme.PALETTE[0]


@pytest.mark.parametrize("paper", ["#ffffff", "#111111"])
def test_text_of_figures_reads_on_both_papers(paper):
    assert contrast(theme.plotly_template().layout.font.color, paper) >= 4.2


def test_signed_numbers_become_red_above_zero_blue_below_and_neutral_at_zero():
    colours = theme.diverging(torch.tensor([[-2.0, 0.0, 2.0]]), 2.0)
    assert colours.shape == (3, 1, 3)
    below, zero, above = colours[:, 0].T
    assert below[2] > 2 * below[0] and above[0] > 2 * above[2]
    assert float(zero.max() - zero.min()) < 0.02
    assert torch.equal(theme.diverging(torch.zeros(1, 1), 0.0)[:, 0, 0], zero)


def test_a_difference_stands_beside_its_two_pictures():
    pair = torch.stack([torch.zeros(1, 2, 2), torch.tensor([[[1.0, 0.0], [0.0, -1.0]]])])
    three, value_range = theme.with_difference(pair, (-1.0, 1.0))
    assert three.shape == (3, 3, 2, 2) and value_range == (0.0, 1.0)
    assert torch.equal(three[:2], ((pair + 1) / 2).expand(2, 3, 2, 2))
    assert torch.equal(three[2], theme.diverging(pair[1, 0], 1.0))
    signals, limits = theme.with_difference(torch.tensor([[0.0, 2.0], [1.0, -1.0]]), (0.0, 1.0))
    assert torch.equal(signals[2], torch.tensor([1.0, -3.0])) and limits == (-3.0, 2.0)
