"""The reference for one query: an off-the-shelf solver on the problem as the paper states it.

Yousefzadeh and O'Leary, "Deep learning interpretation: flip points and homotopy methods", MSML 2020:
equations (1) to (6) and appendix E.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import Bounds as SciPyBounds
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from workbench.flip_points.problem import FlipPointError, Scores, Space, check_targets, make_space, single_query
from workbench.models import Classifier
from workbench.numerics.cones import angle_to_cone
from workbench.numerics.jacobians import Passes

#: Which of SciPy's solvers stands for the paper's F.
Method = Literal["auto", "slsqp", "lagrangian"]

#: SLSQP factors dense matrices in every iteration: 8 ms at 100 variables, 300 ms at 784 with bounds, measured on
#: one core. The augmented Lagrangian needs a few hundred gradients more, but each costs only a pass and back.
SLSQP_VARIABLES = 300


@dataclass(frozen=True)
class Conditions:
    """What must hold between the scores z of a point, each row a linear condition.

    Attributes:
        equal, values: (e, classes) and (e,), equal @ z = values.
        above: (r, classes), above @ z >= 0.
    """

    equal: Float[np.ndarray, "e classes"]
    values: Float[np.ndarray, " e"]
    above: Float[np.ndarray, "r classes"]

    def gap(self, z: Float[np.ndarray, " classes"]) -> float:
        """Largest distance from an equality."""
        return float(np.abs(self.equal @ z - self.values).max(initial=0.0))

    def violation(self, z: Float[np.ndarray, " classes"]) -> float:
        """Largest violation of an inequality, 0 where all hold."""
        return float((-(self.above @ z)).max(initial=0.0))


@dataclass(frozen=True)
class PairSolution:
    """A point of a decision boundary near a query, with the proof of what it is.

    Attributes:
        v: (d,) its coordinates in the space that was searched.
        point: (*input) the input at `v`.
        distance: |v - v0|, v0 the query's coordinates.
        gap: largest |z_i - z_j| over the targets j; distance from the wanted value for a changed output.
        violation: largest z_k - z_i over the other classes k, 0 where i leads.
        bound_violation: how far the furthest coordinate lies outside its bounds.
        angle: in radians, 0 to pi/2, between v - v0 and the boundary's normal, in the free coordinates that are
            not at a bound: 0 at a local minimiser. Where several targets or further classes tie too, the
            angle to the cone that their normals span. 0 where the query itself lies on the boundary.
        feasible: gap, violation and bound_violation are within the tolerance.
        converged: feasible, and either the solver reports that it settled or the angle is below 1e-3. At a
            kink of a network with ReLUs it settles at an angle, which the reason then names.
        reason: in words, what the solver ended with.
        iterations: of the solver.
        passes: single-sample passes through the network.
    """

    v: Float[Tensor, " d"]
    point: Float[Tensor, " *input"]
    distance: float
    gap: float
    violation: float
    bound_violation: float
    angle: float
    feasible: bool
    converged: bool
    reason: str
    iterations: int
    passes: Passes


def tie(classes: int, label: int, targets: Sequence[int]) -> Conditions:
    """Equations (3) and (4): the label and the targets share the highest score.

    The inequality is not strict: the closest point may be one where a further class ties.
    """
    eye = np.eye(classes)
    others = [k for k in range(classes) if k != label and k not in targets]
    return Conditions(eye[label] - eye[list(targets)], np.zeros(len(targets)), eye[label] - eye[others])


class _Task:
    """The problem in the solver's variables u, the coordinates that may change, as NumPy arrays."""

    def __init__(self, scores: Scores, x: Float[Tensor, "1 *input"], space: Space, conditions: Conditions) -> None:
        self.scores, self._x, self.space, self.conditions = scores, x, space, conditions
        self.origin = space.origin(x)[0]
        low, high = space.limits(self.origin[None])
        self.free = (low[0] < high[0]).nonzero()[:, 0]
        self.low = low[0, self.free].cpu().double().numpy()
        self.high = high[0, self.free].cpu().double().numpy()
        self.u0 = self.origin[self.free].cpu().double().numpy()
        # scores that no condition names need no gradient
        named = np.abs(np.concatenate([conditions.equal, conditions.above])).sum(0) > 0
        self._named = torch.as_tensor(named.nonzero()[0], device=x.device)
        self._z: tuple[bytes, np.ndarray] = (b"", np.empty(0))
        self._jacobian: tuple[bytes, np.ndarray] = (b"", np.empty(0))

    def coordinates(self, u: np.ndarray) -> Float[Tensor, " d"]:
        v = self.origin.clone()
        v[self.free] = torch.as_tensor(u).to(v)
        return v

    def point(self, u: np.ndarray) -> Float[Tensor, "1 *input"]:
        return self.space.inputs(self.coordinates(u)[None], self._x)

    def z(self, u: np.ndarray) -> Float[np.ndarray, " classes"]:
        if self._z[0] != u.tobytes():
            self._z = (u.tobytes(), self.scores(self.point(u))[0].cpu().double().numpy())
        return self._z[1]

    def jacobian(self, u: np.ndarray) -> Float[np.ndarray, "classes variables"]:
        """Derivatives of the scores, those of all classes in one batch of copies of the point."""
        if self._jacobian[0] != u.tobytes():
            named = self._named
            copies = self.point(u).expand(len(named), *self._x.shape[1:]).contiguous()
            z, _, gradients = self.scores.with_gradients(copies, lambda s, rows: s.gather(1, named[rows, None]))
            found = np.zeros((z.shape[1], len(self.free)))
            found[named.cpu().numpy()] = self._variables(gradients[:, 0])
            self._jacobian = (u.tobytes(), found)
        return self._jacobian[1]

    def half_square(self, u: np.ndarray) -> float:
        return 0.5 * float((u - self.u0) @ (u - self.u0))

    def lagrangian(
        self, rows: np.ndarray, values: np.ndarray, equality: np.ndarray, multipliers: np.ndarray, penalty: float
    ) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """The augmented Lagrangian and its gradient, from one pass forward and one back."""
        options: dict[str, Any] = {"device": self._x.device, "dtype": self.scores.dtype}
        a, b, m = (torch.as_tensor(array, **options) for array in (rows, values, multipliers))
        e = torch.as_tensor(equality, device=self._x.device)

        def penalised(z: Tensor, _: slice) -> Tensor:
            shifted = m - penalty * (z @ a.T - b)
            shifted = torch.where(e, shifted, shifted.clamp_min(0))
            return shifted.square().sum(1, keepdim=True) / (2 * penalty)

        def evaluate(u: np.ndarray) -> tuple[float, np.ndarray]:
            z, value, gradient = self.scores.with_gradients(self.point(u), penalised)
            self._z = (u.tobytes(), z[0].cpu().double().numpy())
            return self.half_square(u) + float(value), u - self.u0 + self._variables(gradient[:, 0])[0]

        return evaluate

    def _variables(self, gradients: Float[Tensor, "k *input"]) -> Float[np.ndarray, "k variables"]:
        """Gradients with respect to inputs as gradients with respect to u."""
        rows = gradients.flatten(1)
        if self.space.basis is not None:
            rows = rows @ self.space.basis.to(rows).T
        return rows[:, self.free].cpu().double().numpy()

    def stationarity(self, u: np.ndarray, tolerance: float) -> tuple[float, np.ndarray]:
        """The angle of `PairSolution.angle`, and the multipliers of the conditions that come closest to it."""
        inside = (u > self.low + 1e-9) & (u < self.high - 1e-9)
        equal, above = self.conditions.equal, self.conditions.above
        active = np.concatenate([np.full(len(equal), True), above @ self.z(u) <= tolerance])
        normals = np.concatenate([equal, above])[active] @ self.jacobian(u)[:, inside]
        multipliers = np.zeros(len(active))
        angle, multipliers[active] = angle_to_cone((u - self.u0)[inside], normals, lines=len(equal))
        return angle, multipliers


