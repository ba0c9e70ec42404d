"""`wb.flip_points.certify`: a lower bound beside each distance, within which no flip point can lie."""

from __future__ import annotations

import time
from collections.abc import Generator as Steps
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.flip_points.problem import FlipPointError, Scores, margin
from workbench.flip_points.result import NO_TARGET, FlipPoints
from workbench.flip_points.tracing import Unsupported, _Network, _Tracer  # noqa: F401 - tests look at it here
from workbench.models import Classifier
from workbench.progress import Cancelled, Progress, Step, run

METHOD = "linear relaxations (CROWN) over a Euclidean ball, in float64"
#: The search for a radius starts at the distance, and goes down to this share of it.
SMALLEST = 1e-3


def certify_steps(
    classifier: Classifier, found: FlipPoints, *, evaluations: int = 8
) -> Steps[Step, None, FlipPoints]:
    """The steps of `certify`: one for each radius at which some queries were bounded.

    Cancelled, it returns the bounds that it has; the others are NaN.
    """
    _check(classifier, found, evaluations)
    started = time.perf_counter()
    lower = torch.full(found.distances.shape, torch.nan, dtype=torch.float64)
    reason, partial = _out_of_reach(classifier, found), False
    if not reason:
        try:
            yield from _in_chunks(classifier, found, lower, evaluations)
        except Unsupported as error:
            reason = str(error)
            lower.fill_(torch.nan)
        except Cancelled:
            partial = True
    made = found.provenance
    return replace(
        found,
        lower=lower,
        certificate=f"none: {reason}" if reason else METHOD,
        provenance=replace(
            made,
            call=f"wb.flip_points.certify(C, {made.call}, evaluations={evaluations})",
            seconds=made.seconds + time.perf_counter() - started,
            partial=made.partial or partial,
        ),
    )


def certify(
    classifier: Classifier,
    found: FlipPoints,
    *,
    evaluations: int = 8,
    progress: Progress | None = None,
) -> FlipPoints:
    """The same flip points, with `lower`: no point nearer than that to the query flips to the row's target.

    Zhang, Weng, Chen, Hsieh and Daniel, "Efficient neural network robustness certification with general
    activation functions" (CROWN), NeurIPS 2018: over a ball around the query every activation is held
    between two straight lines, layer after layer, and the difference of two scores then has a linear lower
    bound. Several radii are tried; at each one, the part of the ball where that bound is positive counts.

    Of a row without a target, no point nearer than `lower` flips to any class. The bound holds for every
    input, so it holds within bounds, along a basis and under a mask too, where it may be far from tight.
    It is of the network in float64, with a slack of a part in 10^9 for rounding, not with directed rounding.

    Networks may be made of linear maps (dense layers, convolutions, batch normalisation in eval mode, mean
    pooling, reshaping, sums and skip connections, features on a basis) and of ReLU, leaky ReLU, PReLU, ELU,
    erf, tanh, sigmoid and max pooling, in modules or functions. Of any other network the bounds are NaN,
    and `certificate` says what stands in the way.

    How much of a distance is certified falls with depth and width (`benchmarks/results/certificates.json` has
    the shares and times of three networks); what is left is the relaxations' loss as much as the solver's.
    Each neuron takes two backward passes a radius; those of a convolution share passes where they look at no
    pixel in common.

    Args:
        classifier: the one that `found` is of.
        found: what `closest` or `homotopy` returned.
        evaluations: how many radii are tried for each query, at least 1; the ratio of the interval that
            holds the largest certified radius starts at 1,000, and each but the first takes its square root.
        progress: told each step; when it returns False, what is there comes back, marked as partial.

    Returns:
        `found` with `lower` (rows,), in the units of `distances`, and `certificate`.

    Raises:
        FlipPointError: `found` is of another network, or evaluations below 1.
    """
    return run(certify_steps(classifier, found, evaluations=evaluations), progress)


