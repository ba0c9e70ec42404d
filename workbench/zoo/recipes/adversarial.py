"""What the recipes of generators share: averaged weights with their batch statistics, and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn


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
    torch.save(state, checkpoint)
