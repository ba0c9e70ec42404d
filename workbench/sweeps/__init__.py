"""Sweeps: one method over a whole data set, or a report with many parameters, on one machine or a cluster."""

from workbench.sweeps.errors import SweepError, SweepWarning
from workbench.sweeps.grid import combinations, read
from workbench.sweeps.over import Sweep, over
from workbench.sweeps.report_runs import ReportSweep, reports

__all__ = ["ReportSweep", "Sweep", "SweepError", "SweepWarning", "combinations", "over", "read", "reports"]
