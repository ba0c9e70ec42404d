"""What the study of the paper's claims measures: the labelled images, the networks, and a folder of results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from workbench.datasets import mnist
from workbench.files import replace_file
from workbench.flip_points.trust import Trust
from workbench.models import Classifier
from workbench.models.features import LinearFeatures
from workbench.results import Provenance
from workbench.tables import Tables
from workbench.zoo.loading import load
from workbench.zoo.recipes.mnist_erf import halves

#: Images (n, 1, 28, 28) in [0, 1] and labels (n,).
Digits = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """A network and the labelled images that its flip points are wanted of.

    Attributes:
        network: name of a classifier of digits in the zoo.
        part: `"first"` or `"second"` half of the training set, `"test"`, or the embedded `"sample"`.
        mistakes: only the images that the network misreads.
    """

    network: str
    part: str
    mistakes: bool = False

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.network}.{self.part}{'-mistakes' if self.mistakes else ''}"

    @classmethod
    def of(cls, name: str) -> Case:
        """The case of a file's name."""
        network, _, part = name.rpartition(".")
        return cls(network, part.removesuffix("-mistakes"), part.endswith("-mistakes"))


def digits(part: str, most: int | None = None) -> Digits:
    """Images and labels of a part (see `Case`), the first `most` of them.

    Raises:
        FileNotFoundError: the full MNIST is not here.
    """
    found = mnist.sample() if part == "sample" else mnist.load("test" if part == "test" else "train")
    images, labels = found.tensor(), torch.from_numpy(found.labels).long()
    if part in ("first", "second"):
        (images, labels), _ = halves(images, labels, ("first", "second").index(part))
    return images[:most], labels[:most]


def classifier_of(name: str) -> tuple[Classifier, Float[Tensor, "k 784"] | None]:
    """A classifier of the zoo, and the wavelets under it, if there are any.

    Raises:
        ZooError: no such network.
        ValueError: no classifier of digits.
    """
    model = load(name, device="cpu")
    if not isinstance(model, Classifier) or model.input_shape != (1, 28, 28) or len(model.class_names) != 10:
        raise ValueError(f"{name} is no classifier of digits; expected one such as 'mnist-erf-1'")
    first = next(model.module.children(), None)
    return model, first.basis if isinstance(first, LinearFeatures) else None


class Results(Tables):
    """What was measured, in a folder.

    Attributes:
        folder: holds a safetensors file a case (rewritten after every block of queries), `accuracies.csv`,
            `alternatives.csv`, and `trained.csv` with one row a trained network.
        folders: that one and others that are read, too.
    """

    def cases(self) -> list[Case]:
        """Those that were measured, by name."""
        return [Case.of(path.stem) for path in sorted(p for f in self.folders for p in f.glob("*.safetensors"))]

    def trust(self, case: Case) -> Trust:
        """The distances of a case, in the order of its images.

        Raises:
            FileNotFoundError: it was not measured.
        """
        paths = [folder / f"{case.name}.safetensors" for folder in self.folders]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            raise FileNotFoundError(
                f"no {case.name}.safetensors in {self.folder}; first run `python -m workbench.flip_points.study "
                f"--out {self.folder}`"
            )
        with safe_open(path, "pt") as file:
            columns = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            metadata = file.metadata()
        integers = {name: c.long() for name, c in columns.items() if c.dtype == torch.uint8}
        return Trust(
            provenance=Provenance(**json.loads(metadata["provenance"])),
            class_names=tuple(json.loads(metadata["class_names"])),
            **{**columns, **integers},
        )

    def keep(self, case: Case, trust: Trust) -> None:
        """Write a case's file whole, small: distances in single precision, classes in a byte."""
        columns = {
            "distances": trust.distances.float(),
            "confidence": trust.confidence.float(),
            **{name: getattr(trust, name).to(torch.uint8) for name in ("labels", "truth", "closest", "status")},
        }
        metadata = {
            "provenance": json.dumps(asdict(trust.provenance)),
            "class_names": json.dumps(trust.class_names),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{case.name}.safetensors"
        replace_file(path, lambda part: save_file(columns, part, metadata=metadata))
