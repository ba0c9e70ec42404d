"""The edited embedding matrix: rows that were kept, undone, saved and loaded again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from workbench.embeddings.objective import embeddings_of, names_of
from workbench.embeddings.variants import EmbeddingError
from workbench.files import is_file, make_folder, replace_file
from workbench.machine import versions
from workbench.models import Generator

FORMAT = 1


@dataclass(frozen=True)
class Edit:
    """One row that was replaced.

    Attributes:
        class_index: of the row.
        embedding: (width,) the new row.
        source: what made it, such as the call of a `maximize`.
    """

    class_index: int
    embedding: Float[Tensor, " width"]
    source: str = ""


class EmbeddingTable:
    """A generator's class embeddings with edits on top; the generator itself is never changed.

    Args:
        generator: with class embeddings.

    Attributes:
        original: (classes, width) the generator's own.
        names: of the classes.
        edits: what was kept, the newest last; a class may occur several times.
    """

    def __init__(self, generator: Generator) -> None:
        self.original = embeddings_of(generator)
        self.names = names_of(generator)
        self.edits: list[Edit] = []
        self._generator = generator

    @property
    def matrix(self) -> Float[Tensor, "classes width"]:
        """The embeddings with all edits."""
        matrix = self.original.clone()
        for edit in self.edits:
            matrix[edit.class_index] = edit.embedding
        return matrix

    @property
    def changed(self) -> list[int]:
        """The classes whose row is another than the original's, in the order of their index."""
        return sorted({edit.class_index for edit in self.edits})

    @property
    def titles(self) -> list[str]:
        """The classes' names, no two the same: those that several classes have, with the index."""
        times = Counter(self.names)
        return [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(self.names)]

    def key(self, class_index: int) -> str | int:
        """What stands for a class in Python: its name, or its index where another class has the same name."""
        name = self.names[class_index]
        return name if self.names.count(name) == 1 else class_index

    def keep(self, class_index: int | str, embedding: Float[Tensor, " width"], *, source: str = "") -> None:
        """Replace a class's row.

        Raises:
            EmbeddingError: an embedding of another width, or with NaN in it.
            ModelError: no such class.
        """
        index = self._generator.class_index(class_index)
        row = torch.as_tensor(embedding).detach().to(self.original)
        width = self.original.shape[1]
        if tuple(row.shape) != (width,) or not torch.isfinite(row).all():
            raise EmbeddingError(
                f"an embedding of shape {tuple(row.shape)} was given for {self.names[index]!r}; expected finite "
                f"numbers ({width},)"
            )
        self.edits.append(Edit(index, row.clone(), source))

    def undo(self) -> Edit | None:
        """Take back the newest edit and return it; None where there is none."""
        return self.edits.pop() if self.edits else None

    def reset(self, class_index: int | str) -> None:
        """Take back all edits of a class."""
        index = self._generator.class_index(class_index)
        self.edits = [edit for edit in self.edits if edit.class_index != index]

    def generator(self) -> Generator:
        """A generator with the edited embeddings; its network is the original's."""
        changed = len(self.changed)
        name = f"{self._generator.name}, {changed} class{'es' * (changed > 1)} edited" if changed else None
        return self._generator.with_embeddings(self.matrix, name=name)

    def of_class(self, class_index: int | str) -> Generator:
        """The generator with a class fixed, by its edited row where it has one.

        Raises:
            ModelError: no such class.
        """
        index = self._generator.class_index(class_index)
        bound = self._generator.of_class(index)
        if index not in self.changed:
            return bound
        repaired = self._generator.of_class(self.matrix[index])
        repaired.name = f"{bound.name}, repaired"
        return repaired

    def save(self, path: str | Path) -> Path:
        """Write the edited matrix (`embeddings`) and the edits as safetensors, in one step; returns the file.

        `embeddings` is what a loader of the generator's own format takes in place of its table.
        """
        path = Path(path)
        make_folder(path.parent)
        width = self.original.shape[1]
        rows = torch.stack([e.embedding for e in self.edits]) if self.edits else torch.empty(0, width)
        tensors = {
            "embeddings": self.matrix.cpu().contiguous(),
            "edits": rows.cpu().contiguous(),
            "edited_classes": torch.tensor([e.class_index for e in self.edits], dtype=torch.int64),
        }
        texts = {
            "format": str(FORMAT),
            "generator": self._generator.name,
            "fingerprint": self._generator.fingerprint,
            "class_names": json.dumps(list(self.names)),
            "sources": json.dumps([e.source for e in self.edits]),
            "versions": json.dumps(versions()),
        }
        replace_file(path, lambda part: save_file(tensors, part, metadata=texts))
        return path

    def load(self, path: str | Path) -> None:
        """Take the edits of a file that `save` wrote, in place of those that there are.

        Raises:
            FileNotFoundError: no such file.
            EmbeddingError: damaged, of another format or of another generator; nothing is changed then.
        """
        path = Path(path)
        if not is_file(path):
            raise FileNotFoundError(f"no embeddings at {path}; give a file that EmbeddingTable.save wrote")
        try:
            with safe_open(path, framework="pt") as stored:
                texts = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
            classes, rows = tensors["edited_classes"].tolist(), tensors["edits"]
            shape = tuple(tensors["embeddings"].shape)
            sources = json.loads(texts["sources"])
            stored_as, fingerprint = texts["format"], texts["fingerprint"]
            if not len(classes) == len(rows) == len(sources):
                raise ValueError("its edits are not all there")
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise EmbeddingError(f"{path.name} is no readable table of embeddings ({error})") from error
        if stored_as != str(FORMAT):
            raise EmbeddingError(f"{path.name} has format {stored_as}; this version reads {FORMAT}")
        ours = tuple(self.original.shape)
        if shape != ours or fingerprint != self._generator.fingerprint:
            raise EmbeddingError(
                f"{path.name} holds embeddings {shape} of {texts.get('generator')}, not of this "
                f"{self._generator.name} with {ours}; open it with the generator that it was made for"
            )
        self.replace([Edit(*one) for one in zip(classes, rows, map(str, sources), strict=True)])

    def replace(self, edits: Sequence[Edit]) -> None:
        """Put other edits in place of those that there are.

        Raises:
            EmbeddingError, ModelError: as `keep`; nothing is changed then.
        """
        before, self.edits = self.edits, []
        try:
            for edit in edits:
                self.keep(edit.class_index, edit.embedding, source=edit.source)
        except ValueError:
            self.edits = before
            raise
