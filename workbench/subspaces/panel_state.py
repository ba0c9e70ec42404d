"""What is saved of the panel of subspace search: the path with all its branches, and the line that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sessions import State
from workbench.sessions.state import SessionError
from workbench.subspaces.search import Path, Search

if TYPE_CHECKING:
    from workbench.subspaces.panel import Panel


def state_of(panel: Panel) -> State:
    """The path of the search, and which direction drawn at the current point is shown."""
    path = panel.search.path()
    point, draw = panel.shown
    return State({"draw": draw if point == path.current else 0}, {"path": path})


def restore(panel: Panel, state: State) -> None:
    """Go on with the search of a state.

    Raises:
        ModelError: the path was made with other weights or features.
        SessionError: the state holds no path.
    """
    path = state.results.get("path")
    if not isinstance(path, Path):
        raise SessionError(
            f"the state holds {'no path' if path is None else f'a {type(path).__name__} as its path'}, expected "
            "the Path of a search; save the panel again"
        )
    search = Search.resume(panel.generator, path, features=panel.search.features, condition=panel.search.condition)
    panel.jobs.halt()
    panel.follow(search, draw=int(state.settings["draw"]))
