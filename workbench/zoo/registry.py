"""What the zoo holds: every network that ships or is found installed, and how it was made."""

from __future__ import annotations

import html
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from workbench.datasets import glyphs, mnist
from workbench.errors import WorkbenchError, nearest_names
from workbench.models import CheckpointError, Classifier, Empirical, Generator, Prior, load_state_dict
from workbench.models.checkpoints import fit_state_dict
from workbench.tables import aligned
from workbench.zoo import architectures

WEIGHTS = Path(__file__).parent / "weights"
_FACES = "gan-face-generate"
_FACES_VERSION = "1.1.1"
_DIGITS = tuple("0123456789")
_GLYPHS = "glyphs of Debian's free fonts (workbench.datasets.glyphs.fonts() names them with their licences)"


class ZooError(WorkbenchError, LookupError):
    """A network that the zoo does not have, or whose weights are not installed."""


@dataclass(frozen=True)
class ZooEntry:
    """One network of the zoo.

    Attributes:
        name: for `wb.load`.
        kind: `generator`, `classifier` or `discriminator`.
        summary: what it is, in a line.
        input_shape: of one latent or one input image.
        output_shape: of one image, or (scores,).
        value_range: of its images' pixels.
        build: makes the network, untrained.
        prior: of a generator's latents, or what makes it.
        class_names: of a classifier, or of a generator with classes.
        class_embeddings: name of the parameter that holds a generator's class embeddings.
        source, licence: of the data and the weights.
        recipe: the command that makes the weights again; empty where others trained them.
        weights: finds the file where others ship it, None where it is not installed; left out for our own.
        key: entry of that file that holds the state dict, where there are several.
        advice: what to do where the weights are missing.
    """

    name: str
    kind: Literal["generator", "classifier", "discriminator"]
    summary: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    value_range: tuple[float, float]
    build: Callable[[], nn.Module] = field(repr=False)
    prior: str | Callable[[], Prior] = "normal"
    class_names: tuple[str, ...] = ()
    class_embeddings: str | None = None
    source: str = "MNIST (LeCun, Cortes and Burges)"
    licence: str = "MIT, weights trained by the recipe"
    recipe: str = ""
    weights: Callable[[], Path | None] | None = field(default=None, repr=False)
    key: str | None = None
    advice: str = "reinstall latent-workbench: its weights ship with it"

    @property
    def path(self) -> Path | None:
        """The file of the weights, None where it is not here."""
        path = self.weights() if self.weights else WEIGHTS / f"{self.name}.safetensors"
        return path if path is not None and path.is_file() else None

    @property
    def available(self) -> bool:
        """Whether the weights are here."""
        return self.path is not None

    @property
    def parameters(self) -> int:
        """Number of trained scalars."""
        return sum(p.numel() for p in self.build().parameters())

    @property
    def bytes(self) -> int:
        """Size of the file of the weights; 0 where it is not here."""
        path = self.path
        return path.stat().st_size if path else 0

    @property
    def metrics(self) -> dict[str, Any]:
        """What the recipe measured, as stored with the weights; empty where it stored nothing."""
        path = self.path
        if path is None or path.suffix != ".safetensors":
            return {}
        try:
            with safe_open(path, framework="pt") as stored:
                return json.loads((stored.metadata() or {}).get("metrics", "{}"))
        except (SafetensorError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{path} is damaged ({error}); {self.advice}") from error


class Table(tuple[ZooEntry, ...]):
    """The zoo's entries; shows itself as a table."""

    _COLUMNS = ("name", "kind", "classes", "shape", "parameters", "how it was made")

    def rows(self) -> list[tuple[str, ...]]:
        """One row of texts for each entry."""
        return [
            (
                e.name,
                e.kind,
                str(len(e.class_names) or "–"),
                f"{_shape(e.input_shape)} → {_shape(e.output_shape)}",
                f"{e.parameters:,}",
                e.recipe or e.source,
            )
            for e in self
        ]

    def __repr__(self) -> str:
        return "\n".join(aligned([self._COLUMNS, *self.rows()]))

    def _repr_html_(self) -> str:
        def line(cells: Iterable[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

        body = "".join(line(row, "td") for row in self.rows())
        return f"<table>{line(self._COLUMNS, 'th')}{body}</table>"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _faces_weights() -> Path | None:
    """The checkpoint inside the installed package, found without importing the package."""
    try:
        files = importlib.metadata.files(_FACES) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.name == "weights.tar"), None)


def _codes_of_digits() -> Empirical:
    """The codes that mnist-cnn gives the embedded digits, as `mnist-inverter` was trained to invert."""
    layers = list(load_module("mnist-cnn").children())[: int(architectures.INVERTED_LAYER) + 1]
    with torch.no_grad():
        return Empirical(nn.Sequential(*layers)(mnist.sample().tensor()))


_ENTRIES = (
    ZooEntry(
        name="digiface-dcgan",
        kind="generator",
        summary="faces, a DCGAN trained on the synthetic DigiFace-1M",
        input_shape=(100, 1, 1),
        output_shape=(3, 64, 64),
        value_range=(-1.0, 1.0),
        build=architectures.face_generator,
        source=f"the PyPI package {_FACES} by Chien Liu, trained on DigiFace-1M (Bae et al., WACV 2023)",
        licence="MIT (the package's); the data set has terms of its own",
        weights=_faces_weights,
        key="netG_state_dict",
        advice=f"pip install --no-deps {_FACES}=={_FACES_VERSION}"
        " (on Python 3.13 or newer with --ignore-requires-python: only its weights are used)",
    ),
    ZooEntry(
        name="mnist-dcgan",
        kind="generator",
        summary="digits from 64 latents",
        input_shape=(64,),
        output_shape=(1, 28, 28),
        value_range=(-1.0, 1.0),
        build=partial(architectures.mnist_generator, 64),
        recipe="python -m workbench.zoo.train mnist-dcgan",
    ),
    ZooEntry(
        name="mnist-dcgan-discriminator",
        kind="discriminator",
        summary="the discriminator that mnist-dcgan was trained against",
        input_shape=(1, 28, 28),
        output_shape=(1,),
        value_range=(-1.0, 1.0),
        build=architectures.mnist_discriminator,
        class_names=("real",),
        recipe="python -m workbench.zoo.train mnist-dcgan",
    ),
    ZooEntry(
        name="mnist-dcgan-2d",
        kind="generator",
        summary="digits from a plane of two latents",
        input_shape=(2,),
        output_shape=(1, 28, 28),
        value_range=(-1.0, 1.0),
        build=partial(architectures.mnist_generator, 2),
        recipe="python -m workbench.zoo.train mnist-dcgan-2d",
    ),
    ZooEntry(
        name="mnist-inverter",
        kind="generator",
        summary="digits from codes of mnist-cnn's first dense layer (feature inversion)",
        input_shape=(128,),
        output_shape=(1, 28, 28),
        value_range=(-1.0, 1.0),
        build=architectures.mnist_inverter,
        prior=_codes_of_digits,
        recipe="python -m workbench.zoo.train mnist-inverter",
    ),
    ZooEntry(
        name="mnist-cnn",
        kind="classifier",
        summary="classifier of digits",
        input_shape=(1, 28, 28),
        output_shape=(10,),
        value_range=(0.0, 1.0),
        build=architectures.mnist_classifier,
        class_names=_DIGITS,
        recipe="python -m workbench.zoo.train mnist-cnn",
    ),
    *(
        ZooEntry(
            name=f"mnist-erf-{number}",
            kind="classifier",
            summary=f"classifier of digits, erf neurons on Haar wavelets, trained on the {half} half",
            input_shape=(1, 28, 28),
            output_shape=(10,),
            value_range=(0.0, 1.0),
            build=architectures.mnist_erf_network,
            class_names=_DIGITS,
            recipe=f"python -m workbench.zoo.train mnist-erf-{number}",
        )
        for number, half in ((1, "first"), (2, "second"))
    ),
    ZooEntry(
        name="glyphs-biggan",
        kind="generator",
        summary="163 characters from 40 latents and class embeddings, BigGAN's scheme in small",
        input_shape=(40,),
        output_shape=(1, glyphs.SIZE, glyphs.SIZE),
        value_range=(-1.0, 1.0),
        build=partial(architectures.GlyphGenerator, len(glyphs.NAMES)),
        class_names=glyphs.NAMES,
        class_embeddings="shared.weight",
        source=_GLYPHS,
        recipe="python -m workbench.zoo.train glyphs-biggan",
    ),
    *(
        ZooEntry(
            name=name,
            kind="classifier",
            summary=summary,
            input_shape=(1, glyphs.SIZE, glyphs.SIZE),
            output_shape=(len(glyphs.NAMES),),
            value_range=(0.0, 1.0),
            build=partial(build, len(glyphs.NAMES)),
            class_names=glyphs.NAMES,
            source=_GLYPHS,
            recipe=f"python -m workbench.zoo.train {name}",
        )
        for name, summary, build in (
            ("glyphs-cnn", "classifier of the 163 characters", architectures.glyph_classifier),
            (
                "glyphs-cnn-judge",
                "the same from another network and seed, to judge with",
                architectures.glyph_judge,
            ),
        )
    ),
)


def entries() -> Table:
    """Everything the zoo knows, whether its weights are here or not."""
    return Table(_ENTRIES)


def find(name: str) -> ZooEntry:
    """The entry of a name.

    Raises:
        ZooError: unknown; the nearest names are suggested.
    """
    names = [entry.name for entry in _ENTRIES]
    if name not in names:
        raise ZooError(f"the zoo has no {name!r}: {nearest_names(name, names)}")
    return _ENTRIES[names.index(name)]


def load_module(name: str) -> nn.Module:
    """The bare network of a name in eval mode, on the CPU.

    Raises:
        ZooError: unknown, or its weights are not installed; says which command installs them.
        CheckpointError: the weights do not fit the architecture.
    """
    entry = find(name)
    path = entry.path
    if path is None:
        raise ZooError(f"the weights of {name} are not here; {entry.advice}")
    module = entry.build()
    fit_state_dict(module, load_state_dict(path, key=entry.key), source=path.name)
    return module.eval()


def load(name: str, *, device: str | torch.device = "auto") -> Generator | Classifier:
    """The model of a name; a discriminator comes as a `Classifier` of one score.

    Raises:
        ZooError, CheckpointError: as `load_module`.
    """
    entry = find(name)
    module = load_module(name)
    model: Generator | Classifier
    if entry.kind == "generator":
        model = Generator(
            module,
            entry.input_shape,
            value_range=entry.value_range,
            prior=entry.prior if isinstance(entry.prior, str) else entry.prior(),
            class_names=entry.class_names or None,
            class_embeddings=entry.class_embeddings,
            device=device,
            name=entry.name,
        )
    else:
        model = Classifier(
            module,
            entry.input_shape,
            class_names=entry.class_names,
            value_range=entry.value_range,
            device=device,
            name=entry.name,
        )
    model.origin = name
    return model


__all__ = ["Table", "ZooEntry", "ZooError", "entries", "find", "load", "load_module"]
