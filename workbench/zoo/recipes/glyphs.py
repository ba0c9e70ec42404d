"""Renders the glyphs: every character from every suitable face of the installed free fonts of Debian.

`apt-get install --no-install-recommends $(python -m workbench.zoo.recipes.glyphs packages)` installs the fonts,
`pip install "latent-workbench[recipes]"` what reads them, and `python -m workbench.zoo.recipes.glyphs sample`
writes the embedded sample anew. Every face is scaled to one height of its capitals, so that a small letter is told
from a capital by its size, and set on one baseline. Whole designs are held out for testing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fontTools.ttLib import TTCollection, TTFont, TTLibError
from jaxtyping import Bool, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from workbench.datasets.glyphs import CHARACTERS, SAMPLE, SIZE, Glyphs

FONTS = Path("/usr/share/fonts")
#: The packages, each `fonts-` and one of these.
PACKAGES = (
    "agave", "anonymous-pro", "apropal", "arkpandora", "averia-sans-gwf", "averia-serif-gwf", "b612",
    "bajaderka", "beteckna", "cantarell", "cardo", "clear-sans", "cmu", "comfortaa", "comic-neue",
    "courier-prime", "croscore", "crosextra-caladea", "crosextra-carlito", "dejavu-core", "dejavu-extra",
    "ebgaramond", "elstob", "essays1743", "eurofurence", "fantasque-sans", "firacode", "freefont-ttf",
    "georgewilliams", "gfs-artemisia", "gfs-neohellenic", "go", "hack", "havana", "hermit", "inconsolata",
    "inter", "inter-variable", "jetbrains-mono", "junicode", "jura", "lato", "league-spartan", "liberation",
    "lindenhill", "linuxlibertine", "manrope", "millimetre", "monofur", "monoid-tight", "mononoki",
    "mph-2b-damase", "mplus", "noto-core", "noto-extra", "noto-mono", "ocr-b", "oldstandard", "open-sans",
    "opendyslexic", "osifont", "oxygen", "paratype", "play", "quattrocento", "rit-sundar", "roboto-slab",
    "roboto-unhinted", "sil-andika", "sil-charis", "sil-doulos", "sil-ezra", "sil-gentium",
    "sil-gentium-basic", "sora", "stix", "tiresias", "tuffy", "uralic", "urw-base35", "vollkorn",
    "yrsa-rasa",
)  # fmt: skip
#: Height of a capital H and row of the baseline, in pixels.
_CAPITAL, _BASELINE = 18, 24
_FINER = 4
#: Faces of one package at the most, so that no design prevails.
_FACES = 12
#: Packages that hold the same design under another name: held out together, else the test would know its answers.
_SAME_DESIGN = {
    "fonts-croscore": "fonts-liberation",
    "fonts-arkpandora": "fonts-dejavu",
    "fonts-crosextra-carlito": "fonts-lato",
    "fonts-open-sans": "fonts-noto",
}
_TITLES = {
    "OFL": r"SIL\s+Open\s+Font\s+License|Open Font License",
    "GPL": r"GNU\s+General\s+Public\s+License",
    "Apache": r"Apache\s+License",
    "MIT": r"MIT License|X11 License",
    "public domain": r"public domain",
}
#: Chooses faces, designs and the glyphs of the sample.
_SEED = 0
#: Share of the designs that is held out.
_HELD_OUT = 0.15
#: Glyphs of a class in the sample.
_EACH = 40
#: A face needs these; Greek and Cyrillic are taken where they are.
_NEEDED = [ord(c) for c in "HxABCabc0123456789&@?"]
#: Names of faces that do not draw letters the usual way: symbols, small capitals, decoration, handwriting.
_UNUSUAL = re.compile(
    r"symbol|dingbat|math|emoji|unifont|barcode|music|caps|\bsc\b|\bsmcp|ornament|initial|cursor|shorthand"
    r"|duployan|bitmap|braille|outline|stencil|shadow|swash|chancery|script|hand|italic text|fraktur|blackletter"
    r"|isabella|humor|upright italic|unslanted|bullets|keyb|dustis|overhead|webelette|marker|dot|pixel|icon"
    r"|cursive|penguin|winks|wargames|swift|flatline|progenitus|progeny|its ?simple|domestic|el ?abogado"
    r"|balloon|caliban|ballpark|murrx|junkyard|powder|holiday|plastic|it wasn|thin|hairline|extralight|ultralight"
    r"|caveat|pacifico|lobster|typewriter|condensed|compressed|extrabold|black|heavy|ultra",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rendered:
    """All glyphs.

    Attributes:
        images: (n, 32, 32) uint8, ink is 255.
        labels: (n,) class.
        faces: (n,) which face drew each.
        held_out: (n,) whether its package is kept for testing.
        fonts: the packages: name, version, licences, number of faces, held out.
    """

    images: UInt8[np.ndarray, "n 32 32"]
    labels: Int[np.ndarray, " n"]
    faces: Int[np.ndarray, " n"]
    held_out: Bool[np.ndarray, " n"]
    fonts: list[dict[str, Any]]

    def split(self, *, held_out: bool) -> Glyphs:
        """The glyphs of the designs that are held out, or of the others."""
        rows = self.held_out == held_out
        return Glyphs(self.images[rows], self.labels[rows])


def render() -> Rendered:
    """Every character that each chosen face has.

    Chosen at random are the faces of a package that has many, and the designs that are held out, each with all its
    packages (`_design`).

    Raises:
        FileNotFoundError: no fonts are installed; says which packages the shipped weights were made from.
    """
    random = np.random.default_rng(_SEED)
    by_package: dict[str, list[tuple[str, int, frozenset[int]]]] = defaultdict(list)
    for path, package in sorted(_files().items()):
        for number, characters in _faces(path):
            by_package[package].append((path, number, characters))
    if not by_package:
        raise FileNotFoundError(
            f"none of the recipe's fonts are in {FONTS}; on Debian: apt-get install --no-install-recommends "
            "$(python -m workbench.zoo.recipes.glyphs packages)"
        )
    packages = sorted(by_package)
    designs = sorted({_design(package) for package in packages})
    kept = set(random.permutation(designs)[: round(_HELD_OUT * len(designs))].tolist())
    images, labels, faces, tests = [], [], [], []
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    face = 0
    for package in packages:
        candidates = by_package[package]
        for i in random.permutation(len(candidates)):
            if counts[package] == _FACES:
                break
            path, number, characters = candidates[i]
            drawn = _draw(path, number, characters)
            signature = b"".join(drawn[c].tobytes() for c in range(20) if c in drawn)
            if len(drawn) < 80 or signature in seen:
                continue
            seen.add(signature)
            counts[package] += 1
            for label, image in drawn.items():
                images.append(image)
                labels.append(label)
                faces.append(face)
                tests.append(_design(package) in kept)
            face += 1
    fonts = [
        {
            "package": package,
            "version": _version(package),
            "licences": _licences(package),
            "faces": counts[package],
            "held out": _design(package) in kept,
        }
        for package in packages
        if counts[package]
    ]
    return Rendered(np.stack(images), np.array(labels), np.array(faces), np.array(tests), fonts)


def _design(package: str) -> str:
    """What the packages of one design have in common: fonts-dejavu of fonts-dejavu-core and -extra."""
    base = _SAME_DESIGN.get(package, package)
    return "-".join(base.split("-")[: 3 if base.startswith(("fonts-sil-", "fonts-gfs-")) else 2])


def _files() -> dict[str, str]:
    """Path of each outline font of the recipe to its Debian package."""
    listed = subprocess.run(
        ["dpkg-query", "--search", f"{FONTS}/*.ttf", f"{FONTS}/*.otf"], capture_output=True, text=True, check=False
    ).stdout
    found = {}
    for line in listed.splitlines():
        packages, _, path = line.partition(": ")
        package = packages.split(":")[0].split(",")[0]
        if package.removeprefix("fonts-") in PACKAGES and Path(path).is_file() and not Path(path).is_symlink():
            found[path] = package
    return found


def _faces(path: str) -> Iterator[tuple[int, frozenset[int]]]:
    """The usable faces in a file, with the code points that each has."""
    try:
        if path.endswith((".ttc", ".otc")):
            fonts = TTCollection(path, lazy=True).fonts
        else:
            fonts = [TTFont(path, lazy=True)]
        for number, font in enumerate(fonts):
            name = " ".join(str(font["name"].getDebugName(i) or "") for i in (1, 2, 4, 16, 17))
            characters = frozenset(font.getBestCmap() or ())
            if not _UNUSUAL.search(f"{name} {Path(path).stem}") and characters.issuperset(_NEEDED):
                yield number, characters
    except (TTLibError, KeyError, AssertionError, ValueError):  # a damaged or unusual table: leave the face out
        return


def _draw(path: str, number: int, characters: frozenset[int]) -> dict[int, UInt8[np.ndarray, "32 32"]]:
    """The glyphs of one face, by class."""
    finer = _CAPITAL * _FINER
    probe = ImageFont.truetype(path, 1000, index=number, layout_engine=ImageFont.Layout.BASIC)
    top, bottom = probe.getbbox("H", anchor="ls")[1::2]
    if bottom - top < 300 or abs(bottom) > 30:
        return {}
    font = ImageFont.truetype(
        path, round(1000 * finer / (bottom - top)), index=number, layout_engine=ImageFont.Layout.BASIC
    )
    drawn = {}
    for label, character in enumerate(CHARACTERS):
        if ord(character) not in characters:
            continue
        left, top, right, bottom = font.getbbox(character, anchor="ls")
        if right - left < 3 or bottom - top < 3:
            continue
        edge = SIZE * _FINER
        width = max(edge, round(right - left) + 4 * _FINER)
        canvas = Image.new("L", (width, edge), 0)
        start = (width - (right - left)) / 2 - left
        ImageDraw.Draw(canvas).text((start, _BASELINE * _FINER), character, fill=255, font=font, anchor="ls")
        drawn[label] = np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX))
    return drawn


def _version(package: str) -> str:
    return subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", package], capture_output=True, text=True, check=False
    ).stdout


def _licences(package: str) -> list[str]:
    """The licences that the package's copyright file names, by its fields or else by their titles in its text."""
    path = Path("/usr/share/doc") / package / "copyright"
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.lstrip().startswith("Format:"):
        return sorted(
            {line.strip() for line in re.findall(r"^License:\s*(\S.*)$", text, re.MULTILINE)} - {"-----"}
        )
    return [short for short, title in _TITLES.items() if re.search(title, text, re.IGNORECASE)]


def write_sample(rendered: Rendered) -> Path:
    """Write the embedded sample: glyphs of every class from the training designs, and the list of fonts."""
    random = np.random.default_rng(_SEED)
    chosen = []
    for label in range(len(CHARACTERS)):
        rows = np.flatnonzero((rendered.labels == label) & ~rendered.held_out)
        chosen.append(np.sort(random.permutation(rows)[:_EACH]))
    rows = np.concatenate(chosen)
    np.savez_compressed(
        SAMPLE,
        images=rendered.images[rows],
        labels=rendered.labels[rows].astype(np.uint8),
        fonts=np.array(json.dumps(rendered.fonts)),
    )
    return SAMPLE


if __name__ == "__main__":
    wanted = sys.argv[1:]
    if wanted == ["packages"]:
        print(" ".join(f"fonts-{name}" for name in PACKAGES))
    elif wanted == ["sample"]:
        print(write_sample(render()))
    else:
        raise SystemExit("python -m workbench.zoo.recipes.glyphs packages | sample")
