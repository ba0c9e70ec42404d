"""The homotopy: a network that is easy at the query turns step by step into the one that was trained.

Yousefzadeh and O'Leary, "Deep learning interpretation: flip points and homotopy methods", MSML 2020:
algorithms 1 and 2 (erf), F1 to F3 (ReLU), appendix D.5 (adaptive steps).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from collections.abc import Generator as Steps
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from scipy.special import lambertw
from torch import Tensor, nn

from workbench.flip_points.problem import FlipPointError, Scores, Space, check_targets, make_space, single_query
from workbench.flip_points.reference import PairSolution, Solver, tie
from workbench.models import Classifier, Erf
from workbench.numerics.jacobians import Passes
from workbench.progress import Progress, Step, run

#: `"auto"`: erf by its sigma, ReLU and its kin by the slope below zero, ELU by its alpha; `"elu"`: the same, but
#: ReLU by way of ELU (appendix F, last paragraph); `"keep"`: only the bias of the output moves.
Activations = Literal["auto", "elu", "keep"]

#: The floor of sigma: the slope of erf(c / sigma) is at most 2 / (sigma √π), which is 1 here.
GENTLE = 2 / math.sqrt(math.pi)

#: Largest gap or violation of a point on the way that the next step may start from, in the units of the scores.
ON_THE_WAY = 1e-3

#: The last step, on the trained network, gets so many times the iterations, as in the authors' code.
LAST = 3

#: Adaptive steps are halved until they are so many times shorter than the uniform ones.
SHORTEST = 8

#: The solver of a single step.
STEP_SOLVER = Solver(iterations=100)


def gentle_sigma(c: Float[Tensor, " *neurons"], tau: float) -> Float[Tensor, "*#neurons"]:
    """Sigma of a layer of erf neurons whose slope is at most 1 everywhere and, at `c`, at least `tau`.

    Lines 1 and 4 to 10 of algorithm 1, derived anew. The slope of a neuron is

        d/dc erf(c / sigma) = 2 / (sigma √π) exp(-(c / sigma)²).

    It is at most 2 / (sigma √π), hence at most 1 where sigma >= 2/√π. The paper's gamma solves
    erf'(gamma) = tau, so that sigma = |c| / gamma makes the slope tau / sigma: less than was asked for, as
    sigma exceeds 1. The equation slope = tau itself, with u = (c / sigma)², is √u exp(-u) = tau |c| √π / 2, or

        -2u exp(-2u) = -π tau² c² / 2,    u = -W(-π tau² c² / 2) / 2,

    W the lower branch of Lambert's function, which gives the smaller of the two sigmas between which the slope
    is at least tau. Real solutions exist up to |c| = √(2 / (π e)) / tau. Beyond, no sigma has a slope of tau,
    and sigma = √2 |c| has the largest that there is, √(2 / (π e)) / |c|.

    For one sigma the slope falls with |c|, so the largest |c| decides for a layer. Where that has no solution,
    each neuron gets a sigma of its own, so that one far neuron does not flatten the others.

    Returns:
        One number, or one for each neuron.
    """
    largest = c.abs().max()
    if float(largest) * tau <= math.sqrt(2 / (math.pi * math.e)):
        return _smallest_sigma(largest[None], tau)[0]
    return _smallest_sigma(c.abs(), tau)


def _smallest_sigma(c: Tensor, tau: float) -> Tensor:
    """`gentle_sigma` of neurons, each for itself; `c` is not negative."""
    argument = (-math.pi / 2 * (tau * c) ** 2).clamp(-math.exp(-1), -1e-300)
    u = torch.as_tensor(-lambertw(argument.cpu().double().numpy(), -1).real / 2).to(c)
    # above the root the slope still rises, so this errs on the side of tau
    root = torch.where(c * tau < math.sqrt(2 / (math.pi * math.e)), c / u.sqrt() * (1 + 1e-9), math.sqrt(2) * c)
    return root.clamp_min(GENTLE)


def bias_shift(
    scores: Float[Tensor, " classes"], label: int, targets: Sequence[int], *, margin: float
) -> Float[Tensor, " classes"]:
    """The smallest change of the output's bias that makes a query a flip point: line 13 of algorithm 1.

    The minimum of |d|² subject to y_i + d_i = y_j + d_j = s for the label i and each target j, and
    y_l + d_l <= s - margin for every other class l. For a given s the best d moves the tied classes to s and
    pulls down to s - margin those that lie above. The sum of squares is convex in s, and its derivative is
    zero where s is the mean of the tied scores and of y_l + margin over those pulled down: they are the highest
    ones, added from the top while they exceed the mean so far.

    Args:
        margin: above 0, in the scores' units. Additive: the factor of 1.1 in the authors' code asks a class
            with a negative score for less than a tie.
    """
    tied = [label, *targets]
    others = torch.ones_like(scores, dtype=torch.bool)
    others[tied] = False
    total, count = scores[tied].sum(), len(tied)
    for lifted in (scores[others] + margin).sort(descending=True).values:
        if lifted <= total / count:
            break
        total, count = total + lifted, count + 1
    level = total / count
    return torch.where(others, (level - margin - scores).clamp_max(0), level - scores)


class _StandIn(nn.Module):
    """An activation on its way from the transformed network (fraction 0) to its own self (fraction 1).

    A module that a network calls several times has a start for each call.
    """

    def __init__(self, own: nn.Module, tau: float) -> None:
        super().__init__()
        self.own, self.tau = own, tau
        self.tuning, self.fraction, self.call = False, 1.0, 0
        self.starts: list[Tensor] = []

    def forward(self, c: Float[Tensor, "batch *neurons"]) -> Float[Tensor, "batch *neurons"]:
        if self.tuning:
            self.starts.append(self.start(c))
        if (self.fraction == 1 and not self.tuning) or not self.starts:
            return self.own(c)
        start = self.starts[min(self.call, len(self.starts) - 1)]
        self.call += 1
        own = self.trained(c)
        left = 1.0 if self.tuning else 1.0 - self.fraction
        return self.shaped(c, own + left * (start - own))

    def trained(self, c: Tensor) -> Tensor:
        """The parameter of the trained activation, in a shape that broadcasts with `c`."""
        raise NotImplementedError

    def start(self, c: Tensor) -> Tensor:
        """The parameter of the transformed network, from the pre-activations (1, *neurons) at the query."""
        raise NotImplementedError

    def shaped(self, c: Tensor, parameter: Tensor) -> Tensor:
        """The activations for a value of the parameter."""
        raise NotImplementedError


class _ByScale(_StandIn):
    """erf(c / sigma), algorithms 1 and 2."""

    def trained(self, c: Tensor) -> Tensor:
        return self.own.sigma  # type: ignore[return-value]

    def start(self, c: Tensor) -> Tensor:
        # a sigma that training made negative keeps its sign: on the way to it lies no zero
        return gentle_sigma(c[0], self.tau) * self.trained(c).sign()

    def shaped(self, c: Tensor, parameter: Tensor) -> Tensor:
        return torch.erf(c / parameter)


class _BySlope(_StandIn):
    """ReLU, LeakyReLU and PReLU by the slope below zero, algorithms F2 and F3.

    A layer with any neuron below zero gets a slope of at least tau there. F2 tests the norm of -c, which is
    positive for nearly every c; the flat side is what counts, max(-c, 0). Zero belongs to it: derivatives are
    taken from below there. F3 lets the slope go to zero; here it goes to the trained one, which for ReLU is zero.
    """

    def trained(self, c: Tensor) -> Tensor:
        if isinstance(self.own, nn.PReLU):
            weight = self.own.weight
            return weight.reshape(-1, *[1] * (c.ndim - 2)) if len(weight) > 1 else weight
        return c.new_tensor(getattr(self.own, "negative_slope", 0.0))

    def start(self, c: Tensor) -> Tensor:
        own = self.trained(c)
        if not bool((c <= 0).any()):
            return own
        least = torch.full_like(own, self.tau)
        return torch.where(own.abs() >= self.tau, own, torch.where(own < 0, -least, least))

    def shaped(self, c: Tensor, parameter: Tensor) -> Tensor:
        return torch.where(c > 0, c, parameter * c)


class _ByELU(_StandIn):
    """ELU by its alpha, or ReLU as an ELU whose alpha goes to zero.

    ELU(c) = alpha (exp(c) - 1) below zero, with the slope alpha exp(c): at least tau where
    alpha >= tau exp(-c). Equation (18) lacks the brackets, without which it jumps at zero. Alpha is also the
    slope just below zero, so it is at most 1 (or the trained one): at pre-activations below log(tau) the slope
    is then exp(c), less than tau. As with erf, one alpha serves a layer while it is below 1, else each
    neuron has its own.
    """

    def trained(self, c: Tensor) -> Tensor:
        return c.new_tensor(getattr(self.own, "alpha", 0.0))

    def start(self, c: Tensor) -> Tensor:
        own = self.trained(c)
        below = (-c[0]).clamp_min(0)
        if not bool((c <= 0).any()):
            return own
        together = self.tau * below.max().exp()
        needed = together if float(together) <= 1 else (self.tau * below.exp()).clamp_max(1)
        return torch.maximum(own, needed)

    def shaped(self, c: Tensor, parameter: Tensor) -> Tensor:
        return torch.where(c > 0, c, parameter * torch.expm1(c.clamp_max(0)))


def _stand_in_for(module: nn.Module, activations: Activations) -> type[_StandIn] | None:
    if activations == "keep":
        return None
    if isinstance(module, Erf):
        return _ByScale
    if isinstance(module, nn.ELU) or (isinstance(module, nn.ReLU) and activations == "elu"):
        return _ByELU
    return _BySlope if isinstance(module, (nn.ReLU, nn.LeakyReLU, nn.PReLU)) else None


class TransformedNetwork:
    """The networks N^k between the transformed one and the trained one, as a function of inputs.

    Works on a copy in double precision. Activations are found as modules; those of another kind, or called as
    functions in a `forward`, stay as they are, and then the bias of the output alone moves, along a straight
    line. The bias is added to the scores, so that it works for every kind of last layer.

    Attributes:
        fraction: how far on the way the network is: 0 the transformed one N^h, for which the query is a flip
            point, 1 the trained one, unchanged.
        stand_ins: the modules that stand for the activations that change on the way.
    """

    def __init__(
        self, classifier: Classifier, *, tau: float, activations: Activations, dtype: torch.dtype
    ) -> None:
        module, self._run = classifier.changeable(dtype)
        stand_ins: dict[nn.Module, _StandIn] = {}
        for parent in list(module.modules()):
            for name, child in list(parent._modules.items()):
                kind = _stand_in_for(child, activations) if child is not None else None
                if child is not None and kind is not None:
                    parent._modules[name] = stand_ins.setdefault(child, kind(child, tau))
        self.stand_ins = tuple(stand_ins.values())
        self._shift: Tensor | None = None
        self.fraction = 1.0

    def transform(
        self, x: Float[Tensor, "1 *input"], label: int, targets: Sequence[int], *, margin: float
    ) -> None:
        """Algorithm 1 or F2: tunes the activations layer by layer in one pass, then shifts the bias."""
        for one in self.stand_ins:
            one.tuning, one.call, one.starts = True, 0, []
        with torch.no_grad():
            scores = self._run(x)[0]
        for one in self.stand_ins:
            one.tuning = False
        self._shift = bias_shift(scores, label, targets, margin=margin)
        self.fraction = 0.0

    def __call__(self, x: Float[Tensor, "batch *input"]) -> Float[Tensor, "batch classes"]:
        """Scores of the network as it is at `fraction`, differentiable in `x`."""
        for one in self.stand_ins:
            one.call, one.fraction = 0, self.fraction
        scores = self._run(x)
        if self._shift is None or self.fraction == 1:
            return scores
        return scores + (1 - self.fraction) * self._shift


@dataclass(frozen=True, kw_only=True)
class HomotopyStep(Step):
    """One solve on the way, as `homotopy_steps` yields it.

    Attributes:
        fraction: of the way that the network has gone, 1 the trained one.
        solution: of that network's problem.
        accepted: False where the step failed and is taken back.
    """

    fraction: float
    solution: PairSolution
    accepted: bool


def homotopy_steps(
    classifier: Classifier,
    x: Any,
    targets: int | Sequence[int],
    *,
    label: int | None = None,
    space: Space | None = None,
    steps: int = 10,
    tau: float = 1e-5,
    margin: float = 0.01,
    adaptive: bool = True,
    activations: Activations = "auto",
    solver: Solver = STEP_SOLVER,
) -> Steps[HomotopyStep, None, PairSolution]:
    """The steps of `homotopy`; the value at the end is the solution for the trained network."""
    if steps < 1 or not 0 < tau < 1 or not 0 < margin < math.inf:
        raise FlipPointError(f"steps={steps}, tau={tau}, margin={margin}; expected 1 or more, (0, 1), above 0")
    if activations not in get_args(Activations):
        raise FlipPointError(f"activations={activations!r}; expected one of {', '.join(get_args(Activations))}")
    space = space or make_space(classifier)
    x = single_query(classifier, x, space)
    network = TransformedNetwork(classifier, tau=tau, activations=activations, dtype=x.dtype)
    scores = Scores(classifier, dtype=x.dtype, run=network)
    label = int(scores(x)[0].argmax()) if label is None else label
    others = check_targets(classifier, label, targets)
    conditions = tie(len(classifier.class_names), label, others)
    on_boundary = solver.meets(conditions, scores(x)[0].cpu().double().numpy())
    if steps == 1 or on_boundary:
        steps, adaptive = 1, False
    else:
        network.transform(x, label, others, margin=margin)
        scores.passes.forward += 1

    def solve_at(fraction: float, v: Tensor | None) -> PairSolution:
        network.fraction = fraction
        iterations = solver.iterations * (LAST if fraction == 1 else 1)
        return replace(solver, iterations=iterations)(scores, x, conditions, space=space, start=v)

    return (yield from _follow(solve_at, scores.passes, steps=steps, adaptive=adaptive))


def _follow(
    solve_at: Callable[[float, Tensor | None], PairSolution], passes: Passes, *, steps: int, adaptive: bool
) -> Steps[HomotopyStep, None, PairSolution]:
    """Algorithm 2 from line 3 on, with the steps of appendix D.5 where `adaptive`."""
    reached, v, step, successes, done = 0.0, None, 1.0 / steps, 0, 0
    iterations = 0
    while True:
        # what failed with the shortest step is not tried again: the trained network is solved from here
        stuck = step < 1.0 / (SHORTEST * steps)
        ahead = reached + step
        fraction = 1.0 if stuck or ahead > 1 - 1e-9 else ahead
        found = solve_at(fraction, v)
        done, iterations = done + 1, iterations + found.iterations
        good = found.feasible or (fraction < 1 and max(found.gap, found.violation) <= ON_THE_WAY)
        accepted = good or stuck or not adaptive
        solution = replace(found, iterations=iterations, passes=replace(passes))
        text = f"{fraction:.0%} of the way, distance {found.distance:.4g}" + ("" if accepted else ", taken back")
        yield HomotopyStep(done=done, text=text, fraction=fraction, solution=solution, accepted=accepted)
        if accepted and fraction == 1:
            return solution
        if accepted:
            reached, v, successes = fraction, found.v, successes + 1
            if adaptive and successes >= 2:
                step, successes = 2 * step, 0
        else:
            step, successes = step / 2, 0


def homotopy(
    classifier: Classifier,
    x: Any,
    targets: int | Sequence[int],
    *,
    label: int | None = None,
    space: Space | None = None,
    steps: int = 10,
    tau: float = 1e-5,
    margin: float = 0.01,
    adaptive: bool = True,
    activations: Activations = "auto",
    solver: Solver = STEP_SOLVER,
    progress: Progress | None = None,
) -> PairSolution:
    """The closest flip point to one query between its class and another, by homotopy: algorithms 2 and F3.

    Args:
        x: one query, (*input) or (1, *input).
        targets: the class j, or several that shall all tie with the label.
        label: the class i, by default the predicted one.
        space: where to look; by default inputs within the classifier's value range.
        steps: the paper's eta. 1 is no homotopy: the solver on the trained network, from the query.
        tau: least slope of a neuron of the transformed network at the query, in (0, 1).
        margin: by how much, in the units of the scores, the two classes lead in the transformed network.
        adaptive: a step of 1 / steps is doubled after two successes and halved after a failure, from the last
            point that was feasible (appendix D.5); otherwise all steps are equal and none is taken back.
        activations: which ones are transformed, see `Activations`.
        solver: F; the last step gets three times its iterations.
        progress: told each step; returning False cancels.

    Returns:
        The solution for the trained network, with the passes and iterations of all steps together.

    Raises:
        FlipPointError: no target or the label itself, several queries, a query outside its bounds, options out
            of range.
        ModelError: a class that does not exist, a query of another shape, or NaN in it.
        Cancelled: `progress` returned False.
    """
    return run(
        homotopy_steps(
            classifier,
            x,
            targets,
            label=label,
            space=space,
            steps=steps,
            tau=tau,
            margin=margin,
            adaptive=adaptive,
            activations=activations,
            solver=solver,
        ),
        progress,
    )