def _check(classifier: Classifier, found: FlipPoints, evaluations: int) -> None:
    if evaluations < 1:
        raise FlipPointError(f"evaluations={evaluations}; expected at least 1, such as 8")
    if found.provenance.fingerprint != classifier.fingerprint:
        raise FlipPointError(
            f"the flip points are of {found.provenance.model} with other weights than {classifier.name} has; give "
            "the classifier that they were computed with"
        )


def _out_of_reach(classifier: Classifier, found: FlipPoints) -> str:
    """Why no bound can be had at all, whatever the network is made of; empty where one may."""
    if bool((found.targets < 0).any()):
        return NO_TARGET
    if classifier.device.type == "mps":
        return "this device has no float64; load the classifier with device='cpu'"
    return ""


def _in_chunks(
    classifier: Classifier, found: FlipPoints, lower: Tensor, evaluations: int
) -> Steps[Step, None, None]:
    """Some queries after others; fills `lower`."""
    network = _Network.of(classifier)
    queries = sorted(set(found.query.tolist()))
    total = len(queries) * evaluations
    for start in range(0, len(queries), network.together):
        chunk = queries[start : start + network.together]
        rows = torch.isin(found.query, torch.tensor(chunk)).nonzero()[:, 0]
        some = _Rows.of(classifier, found, rows, chunk)
        for done in range(evaluations):
            some.tighten(network)
            lower[rows] = some.low.cpu()
            yield Step((start * evaluations) + (done + 1) * len(chunk), total, "certificates")


@dataclass
class _Rows:
    """The rows of a few queries, each with the interval in which the largest certified radius lies."""

    x: Float[Tensor, "queries *input"]
    labels: Int[Tensor, " queries"]
    place: Int[Tensor, " rows"]
    targets: Int[Tensor, " rows"] | None
    low: Float[Tensor, " rows"]
    high: Float[Tensor, " rows"]
    least: Float[Tensor, " rows"]
    begun: bool = False

    @classmethod
    def of(cls, classifier: Classifier, found: FlipPoints, rows: Tensor, chunk: Sequence[int]) -> _Rows:
        device = classifier.device
        x = found.inputs[list(chunk)].to(device=device, dtype=torch.float64)
        place = torch.searchsorted(torch.tensor(chunk), found.query[rows]).to(device)
        labels = torch.empty(len(chunk), dtype=torch.long, device=device)
        labels[place] = found.labels[rows].to(device)
        distances = found.distances[rows].to(device=device, dtype=torch.float64)
        high = distances
        if not bool(torch.isfinite(distances).all()):
            high = torch.where(torch.isfinite(distances), distances, _estimates(classifier, x, labels)[place])
        targets = found.targets[rows].to(device) if found.targeted else None
        return cls(x, labels, place, targets, torch.zeros_like(high), high, SMALLEST * high)

    def tighten(self, network: _Network) -> None:
        """Try one more radius for each query: first its largest distance, then what halves the widest interval."""
        low = self.low.maximum(self.least)
        middle, width = ((low * self.high).sqrt(), self.high / low) if self.begun else (self.high, self.high)
        self.begun = True
        radii = torch.zeros_like(self.x.flatten(1)[:, 0])
        for q in range(len(self.x)):
            mine = (self.place == q).nonzero()[:, 0]
            radii[q] = middle[mine[width[mine].argmax()]]
        reach = network.reach(self.x, self.labels, radii)
        reached = reach.amin(1)[self.place] if self.targets is None else reach[self.place, self.targets]
        radius = radii[self.place]
        self.low = self.low.maximum(reached.minimum(radius))
        self.high = torch.where(reached < radius, self.high.minimum(radius), self.high).maximum(self.low)


def _estimates(classifier: Classifier, x: Tensor, labels: Tensor) -> Float[Tensor, " queries"]:
    """Margin over gradient: where a search starts that has no distance to start from."""
    scores = Scores(classifier)
    _, value, slope = scores.with_gradients(x, lambda z, rows: margin(z, labels[rows])[:, None])
    return value[:, 0] / slope[:, 0].flatten(1).norm(dim=1).clamp_min(1e-12)
