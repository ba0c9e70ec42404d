"""What a browser would make of a text."""

from __future__ import annotations

from html.parser import HTMLParser


class Elements(HTMLParser):
    """Counts what a browser would run: elements by name, and attributes that hold code."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, int] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        code = [name for name, value in attrs if name.startswith("on") or (value or "").startswith("javascript:")]
        for what in (tag, *code):
            self.found[what] = self.found.get(what, 0) + 1


def elements(html: str) -> dict[str, int]:
    """How many elements of each kind a text has."""
    return Elements(html).found