def _slsqp(task: _Task, u: np.ndarray, iterations: int, tolerance: float) -> OptimizeResult:
    c = task.conditions
    constraints = [
        {
            "type": kind,
            "fun": lambda u, rows=rows, values=values: rows @ task.z(u) - values,
            "jac": lambda u, rows=rows: rows @ task.jacobian(u),
        }
        for kind, rows, values in (("eq", c.equal, c.values), ("ineq", c.above, 0.0))
        if len(rows)
    ]
    return minimize(
        task.half_square,
        u,
        jac=lambda u: u - task.u0,
        bounds=SciPyBounds(task.low, task.high),
        constraints=constraints,
        method="SLSQP",
        # its one tolerance is for the objective, half a squared distance, and for the constraints
        options={"maxiter": iterations, "ftol": tolerance / 10},
    )


def _augmented_lagrangian(task: _Task, u: np.ndarray, iterations: int, tolerance: float) -> OptimizeResult:
    """SciPy's L-BFGS-B on the augmented Lagrangian (Nocedal and Wright, algorithm 17.4).

    One evaluation costs one gradient however many classes there are, and no matrix is factored. A kink of a
    ReLU network stops L-BFGS-B short of a stationary point, so each round of it is short.
    """
    c = task.conditions
    rows, values = np.concatenate([c.equal, c.above]), np.concatenate([c.values, np.zeros(len(c.above))])
    equality = np.arange(len(rows)) < len(c.values)
    multipliers = task.stationarity(u, tolerance)[1]
    penalty, exactness, worst, length, spent = 10.0, 1e-2, math.inf, math.inf, 0
    # at a kink no step descends enough: looking for one soon ends
    options: dict[str, Any] = {"maxcor": 20, "ftol": 1e-12, "maxls": 8}
    while True:
        found = minimize(
            task.lagrangian(rows, values, equality, multipliers, penalty),
            u,
            jac=True,
            bounds=SciPyBounds(task.low, task.high),
            method="L-BFGS-B",
            options=options | {"maxiter": min(60, iterations - spent), "gtol": exactness},
        )
        u, spent = found.x, spent + max(found.nit, 1)
        z, before, length = task.z(u), length, math.sqrt(2 * task.half_square(u))
        shifted = multipliers - penalty * (rows @ z - values)
        multipliers = np.where(equality, shifted, np.maximum(shifted, 0))
        now = max(c.gap(z), c.violation(z))
        settled = now <= tolerance / 2 and (found.status == 0 or abs(length - before) <= 1e-6 * length)
        if settled or spent >= iterations:
            message = "settled" if settled else "iteration limit reached"
            return OptimizeResult(x=u, nit=spent, success=settled, message=message)
        exactness = max(exactness / 10, 1e-6)
        if now > worst / 4:
            penalty = min(4 * penalty, 1e6)
        worst = min(worst, now)


