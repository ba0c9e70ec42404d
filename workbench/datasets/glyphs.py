"""Glyphs: 163 classes of characters, an embedded sample rendered from free fonts, and which look alike."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from workbench.datasets.reading import Labelled, reading

#: The file of the embedded sample.
SAMPLE = Path(__file__).parent / "glyphs_sample.npz"
_SCRIPTS = {
    "Latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "digit": "0123456789",
    "Greek": "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρστυφχψω",
    "Cyrillic": "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
    "symbol": "&@#$%?!+=€£§*<>()[]{}",
}
#: The characters, one a class.
CHARACTERS = tuple(character for characters in _SCRIPTS.values() for character in characters)
#: Names of the classes: the character and its script.
NAMES = tuple(f"{character} {script}" for script, characters in _SCRIPTS.items() for character in characters)
#: Characters that many fonts draw with one and the same outline, or so nearly that a picture of one alone does
#: not tell which it is (small letters keep their size, so that C and c are told apart).
HOMOGRAPHS = (
    "AΑА", "BΒВ", "CС", "EΕЕ", "HΗН", "IΙl", "KΚК", "MΜМ", "NΝ", "O0ΟО", "PΡР", "TΤТ", "XΧХ", "YΥ", "ZΖ",
    "ΓГ", "ΠП", "ΦФ", "3З", "oοσ", "vνυu", "pρ", "iι", "kκ", "xχ", "nη", "wω", "aα", "yγУ", "ΛЛ",
)  # fmt: skip
SIZE = 32


class Glyphs(Labelled):
    """Images of characters, (n, 32, 32), with their classes, 0 to 162."""

    def of_class(self, index: int) -> Glyphs:
        """The images of one class."""
        rows = self.labels == index
        return Glyphs(self.images[rows], self.labels[rows])


def sample() -> Glyphs:
    """The embedded sample: 40 glyphs of each class, each from another face of the training fonts."""
    with np.load(reading(SAMPLE), allow_pickle=False) as stored:
        return Glyphs(stored["images"], stored["labels"].astype(np.int64))


def fonts() -> list[dict[str, Any]]:
    """The font packages that drew the glyphs: name, version, licences, number of faces, and whether held out."""
    with np.load(SAMPLE, allow_pickle=False) as stored:
        return json.loads(str(stored["fonts"]))


@cache
def folded() -> Int[Tensor, " classes"]:
    """For each class the first class that looks the same (`HOMOGRAPHS`), itself where none does."""
    first = {character: CHARACTERS.index(group[0]) for group in HOMOGRAPHS for character in group}
    return torch.tensor([first.get(character, i) for i, character in enumerate(CHARACTERS)])
