"""Activation maximisation: an embedding whose pictures a classifier takes for a class, the generator unchanged.

Sections 2.2, 3.3, 3.4 and 3.9 of Li, "Understanding and improving generative adversarial networks", 2020.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Generator as Steps
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.embeddings.objective import (
    Objective,
    embeddings_of,
    limits_of,
    mean_probability,
    names_of,
    rows_for,
    target_index,
)
from workbench.embeddings.result import EmbeddingTrials
from workbench.embeddings.variants import VARIANTS, EmbeddingError, Variant, variant
from workbench.models import Classifier, Generator, as_classifier, checks
from workbench.models.devices import check_fits
from workbench.models.latent import Resize
from workbench.numerics.randomness import LIMIT, seeded
from workbench.progress import Cancelled, Progress, Snapshot, run
from workbench.results import Provenance, call, differing

#: Settings that differ between the thesis and its published code (`maximize(…, **REPOSITORY)`).
REPOSITORY: dict[str, Any] = {"trials": 3, "latents": 10, "weight_decay": 0.9, "rate": 0.1}
#: Latents on which the trials are compared when they have ended, the same for all.
_COMPARED = 50
#: Chooses the best trial: a name, or a function from a trial's pictures to a score.
Score = Literal["probability", "diversity"] | Callable[[Tensor], float]


@dataclass(frozen=True)
class Maximised(Snapshot[EmbeddingTrials]):
    """A step that shows the trials as they stand."""


def maximize_steps(
    generator: Generator,
    classifier: Classifier,
    class_index: int | str,
    variant_of: str | Variant = "AM-S",
    *,
    target: int | str | None = None,
    seed: int = 0,
    trials: int = 5,
    steps: int = 200,
    latents: int = 20,
    resample: int = 20,
    rate: float | None = None,
    weight_decay: float = 0.0,
    noise: float = 0.1,
    initial: Float[Tensor, "trials width"] | None = None,
    diversity_weight: float | None = None,
    distance: str = "softmax",
    limits: tuple[float, float] | Literal["table"] | None = "table",
    resize: Resize = "nearest",
    best_by: Score = "probability",
) -> Steps[Maximised, None, EmbeddingTrials]:
    """The steps of `maximize`, one of Adam each; cancelled, it returns the trials as they stand."""
    started = time.perf_counter()
    chosen = variant(variant_of)
    table = embeddings_of(generator)
    generator.check_differentiable()
    as_classifier(classifier).check_differentiable()
    index = generator.class_index(class_index)
    wanted = target_index(generator, classifier, index, target)
    learning = chosen.rate if rate is None else rate
    weight = chosen.diversity_weight if diversity_weight is None else diversity_weight
    rule = "a finite number of 0 or more"
    checks.check_settings(
        EmbeddingError,
        ("trials", trials, trials >= 1, "at least one"),
        ("steps", steps, steps >= 1, "at least one"),
        ("latents", latents, latents >= 2, "at least two, a pair"),
        ("resample", resample, resample >= 1, "at least one"),
        ("rate", learning, 0 <= learning < 1e30, rule),
        ("noise", noise, 0 <= noise < math.inf, rule),
        ("weight_decay", weight_decay, 0 <= weight_decay < math.inf, rule),
        ("diversity_weight", weight, 0 <= weight < math.inf, rule),
        ("limits", limits, _are_limits(limits), "'table', two numbers with the smaller first, or None"),
        (
            "best_by",
            best_by,
            best_by in ("probability", "diversity") or callable(best_by),
            "'probability', 'diversity' or a function of pictures",
        ),
    )
    named = repr(chosen.name) if VARIANTS.get(chosen.name) == chosen else "variant"
    given = differing(
        maximize,
        target=target,
        seed=seed,
        trials=trials,
        steps=steps,
        latents=latents,
        resample=resample,
        rate=rate,
        weight_decay=weight_decay,
        noise=noise,
        initial=initial,
        diversity_weight=diversity_weight,
        distance=distance,
        limits=limits,
        resize=resize,
        best_by=best_by,
    )
    made = call("wb.embeddings.maximize", "G", "C", str(index), named, **given)
    width = generator.latent_size + table.shape[1] + torch.Size(generator.output_shape).numel()
    check_fits("pictures in a step", trials * latents, width, generator.device)
    box = limits_of(table) if limits == "table" else limits
    if box is not None:  # what lies beyond the numbers of the table's precision is no limit
        most = torch.finfo(table.dtype).max
        box = (min(max(box[0], -most), most), min(max(box[1], -most), most))
    objective = Objective(generator, classifier, wanted, distance=distance, resize=resize)
    start = _start(objective, chosen, table, index, initial, trials=trials, noise=noise, seed=seed)
    trials = len(start)
    start = start if box is None else start.clamp(*box)
    embeddings = nn.Parameter(start.clone())
    # one optimiser for all: what Adam does to a number depends on that number's gradients alone
    optimiser = torch.optim.Adam([embeddings], learning, weight_decay=weight_decay)
    draws = [seeded(_seed(seed, trial)) for trial in range(trials)]
    history: list[tuple[Tensor, Tensor]] = []
    z = first = second = torch.empty(0)
    good = start  # where each trial was when its numbers were finite last

    def so_far(ended: bool = False, partial: bool = True) -> EmbeddingTrials:
        found = torch.where(torch.isfinite(embeddings).all(1, keepdim=True), embeddings, good).detach()
        if ended:
            scores, scored_by, finite = _scores(objective, found, best_by, seed=seed)
            if not finite.all():
                found = torch.where(finite[:, None].to(found.device), found, good)
                scores, *_ = _scores(objective, found, best_by, seed=seed)
        else:
            scores, scored_by = history[-1][0], "probability of the last step"
        rows = len(history) * trials * latents
        return EmbeddingTrials(
            provenance=Provenance.of(
                generator,
                call=made,
                seed=seed,
                started=started,
                passes={"forward": rows, "vjp": rows},
                partial=partial,
            ),
            class_index=index,
            class_name=names_of(generator)[index],
            target=wanted,
            target_name=classifier.class_names[wanted],
            variant=chosen.name,
            original=table[index].clone(),
            initial=start,
            embeddings=found,
            probability=torch.stack([p for p, _ in history]) if history else torch.empty(0, trials),
            diversity=torch.stack([d for _, d in history]) if history else torch.empty(0, trials),
            distance=distance,
            scores=scores,
            scored_by=scored_by,
        )

    for step in range(steps):
        if step % resample == 0:
            z, first, second = _draw(generator, draws, latents)
        seen = _evaluate(objective, embeddings, good, z, first, second)
        if step == 0 and not seen.finite.all():
            raise EmbeddingError(_overflow(seen.finite, start, table))
        good = torch.where(seen.finite[:, None], embeddings.detach(), good)
        # the sum over the trials: none has a part in another's gradient
        loss = -(seen.logs.mean(1) + weight * seen.spread)[seen.finite].sum()
        gradient = torch.autograd.grad(loss, embeddings)[0]
        optimiser.zero_grad()
        embeddings.grad = torch.where(torch.isfinite(gradient).all(1, keepdim=True), gradient, 0)
        with torch.no_grad():
            embeddings.copy_(good)
        optimiser.step()
        if box is not None:
            embeddings.data.clamp_(*box)
        told = seen.logs.detach().exp().mean(1).cpu(), seen.spread.detach().cpu()
        if history:  # a trial that overflowed is told as it was
            finite = seen.finite.cpu()
            told = torch.where(finite, told[0], history[-1][0]), torch.where(finite, told[1], history[-1][1])
        history.append(told)
        text = f"probability {float(history[-1][0].mean()):.2f},"
        try:
            yield Maximised(step + 1, steps, text, so_far=so_far)
        except Cancelled:
            return so_far(ended=True)
    return so_far(ended=True, partial=False)


def maximize(
    generator: Generator,
    classifier: Classifier,
    class_index: int | str,
    variant: str | Variant = "AM-S",
    *,
    target: int | str | None = None,
    seed: int = 0,
    trials: int = 5,
    steps: int = 200,
    latents: int = 20,
    resample: int = 20,
    rate: float | None = None,
    weight_decay: float = 0.0,
    noise: float = 0.1,
    initial: Float[Tensor, "trials width"] | None = None,
    diversity_weight: float | None = None,
    distance: str = "softmax",
    limits: tuple[float, float] | Literal["table"] | None = "table",
    resize: Resize = "nearest",
    best_by: Score = "probability",
    progress: Progress | None = None,
) -> EmbeddingTrials:
    """Embeddings whose pictures a classifier takes for a class: equation (2.2), with diversity (2.3), by Adam.

    All trials run in one batch, each with latents of its own, and none depends on how many there are. One whose
    numbers overflow goes no further than where they were finite.

    Args:
        generator: with class embeddings.
        classifier: of its pictures; see `Objective` for how they are handed over.
        class_index: the generator's class, by index or name.
        variant: `AM-S` near the class's own embedding, `AM-L` near the mean of all, `AM-D-S` and `AM-D-L` the same
            with diversity, `Top-5` from the rows that come nearest to a class that the generator lacks.
        target: the classifier's class where its classes are others than the generator's; by default the one of
            the same name (or index, where the names are as many and none is the same).
        seed: of the starts and the latents.
        trials: embeddings that are searched for at once.
        steps: of Adam.
        latents: pictures in one step of one trial; the diversity is taken over half as many pairs.
        resample: steps after which new latents are drawn.
        rate: of Adam; by default the variant's.
        weight_decay: of Adam. The thesis has none, the published code 0.9 (`REPOSITORY`).
        noise: standard deviation of the normal noise that is added to a start. The published code adds it to each
            number; the thesis says "a Gaussian ball of radius 0.1".
        initial: (trials, width) starts to use as they are, instead of the variant's.
        diversity_weight: λ; by default the variant's.
        distance: where the diversity is measured: `pixel`, `softmax`, or a layer of the classifier by name.
        limits: that embeddings are clipped to after each step: `table` for the range of the generator's own.
        resize: for a classifier of another size.
        best_by: chooses the best trial: the mean `probability` or the `diversity` over 50 latents, or a function
            from pictures (50, *output) to a score.
        progress: told each step (a `Maximised`, which shows the trials as they stand); returning False stops, and
            what there is is returned, marked partial.

    Raises:
        EmbeddingError: settings out of range, no class embeddings, no class of that name in the classifier, or
            starts at which the networks answer NaN or infinity.
        ModelError: no such class, pictures that do not fit the classifier, or networks on different devices.
    """
    steps_ = maximize_steps(
        generator,
        classifier,
        class_index,
        variant,
        target=target,
        seed=seed,
        trials=trials,
        steps=steps,
        latents=latents,
        resample=resample,
        rate=rate,
        weight_decay=weight_decay,
        noise=noise,
        initial=initial,
        diversity_weight=diversity_weight,
        distance=distance,
        limits=limits,
        resize=resize,
        best_by=best_by,
    )
    return run(steps_, progress)


def _start(
    objective: Objective,
    chosen: Variant,
    table: Float[Tensor, "classes width"],
    index: int,
    initial: Tensor | None,
    *,
    trials: int,
    noise: float,
    seed: int,
) -> Float[Tensor, "trials width"]:
    """Where the trials start."""
    width = table.shape[1]
    if initial is not None:
        given = torch.as_tensor(initial).to(table)
        if given.ndim != 2 or not len(given) or given.shape[1] != width or not torch.isfinite(given).all():
            raise EmbeddingError(
                f"initial has shape {tuple(given.shape)}; expected finite embeddings (trials, {width}), one a row "
                "and one at least"
            )
        return given.clone()
    if chosen.start == "top":
        order = rows_for(objective, seed=seed).argsort(descending=True)
        return table[order[torch.arange(trials) % len(order)]]
    draws = [seeded(_seed(seed, trial) + 1) for trial in range(trials)]
    moved = torch.stack([torch.randn(width, generator=draw) for draw in draws]).to(table)
    return (table[index] if chosen.start == "class" else table.mean(0)) + noise * moved


@dataclass(frozen=True)
class _Seen:
    """What one step sees of all trials.

    Attributes:
        logs: log probability of the target, of each picture.
        spread: diversity.
        finite: trials whose embedding and numbers are.
    """

    logs: Float[Tensor, "trials n"]
    spread: Float[Tensor, " trials"]
    finite: Bool[Tensor, " trials"]


def _evaluate(
    objective: Objective,
    embeddings: Float[Tensor, "trials width"],
    good: Float[Tensor, "trials width"],
    z: Float[Tensor, "trials n *latent"],
    first: Int[Tensor, "trials pairs"],
    second: Int[Tensor, "trials pairs"],
) -> _Seen:
    trials, latents = z.shape[:2]
    finite = torch.isfinite(embeddings).all(1)
    given = torch.where(finite[:, None], embeddings, good)  # a network is asked about numbers alone
    logs, seen = objective(z.flatten(0, 1), given.repeat_interleave(latents, dim=0))
    logs, seen = logs.unflatten(0, (trials, latents)), seen.unflatten(0, (trials, latents))
    spread = _spread(seen, z, first, second)
    return _Seen(logs, spread, finite & torch.isfinite(logs).all(1) & torch.isfinite(spread))


def _overflow(finite: Bool[Tensor, " trials"], start: Tensor, table: Tensor) -> str:
    """What is said where trials have no numbers at their starts."""
    which = ", ".join(map(str, (~finite).nonzero().flatten().tolist()[:5]))
    return (
        f"{int((~finite).sum())} of {len(finite)} trials start where the networks answer NaN or infinity (trial "
        f"{which}): their embeddings reach {float(start.abs().max()):.3g}, the generator's own "
        f"{float(table.abs().max()):.3g}; give less noise, limits='table', or other starts"
    )


def _are_limits(limits: Any) -> bool:
    """Whether embeddings can be clipped to these."""
    if limits is None or isinstance(limits, str):
        return limits in (None, "table")
    try:
        low, high = map(float, limits)
    except (TypeError, ValueError, OverflowError):
        return False
    return low < high


def _seed(seed: int, trial: int) -> int:
    """A seed for each trial, far from those of the next seeds."""
    return (seed * 1_000_003 + 2 * trial) % LIMIT


def _draw(
    generator: Generator, draws: list[torch.Generator], latents: int
) -> tuple[Float[Tensor, "trials n *latent"], Int[Tensor, "trials pairs"], Int[Tensor, "trials pairs"]]:
    """Latents of each trial, and random pairs of them in which no latent comes twice."""
    z = torch.stack([generator.prior.sample(latents, generator.latent_shape, draw) for draw in draws])
    orders = torch.stack([torch.randperm(latents, generator=draw) for draw in draws]).to(generator.device)
    half = latents // 2
    return z.to(generator.device, generator.dtype), orders[:, :half], orders[:, half : 2 * half]


def _spread(
    seen: Float[Tensor, "trials n d"],
    z: Float[Tensor, "trials n *latent"],
    first: Int[Tensor, "trials pairs"],
    second: Int[Tensor, "trials pairs"],
) -> Float[Tensor, " trials"]:
    """Equation (2.1): the mean over pairs of the distance of what is seen over that of the latents.

    The published code divides the sum of the former by the vector of the latter, failing for more than one pair.
    """
    flat = z.flatten(2)
    trial = torch.arange(len(seen), device=seen.device)[:, None]
    apart = (seen[trial, first] - seen[trial, second]).square().sum(2)
    # the root has no derivative at zero, where two pictures are the same
    return (apart.clamp_min(1e-12).sqrt() / (flat[trial, first] - flat[trial, second]).norm(dim=2)).mean(1)


def _scores(
    objective: Objective, embeddings: Float[Tensor, "trials width"], best_by: Score, *, seed: int
) -> tuple[Float[Tensor, " trials"], str, Bool[Tensor, " trials"]]:
    """What the trials are compared by, on the same latents for all; and which of them have finite numbers."""
    z = objective.generator.latents(_COMPARED, seed=seed)
    if best_by == "probability":
        scores, name = mean_probability(objective, embeddings, z), "mean probability"
    elif best_by == "diversity":
        first, second = torch.arange(_COMPARED // 2), torch.arange(_COMPARED // 2, _COMPARED)
        with torch.no_grad():
            rows = [objective(z, row.expand(len(z), -1))[1] for row in embeddings]
            spread = [_spread(r[None], z[None], first[None], second[None]) for r in rows]
        scores, name = torch.cat(spread), f"diversity ({objective.distance})"
    else:
        told, finite = [], []
        for row in embeddings:
            pictures = objective.generator.render(z, row.expand(len(z), -1))
            finite.append(bool(torch.isfinite(pictures).all()))
            told.append(float(best_by(pictures)) if finite[-1] else math.nan)
        return torch.tensor(told), getattr(best_by, "__name__", type(best_by).__name__), torch.tensor(finite)
    return scores.cpu(), name, torch.isfinite(scores)
