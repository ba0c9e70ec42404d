"""What the recipes of generators share: the loop with its rates, averaged weights, and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from workbench.files import replace_file


def run(
    modules: Mapping[str, nn.Module],
    optimisers: Sequence[torch.optim.Optimizer],
    take: Callable[[int], Mapping[str, float]],
    *,
    steps: int,
    keeping: float,
    random: torch.Generator,
    checkpoint: Path | None,
    report: Callable[[int, nn.Module, str], None],
    every: int,
) -> None:
    """Take the steps that a checkpoint lacks, and average the weights.

    Args:
        modules: all that is trained, by name; `averaged` follows `generator`.
        optimisers: their rates are held for half of the steps, then fall linearly to a twentieth.
        take: one step, by its number from 1; returns what is told of it.
        steps: in all.
        keeping: how much of the averaged weights a step keeps.
        random: of the steps.
        checkpoint: the state is written there every `every` steps, when `report` is told.
    """
    peaks = [[float(group["lr"]) for group in optimiser.param_groups] for optimiser in optimisers]
    start = resume(checkpoint, modules, optimisers, random)
    began = time.monotonic()
    for step in range(start + 1, steps + 1):
        share = min(1.0, max(0.05, 2 * (1 - step / steps)))
        for optimiser, rates in zip(optimisers, peaks, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * share
        told = take(step)
        average(modules["averaged"], modules["generator"], min(keeping, 1 - 1 / (step + 1)))
        if step % every == 0 or step == steps:
            text = " ".join(f"{name} {value:.3f}" for name, value in told.items())
            report(step, modules["averaged"], f"step {step} {text} {time.monotonic() - began:.0f} s")
            keep(checkpoint, step, modules, optimisers, random)


def average(averaged: nn.Module, module: nn.Module, keep: float) -> None:
    """Move `averaged` a little toward `module`: an exponential average of the weights and buffers."""
    with torch.no_grad():
        olds = [*averaged.parameters(), *averaged.buffers()]
        news = [*module.parameters(), *module.buffers()]
        for old, new in zip(olds, news, strict=True):
            old.lerp_(new, 1 - keep) if old.is_floating_point() else old.copy_(new)


def settle(generator: nn.Module, draw: Callable[[], object], *, batches: int = 100) -> None:
    """Measure the batch statistics of averaged weights: the average of statistics is not theirs.

    Args:
        generator: left in eval mode.
        draw: runs it on one batch.
        batches: how often.
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    generator.train()
    with torch.no_grad():
        for _ in range(batches):
            draw()
    generator.eval()


def resume(
    checkpoint: Path | None,
    modules: Mapping[str, nn.Module],
    optimisers: Sequence[torch.optim.Optimizer],
    random: torch.Generator,
) -> int:
    """Take up the state that `keep` wrote; the step that it was written after, 0 where there is none."""
    if checkpoint is None or not checkpoint.exists():
        return 0
    stored = torch.load(checkpoint, weights_only=True)
    random.set_state(stored["random"])
    for name, module in modules.items():
        module.load_state_dict(stored[name])
    for optimiser, state in zip(optimisers, stored["optimisers"], strict=True):
        optimiser.load_state_dict(state)
    return int(stored["step"])


def keep(
    checkpoint: Path | None,
    step: int,
    modules: Mapping[str, nn.Module],
    optimisers: Sequence[torch.optim.Optimizer],
    random: torch.Generator,
) -> None:
    """Write the state after a step, where there is a place for it."""
    if checkpoint is None:
        return
    state: dict[str, object] = {name: module.state_dict() for name, module in modules.items()}
    state |= {"step": step, "random": random.get_state()}
    state |= {"optimisers": [o.state_dict() for o in optimisers]}
    replace_file(checkpoint, lambda part: torch.save(state, part))
