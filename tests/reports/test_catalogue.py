"""A notebook's own cell says what a report can be asked, and nothing in it is ever run to find out."""

from __future__ import annotations

import pytest

from tests.project import ROOT
from tests.reports import notebooks
from workbench import reports
from workbench.reports import Parameter, ReportError


def test_every_report_that_ships_is_there_with_a_meaning_for_every_parameter():
    found = {report.name: report for report in reports.catalogue()}
    assert set(found) == {path.stem for path in (ROOT / "notebooks" / "reports").glob("*.ipynb")}
    for report in found.values():
        assert report.title and len(report.sha256) == 64
        assert report["folder"].default == ""
        assert [p.name for p in report.parameters if not p.meaning] == []
    sizes = found["subspace-search"]["sizes"]
    assert (sizes.kind, sizes.default) == ("list of int", [8, 32])
    assert sizes.meaning == "latents of the synthetic simulation, a list; [] leaves it out"


def test_a_notebook_of_ones_own_is_found_by_its_path(tmp_path):
    report = reports.find(notebooks.write(tmp_path / "mine.ipynb"))
    assert (report.name, report.title) == ("mine", "squares")
    declared = {p.name: (p.kind, p.default, p.meaning) for p in report.parameters}
    # two signs of equality in a line, and a hash in a string: papermill's own inspection reads neither
    assert declared["size"] == ("int", 4, "points of the curve; more = slower")
    assert declared["name"] == ("str", "a # b", "of the curve")
    assert len(declared) == 6


@pytest.mark.parametrize("source", ["x = open('x')", "import os", "x = y = 1", "x = {1, 2}", "x = (", "x += 1"])
def test_a_cell_that_holds_more_than_names_and_literals_is_refused_and_not_run(tmp_path, source):
    path = notebooks.write(tmp_path / "odd.ipynb", parameters=source)
    with pytest.raises(ReportError, match=r"parameters of odd\.ipynb .* expected lines such as"):
        reports.find(path)


def test_what_is_no_notebook_is_refused(tmp_path):
    with pytest.raises(ReportError, match="cannot be read: No such file"):
        reports.find(tmp_path / "none.ipynb")
    (tmp_path / "text.ipynb").write_text("text")
    with pytest.raises(ReportError, match="no notebook"):
        reports.find(tmp_path / "text.ipynb")


def test_the_nearest_name_is_suggested():
    with pytest.raises(ReportError, match="no report 'flip-point'; did you mean 'flip-points'"):
        reports.find("flip-point")
    with pytest.raises(ReportError, match="there are class-embeddings, flip-points"):
        reports.find("x")
    with pytest.raises(ReportError, match="no parameter 'image'; did you mean 'images'"):
        reports.find("flip-points").values({"image": 3})


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (3, "5", 5),
        (0.5, "2", 2.0),
        (0.5, "-1e-3", -0.001),
        (False, "True", True),
        (False, "true", True),
        ("a", "bare word", "bare word"),
        ("a", "'quoted'", "quoted"),
        ("a", "7", "7"),
        ("a", "", ""),
        ("a", '"; import os', '"; import os'),
        ([8, 32], "[1, 2]", [1, 2]),
        ([8, 32], "1, 2", [1, 2]),
        ([0.5], "[1]", [1.0]),
        ([], "['a', 1]", ["a", 1]),
        ({}, "{'a': (1, 2)}", {"a": [1, 2]}),
        (None, "3", 3),
        (None, "word", "word"),
    ],
)
def test_a_text_is_a_literal_of_the_defaults_type(default, text, value):
    found = Parameter("x", default).parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (3, "many"),
        (3, "2.5"),
        (3, "True"),
        (3, "__import__('os').getpid()"),
        (3, "1 + 1"),
        (0.5, "'1'"),
        (False, "1"),
        ([8, 32], "8"),
        ([8, 32], "['a']"),
        ([], "{1, 2}"),
        ({}, "{1: 2}"),
        ([], "(" * 500),
    ],
)
def test_a_value_of_another_type_is_refused_and_never_run(default, text):
    with pytest.raises(ReportError, match=r"x is .*; expected "):
        Parameter("x", default).parse(text)


def test_values_from_python_are_held_to_the_same_types():
    report = reports.find("flip-points")
    assert report.values({"tolerance": 1})["tolerance"] == 1.0
    assert report.values({})["images"] == 600
    with pytest.raises(ReportError, match="images is '600'; expected int, such as the default 600"):
        report.values({"images": "600"})
