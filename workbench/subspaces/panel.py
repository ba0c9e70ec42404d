"""The panel of differential subspace search: one film-strip slider after another."""

from __future__ import annotations

from collections.abc import Generator as Steps
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch

from workbench.exports.view import ExportView
from workbench.models import Generator
from workbench.models.generator import Condition
from workbench.numerics.spectra import Route
from workbench.progress import Progress, Step
from workbench.sessions import State
from workbench.subspaces import panel_state
from workbench.subspaces.export import export_steps
from workbench.subspaces.features import Features
from workbench.subspaces.figures import show_line, singular_values
from workbench.subspaces.line import Line, Scale
from workbench.subspaces.panel_report import describe, place_in
from workbench.subspaces.search import Path, Search
from workbench.ui import parts
from workbench.ui.code_line import CodeLine
from workbench.ui.film_strip import Accepted, FilmStrip
from workbench.ui.jobs import Jobs
from workbench.ui.plot import Plot
from workbench.ui.sample_grid import SampleGrid
from workbench.ui.saving import Savable

if TYPE_CHECKING:
    from workbench.reports import Run

#: Samples to choose a start from.
_STARTS = 60
#: Width of the column beside the film strip, in CSS pixels.
_ASIDE = 320


class Panel(Savable, widgets.VBox):
    """Scrub one slider after another through the latent space of a generator.

    Drag along the film strip: the browser draws the frames, the kernel is not asked. Release to go
    there; the next line is computed in the background while the present one stays usable.

    Args:
        generator: the generator.
        z: the start; by default a draw with `seed`.
        seed, features, condition, route, scale, share, steps: as for `wb.subspaces.Search`.
        search: a search to go on with instead, such as from `wb.subspaces.Search.resume`, in its own settings.
        height: of the large picture, in CSS pixels.

    Attributes:
        search: the session behind the panel, with `path()`, `code()` and `line()`.
        line: the line that is on screen.
        shown: the point that it goes through, and which direction drawn there it has.

    Raises:
        ModelError, ValueError: as `wb.subspaces.Search`, or `z` beside a `search`.
    """

    def __init__(
        self,
        generator: Generator,
        z: Any = None,
        *,
        seed: int = 0,
        features: Features | None = None,
        condition: Condition = None,
        route: Route = "auto",
        scale: Scale = "output",
        share: float = 0.5,
        steps: int = 25,
        search: Search | None = None,
        height: int = 288,
    ) -> None:
        if z is not None and search is not None:
            raise ValueError("z and search were both given; a search has its own start, so give one of the two")
        self.generator = generator
        self.search = search or Search(
            generator,
            z,
            seed=seed,
            features=features,
            condition=condition,
            route=route,
            scale=scale,
            share=share,
            steps=steps,
        )
        self.line: Line | None = None
        self._history_of: Search | None = None
        self.shown = (0, 0)  # the point and the draw of the line on screen
        self._ahead: dict[tuple[int, int], Line] = {}
        self._build(height)
        self._show_history()
        self._request_line(self.search.current, 0)

    # -- what it looks like --------------------------------------------------------------------

    def _build(self, height: int) -> None:
        self.strip = FilmStrip(height=height, empty_text="The first line is being computed …")
        self.strip.on_accept(self._accepted)
        self.jobs = Jobs()
        self.jobs.on_busy = lambda busy: setattr(self.strip, "busy", busy)
        self.code = CodeLine()
        self.report = ExportView("subspace-search", lambda: describe(self.search, self.line, self.shown))
        self.history = SampleGrid(
            arrangement="strip", name="points", empty_text="Points that you accept appear here."
        )
        self.history.on_activate(self._history_chosen)
        self.starts = SampleGrid(multiple=False, empty_text="Press “Show samples” to choose a start.")
        self.starts.on_select(self._start_selected)
        self._start_latents: torch.Tensor | None = None
        self._facts = widgets.HTML()
        self._spectrum = Plot()
        self._buttons = {
            "another": parts.button(
                "Another direction", "Draw the next direction at this point (its Jacobian is kept)"
            ),
            "back": parts.button("Step back", "Return to the point before; a line from there branches"),
            "start": parts.button("New start", "Begin again at a new draw of the prior"),
        }
        self._buttons["another"].on_click(lambda _: self.another_direction())
        self._buttons["back"].on_click(lambda _: self.step_back())
        self._buttons["start"].on_click(lambda _: self.new_start())
        self._seed = widgets.BoundedIntText(
            value=self.search.seed,
            min=0,
            max=2**31 - 1,
            description="seed",
            layout=widgets.Layout(width="140px"),
            style={"description_width": "36px"},
        )
        left = widgets.VBox(
            [self.strip, widgets.HBox([*self._buttons.values(), self._seed], layout=parts.row())],
            layout=widgets.Layout(flex="3 1 420px", min_width="320px"),
        )
        right = widgets.VBox(
            [self._facts, self._spectrum], layout=widgets.Layout(flex=f"0 1 {_ASIDE}px", min_width="240px")
        )
        more = widgets.Accordion([self._starts_view(), self._keep_view()], selected_index=None)
        more.titles = ("Choose a start among samples", "Save, replay and export the path")
        super().__init__(
            [
                widgets.HBox([left, right], layout=widgets.Layout(flex_flow="row wrap", grid_gap="20px")),
                self.jobs,
                self.history,
                self.code,
                self.report,
                more,
            ],
            layout=widgets.Layout(grid_gap="6px", width="100%"),
        )

    def _starts_view(self) -> widgets.Widget:
        show = parts.button("Show samples", f"Draw {_STARTS} samples of the prior to choose from")
        show.on_click(lambda _: self.show_starts())
        return widgets.VBox([show, self.starts])

    def _keep_view(self) -> widgets.Widget:
        self._folder = widgets.Text(
            value="subspace-path",
            description="folder",
            layout=widgets.Layout(width="320px"),
            style={"description_width": "48px"},
        )
        actions = {
            "Save": ("Write the path into the folder", self.save),
            "Load": ("Go on with the path that the folder holds", self.load),
            "Replay": ("Scrub from the start to here", self.replay),
            "Export GIF": ("Write the way from the start to here as an animation", self.export_gif),
        }
        buttons = []
        for name, (tooltip, action) in actions.items():
            button = parts.button(name, tooltip)
            button.on_click(lambda _, run=action: self._attempt(run))
            buttons.append(button)
        return parts.live_only(widgets.HBox([self._folder, *buttons], layout=parts.row()))

    # -- what the user does --------------------------------------------------------------------

    def another_direction(self) -> None:
        """Draw the next direction at the present point; its Jacobian is kept."""
        point, draw = self.shown
        self._request_line(point, draw + 1)

    def step_back(self) -> None:
        """Return to the point before; the line accepted next from there starts a branch."""
        self.search.step_back()
        self._moved()

    def go_to(self, point: int) -> None:
        """Return to any accepted point."""
        self.search.go_to(point)
        self._moved()

    def new_start(self, z: Any = None) -> None:
        """Begin a new search at `z`, or at a draw of the prior with the next seed."""
        if z is None:
            self._seed.value = self._seed.value if self._seed.value != self.search.seed else self.search.seed + 1
        seed, settings = int(self._seed.value), self.search.settings

        def steps() -> Steps[Step, None, Search]:
            yield Step(0, None, "drawing")
            return Search(self.generator, z, seed=seed, **settings)

        self.jobs.submit(steps, self.follow, label="New start")

    def show_starts(self) -> None:
        """Fill the grid of starts with draws of the prior."""

        def steps() -> Steps[Step, None, torch.Tensor]:
            self._start_latents = self.generator.latents(_STARTS, seed=int(self._seed.value))
            yield Step(0, _STARTS, "samples")
            return self.generator.render(self._start_latents, self.search.condition)

        def done(outputs: torch.Tensor) -> None:
            self.starts.show(outputs.float().cpu(), value_range=self.generator.value_range)

        self.jobs.submit(steps, done, label="Samples")

    def save(self) -> FilePath:
        """Write the path into the folder named in the panel."""
        folder = self.search.path().save(self._folder.value)
        self.jobs.say(f"Saved {len(self.search.points)} points in {folder}")
        return folder

    def load(self) -> None:
        """Go on with the path in the folder named in the panel."""
        folder, search = self._folder.value, self.search

        def steps() -> Steps[Step, None, Search]:
            yield Step(0, None, "reading")
            return Search.resume(self.generator, folder, features=search.features, condition=search.condition)

        self.jobs.submit(steps, self.follow, label=f"Path in {folder}")

    def replay(self) -> None:
        """Show the way from the start to the present point on the film strip."""
        frames = max(2, 48 // max(len(self.search.moves()), 1))

        def done(outputs: torch.Tensor) -> None:
            self.strip.show(
                outputs.float().cpu(),
                value_range=self.generator.value_range,
                positions=[i / frames for i in range(len(outputs))],
                line_id="replay",
                start=0,
                ends=("start", "here"),
            )

        self.jobs.submit(lambda: self.search.walk_steps(frames=frames), done, label="Replay")

    def export_gif(self) -> None:
        """Write the way from the start to the present point as an animation into the folder."""
        path = FilePath(self._folder.value) / "path.gif"
        self.jobs.submit(lambda: export_steps(self.search, path), lambda written: None, label=f"Animation {path}")

    def export(self, folder: str | FilePath = "", *, progress: Progress | None = None) -> Run:
        """Write what is on screen as a report; see `workbench.exports.write`."""
        return self.report.export(folder, progress=progress)

    def close(self) -> None:
        """Stop the worker and close every widget of the panel."""
        if not hasattr(self, "jobs"):  # ipywidgets closes what was never finished, too
            return
        self.jobs.close()
        parts.close_all(self)
        super().close()

    # -- what follows from it ------------------------------------------------------------------

    def _accepted(self, accepted: Accepted) -> None:
        if accepted.line == "replay" or self.line is None:
            return
        known = {f"{point}/{draw}": (point, draw) for point, draw in self._ahead}.get(accepted.line)
        line = None if known is None else self._ahead[known]
        if known is None or line is None or accepted.index >= len(line.positions):
            return
        point, draw = known
        t = float(line.positions[accepted.index])

        def steps() -> Steps[Step, None, tuple[int, int, Line]]:
            yield Step(0, None, "going there")
            before = len(self.search.points)
            reached = self.search.accept(line, t, draw=draw, point=point)
            stayed = len(self.search.points) == before
            if not stayed:
                self._show_history()
            self.on_settled()
            number = draw + 1 if stayed else 0
            following = yield from self.search.line_steps(number, point=reached.index)
            return reached.index, number, following

        self.jobs.submit(steps, lambda value: self._show_line(*value), label="Next line")

    def _moved(self) -> None:
        self.on_settled()
        self._show_history()
        self._request_line(self.search.current, 0)

    def _request_line(self, point: int, draw: int) -> None:
        known = self._ahead.get((point, draw))
        if known is not None:
            self.jobs.cancel(keep=False)
            self._show_line(point, draw, known)
            return
        self.jobs.submit(
            lambda: self.search.line_steps(draw, point=point),
            lambda line: self._show_line(point, draw, line),
            label="Line",
        )

    def _show_line(self, point: int, draw: int, line: Line) -> None:
        self._ahead.pop((point, draw), None)
        self._ahead[point, draw] = line  # the last, so that what is on screen is not dropped
        while len(self._ahead) > 64:
            self._ahead.pop(next(iter(self._ahead)))
        self.line, self.shown = line, (point, draw)
        show_line(self.strip, line, self.generator.value_range, line_id=f"{point}/{draw}")
        self.code.code = self.search.code(draw, point=point)
        self._show_facts(point, draw, line)
        self.on_settled()
        following = (point, draw + 1)
        if following not in self._ahead:
            self.jobs.submit(
                lambda: self.search.line_steps(draw + 1, point=point),
                lambda ahead: self._ahead.__setitem__(following, ahead),
                label="Ahead",
                background=True,
            )

    def _show_facts(self, point: int, draw: int, line: Line) -> None:
        rows = {
            "point": f"{point} of {len(self.search.points) - 1}",
            "direction": f"{draw + 1}{_ordinal(draw + 1)} drawn here",
            "singular value": f"{line.singular_value:.3g}",
        }
        spectrum = self.search.spectrum(point)
        self._spectrum.layout.display = None if spectrum is not None else "none"
        if spectrum is None:  # of a point that was left long ago, whose line was kept
            self._facts.value = parts.table(rows)
            return
        index = place_in(spectrum, line)
        total = len(spectrum.singular_values)
        place = f"{index + 1}{_ordinal(index + 1)} of {total}" if index >= 0 else f"outside the first {total}"
        rows["singular value"] += f" · {place}"
        rows["spectrum"] = f"{spectrum.route}, {spectrum.passes.total} passes"
        self._facts.value = parts.table(rows)
        self._spectrum.draw(singular_values(spectrum.singular_values, index, width=_ASIDE))

    def _show_history(self) -> None:
        points = self.search.points
        fresh = points[self.history.count :]
        grow = 0 < self.history.count <= len(points) and self._history_of is self.search
        self._history_of = self.search
        if grow and not fresh:
            self.history.current = self.search.current
        else:
            put = self.history.append if grow else self.history.show
            put(
                torch.stack([p.output for p in (fresh if grow else points)]).float().cpu(),
                value_range=self.generator.value_range,
                labels=[str(p.index) for p in (fresh if grow else points)],
                parents=[p.parent for p in (fresh if grow else points)],
                current=self.search.current,
            )
        self._buttons["back"].disabled = points[self.search.current].parent is None

    def _history_chosen(self, point: int) -> None:
        if point != self.search.current:
            self.go_to(point)

    def _start_selected(self, selected: list[int]) -> None:
        if selected and self._start_latents is not None:
            self.new_start(self._start_latents[selected[-1]])

    def follow(self, search: Search, *, draw: int = 0) -> None:
        """Go on with another search, at the direction drawn as number `draw` at its current point."""
        self.search = search
        self._ahead.clear()
        self.on_settled()
        self._show_history()
        self._request_line(search.current, draw)

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except Exception as error:  # shown where the user looks, the panel stays usable
            self.jobs.say(str(error))

    def state(self) -> State:
        """The path and the line that is shown, to be saved."""
        return panel_state.state_of(self)

    def restore(self, state: State) -> None:
        """Go on with the path that `state()` gave.

        Raises:
            ModelError: it was made with other weights or features.
        """
        panel_state.restore(self, state)

    @property
    def path(self) -> Path:
        """All accepted points, as `wb.subspaces.Path`."""
        return self.search.path()


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
