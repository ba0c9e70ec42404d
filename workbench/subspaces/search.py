"""Differential subspace search as a session: a tree of accepted points, one line after another."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Generator as Steps
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.models import Generator, ModelError, as_generator
from workbench.models.generator import Condition
from workbench.numerics.spectra import Route, Spectrum, spectrum_steps
from workbench.progress import Progress, Step, run
from workbench.results import Provenance, Result, call, load_result
from workbench.subspaces.features import Features, Pixels, composed, written
from workbench.subspaces.line import Line, Scale, along, check_steps, line_at, target_change
from workbench.subspaces.subspace import Draws

if TYPE_CHECKING:
    import pandas as pd

#: Accepting within this share of the line's length from its middle keeps the point and its Jacobian.
MIDDLE = 0.05
#: Spectra of the points visited last are kept, so that stepping back costs nothing.
_KEPT_SPECTRA = 32


@dataclass(frozen=True)
class Point:
    """An accepted point of a search.

    Attributes:
        index: its number, 0 the start.
        parent: the point that its line went through; None for the start.
        draw: which direction drawn at the parent that line had.
        t: where on that line it was accepted.
        latent: (*latent).
        output: (*output).
    """

    index: int
    parent: int | None
    draw: int
    t: float
    latent: Float[Tensor, " *latent"]
    output: Float[Tensor, " *output"]


@dataclass(frozen=True, kw_only=True)
class Path(Result):
    """Every accepted point of a search, with its branches; `Search.resume` goes on from it.

    Attributes:
        latents: (points, *latent).
        outputs: (points, *output).
        parents: (points,), -1 for the start.
        draws: (points,) which direction drawn at the parent led there.
        positions: (points,) float64, where on that line; 0 for the start.
        seed, scale, share, steps, route, current: the search's settings and where it stands.
        features: what counted as a change, as text.
        given_start: whether the start was given rather than drawn with the seed.
    """

    latents: Float[Tensor, "points *latent"]
    outputs: Float[Tensor, "points *output"]
    parents: Int[Tensor, " points"]
    draws: Int[Tensor, " points"]
    positions: Float[Tensor, " points"]
    seed: int
    scale: str
    share: float
    steps: int
    route: str
    features: str
    given_start: bool
    current: int

    def frame(self) -> pd.DataFrame:
        """One row a point: its parent, the draw and the position that led there."""
        import pandas as pd

        return pd.DataFrame(
            {
                "parent": self.parents.cpu().numpy(),
                "draw": self.draws.cpu().numpy(),
                "t": self.positions.cpu().numpy(),
                "norm": self.latents.flatten(1).norm(dim=1).cpu().numpy(),
            }
        )

    def trail(self, point: int | None = None) -> list[int]:
        """Indices from the start to `point` (the current one by default)."""
        trail, at = [], self.current if point is None else point
        while at >= 0:
            trail.append(at)
            at = int(self.parents[at])
        return trail[::-1]


class Search:
    """Search a generator's latent space by one line after another (Chiu et al. 2020).

    Args:
        generator: the generator.
        z: the start, (*latent_shape); by default a draw of the prior with `seed`.
        seed: of the start and of every draw of a direction.
        features, condition, route: as for `wb.subspaces.subspace`.
        scale, share, steps: as for `wb.subspaces.line`.

    Raises:
        ModelError: `z` of another shape, or a generator without derivatives.
        ValueError: `scale`, `share` or `steps` out of range.
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
    ) -> None:
        check_steps(steps)
        self.generator = as_generator(generator)
        generator.check_differentiable()
        self.features = features or Pixels()
        self.seed, self.condition, self.route = seed, condition, route
        self.scale, self.share, self.steps = scale, share, steps
        self._given_start = z is not None
        start = generator.point(generator.latents(1, seed=seed) if z is None else z)
        self.target = target_change(generator, self.features, scale=scale, share=share, condition=condition)
        output = generator.render(start[None], condition)[0]
        self.points = [Point(0, None, 0, 0.0, start, output)]
        self.current = 0
        self._spectra: OrderedDict[int, tuple[Spectrum, Draws]] = OrderedDict()

    @property
    def settings(self) -> dict[str, Any]:
        """What another search of this kind takes beside its start and seed."""
        return {
            "features": self.features,
            "condition": self.condition,
            "route": self.route,
            "scale": self.scale,
            "share": self.share,
            "steps": self.steps,
        }

    # -- lines ---------------------------------------------------------------------------------

    def _direction_steps(self, at: Point, draw: int) -> Steps[Step, None, tuple[Tensor, float]]:
        """The direction drawn as number `draw` at a point, and its singular value."""
        if at.index not in self._spectra:
            spectrum = yield from spectrum_steps(
                composed(self.generator, self.features, self.condition),
                at.latent,
                route=self.route,
                seed=self.seed,
            )
            self._spectra[at.index] = spectrum, Draws(spectrum, seed=self._draw_seed(at.index))
            while len(self._spectra) > _KEPT_SPECTRA:
                self._spectra.popitem(last=False)
        self._spectra.move_to_end(at.index)
        _, draws = self._spectra[at.index]
        _, direction, singular_value = draws[draw]
        return direction.reshape(at.latent.shape), singular_value

    def _draw_seed(self, point: int) -> int:
        """A seed from the way that led to a point, so that replaying the way draws the same."""
        text = repr((self.seed, self.moves(point)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    def line_steps(self, draw: int = 0, *, point: int | None = None) -> Steps[Step, None, Line]:
        """The steps of `line`, one a chunk of passes."""
        at = self.points[self._known(self.current if point is None else point)]
        direction, singular_value = yield from self._direction_steps(at, draw)
        return line_at(
            self.generator,
            at.latent,
            at.output,
            direction,
            singular_value=singular_value,
            target=self.target,
            steps=self.steps,
            features=self.features,
            condition=self.condition,
            call=self.code(draw, point=at.index),
            seed=self.seed,
        )

    def line(self, draw: int = 0, *, point: int | None = None, progress: Progress | None = None) -> Line:
        """The line through a point (the current one) along the direction drawn there as number `draw`.

        The spectrum is computed once a point. Directions are drawn without replacement; when all
        have been shown, all are open again.

        Raises:
            LookupError: no such point.
            Cancelled: `progress` returned False.
        """
        return run(self.line_steps(draw, point=point), progress)

    def spectrum(self, point: int | None = None) -> Spectrum | None:
        """The spectrum at a point, if its line has been computed (and is among the last 32)."""
        known = self._spectra.get(self.current if point is None else point)
        return known[0] if known else None

    # -- moving --------------------------------------------------------------------------------

    def accept(self, line: Line, t: float, *, draw: int, point: int | None = None) -> Point:
        """Go to the position `t` of a line that `line(draw, point=point)` gave; returns where one is.

        Within 5 % of the line's length from its middle one stays at its point, whose Jacobian is
        kept; elsewhere a new point is added.
        """
        at = self._known(self.current if point is None else point)
        length = float(line.positions[-1] - line.positions[0])
        if abs(t) < MIDDLE * length:
            self.current = at
            return self.points[at]
        return self._add(at, draw, t, line.direction)

    def step_back(self) -> Point:
        """Go to the parent of the current point (the start stays); a line from there branches."""
        parent = self.points[self.current].parent
        return self.go_to(0 if parent is None else parent)

    def go_to(self, point: int) -> Point:
        """Go to any accepted point.

        Raises:
            LookupError: no such point.
        """
        self.current = self._known(point)
        return self.points[self.current]

    def follow(self, moves: Iterable[tuple[int, float]]) -> Search:
        """Replay moves `(draw, t)` from the current point on, and return the search itself."""
        for draw, t in moves:
            direction, _ = run(self._direction_steps(self.points[self.current], draw), lambda _: True)
            self._add(self.current, draw, float(t), direction)
        return self

    def _add(self, parent: int, draw: int, t: float, direction: Tensor) -> Point:
        from_point = self.points[parent]
        latents, _ = along(self.generator, from_point.latent, direction, torch.tensor([t]).to(from_point.latent))
        output = self.generator.render(latents, self.condition)[0]
        self.points.append(Point(len(self.points), parent, draw, t, latents[0], output))
        self.current = len(self.points) - 1
        return self.points[-1]

    def _known(self, point: int) -> int:
        if not 0 <= point < len(self.points):
            raise LookupError(f"point {point} was asked for; the search has points 0 to {len(self.points) - 1}")
        return point

    # -- keeping -------------------------------------------------------------------------------

    def moves(self, point: int | None = None) -> list[tuple[int, float]]:
        """The moves `(draw, t)` that lead from the start to a point (the current one)."""
        return [(at.draw, at.t) for at in self._trail(point)[1:]]

    def _trail(self, point: int | None) -> list[Point]:
        """The points from the start to one (the current one)."""
        trail = [self.points[self._known(self.current if point is None else point)]]
        while (parent := trail[-1].parent) is not None:
            trail.append(self.points[parent])
        return trail[::-1]

    def code(self, draw: int = 0, *, point: int | None = None) -> str:
        """One line of Python that gives the line drawn as number `draw` at a point."""
        moves = self.moves(point)
        followed = f".follow({moves!r})" if moves else ""
        return f"{self.beginning()}{followed}.line({draw})"

    def beginning(self) -> str:
        """The Python that gives this search as it began; arrays and features of one's own by their names."""
        start = "G, z" if self._given_start else "G"
        settings = [f"seed={self.seed}"]
        for name, default in (("route", "auto"), ("scale", "output"), ("share", 0.5), ("steps", 25)):
            if getattr(self, name) != default:
                settings.append(f"{name}={getattr(self, name)!r}")
        if not isinstance(self.features, Pixels):
            settings.append(f"features={written(self.features)}")
        named = {} if self.condition is None else {"condition": self.condition}
        return call("wb.subspaces.Search", start, *settings, **named)

    def path(self) -> Path:
        """All accepted points as a result that saves itself, also while another thread accepts the next one."""
        current = self.current  # before the points: those only grow
        points = list(self.points)
        return Path(
            provenance=Provenance.of(self.generator, call=self.code(), seed=self.seed),
            latents=torch.stack([p.latent for p in points]),
            outputs=torch.stack([p.output for p in points]),
            parents=torch.tensor([-1 if p.parent is None else p.parent for p in points]),
            draws=torch.tensor([p.draw for p in points]),
            positions=torch.tensor([p.t for p in points], dtype=torch.float64),
            seed=self.seed,
            scale=self.scale,
            share=self.share,
            steps=self.steps,
            route=self.route,
            features=repr(self.features),
            given_start=self._given_start,
            current=current,
        )

    @classmethod
    def resume(
        cls,
        generator: Generator,
        path: Path | str | FilePath,
        *,
        features: Features | None = None,
        condition: Condition = None,
    ) -> Search:
        """Go on with a search from its path, or from the folder where the path was saved.

        The points are taken as they were saved; lines drawn from them are those that the search
        would have drawn.

        Raises:
            ModelError: the path was made with other weights, or with other `features`.
        """
        loaded = path if isinstance(path, Path) else load_result(path)
        if not isinstance(loaded, Path):
            raise ModelError(f"{path} holds a {type(loaded).__name__}, expected the Path of a search")
        if loaded.provenance.fingerprint != generator.fingerprint:
            raise ModelError(
                f"the path was made with {loaded.provenance.model} (weights "
                f"{loaded.provenance.fingerprint[:12]}…), not with {generator.name} "
                f"({generator.fingerprint[:12]}…); load the generator that made it"
            )
        if loaded.features != repr(features or Pixels()):
            raise ModelError(f"the path was made with features={loaded.features}; pass the same")
        search = cls(
            generator,
            loaded.latents[0],
            seed=loaded.seed,
            features=features,
            condition=condition,
            route=loaded.route,  # type: ignore[arg-type]
            scale=loaded.scale,  # type: ignore[arg-type]
            share=loaded.share,
            steps=loaded.steps,
        )
        search._given_start = loaded.given_start
        columns = zip(loaded.parents, loaded.draws, loaded.positions, loaded.latents, loaded.outputs, strict=True)
        search.points = [
            Point(i, None if p < 0 else int(p), int(d), float(t), z.to(generator.device), x.to(generator.device))
            for i, (p, d, t, z, x) in enumerate(columns)
        ]
        search.current = search._known(loaded.current)
        return search

    def walk(
        self, *, frames: int = 12, point: int | None = None, progress: Progress | None = None
    ) -> Float[Tensor, "frames *output"]:
        """The outputs along the way from the start to a point (the current one), `frames` on each leg.

        Raises:
            LookupError: no such point.
            Cancelled: `progress` returned False.
        """
        return run(self.walk_steps(frames=frames, point=point), progress)

    def walk_steps(
        self, *, frames: int = 12, point: int | None = None
    ) -> Steps[Step, None, Float[Tensor, "frames *output"]]:
        """The steps of `walk`, one a leg."""
        trail = [at.latent for at in self._trail(point)]
        legs = [
            a
            + torch.linspace(0, 1, frames + 1, device=a.device, dtype=a.dtype)[:-1].reshape(-1, *[1] * a.ndim)
            * (b - a)
            for a, b in pairwise(trail)
        ]
        legs.append(trail[-1][None])
        outputs = []
        for done, leg in enumerate(legs):
            yield Step(done, len(legs), "rendering the way")
            outputs.append(self.generator.render(leg, self.condition))
        return torch.cat(outputs)
