"""The notebook of an export: parameters, networks, and for each section what makes, loads and shows its values."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import torch

from workbench.exports.description import Export, Section, names_in, with_names

#: What every notebook begins with.
_SETUP = """\
{others}

import workbench as wb
{ours}

torch.set_num_threads({threads})  # as in the panel's kernel, so that the last digits are the same
kept = Kept(folder, again=again)"""
_OPENING = """
This notebook was written by a panel of the Latent Workbench. It shows what was on screen, from the results that
came with it; `again = True` computes them anew, and they are computed, too, where they are not found."""
_AGAIN = "compute anew instead of loading what the panel had"
_FOLDER = 'with the results; "" for "results" beside this notebook'
_INPUTS = "what the computation begins with"
_DEVICE = 'where the networks run, "auto" for the fastest here'
#: The file of `Export.inputs`.
INPUTS = "inputs.safetensors"


def notebook(export: Export, folder: Path) -> Any:
    """The notebook, not run yet, as nbformat has it.

    Args:
        export: what it shows.
        folder: where it will lie, its inputs beside it.
    """
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    values = {name: value for name, (value, _) in export.settings.items()}
    made = {section.heading: with_names(section.make, values) for section in export.sections}
    shown = {section.heading: [with_names(cell, values) for cell in section.show] for section in export.sections}
    code = [*made.values(), *(cell for cells in shown.values() for cell in cells)]
    used = set().union(*(names_in(text) for text in code))
    cells = [new_markdown_cell(f"# Report: {export.title}\n\n{export.text}\n{_OPENING}".strip())]
    cells.append(new_code_cell(_parameters(export, used, folder), metadata={"tags": ["parameters"]}))
    cells.append(new_code_cell(_setup(export)))
    if export.stands or export.inputs:
        cells += [
            new_markdown_cell("## Networks\n\nOnly what is to be computed needs them."),
            new_code_cell(_given(export)),
        ]
    for section in export.sections:
        text = f"## {section.heading}\n\n{section.text}".strip()
        cells.append(new_markdown_cell(text))
        if section.values:
            cells.append(new_code_cell(_making(section, made[section.heading])))
        cells += [new_code_cell(cell) for cell in shown[section.heading]]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _parameters(export: Export, used: set[str], folder: Path) -> str:
    """The cell of parameters: what is on screen and used below, as literals, with their meanings."""
    rows = [(name, value, meaning) for name, (value, meaning) in export.settings.items() if name in used]
    devices = [stand.device for stand in export.stands if stand.device]
    if devices:
        rows.append(("device", devices[0], _DEVICE))
    if export.tensors:
        rows.append(("inputs", str(folder / INPUTS), _INPUTS))
    rows += [("folder", "", _FOLDER), ("again", False, _AGAIN)]
    return "\n".join(f"{name} = {value!r}  # {meaning}" for name, value, meaning in rows)


def _setup(export: Export) -> str:
    helpers = ["Kept", *(["load_inputs"] if export.tensors else []), *(["require"] if export.stands else [])]
    lines = [*export.imports, "import torch", f"from workbench.exports import {', '.join(helpers)}"]
    ours, others = (sorted(line for line in lines if (" workbench" in line) == own) for own in (True, False))
    return _SETUP.format(others="\n".join(others), ours="\n".join(ours), threads=torch.get_num_threads())


def _given(export: Export) -> str:
    """The cell that brings networks and inputs, where something is to be computed."""
    names = ", ".join(repr(name) for section in export.sections for name in section.values)
    lines = []
    if export.tensors:
        lines.append("tensors = load_inputs(inputs)")
    lines += [stand.lines for stand in export.stands]
    lines += [f'{name} = tensors["{name}"]' for name in export.inputs]
    return f"if kept.missing({names}):\n" + textwrap.indent("\n".join(lines), "    ")


def _making(section: Section, code: str) -> str:
    names = list(section.values)
    listed, quoted = ", ".join(names), ", ".join(map(repr, names))
    keeping = f"kept.save({', '.join(f'{name}={name}' for name in names)})"
    body = textwrap.indent(f"{code}\n{keeping}", "    ")
    return f"if kept.missing({quoted}):\n{body}\n{listed} = kept.load({quoted})"
