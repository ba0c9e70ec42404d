"""Hostile words: parameters on the command line, class names in tables, figures and the pages of reports."""

from __future__ import annotations

import ast
import dataclasses
import tempfile
from functools import cache
from pathlib import Path

import nbformat
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import workbench as wb
from tests.fuzz import networks, values
from tests.fuzz.markup import elements
from tests.fuzz.outcomes import Refused, attempt
from workbench import cli, reports
from workbench.flip_points import figures as flip_figures
from workbench.reports.page import page
from workbench.reports.page_widgets import figure_element
from workbench.ui import parts

names = st.lists(values.words, min_size=3, max_size=3)
REPORTS = reports.catalogue()


@given(st.sampled_from(REPORTS), st.data())
def test_a_parameter_is_a_literal_or_refused(report, data):
    parameter = data.draw(st.sampled_from(report.parameters))
    text = data.draw(st.one_of(values.words, st.integers().map(str), st.floats().map(str), st.just("[" * 5000)))
    found = attempt(lambda: report.parse({parameter.name: text})[parameter.name])
    if not isinstance(found, Refused):
        assert type(found) in (bool, int, float, str, list, dict, type(None))
        assert repr(ast.literal_eval(repr(found)) if found == found and abs_finite(found) else found) == repr(
            found
        )


def abs_finite(value: object) -> bool:
    """Whether a value is written as a literal: NaN and infinity are not."""
    return not isinstance(value, float) or value - value == 0


@given(st.one_of(values.words, st.sampled_from([r.name for r in REPORTS])), values.words, values.words)
def test_the_command_line_refuses_what_no_report_has(name, key, text):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        arguments = ["report", "--out", str(out), "-p", f"{key}?={text}", "--", name]
        if any("\0" in a or not a.isprintable() for a in arguments):  # no shell hands these over
            return
        ended = attempt(lambda: CliRunner().invoke(cli.app, arguments))
        assert ended.exit_code == 2 and isinstance(ended.exception, SystemExit)
        assert not out.exists() and not list(Path(folder).iterdir())


@given(names)
def test_names_are_text_in_tables_and_notes(words):
    def shown(given: list[str]) -> str:
        return parts.note(given[0]) + parts.table({given[1]: given[2], "a": given[0]})

    assert elements(shown(words)) == elements(shown(["x", "y", "z"]))


@cache
def flips() -> wb.flip_points.FlipPoints:
    """The flip points of one picture to both other classes."""
    x = torch.linspace(-1, 1, 36).reshape(1, 1, 6, 6)
    return wb.flip_points.closest(networks.classifier(), x, "all", effort="fast")


@settings(max_examples=settings.default.max_examples // 4)
@given(names)
def test_names_are_text_in_figures(words):
    def shown(given: list[str]) -> str:
        found = dataclasses.replace(flips(), class_names=tuple(given))
        return figure_element(flip_figures.distances(found).to_plotly_json(), "figure")

    assert elements(shown(words)) == elements(shown(["x", "y", "z"]))


@settings(max_examples=settings.default.max_examples // 8)
@given(names, values.words)
def test_words_are_text_in_the_page_of_a_report(words, title):
    def shown(given: list[str]) -> str:
        markdown = nbformat.v4.new_output("display_data", {"text/plain": given[0]})
        cell = nbformat.v4.new_code_cell("1", outputs=[markdown, nbformat.v4.new_output("stream", text=given[1])])
        record = {
            "title": given[2], "status": "failed", "cells": [0, 1], "error": given[0], "report": given[1],
            "seconds": 1, "started": "now", "device": given[2], "versions": {given[0]: given[1]},
            "command": given[2],
        }  # fmt: skip
        return page(nbformat.v4.new_notebook(cells=[cell]), record)

    assert elements(shown([*words[:2], title])) == elements(shown(["x", "y", "z"]))
