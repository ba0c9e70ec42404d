"""What is on screen in a panel as a report: a notebook that shows it and can make it again, run and paged."""

from workbench.exports.description import Export, ExportError, Section
from workbench.exports.kept import Kept, load_inputs
from workbench.exports.networks import Stand, network, require
from workbench.exports.write import write

__all__ = ["Export", "ExportError", "Kept", "Section", "Stand", "load_inputs", "network", "require", "write"]
