"""A grid becomes combinations of a report's parameters, and what does not fit is named."""

from __future__ import annotations

import pytest

from tests.reports import notebooks
from workbench.reports import find
from workbench.sweeps import SweepError, combinations, read


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return find(notebooks.write(tmp_path_factory.mktemp("grid") / "squares.ipynb", notebooks.SQUARES))


def test_values_are_fixed_and_lists_are_alternatives_of_which_all_combinations_are_taken(report):
    asked = combinations(report, {"size": [1, 2], "name": "curve", "scale": [1, 1.5, 2]})
    assert len(asked) == 6
    assert asked[0] == {"size": 1, "name": "curve", "scale": 1.0}
    assert [(point["size"], point["scale"]) for point in asked] == [
        (s, f) for s in (1, 2) for f in (1.0, 1.5, 2.0)
    ]


def test_points_belong_together_and_are_combined_with_the_rest(report):
    asked = combinations(
        report, {"points": [{"size": 1, "name": "a"}, {"size": 2, "name": "b"}], "marked": [True, False]}
    )
    assert [(p["size"], p["name"], p["marked"]) for p in asked] == [
        (1, "a", True),
        (1, "a", False),
        (2, "b", True),
        (2, "b", False),
    ]


def test_a_parameter_that_is_a_list_takes_a_list_of_lists(report):
    assert combinations(report, {"sizes": [[8, 32], [16]]}) == [{"sizes": [8, 32]}, {"sizes": [16]}]
    assert combinations(report, {"points": [{"sizes": [8, 32]}]}) == [{"sizes": [8, 32]}]
    with pytest.raises(
        SweepError, match=r"sizes is \[8, 32\]; expected a list of lists, such as sizes: \[\[8, 32\]\]"
    ):
        combinations(report, {"sizes": [8, 32]})


def test_nothing_is_asked_twice_and_nothing_at_all_means_the_defaults(report):
    assert combinations(report, {"size": [1, 2, 1]}) == [{"size": 1}, {"size": 2}]
    assert combinations(report, {}) == [{}]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"size": [1, "two"]}, r"size\[1\]: size is 'two'; expected int"),
        ({"szie": 1}, r"szie: squares has no parameter 'szie'; did you mean 'size'"),
        ({"points": [{"size": 1}, {"scale": "wide"}]}, r"points\[1\].scale: scale is 'wide'; expected float"),
        ({"points": [{"size": [1, 2]}]}, r"points\[0\].size: size is \[1, 2\]; expected int"),
        ({"points": {"size": 1}}, "points is {'size': 1}; expected a list of combinations"),
        ({"points": [3]}, r"points\[0\] is 3; expected a list of combinations"),
        ({"points": [{"size": 1}], "size": 2}, "size stands both in points and beside it"),
        ({"size": []}, r"size is \[\]; expected one value or more"),
        ({"name": False}, "name: name is False; expected str"),
        ({"folder": "mine"}, "folder: each run of a sweep has a folder of its own"),
        ({"size": list(range(200)), "scale": list(range(200))}, "comes to 40,000 runs; expected at most 10,000"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(report, asked, told):
    with pytest.raises(SweepError, match=told):
        combinations(report, asked)


def test_a_file_holds_plain_values_and_no_entry_twice(tmp_path, report):
    path = tmp_path / "grid.yaml"
    path.write_text("size: [1, 2]\nscale: 1e-3  # which YAML takes for text\n")
    assert combinations(report, read(path))[1] == {"size": 2, "scale": 0.001}
    path.write_text("")
    assert read(path) == {}
    for text, told in {
        "size: 1\nsize: 2": "'size' stands there twice",
        "- 1": "holds list; expected lines such as",
        "1: 2": "expected lines such as",
        "size: !!python/object/apply:os.system [exit]": "is no YAML: could not determine a constructor",
        "size: [1": "is no YAML",
        "size: 2020-13-45": "is no YAML: month must be in 1..12",
        "size: " + 2000 * "[": "is no YAML",
        "? [1, 2]\n: 3": "is no YAML|expected lines such as",
    }.items():
        path.write_text(text)
        with pytest.raises(SweepError, match=told):
            read(path)
    with pytest.raises(SweepError, match=r"missing.yaml cannot be read: No such file"):
        read(tmp_path / "missing.yaml")
