"""Wait for the work of panels."""

from __future__ import annotations

from workbench.ui.jobs import Jobs

#: A guard against hanging, in seconds; nothing waits so long where all is well.
PATIENCE = 60


def finished(*all_jobs: Jobs) -> None:
    """Wait until these workers are done; none may have failed."""
    for jobs in all_jobs:
        assert jobs.wait(PATIENCE)
        assert jobs.error is None, jobs.error
