"""What can be wrong with a sweep."""

from workbench.errors import WorkbenchError


class SweepError(WorkbenchError, ValueError):
    """A grid, a folder or a cluster that cannot be used; says what would do."""


class SweepWarning(UserWarning):
    """Something about a sweep that may change its numbers."""
