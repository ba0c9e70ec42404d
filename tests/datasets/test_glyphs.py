"""The embedded glyphs: forty of each character, from fonts that are named with their licences."""

from __future__ import annotations

import numpy as np
import torch

from workbench.datasets import glyphs


def test_there_are_163_characters_with_names_of_their_own():
    assert (
        len(glyphs.CHARACTERS) == len(glyphs.NAMES) == len(set(glyphs.NAMES)) == len(set(glyphs.CHARACTERS)) == 163
    )


def test_the_sample_has_forty_different_glyphs_of_each():
    sample = glyphs.sample()
    assert np.bincount(sample.labels, minlength=163).tolist() == [40] * 163
    assert sample.images.shape == (163 * 40, glyphs.SIZE, glyphs.SIZE)
    assert len(np.unique(sample.of_class(0).images.reshape(40, -1), axis=0)) > 35
    tensor = sample.tensor()
    assert (tensor.min(), tensor.max()) == (0, 1)


def test_every_glyph_has_ink_and_keeps_its_size():
    sample = glyphs.sample()
    assert sample.images.reshape(len(sample), -1).max(1).min() > 60
    rows = {c: np.flatnonzero(sample.of_class(glyphs.CHARACTERS.index(c)).images.max((0, 2)) > 128) for c in "Hx"}
    heights = {c: int(r[-1] - r[0] + 1) for c, r in rows.items()}
    assert heights["x"] < heights["H"]


def test_the_fonts_are_named_with_their_licences_and_some_are_held_out():
    fonts = glyphs.fonts()
    assert len(fonts) > 40
    assert sum(font["faces"] for font in fonts) > 300
    assert all(font["licences"] and font["version"] for font in fonts)
    assert {font["held out"] for font in fonts} == {True, False}


def test_homographs_fold_onto_the_first_of_their_group_and_nothing_else_does():
    folded = glyphs.folded()
    character = dict(enumerate(glyphs.CHARACTERS))
    classes = {c: character[int(folded[i])] for i, c in character.items()}
    assert (classes["A"], classes["Α"], classes["А"]) == ("A", "A", "A")
    grouped = set("".join(glyphs.HOMOGRAPHS))
    assert all(classes[c] == c for c in glyphs.CHARACTERS if c not in grouped)
    assert torch.equal(folded[folded], folded)
    assert len("".join(glyphs.HOMOGRAPHS)) == len(grouped)
