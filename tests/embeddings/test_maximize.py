"""Activation maximisation: Adam on the log probability of a class, trial by trial, within the table's range."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import workbench as wb
from tests.embeddings.networks import additive, linear_classifier
from workbench.embeddings import EmbeddingError, maximize
from workbench.embeddings.maximize import Maximised, Objective, _draw, _spread, limits_of

QUIET = {"progress": lambda step: None}


def test_one_step_goes_along_the_sign_of_the_gradient_at_adam_s_rate():
    generator, classifier = additive(), linear_classifier()
    start = torch.zeros(1, 4)
    found = maximize(generator, classifier, 1, initial=start, steps=1, latents=6, rate=0.01, limits=None, **QUIET)
    weight = classifier.module[1].weight
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    scores = (0.5 * z) @ weight.T
    # the gradient of log softmax at class 1 through x = s z + e, averaged over the latents
    gradient = (weight[1] - scores.softmax(1) @ weight).mean(0)
    assert torch.allclose(found.embeddings[0], 0.01 * gradient.sign(), atol=1e-5)


def test_the_probability_rises_and_the_network_stays_as_it_is():
    generator, classifier = additive(), linear_classifier()
    before = {name: value.clone() for name, value in generator.module.state_dict().items()}
    found = maximize(generator, classifier, 2, "AM-L", trials=3, steps=60, **QUIET)
    assert (found.probability[-1] > found.probability[0]).all()
    assert all(torch.equal(value, before[name]) for name, value in generator.module.state_dict().items())
    assert found.probability.shape == found.diversity.shape == (60, 3)
    assert not found.provenance.partial and found.provenance.passes["forward"] == 60 * 3 * 20


def test_a_trial_does_not_depend_on_how_many_there_are():
    generator, classifier = additive(), linear_classifier()
    several = maximize(generator, classifier, 0, "AM-D-S", trials=4, steps=25, seed=5, **QUIET)
    alone = maximize(generator, classifier, 0, "AM-D-S", trials=1, steps=25, seed=5, **QUIET)
    assert torch.allclose(several.embeddings[:1], alone.embeddings, atol=1e-5)
    assert not torch.allclose(several.embeddings[0], several.embeddings[1], atol=1e-3)


def test_a_large_rate_ends_in_the_corner_of_the_table_s_range_that_the_class_points_to():
    generator, classifier = additive(), linear_classifier(2)
    found = maximize(generator, classifier, 0, target=0, trials=2, steps=200, rate=0.5, **QUIET)
    low, high = limits_of(generator.class_embeddings)
    weight = classifier.module[1].weight
    corner = torch.where(weight[0] > weight[1], high, low)
    assert torch.allclose(found.embeddings, corner.expand(2, -1))


def test_limits_are_the_table_s_range_rounded_outwards():
    assert limits_of(torch.tensor([[-0.5953, 0.2], [0.6, 0.1]])) == pytest.approx((-0.6, 0.6), abs=1e-6)


def test_starts_lie_near_the_class_s_row_near_the_mean_or_are_the_best_rows():
    generator, classifier = additive(6), linear_classifier(3)
    table = generator.class_embeddings

    def starts(name: str, **more: object) -> torch.Tensor:
        options = {"target": 1, "steps": 1, "limits": None, **QUIET, **more}
        return maximize(generator, classifier, 4, name, trials=200, **options).initial

    for name, centre in (("AM-S", table[4]), ("AM-L", table.mean(0))):
        drawn = starts(name) - centre
        assert drawn.mean(0) == pytest.approx(torch.zeros(4), abs=0.03)
        assert drawn.std(0) == pytest.approx(torch.full((4,), 0.1), abs=0.02)
    best = starts("Top-5")[:5]
    z = generator.latents(10, seed=0)
    means = torch.stack([classifier.probabilities(generator.render(z, row))[:, 1].mean() for row in table])
    assert torch.equal(best, table[means.argsort(descending=True)[:5]])


def test_the_diversity_is_the_mean_of_ratios_over_disjoint_pairs():
    generator = additive(scale=0.5)
    draws = [torch.Generator().manual_seed(3)]
    z, first, second = _draw(generator, draws, 8)
    assert sorted([*first[0].tolist(), *second[0].tolist()]) == list(range(8))
    # pictures are half the latents away from one another, whatever the pair
    assert _spread(0.5 * z, z, first, second) == pytest.approx([0.5], abs=1e-6)
    assert _spread(torch.zeros_like(z), z, first, second) == pytest.approx([0], abs=1e-5)


@pytest.mark.parametrize("distance", ["pixel", "softmax", "1"])
def test_the_diversity_term_has_its_gradient_in_every_space(distance: str):
    generator, classifier = additive(), linear_classifier()
    start = torch.full((1, 4), 0.1)
    z, first, second = _draw(generator, [torch.Generator().manual_seed(0)], 6)
    objective = Objective(generator, classifier, 1, distance=distance, resize="nearest")
    rows = start.clone().requires_grad_()
    logs, seen = objective(z[0], rows.expand(6, -1))
    loss = -(logs.mean() + 2.0 * _spread(seen[None], z, first, second)[0])
    (gradient,) = torch.autograd.grad(loss, rows)
    found = maximize(
        generator, classifier, 1, initial=start, steps=1, latents=6, rate=0.01, limits=None,
        diversity_weight=2.0, distance=distance, **QUIET,
    )  # fmt: skip
    assert torch.allclose(found.embeddings, start - 0.01 * gradient.sign(), atol=1e-5)


def test_cancelling_keeps_the_trials_as_they_stand():
    generator, classifier = additive(), linear_classifier()
    seen: list[Maximised] = []

    def stop(step: Maximised) -> bool:
        seen.append(step)
        return step.done < 4

    found = maximize(generator, classifier, 0, "AM-S", trials=2, steps=50, progress=stop)
    assert found.provenance.partial and len(found.probability) == 4
    assert seen[-1].so_far is not None and torch.equal(seen[-1].so_far().embeddings, found.embeddings)


def test_the_best_trial_is_chosen_by_probability_diversity_or_a_function_of_pictures():
    generator, classifier = additive(), linear_classifier()
    starts = 5 * linear_classifier().module[1].weight.detach()
    options = {"initial": starts, "steps": 1, "rate": 0.0, "limits": None, **QUIET}
    for target in range(3):
        assert maximize(generator, classifier, 0, target=target, best_by="probability", **options).best == target
    bright = maximize(generator, classifier, 0, best_by=lambda x: float(x.mean()), **options)
    assert bright.best == int(starts.sum(1).argmax())
    assert maximize(generator, classifier, 0, best_by="diversity", **options).scored_by == "diversity (softmax)"
    with pytest.raises(EmbeddingError, match="best_by"):
        maximize(generator, classifier, 0, best_by="beauty", **options)


def test_trials_come_back_from_a_folder(tmp_path: Path):
    found = maximize(additive(), linear_classifier(), 0, trials=2, steps=3, **QUIET)
    again = wb.load_result(found.save(tmp_path))
    assert torch.equal(again.embeddings, found.embeddings)
    assert again.best == found.best and again.variant == "AM-S"
    assert len(found.frame()) == 2


def test_the_recorded_line_finds_the_embeddings_again():
    generator, classifier = additive(), linear_classifier()
    space = {"wb": wb, "G": generator, "C": classifier}
    options = {"seed": 3, "trials": 2, "steps": 4, "rate": 0.0123456789, "limits": (-0.3, 0.4), "resample": 2}
    found = maximize(generator, classifier, 1, "AM-D-L", best_by="diversity", **options, **QUIET)
    again = eval(found.provenance.call, space)
    assert torch.equal(again.embeddings, found.embeddings) and again.scored_by == found.scored_by
    assert again.provenance.call == found.provenance.call and "latents" not in found.provenance.call
    kind = wb.embeddings.Variant("mine", "mean", 0.05)
    more = {"initial": torch.zeros(2, 4), "variant": kind, "best_by": lambda x: float(x.mean())}
    found = maximize(generator, classifier, 1, steps=3, **more, **QUIET)
    assert torch.equal(eval(found.provenance.call, space | more).embeddings, found.embeddings)


def test_networks_on_different_devices_are_refused():
    generator, classifier = additive(), linear_classifier()
    classifier.device = torch.device("meta")
    with pytest.raises(wb.models.ModelError, match="linear has device meta, additive has cpu; load both"):
        maximize(generator, classifier, 1, **QUIET)


def test_classes_are_matched_by_name_and_a_foreign_one_is_asked_for():
    generator = additive(names=["ant", "bee", "cat"])
    classifier = linear_classifier(names=["cat", "ant", "dog"])
    assert maximize(generator, classifier, "cat", steps=1, **QUIET).target == 0
    with pytest.raises(EmbeddingError, match=r"lacks bee.*Top-5"):
        maximize(generator, classifier, "bee", steps=1, **QUIET)
    assert maximize(generator, classifier, "bee", "Top-5", target="dog", steps=1, **QUIET).target_name == "dog"
    with pytest.raises(EmbeddingError, match="no class 'dgo'"):
        maximize(generator, classifier, "bee", target="dgo", steps=1, **QUIET)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 0}, "trials=0"),
        ({"latents": 1}, "latents=1"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"initial": torch.zeros(2, 5)}, r"expected finite embeddings \(trials, 4\)"),
        ({"initial": torch.full((2, 4), torch.nan)}, "finite"),
        ({"initial": torch.zeros(0, 4)}, r"initial has shape \(0, 4\).*one at least"),
        ({"variant": "AM-X"}, "no variant 'AM-X'"),
        ({"variant": None}, "no variant None: known are 'AM-S'"),
        ({"limits": (1, -1)}, r"limits=\(1, -1\); expected 'table', two numbers"),
        ({"limits": "tabel"}, "limits='tabel'"),
        ({"limits": 0.5}, r"limits=0\.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str):
    with pytest.raises(EmbeddingError, match=message):
        maximize(additive(), linear_classifier(), 0, **{"steps": 1, **QUIET, **settings})


def test_a_score_that_there_is_not_is_refused_before_the_first_step():
    taken: list[Maximised] = []
    with pytest.raises(EmbeddingError, match="best_by='probabilty'; expected 'probability'"):
        maximize(additive(), linear_classifier(), 0, best_by="probabilty", progress=taken.append)  # type: ignore[arg-type]
    assert not taken


def test_of_classes_of_one_name_the_one_that_is_asked_for_is_maximised():
    names = ["crane", "ant", "crane"]
    generator, classifier = additive(names=names), linear_classifier(names=names)
    assert maximize(generator, classifier, 2, steps=1, **QUIET).target == 2
    elsewhere = linear_classifier(names=["ant", "crane", "crane"])
    with pytest.raises(EmbeddingError, match="several classes 'crane', of index 1, 2"):
        maximize(generator, elsewhere, 2, steps=1, **QUIET)
    assert maximize(generator, elsewhere, 2, target=1, steps=1, **QUIET).target == 1


def test_a_generator_without_embeddings_or_an_index_out_of_range_is_refused():
    plain = wb.Generator(nn.Linear(3, 4), 3, value_range=(-3, 3), device="cpu")
    with pytest.raises(EmbeddingError, match="class_embeddings="):
        maximize(plain, linear_classifier(), 0, **QUIET)
    with pytest.raises(wb.models.ModelError, match="classes 0 to 2"):
        maximize(additive(), linear_classifier(), 7, **QUIET)


@pytest.mark.parametrize("best_by", ["probability", "diversity", lambda pictures: float(pictures[0].max())])
def test_a_trial_that_overflows_stays_where_it_was_finite_and_the_others_go_on(best_by):
    generator, classifier = additive(), linear_classifier()
    starts = torch.stack([torch.zeros(4), torch.full((4,), 1e38)])
    options = {"steps": 8, "limits": None, "diversity_weight": 1.0, "best_by": best_by, **QUIET}
    found = maximize(generator, classifier, 1, initial=starts, rate=1e29, weight_decay=1.0, **options)
    for tensor in (found.embeddings, found.probability, found.diversity, found.scores):
        assert torch.isfinite(tensor).all(), tensor
    quiet = maximize(generator, classifier, 1, initial=starts[:1], rate=0.01, **options)
    both = maximize(generator, classifier, 1, initial=starts, rate=0.01, **options)
    assert torch.allclose(both.embeddings[:1], quiet.embeddings, atol=1e-6)


def test_limits_beyond_single_precision_are_none():
    generator, classifier = additive(), linear_classifier()
    free = maximize(generator, classifier, 1, trials=2, steps=3, limits=None, **QUIET)
    wide = maximize(generator, classifier, 1, trials=2, steps=3, limits=(-1e300, 1e300), **QUIET)
    assert torch.equal(free.embeddings, wide.embeddings)


def test_starts_without_numbers_are_refused():
    generator, classifier = additive(), linear_classifier()
    with torch.no_grad():
        classifier.module[1].weight.mul_(100)
    with pytest.raises(EmbeddingError, match=r"2 of 2 trials start where the networks answer NaN.*less noise"):
        maximize(generator, classifier, 1, noise=3e38, trials=2, limits=None, **QUIET)
