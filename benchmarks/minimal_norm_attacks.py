"""Minimal-norm attacks of other libraries, and the way back from their points to the boundary.

They are not dependencies: `pip install foolbox numba` and `pip install --no-deps adv-lib`.
"""

from __future__ import annotations

import copy
import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

#: Perturbed images (n, 1, 28, 28), or (classes, n, 1, 28, 28) of an attack on each class in turn; where a class
#: is the label itself, the images as they are.
Attack = Callable[[nn.Module, Tensor, Int[Tensor, " n"]], Tensor]


def attacks() -> dict[str, Attack]:
    """All by name, at recommended and at tuned settings, cheap ones first."""
    visdom = types.ModuleType("visdom")  # adv-lib imports it for plots that are not asked for
    visdom.Visdom = object  # type: ignore[attr-defined]
    sys.modules.setdefault("visdom", visdom)
    import foolbox
    from adv_lib.attacks import alma, ddn, fab, fmn
    from adv_lib.attacks.fast_adaptive_boundary.fast_adaptive_boundary import _fab

    def of_foolbox(attack: Any) -> Attack:
        def perturbed(module: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
            model = foolbox.PyTorchModel(module, bounds=(0, 1))
            return attack(model, x, foolbox.criteria.Misclassification(labels), epsilons=None)[1]

        return perturbed

    def each_class(one: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]) -> Attack:
        def perturbed(module: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
            found = x.repeat(10, 1, 1, 1, 1)
            for target in range(10):
                rows = (labels != target).nonzero()[:, 0]
                found[target, rows] = one(module, x[rows], labels[rows], torch.full_like(rows, target)).detach()
            return found

        return perturbed

    foolbox_attacks = foolbox.attacks
    bethge = foolbox_attacks.L2BrendelBethgeAttack(init_attack=foolbox_attacks.DDNAttack(steps=50), steps=200)
    return {
        "DDN, 100 steps": partial(ddn, steps=100, levels=None),
        "FMN, 100 steps": partial(fmn, norm=2, steps=100),
        "ALMA, 100 steps": partial(alma, distance="l2", num_steps=100),
        "DeepFool": of_foolbox(foolbox_attacks.L2DeepFoolAttack()),
        "ALMA, 1,000 steps": partial(alma, distance="l2", num_steps=1000),
        "Brendel-Bethge, 200 steps": of_foolbox(bethge),
        "DDN, 100 steps toward each class": each_class(
            lambda module, x, _, target: ddn(module, x, target, targeted=True, steps=100, levels=None)
        ),
        "C&W, 4 x 250 steps": of_foolbox(foolbox_attacks.L2CarliniWagnerAttack(binary_search_steps=4, steps=250)),
        "FAB, 100 steps": partial(fab, norm=2, n_iter=100),
        # what `targeted_restarts` does, with the point of each class kept
        "FAB, 100 steps toward each class": each_class(
            lambda module, x, labels, target: _fab(module, x, labels, norm=2, n_iter=100, targets=target)[0]
        ),
        "DDN, 1,000 steps": partial(ddn, steps=1000, levels=None),
        "FMN, 1,000 steps of 0.1": partial(fmn, norm=2, steps=1000, α_init=0.1),
    }


class Boundary:
    """Distances of the points where the way from an image to a perturbed one crosses a network's boundary.

    In double precision: single precision's noise makes some points look nearer than any flip point is.

    Args:
        module: the network.
        x: (n, 1, 28, 28) the images; `labels` (n,) their classes.
    """

    def __init__(self, module: nn.Module, x: Tensor, labels: Int[Tensor, " n"]) -> None:
        self._module, self._x, self._labels = copy.deepcopy(module).double(), x.double(), labels

    def distances(self, found: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, " n"]:
        """To the first class that is not the label; inf where the way meets none."""
        # ended on the boundary itself: a step beyond is fair
        stuck = self._classes(found.double()) == self._labels
        beyond = (self._x + 1.01 * (found - self._x)).clamp(0, 1)
        found = torch.where(stuck.reshape(-1, 1, 1, 1), beyond, found.double())
        return self._bisected(found, lambda classes: classes != self._labels)[0]

    def distances_to(self, found: Float[Tensor, "classes n 1 28 28"]) -> Float[Tensor, "n classes"]:
        """To each class; inf where the way does not meet it, or enters it from another class than the label."""
        columns = []
        for target, points in enumerate(found):
            distance, before = self._bisected(points.double(), lambda classes, j=target: classes == j)
            columns.append(torch.where((before == self._labels) & (self._labels != target), distance, torch.inf))
        return torch.stack(columns, 1)

    def _bisected(self, found: Tensor, hit: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """The distance of a hit on the way to `found`, and the class just before it."""
        away = found - self._x
        near, far = torch.zeros(len(away), 1, 1, 1).double(), torch.ones(len(away), 1, 1, 1).double()
        for _ in range(45):
            middle = (near + far) / 2
            hits = hit(self._classes(self._x + middle * away)).reshape(-1, 1, 1, 1)
            far, near = torch.where(hits, middle, far), torch.where(hits, near, middle)
        distance = (far * away).flatten(1).norm(dim=1)
        reached = hit(self._classes(found))
        return torch.where(reached, distance, torch.inf), self._classes(self._x + near * away)

    def _classes(self, points: Tensor) -> Int[Tensor, " n"]:
        with torch.no_grad():
            return torch.cat([self._module(part).argmax(1) for part in points.split(100)])
