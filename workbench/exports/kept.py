"""What a panel had computed, in the folder of its report: loaded, or made again and put beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.files import is_file, replace_file
from workbench.results import DOCUMENT, Result, load_result
from workbench.sessions.state import writable

#: A result or several, a tensor, or tensors by name.
Value = Result | Sequence[Result] | Tensor | Mapping[str, Tensor]
#: The key of a file with a single tensor.
_ONLY = "values"


def load_inputs(path: str | Path) -> dict[str, Tensor]:
    """The tensors that a report's computation begins with, by name.

    Args:
        path: of the file; where it moved away, the file of its name in the working directory is read.

    Raises:
        FileNotFoundError: in neither place.
    """
    places = Path(path), Path(Path(path).name)
    found = next((place for place in places if is_file(place)), None)
    if found is None:
        raise FileNotFoundError(f"no {places[0]}, and no {places[1]} here; give inputs= the file of this report")
    return load_file(found)


class Kept:
    """Values by name in a folder; none that was there before is ever overwritten.

    Args:
        folder: of the values; "" for `results` in the working directory, and so is a folder that moved away.
        again: take nothing that is there; what is made then stands in a folder beside it, named `…-again`.
    """

    def __init__(self, folder: str | Path = "", *, again: bool = False) -> None:
        place = Path(folder or "results").absolute()
        if not place.parent.is_dir():  # the report was moved, its results with it
            place = Path("results").absolute()
        self.folder = place.with_name(f"{place.name}-again") if again and place.exists() else place
        self._again = again
        self._made: set[str] = set()

    def missing(self, *names: str) -> bool:
        """Whether one of these has to be made: it is not there, or all are to be made again."""
        return not all(name in self._made or (not self._again and self._there(name)) for name in names)

    def save(self, **values: Value) -> None:
        """Write values under their names."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            if isinstance(value, Result):
                value.save(self.folder / name)
            elif isinstance(value, Sequence):
                for place, one in reversed([*enumerate(value)]):  # the first is there when all are
                    one.save(self.folder / name / str(place))
            else:
                named = {_ONLY: value} if isinstance(value, Tensor) else value
                replace_file(self._file(name), partial(save_file, writable(named)))
            self._made.add(name)

    def load(self, *names: str) -> Any:
        """The value of a name, or those of several; tensors on the CPU.

        Raises:
            FileNotFoundError: nothing of this name.
        """
        values = [self._load(name) for name in names]
        return values[0] if len(values) == 1 else tuple(values)

    def _there(self, name: str) -> bool:
        folder = self.folder / name
        return any(path.is_file() for path in (folder / DOCUMENT, folder / "0" / DOCUMENT, self._file(name)))

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def _load(self, name: str) -> Any:
        folder = self.folder / name
        if (folder / "0" / DOCUMENT).is_file():
            places = sorted(
                (path.parent for path in folder.glob(f"*/{DOCUMENT}")), key=lambda path: int(path.name)
            )
            return [load_result(place) for place in places]
        if not self._file(name).is_file():
            return load_result(folder)
        tensors = load_file(self._file(name))
        return tensors[_ONLY] if list(tensors) == [_ONLY] else tensors
