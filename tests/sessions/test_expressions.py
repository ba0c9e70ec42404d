"""Of the Python that a session holds, only what panels write is taken."""

from __future__ import annotations

import pytest

from workbench.sessions import SessionError
from workbench.sessions.expressions import expression


@pytest.mark.parametrize(
    "line",
    [
        "panel.query",
        "x[3]",
        "G.latents(12, seed=0)[4]",
        "torch.tensor([0.5, -1.25])",
        "(found.outputs[2] - 0) * 0.5 + -1",
        "wb.models.latent.pictures_for(C, G, resize=True)(rows[1].nearest_outputs[0:1])[0]",
        "wb.flip_points.boundary_points(C, panel.query, 200, mask=panel.mask, effort='fast', bounds=(0, 1))",
        "wb.inverse_sets.sample(G, [wb.inverse_sets.band(C, '14', 3, 4, 5, position=(6, 6))], n=500, encoder=E)",
    ],
)
def test_what_panels_write_is_taken_as_it_is(line: str) -> None:
    assert expression(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "__import__('os').system('id')",
        "wb.flip_points.torch.hub.load('someone/something', 'x')",
        "wb.reports.run('theirs.ipynb', {}, 'out')",
        "found.save('/somewhere')",
        "eval('1')",
        "G.latents.__globals__",
        "(lambda: 1)()",
        "[x for x in y]",
        "G.latents(2)\nimport os",
        "G.latents(2)  # \u2028import os",
        "x; y",
        "x := 1",
        "f'{x!r:{y}}'",
        "[" * 5000,
        "\0",
        "",
        None,
        3,
    ],
)
def test_anything_else_is_refused(line: object) -> None:
    with pytest.raises(SessionError, match="is none that a panel writes"):
        expression(line)