@dataclass(frozen=True)
class Solver:
    """The solver F of equation (6).

    Attributes:
        method: `"slsqp"`: SciPy's sequential least squares programming; `"lagrangian"`: its L-BFGS-B on an
            augmented Lagrangian; `"auto"`: the first for up to `SLSQP_VARIABLES` coordinates that may
            change, the second beyond (SciPy's trust-constr took 0.9 s an iteration at 784).
        iterations: most of SLSQP; four times as many of L-BFGS-B, which cost less.
        tolerance: largest gap, violation and bound violation of a feasible point, in the units of the scores
            (logits) and of the coordinates.
    """

    method: Method = "auto"
    iterations: int = 500
    tolerance: float = 1e-7

    def __post_init__(self) -> None:
        if self.method not in get_args(Method) or self.iterations < 1 or not self.tolerance > 0:
            raise FlipPointError(
                f"{self}; expected a method of {', '.join(get_args(Method))}, at least one iteration and a "
                "tolerance above 0"
            )

    def __call__(
        self,
        scores: Scores,
        x: Float[Tensor, "1 *input"],
        conditions: Conditions,
        *,
        space: Space,
        start: Float[Tensor, " d"] | None = None,
    ) -> PairSolution:
        """The closest point to a query where the conditions hold, or the best that was reached.

        Args:
            scores: of the network, or of one that stands for it in a homotopy.
            x: the query, checked by `check_queries`.
            start: coordinates to begin from, the query's own by default.
        """
        before = astuple(scores.passes)
        task = _Task(scores, x, space, conditions)
        if self.meets(conditions, task.z(task.u0)):
            found = OptimizeResult(x=task.u0, nit=0, success=True, message="the query itself meets the conditions")
        else:
            u = task.u0 if start is None else start[task.free].cpu().double().numpy()
            u = np.clip(u, task.low, task.high)
            small = len(u) <= SLSQP_VARIABLES
            if self.method == "slsqp" or (self.method == "auto" and small):
                found = _slsqp(task, u, self.iterations, self.tolerance)
            else:
                found = _augmented_lagrangian(task, u, 4 * self.iterations, self.tolerance)
        return self._judged(task, found, before)

    def meets(self, conditions: Conditions, z: Float[np.ndarray, " classes"]) -> bool:
        """Whether scores meet the conditions within the tolerance."""
        return conditions.gap(z) <= self.tolerance and conditions.violation(z) <= self.tolerance

    def _judged(self, task: _Task, found: OptimizeResult, before: tuple[int, ...]) -> PairSolution:
        u, z = found.x, task.z(found.x)
        gap, violation = task.conditions.gap(z), task.conditions.violation(z)
        outside = float(np.maximum(task.low - u, u - task.high).max(initial=0.0))
        # a point whose scores are NaN is not feasible
        feasible = all(value <= self.tolerance for value in (gap, violation, outside))
        angle = task.stationarity(u, self.tolerance)[0] if math.isfinite(gap) else math.nan
        converged = feasible and (bool(found.success) or angle < 1e-3)
        ending = f"{str(found.message)[:1].lower()}{str(found.message)[1:]} after {found.nit} iterations"
        if found.nit == 0 and converged:
            reason = str(found.message)
        elif converged and angle <= 0.01:
            reason = f"a local minimiser within the tolerance after {found.nit} iterations"
        elif converged:
            reason = f"settled after {found.nit} iterations, {angle:.2g} rad off the normal, as happens at a kink"
        elif feasible:
            reason = f"on the boundary, but perhaps not the closest point there: {ending}"
        else:
            reason = f"not on the boundary: gap {gap:.1e}, violation {violation:.1e}; {ending}"
        after = astuple(task.scores.passes)
        return PairSolution(
            v=task.coordinates(u),
            point=task.point(u)[0],
            distance=math.sqrt(2 * task.half_square(u)),
            gap=gap,
            violation=violation,
            bound_violation=outside,
            angle=angle,
            feasible=feasible,
            converged=converged,
            reason=reason,
            iterations=int(found.nit),
            passes=Passes(*(b - a for a, b in zip(before, after, strict=True))),
        )


