"""What is on screen, described so that a notebook can be made of it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from workbench.exports.kept import Value
from workbench.models.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.exports.networks import Stand


class ExportError(WorkbenchError, ValueError):
    """Nothing is on screen that a report could hold, a folder is taken, or a network is not the right one."""


@dataclass(frozen=True)
class Section:
    """A part of a report: a heading, what makes its values, and what shows them.

    Attributes:
        heading, text: Markdown of ours, without a word that a user typed.
        values: what the panel had, by the name of the variable; or a function that gives it, called where it is
            written, behind the panel.
        make: lines of Python that make the values, as "Copy as code" shows them.
        show: cells that show the values, and need no network.
    """

    heading: str
    text: str = ""
    values: Mapping[str, Value | Callable[[], Value]] = field(default_factory=dict)
    make: str = ""
    show: tuple[str, ...] = ()


@dataclass(frozen=True)
class Export:
    """All that a report of a panel holds.

    Attributes:
        name: of the report's files, such as `flip-points`.
        title, text: Markdown of ours.
        sections: in their order.
        stands: networks, and what else the sections' code names.
        settings: plain values on screen with their meanings, by the names of the options that take them.
        inputs: tensors that the code needs, by the names that it has for them.
        imports: lines of the first cell.
    """

    name: str
    title: str
    text: str
    sections: tuple[Section, ...]
    stands: tuple[Stand, ...] = ()
    settings: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = {name for section in self.sections for name in section.values}
        twice = sorted(self.settings.keys() & {*values, *self.inputs, *(stand.symbol for stand in self.stands)})
        if twice:
            raise ValueError(f"{', '.join(twice)} would be a setting and another variable of the notebook, too")

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All that the file of inputs holds: those of the code and those of the stands."""
        return {**self.inputs, **{name: one for stand in self.stands for name, one in stand.inputs.items()}}


def with_names(code: str, values: Mapping[str, Any]) -> str:
    """Code whose options stand as the variables of their names, where these hold the same values.

    >>> with_names("f(C, effort='fast', seed=3)", {"seed": 3, "effort": "thorough"})
    "f(C, effort='fast', seed=seed)"
    """
    lines = [line.encode() for line in code.split("\n")]
    for node in sorted(_options(code), key=lambda n: (n.value.lineno, n.value.col_offset), reverse=True):
        name, value = node.arg or "", node.value
        if name in values and value.lineno == value.end_lineno and _literal(value) == [values[name]]:
            line = lines[value.lineno - 1]
            lines[value.lineno - 1] = line[: value.col_offset] + name.encode() + line[value.end_col_offset :]
    return b"\n".join(lines).decode()


def names_in(code: str) -> set[str]:
    """All variables that code reads or writes."""
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def _options(code: str) -> list[ast.keyword]:
    return [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.keyword)]


def _literal(node: ast.expr) -> list[Any]:
    """The value of a literal as the only entry of a list; none of other code."""
    try:
        return [ast.literal_eval(node)]
    except ValueError:
        return []
