"""The study at a tiny size, and the claims from tables whose answer is known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.embeddings import study
from workbench.embeddings.claims import ORIGINAL, REAL, claims, table_31
from workbench.embeddings.study import Judges, Settings, measure, relative_diversity, search
from workbench.results import Tables

CLASSES = 4


class Bars(nn.Module):
    """A bright bar in the class's quarter of a 16 x 16 picture; the second class hardly minds its latent."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Embedding.from_pretrained(2 * torch.eye(CLASSES), freeze=False)

    def forward(self, z: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        weights = rows.softmax(1)
        thin = 1 - 0.9 * weights[:, 1:2]
        heights = torch.sigmoid(2 * thin * z[:, :1])
        columns = weights.repeat_interleave(4, dim=1)[:, None, None, :].expand(-1, 1, 16, -1)
        lines = torch.linspace(0, 1, 16)[None, None, :, None]
        return 2 * columns * torch.sigmoid(8 * (lines - heights[:, :, None, None])) - 1


class Quarters(nn.Module):
    """The mean of each quarter, through a layer of the picture's own shape."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.AvgPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 8 * self.same(x).unflatten(3, (CLASSES, 4)).mean((1, 2, 4))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    names = list("abcd")
    generator = wb.Generator(
        Bars(), 2, class_embeddings="shared.weight", class_names=names, value_range=(-1, 1), device="cpu"
    )
    judge, classifier = (
        wb.Classifier(Quarters(), (1, 16, 16), class_names=names, device="cpu", name=name)
        for name in ("judge", "classifier")
    )
    z = generator.latents(120, seed=9)
    labels = torch.arange(CLASSES).repeat(30)
    # real pictures are those of the first class's diversity, moved to their quarter
    real = torch.cat([generator.render(z[i : i + 1], 0).roll(4 * int(c), 3) for i, c in enumerate(labels)])
    judges = Judges(classifier, judge, real, labels, torch.arange(CLASSES), ("same",))
    assert relative_diversity(generator, judges).argmin() == 1
    settings = Settings(classes=2, trials=2, steps=4, samples=20)
    folder = tmp_path_factory.mktemp("study")
    variants = ("AM-S", "Noise-L")
    found = search(folder, generator, judges, settings, variants=variants, report=lambda text: None)
    assert list(found)[:2] == ["AM-S/1", "Noise-L/1"]
    with pytest.MonkeyPatch.context() as patch:  # what is there is not measured again
        patch.setattr(study, "relative_diversity", lambda *given, **named: pytest.fail("measured again"))
        again = search(folder, generator, judges, settings, variants=variants, report=pytest.fail)
    assert all(torch.equal(again[key], found[key]) for key in found)
    with pytest.raises(ValueError, match="'trials': '2'"):
        search(folder, generator, judges, Settings(classes=2, trials=3), variants=variants)
    results = Tables(folder)
    measure(results, generator, judges, settings, found)
    return results


def test_the_study_measures_every_trial_and_every_set(measured):
    trials, sets = measured.table("trials"), measured.table("sets")
    assert trials.groupby("method").size().to_dict() == {REAL: 2, ORIGINAL: 2, "AM-S": 4, "Noise-L": 4}
    assert list(sets["method"]) == [REAL, ORIGINAL, "AM-S", "Noise-L"]
    real = sets.set_index("method").loc[REAL]
    assert real["frechet"] == pytest.approx(0, abs=1e-4)
    original = trials[trials["method"] == ORIGINAL]
    assert (original["rank_of_own_class"] == 1).all() and (original["shared_neighbours"] == 1).all()


def test_the_table_counts_the_classes_that_became_more_diverse(tmp_path: Path):
    def row(method: str, index: int, distance: float, ssim: float, read: float) -> dict[str, object]:
        fixed = {"pixels": 0.1, "read_by_classifier": 1.0, "strip_distance": distance, "strip_read": read}
        near = {"rank_of_own_class": 1, "rank_of_own_or_alike": 1, "shared_neighbours": 0.5}
        measures = {"distance": distance, "ms_ssim": ssim, "read_by_judge": read}
        return {"method": method, "class": index, "trial": 0, **measures, **fixed, **near}

    results = Tables(tmp_path)
    rows = []
    for index in range(6):
        rows += [row(REAL, index, 1.0, 0.5, 1.0), row(ORIGINAL, index, 0.2, 0.9, 1.0)]
        rows += [row("AM-L", index, 0.6 if index else 0.1, 0.7, 0.9), row("AM-D-L", index, 0.7, 0.7, 0.8)]
        rows += [row("Noise-S", index, 0.21, 0.9, 1.0), row("Noise-L", index, 0.3, 0.9, 0.2)]
    results.write("trials", pd.DataFrame(rows))
    sets = {REAL: 0.0, ORIGINAL: 1.0, "AM-L": 2.0, "AM-D-L": 0.5, "Noise-S": 1.0, "Noise-L": 9.0}
    results.write("sets", pd.DataFrame({"method": list(sets), "frechet": list(sets.values())}))
    table = table_31(results).set_index("method")
    assert table.loc["AM-L", "more diverse"] == 5 and table.loc["AM-L", "classes"] == 6
    assert table.loc["AM-L", "distance"] == pytest.approx((5 * 0.6 + 0.1) / 6)
    held = {row["claim"]: row["holds"] for row in claims(results).to_dict("records")}
    assert held["Table 3.1: AM-L is more diverse than the original"]
    assert held["Table 3.1: AM-L is somewhat less real (Fréchet distance in the judge's features)"]
    assert not held["Table 3.1: AM-D-L is somewhat less real (Fréchet distance in the judge's features)"]
    assert held["Table 3.1: AM-D-L lowers the accuracy further than AM-L"]
    assert held["Section 3.2: small noise hardly changes the diversity"]
    assert held["Section 3.2: large noise spoils the pictures"]


def test_nothing_measured_gives_no_claims(tmp_path: Path):
    assert len(claims(Tables(tmp_path))) == len(table_31(Tables(tmp_path))) == 0
