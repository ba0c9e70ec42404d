"""Sessions: one file that saves itself as one goes, and opens again after a killed kernel."""

from workbench.sessions.file import Item
from workbench.sessions.safety import FORMAT
from workbench.sessions.session import KeptSample, Session
from workbench.sessions.state import SessionError, State

__all__ = ["FORMAT", "Item", "KeptSample", "Session", "SessionError", "State"]
