"""The report notebooks that ship, and the parameters that a notebook's own cell declares."""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from workbench.errors import WorkbenchError, did_you_mean
from workbench.ui.assets import asset

_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+)$", re.MULTILINE)


class ReportError(WorkbenchError, ValueError):
    """A report, a parameter or a folder that cannot be used; says what would do."""


@dataclass(frozen=True)
class Parameter:
    """What a report can be asked.

    Attributes:
        name: of the variable in the notebook's cell with the tag `parameters`.
        default: number, string, bool, None, or a list or dict of these.
        meaning: the comment behind it.
    """

    name: str
    default: Any
    meaning: str = ""

    @property
    def kind(self) -> str:
        """The type that values must have, such as `int` or `list of int`."""
        return _kind(self.default)

    def parse(self, text: str) -> Any:
        """The value that a command line means: a literal, never code; a bare word where the default is a string.

        Raises:
            ReportError: of another type than the default.
        """
        value: Any = text
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            if isinstance(self.default, bool):
                value = {"true": True, "false": False}.get(text.lower(), text)
        if isinstance(self.default, str) and not isinstance(value, str):
            value = text
        return self.check(value)

    def check(self, value: Any) -> Any:
        """The value, as the notebook will get it: whole numbers become floats and tuples lists where these belong.

        Raises:
            ReportError: of another type than the default.
        """
        try:
            return _fitted(value, self.default)
        except TypeError:
            raise ReportError(
                f"{self.name} is {value!r}; expected {self.kind}, such as the default {self.default!r}"
            ) from None


@dataclass(frozen=True)
class Report:
    """A notebook that can be run with parameters.

    Attributes:
        name: under which it is run: the file's, without its ending.
        title: its first heading.
        path: the notebook.
        sha256: of the file.
        parameters: in the notebook's order.
    """

    name: str
    title: str
    path: Path
    sha256: str
    parameters: tuple[Parameter, ...]

    def __getitem__(self, name: str) -> Parameter:
        """One parameter.

        Raises:
            ReportError: there is none of this name.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        if name not in known:
            raise ReportError(f"{self.name} has no parameter {name!r}{_nearest(name, list(known))}")
        return known[name]

    def parse(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Values from the texts of a command line.

        Raises:
            ReportError: an unknown parameter, or a value of another type.
        """
        return {name: self[name].parse(text) for name, text in texts.items()}

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values of all parameters: those given, else the defaults.

        Raises:
            ReportError: an unknown parameter, or a value of another type.
        """
        checked = {name: self[name].check(value) for name, value in given.items()}
        return {p.name: checked.get(p.name, p.default) for p in self.parameters}


def catalogue() -> tuple[Report, ...]:
    """The reports that ship, by name."""
    return tuple(_read(path) for path in _shipped().values())


def find(name: str | Path) -> Report:
    """The report of a name in the catalogue, or in a notebook of one's own.

    Args:
        name: such as `flip-points`, or the path of a notebook that ends in `.ipynb`.

    Raises:
        ReportError: there is none, or its cell of parameters cannot be read.
    """
    if Path(name).suffix == ".ipynb":
        return _read(Path(name))
    shipped = _shipped()
    if str(name) not in shipped:
        advice = _nearest(str(name), list(shipped))
        raise ReportError(f"there is no report {str(name)!r}{advice}; a notebook of your own ends in .ipynb")
    return _read(shipped[str(name)])


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted((asset("notebooks") / "reports").glob("*.ipynb"))}


def _read(path: Path) -> Report:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}") from error
    try:
        notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
    except Exception as error:  # nbformat raises what its parsers and validators do
        raise ReportError(f"{path} is no notebook: {error}") from error
    titles = (heading(c.source) for c in notebook.cells if c.cell_type == "markdown")
    source = next((c.source for c in notebook.cells if "parameters" in c.metadata.get("tags", ())), "")
    return Report(
        name=path.stem,
        title=next(filter(None, titles), path.stem),
        path=path.resolve(),
        sha256=hashlib.sha256(content).hexdigest(),
        parameters=tuple(_declared(source, path.name)),
    )


def headings(markdown: str) -> list[tuple[int, str]]:
    """Level and text of each heading of a Markdown cell, without "Report: "."""
    return [(len(marks), text.strip().removeprefix("Report: ")) for marks, text in _HEADING.findall(markdown)]


def heading(markdown: str) -> str:
    """The text of a Markdown cell's first heading; empty where there is none."""
    return next((text for _, text in headings(markdown)), "")


def _declared(source: str, notebook: str) -> list[Parameter]:
    """The assignments of a cell, each with the comment on its line.

    Papermill's own inspection leaves a parameter out when its line holds a second "=", and cuts a string at a "#".
    """
    expected = "expected lines such as: images = 600  # how many, with a number, string, list or dict of these"
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
        body = ast.parse(source).body
    except (SyntaxError, tokenize.TokenError) as error:
        raise ReportError(f"the parameters of {notebook} cannot be read ({error}); {expected}") from None
    comments = {t.start[0]: t.string.lstrip("#").strip() for t in tokens if t.type == tokenize.COMMENT}
    found = []
    for node in body:
        try:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    default = _fitted(ast.literal_eval(value), None)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    default = _fitted(ast.literal_eval(value), None)
                case _:
                    raise TypeError
        except (TypeError, ValueError):
            wrong = ast.get_source_segment(source, node)
            raise ReportError(f"the parameters of {notebook} hold {wrong!r}; {expected}") from None
        found.append(Parameter(name, default, comments.get(node.end_lineno or 0, "")))
    return found


def _fitted(value: Any, like: Any) -> Any:
    """The value in the type of `like`; any plain value where that is None.

    Raises:
        TypeError: of another type.
    """
    if isinstance(value, list | tuple) and isinstance(like, list | None):
        first = like[0] if like and len({type(item) for item in like}) == 1 else None
        return [_fitted(item, first) for item in value]
    if isinstance(value, dict) and isinstance(like, dict | None) and all(isinstance(k, str) for k in value):
        return {k: _fitted(item, None) for k, item in value.items()}
    if type(value) is int and type(like) is float:
        return float(value)
    if type(value) in (bool, int, float, str, type(None)) and (like is None or type(value) is type(like)):
        return value
    raise TypeError


def _kind(value: Any) -> str:
    if value is None:
        return "any"
    kinds = {_kind(item) for item in value} if isinstance(value, list) else set()
    return f"list of {kinds.pop()}" if len(kinds) == 1 else type(value).__name__


def _nearest(name: str, known: list[str]) -> str:
    """What may have been meant, else all that there is."""
    if not known:
        return "; it takes none"
    return "; " + (did_you_mean(name, known, most=1) or f"there are {', '.join(known)}")
