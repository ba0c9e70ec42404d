"""The directive `picture`: what the browser tests saw, in the theme of the page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def folder_of_pictures(app: Sphinx) -> Path:
    """Where `make docs` lets the browser tests save their pictures."""
    return Path(app.srcdir) / str(app.config.pictures_folder)


def both_themes(folder: Path, name: str) -> dict[str, Path]:
    """The files of a picture by the class that shows it in one theme; empty where it was not made."""
    paths = {"only-light": folder / f"{name}.png", "only-dark": folder / f"{name}-dark.png"}
    return paths if all(path.exists() for path in paths.values()) else {}


class Picture(SphinxDirective):
    """A picture by its name, with its caption as the content; a note where it was not made.

    Options:
        alt: what it shows, for those who do not see it.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """A figure with the picture of each theme."""
        name, folder = self.arguments[0], folder_of_pictures(self.env.app)
        self.env.note_dependency(str(folder / f"{name}.png"))
        paths = both_themes(folder, name)
        if not paths:
            missing = nodes.container(classes=["wb-missing"])
            told = f"The picture {name} was not made with these pages: `make docs` makes it, with Chromium."
            missing += self.parse_text_to_nodes(told)
            return [missing]
        figure = nodes.figure(classes=["wb-picture"])
        page = Path(self.env.doc2path(self.env.docname)).parent
        for theme, path in paths.items():
            uri = Path(os.path.relpath(path, page)).as_posix()
            figure += nodes.image(uri=uri, alt=self.options["alt"], classes=[theme])
        if self.content:
            (said,) = self.parse_content_to_nodes()
            figure += nodes.caption("", "", *said.children)
        return [figure]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive, and where pictures are looked for."""
    app.add_config_value("pictures_folder", "_build/pictures", "env", str)
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
