"""The directive `command-line`: Typer's own help of `workbench` and its commands."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click
from typer.main import get_command
from typer.models import Context

from workbench import cli


class CommandLine(SphinxDirective):
    """Every command with its arguments and options, one section each."""

    def run(self) -> list[nodes.Node]:
        """What `typer utils docs` writes, without its title."""
        self.env.note_dependency(cli.__file__)
        command = get_command(cli.app)
        text = get_docs_for_click(obj=command, ctx=Context(command, info_name="workbench"), name="workbench")
        _, _, commands = text.partition("\n## ")
        return self.parse_text_to_nodes(f"## {commands}", allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
