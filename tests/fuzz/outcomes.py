"""What a call may do with bad input: give a right result, or refuse in words of the workbench's own."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.project import ROOT
from workbench.models import WorkbenchError
from workbench.reports import ReportError
from workbench.results import ResultError

_ON_PURPOSE = (WorkbenchError, ResultError, ReportError, ValueError, FileNotFoundError, LookupError)

tried = refused = 0


class Refused:
    """A call was refused on purpose.

    Attributes:
        why: the error.
    """

    def __init__(self, why: Exception) -> None:
        self.why = why


def attempt(call: Callable[[], Any]) -> Any:
    """What `call` gives, or a `Refused`; an error that the workbench did not raise itself is raised."""
    global tried, refused
    tried += 1
    try:
        return call()
    except _ON_PURPOSE as error:
        raised = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if not raised.is_relative_to(ROOT / "workbench") or len(str(error)) < 20:
            raise
        refused += 1
        return Refused(error)


def in_words(error: str) -> None:
    """Assert that the traceback of a job is one that the workbench raised on purpose, and says why."""
    raised = Path(re.findall(r'File "(.+?)", line', error)[-1])
    kind, _, said = error[error.rindex("\n", 0, -1) :].partition(": ") if "\n" in error else ("", "", "")
    assert raised.is_relative_to(ROOT / "workbench") and len(said) > 20, error
    assert kind.strip() not in ("RuntimeError", "AssertionError", "KeyError", "IndexError"), error


def finite(*tensors: torch.Tensor) -> None:
    """Assert that no number is NaN or infinite."""
    for tensor in tensors:
        assert torch.isfinite(tensor).all(), tensor
