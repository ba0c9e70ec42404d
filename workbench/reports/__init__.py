"""Reports: notebooks run with parameters, each with a page that opens without kernel or network."""

from workbench.reports.catalogue import Parameter, Report, ReportError, catalogue, find
from workbench.reports.page import page
from workbench.reports.run import Run, run
from workbench.reports.store import Store, StoreError
from workbench.reports.verify import Difference, Verification, verify

__all__ = [
    "Difference",
    "Parameter",
    "Report",
    "ReportError",
    "Run",
    "Store",
    "StoreError",
    "Verification",
    "catalogue",
    "find",
    "page",
    "run",
    "verify",
]
