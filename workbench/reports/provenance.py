"""What made the results of a report, from what its store's entries say of themselves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from workbench.reports.store import asked, read_inputs
from workbench.results import DOCUMENT


def provenance(results: Path) -> dict[str, Any]:
    """What the record of a run says of the entries that it used.

    Args:
        results: folder of the store.

    Returns:
        - `entries`: by name, `how` each came (computed or reused), its `key`, when it was `made`, by which
          `function`, and of a result its own `provenance` (call, seed, device, dtype, versions, passes, seconds);
        - `models`: by fingerprint (SHA-256 of the weights), their name, kind, device and dtype;
        - `data`: SHA-256 of the files of data that were read, by name;
        - `devices`, `dtypes`: that entries were made on, where they were computed;
        - `passes`: by kind (forward, jvp, vjp), the sum over the results; rows of tables tell of their own.
    """
    said = asked(results)
    entries: dict[str, Any] = {}
    models: dict[str, Any] = {}
    devices: set[str] = set()
    dtypes: set[str] = set()
    passes: Counter[str] = Counter()
    for name, use in said["entries"].items():
        note = read_inputs(results / name)
        entry = {**use, "made": note.get("made"), "function": note.get("function", "")}
        made = _of_result(results / name)
        if made:
            entry["provenance"] = made
            passes.update(made["passes"])
        for model in note.get("models", ()):
            models[model["fingerprint"]] = {k: v for k, v in model.items() if k != "fingerprint"}
        for place in [made] if made else note.get("models", ()):
            devices.add(place["device"])
            dtypes.add(place["dtype"])
        entries[name] = entry
    return {
        "entries": entries,
        "models": models,
        "data": said["data"],
        "devices": sorted(devices),
        "dtypes": sorted(dtypes),
        "passes": dict(passes),
    }


def _of_result(entry: Path) -> dict[str, Any]:
    """The provenance in an entry's `result.json`; empty where it holds no result."""
    try:
        return dict(json.loads((entry / DOCUMENT).read_text(encoding="utf-8"))["provenance"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
