"""What inverse sets are compared with: PPGN's chains, activation maximisation, rejection, and training images.

Each gives an `InverseSet`, so that activations, diversity and cost are read in the same way. Rejection and the
training images keep to the bands; the samples of the others are where the method puts them, in the bands or not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator as Steps
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.inverse_sets.bands import Band, InverseSetError, line
from workbench.inverse_sets.collect import Collector
from workbench.inverse_sets.problem import Encoder, Problem, Seen
from workbench.inverse_sets.result import InverseSet
from workbench.inverse_sets.sample import Sampled
from workbench.inverse_sets.seeds import measure, measure_steps
from workbench.models import Generator, checks
from workbench.numerics.randomness import seeded
from workbench.progress import Cancelled, Progress, Step, run
from workbench.results import differing

#: Draws that rejection looks at in one step.
_DRAWN = 500
#: What a rate, a weight or a deviation may be.
_NUMBER = "a finite number of 0 or more"


def ppgn_chains(
    generator: Generator,
    neurons: Band | Sequence[Band],
    n: int = 500,
    *,
    encoder: Encoder,
    seed: int = 0,
    chains: int = 10,
    steps: int = 200,
    prior: float = 1e-5,
    condition: float = 1.0,
    noise: float = 1e-17,
    rate: float = 1 / 30,
    progress: Progress | None = None,
) -> InverseSet:
    """Chains of "noiseless joint PPGN-h" (Nguyen et al., CVPR 2017), as the paper's table 1 has them.

    Each step moves a code by `prior` times `E(G(h)) - h`, by `condition` times the gradient of the log probability
    of the neuron's class (of the activation itself for a hidden neuron), and by noise of deviation `noise`. The
    first two together are brought to a mean absolute value. Codes are kept in the prior's typical set, as PPGN
    keeps them in [0, 30]. Of the `chains * steps` codes, `n` are taken at equal distances.

    Args:
        encoder: E, whose codes are the generator's latents.
        rate: mean absolute change of a number of the code in a step, as a share of the mean range of the prior's
            draws. The released code has 1 for codes in [0, 30].
        chains, steps, prior, condition, noise: as in the paper and the released code.

    Raises:
        InverseSetError: several neurons, an encoder whose codes are no latents, settings out of range, or more
            samples than steps.
    """
    started = time.perf_counter()
    checks.check_settings(
        InverseSetError,
        ("chains", chains, chains >= 1, "at least one"),
        ("steps", steps, steps >= 1, "at least one"),
        ("prior", prior, 0 <= prior < math.inf, _NUMBER),
        ("condition", condition, 0 <= condition < math.inf, _NUMBER),
        ("noise", noise, 0 <= noise < math.inf, _NUMBER),
        ("rate", rate, 0 <= rate < math.inf, _NUMBER),
    )
    problem = Problem(generator, neurons, encoder=encoder)
    if len(problem.bands) != 1:
        raise InverseSetError(f"{len(problem.bands)} neurons were given; PPGN's chains climb for one")
    if encoder.shape != generator.latent_shape:
        raise InverseSetError(
            f"the encoder's codes have shape {encoder.shape}, {generator.name} takes {generator.latent_shape}; "
            "PPGN's prior needs an encoder that inverts the generator"
        )
    if not 1 <= n <= chains * steps:
        raise InverseSetError(f"n={n}; {chains} chains of {steps} steps give 1 to {chains * steps} samples")
    options = differing(
        ppgn_chains,
        n=n,
        encoder=encoder,
        seed=seed,
        chains=chains,
        steps=steps,
        prior=prior,
        condition=condition,
        noise=noise,
        rate=rate,
    )
    made = line("ppgn_chains", problem.bands, **options)

    def go() -> Steps[Step, None, InverseSet]:
        units = yield from measure_steps(problem, seed=seed)
        kept = Collector(problem, units, n, made=made, method="PPGN", seed=seed, started=started, held=False)
        codes = generator.latents(chains, seed=seed)
        wanted = set(torch.linspace(0, chains * steps - 1, n).round().long().tolist())
        scale = rate * float((units.draws.amax(0) - units.draws.amin(0)).mean())
        random = seeded(seed)
        for step in range(steps):
            given = codes.detach().requires_grad_(True)
            outputs, likely = problem.log_probability(given)
            slope = torch.autograd.grad(likely.sum(), given)[0]
            problem.passes["vjp"] += chains
            change = prior * (problem.encode(outputs.detach()) - codes) + condition * slope
            size = change.flatten(1).abs().mean(1).clamp_min(torch.finfo(change.dtype).tiny)
            change = change * (scale / size).reshape(-1, *[1] * (codes.ndim - 1))
            drawn = torch.randn(codes.shape, generator=random).to(codes)
            codes = generator.prior.project(codes + change + noise * drawn)
            rows = torch.tensor([i for i in range(chains) if step * chains + i in wanted], device=codes.device)
            if len(rows):
                kept.add(codes[rows], problem.look(codes[rows]), rows, step + 1)
            try:
                yield Sampled(step + 1, steps, f"{len(kept)} samples", so_far=kept.so_far)
            except Cancelled:
                return kept.result(partial=True)
        return kept.result(partial=False)

    return run(go(), progress)


def maximise_activation(
    generator: Generator,
    neurons: Band | Sequence[Band],
    n: int = 500,
    *,
    encoder: Encoder | None = None,
    distance: str | None = None,
    seed: int = 0,
    steps: int = 200,
    rate: float = 0.05,
    progress: Progress | None = None,
) -> InverseSet:
    """Activation maximisation (equation 3): from `n` draws of the prior, each climbs by Adam for itself.

    The activation of several neurons is summed, in the widths of their bands. Nothing holds it below a band's end,
    and nothing keeps two samples apart.

    Args:
        n: draws, each of which gives a sample.
        steps: of Adam.
        rate: of Adam, in deviations of the prior.
        encoder, distance: where the diversity is measured, as for `wb.inverse_sets.sample`.

    Raises:
        InverseSetError: settings out of range, or as for `wb.inverse_sets.sample`.
    """
    started = time.perf_counter()
    checks.check_settings(
        InverseSetError,
        ("n", n, n >= 1, "at least one sample"),
        ("steps", steps, steps >= 1, "at least one"),
        ("rate", rate, 0 <= rate < math.inf, _NUMBER),
    )
    problem = Problem(generator, neurons, encoder=encoder, distance=distance)
    options = differing(
        maximise_activation, n=n, encoder=encoder, distance=distance, seed=seed, steps=steps, rate=rate
    )
    made = line("maximise_activation", problem.bands, **options)
    widths = problem.high - problem.low

    def slope(codes: Tensor) -> Tensor:
        given = codes.detach().requires_grad_(True)
        problem.passes["vjp"] += len(codes)
        return torch.autograd.grad(-(problem(given).values / widths).sum(), given)[0]

    def go() -> Steps[Step, None, InverseSet]:
        units = yield from measure_steps(problem, seed=seed)
        kept = Collector(
            problem,
            units,
            n,
            made=made,
            method="activation maximisation",
            seed=seed,
            started=started,
            held=False,
        )
        start = generator.latents(n, seed=seed)
        moved = nn.Parameter(torch.zeros_like(start))
        adam = torch.optim.Adam([moved], rate)
        taken, partial = 0, False
        while taken < steps and not partial:
            moved.grad = generator.batches.map(slope, (start + units.codes * moved).detach()) * units.codes
            adam.step()
            taken += 1
            try:
                yield Step(taken, steps, "climbing")
            except Cancelled:
                partial = True
        codes = (start + units.codes * moved).detach()
        kept.add(codes, problem.look(codes), torch.arange(n), taken)
        return kept.result(partial=partial)

    return run(go(), progress)


def rejection(
    generator: Generator,
    neurons: Band | Sequence[Band],
    n: int = 500,
    *,
    encoder: Encoder | None = None,
    distance: str | None = None,
    seed: int = 0,
    draws: int = 50_000,
    progress: Progress | None = None,
) -> InverseSet:
    """Draws of the prior that lie in the bands, until there are `n` or `draws` were looked at.

    Args:
        encoder, distance: where the diversity is measured, as for `wb.inverse_sets.sample`.

    Raises:
        InverseSetError: settings out of range, or as for `wb.inverse_sets.sample`.
    """
    started = time.perf_counter()
    checks.check_settings(
        InverseSetError,
        ("n", n, n >= 1, "at least one sample"),
        ("draws", draws, draws >= 1, "at least one"),
    )
    problem = Problem(generator, neurons, encoder=encoder, distance=distance)
    options = differing(rejection, n=n, encoder=encoder, distance=distance, seed=seed, draws=draws)
    made = line("rejection", problem.bands, **options)
    parts = generator.latents(draws, seed=seed).split(_DRAWN)

    def go() -> Steps[Step, None, InverseSet]:
        units = yield from measure_steps(problem, seed=seed)
        kept = Collector(problem, units, n, made=made, method="rejection", seed=seed, started=started)
        for step, codes in enumerate(parts):
            seen = problem.look(codes)
            rows = problem.inside(seen.values).nonzero()[:, 0]
            kept.add(codes[rows], Seen(*(part[rows] for part in seen)), rows + step * _DRAWN, step + 1)
            if len(kept) >= n:
                break
            try:
                yield Sampled(step + 1, len(parts), f"{len(kept)} samples", so_far=kept.so_far)
            except Cancelled:
                return kept.result(partial=True)
        found = kept.result(partial=False)
        if len(found) >= n:
            return found
        looked = min((step + 1) * _DRAWN, draws)
        few = f"{len(found)} of {n} samples among {looked:,} draws; give more draws, or a wider band"
        return replace(found, note=few)

    return run(go(), progress)


def qualifying(
    generator: Generator,
    neurons: Band | Sequence[Band],
    images: Float[Tensor, "n *output"],
    *,
    encoder: Encoder,
    seed: int = 0,
) -> InverseSet:
    """Images, of the training set say, that lie in the bands as they are.

    Args:
        generator: whose range the images are in, and that the reference is drawn from.
        images: in the generator's value range.
        encoder: E; what it makes of an image stands for its code.

    Raises:
        ModelError: images of another shape than the generator's.
    """
    started = time.perf_counter()
    problem = Problem(generator, neurons, encoder=encoder)
    units = measure(problem, seed=seed)
    given = checks.as_batch(
        images, generator.output_shape, name="images", device=generator.device, dtype=generator.dtype
    )
    made = line("qualifying", problem.bands, "images", **differing(qualifying, encoder=encoder, seed=seed))
    kept = Collector(problem, units, max(1, len(given)), made=made, method="images", seed=seed, started=started)
    for first, part in enumerate(given.split(_DRAWN)):
        codes = problem.encode(part)
        with torch.no_grad():
            seen = problem.see(part, codes)
        rows = problem.inside(seen.values).nonzero()[:, 0]
        kept.add(codes[rows], Seen(*(p[rows] for p in seen)), rows + first * _DRAWN, first + 1)
    return replace(kept.result(partial=False), note="")