#: 200 iterations of SLSQP missed 10 of 180 pairs on the shipped erf network; none that was tried took 500.
DEFAULT = Solver()


def solve(
    classifier: Classifier,
    x: Any,
    targets: int | Sequence[int],
    *,
    label: int | None = None,
    space: Space | None = None,
    solver: Solver = DEFAULT,
    scores: Scores | None = None,
) -> PairSolution:
    """The closest flip point to one query between its class and another: equations (1) to (5), on logits.

    The problem is not convex: what is found is a local minimiser.

    Args:
        x: one query, (*input) or (1, *input).
        targets: the class j, or several that shall all tie with the label ("flip points between multiple
            classes", section 2).
        label: the class i, by default the predicted one.
        space: where to look; by default inputs within the classifier's value range.
        scores: the classifier's, to save the copy in double precision where many pairs are solved.

    Returns:
        The point with its proof; `converged` and `reason` say how the solver ended.

    Raises:
        FlipPointError: no target or the label itself, several queries, a query outside its bounds.
        ModelError: a class that does not exist, a query of another shape, or NaN in it.
    """
    space, scores = space or make_space(classifier), scores or Scores(classifier)
    x = single_query(classifier, x, space)
    label = int(scores(x)[0].argmax()) if label is None else label
    chosen = check_targets(classifier, label, targets)
    conditions = tie(len(classifier.class_names), label, chosen)
    return solver(scores, x, conditions, space=space)


def solve_change(
    classifier: Classifier,
    x: Any,
    output: int,
    delta: float,
    *,
    space: Space | None = None,
    solver: Solver = DEFAULT,
) -> PairSolution:
    """The least change of one query that changes one output by `delta`: z_o(x_hat) = z_o(x) + delta.

    Appendix E.3, for outputs that are quantities, such as a dose. Nothing is asked of the other outputs.

    Args:
        output: its index o.
        delta: in the output's units.

    Raises:
        FlipPointError, ModelError: as in `solve`; a `delta` that is not finite.
    """
    space, scores = space or make_space(classifier), Scores(classifier)
    x = single_query(classifier, x, space)
    outputs = len(classifier.class_names)
    if not 0 <= output < outputs or not math.isfinite(delta):
        raise FlipPointError(f"output={output}, delta={delta}; expected an output 0 to {outputs - 1} and a number")
    row = np.eye(outputs)[[output]]
    value = row @ scores(x)[0].cpu().double().numpy() + delta
    return solver(scores, x, Conditions(row, value, np.zeros((0, outputs))), space=space)
