"""The guide on strangers' models: a table of what ran and what was refused, and the reasons below it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.strangers.methods import METHODS
from tests.strangers.networks import MOST_LINES, Stranger

_OPENING = f"""# Networks that nobody here wrote

Each row is a network of another package, with random weights, brought to the workbench by at most {MOST_LINES}
lines of code (`tests/strangers/networks.py` has them). Every method either runs and gives a result that is
checked (finite, of the right shapes, marked where it did not converge), or refuses; the number then leads to the
reason, in the words of the error. Networks that come in one piece need one line:

```pycon
>>> C = wb.Classifier(torchvision.models.resnet18(), input_shape=(3, 224, 224))
>>> C = wb.Classifier(vit, (3, 224, 224), value_range=(-1, 1), output="logits")  # a transformer's output has parts
```

Where the forward wants something else, or another method is meant, `Called` says how the network is called:

```pycon
>>> from workbench.models import Called
>>> G = wb.Generator(Called(vae, lambda vae, z: vae.decode(z).sample), latent_shape=(4, 64, 64))
```

A network that `torch.compile` made is run as it was before: layers are read and replaced one by one. Nothing of
yours is changed: weights, mode and hooks stay as they are.

"""
_WRITTEN = (
    "The table is written by `WORKBENCH_WRITE=1 python -m pytest tests/strangers`, which checks it otherwise.\n"
)
_REFUSES = "refuses: "
_TITLES = {name: name.replace("_", " ") for name in METHODS}


@dataclass(frozen=True)
class Guide:
    """What the guide says.

    Attributes:
        rows: by network and method `runs`, or `refuses: ` and why.
        about: by network where it is from, and the lines of its adapter.
    """

    rows: Mapping[str, Mapping[str, str]]
    about: Mapping[str, tuple[str, int]]

    @classmethod
    def of(cls, strangers: Sequence[Stranger], seen: Mapping[str, Mapping[str, str]]) -> Guide:
        """The guide to what was seen of the networks."""
        missing = [s.name for s in strangers if set(seen.get(s.name, {})) != set(METHODS)]
        if missing:
            raise ValueError(f"not all methods were tried on {missing}: install every package, and run all tests")
        return cls({s.name: seen[s.name] for s in strangers}, {s.name: (s.source, s.lines) for s in strangers})

    @classmethod
    def read(cls, path: Path) -> Guide:
        """The guide in a file; an empty one where there is none."""
        return cls.parse(path.read_text(encoding="utf-8")) if path.is_file() else cls({}, {})

    @classmethod
    def parse(cls, text: str) -> Guide:
        """The guide in a text that `text` wrote."""
        reasons = dict(re.findall(r"^(\d+)\. (.*)$", text, flags=re.MULTILINE))
        rows, about = {}, {}
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 3 + len(METHODS) and cells[1].startswith("`"):
                name, source, lines, *outcomes = cells
                about[name] = (source.strip("`"), int(lines))
                rows[name] = {
                    method: outcome
                    if outcome == "runs"
                    else _REFUSES + reasons[outcome.partition(" ")[2].strip("()")]
                    for method, outcome in zip(METHODS, outcomes, strict=True)
                }
        return cls(rows, about)

    def text(self) -> str:
        """The guide as Markdown."""
        reasons: dict[str, int] = {}
        lines = []
        for name, outcomes in self.rows.items():
            source, count = self.about[name]
            cells = [name, f"`{source}`", str(count)]
            for method in METHODS:
                why = outcomes[method].removeprefix(_REFUSES)
                cells.append("runs" if why == "runs" else f"refuses ({reasons.setdefault(why, len(reasons) + 1)})")
            lines.append(f"| {' | '.join(cells)} |")
        head = ["network", "source", "lines", *_TITLES.values()]
        rule = "|---" * len(head) + "|"
        listed = [f"{number}. {why}" for why, number in reasons.items()]
        return "\n".join(
            [_OPENING + f"| {' | '.join(head)} |", rule, *lines, "", "Why:", "", *listed, "", _WRITTEN]
        )
