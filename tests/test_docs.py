"""The documentation: it builds without a warning, its links lead somewhere, its code runs, all offline."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.documentation import DOCS, build
from tests.project import ROOT

pytest.importorskip("myst_nb", reason="the documentation's packages are missing: pip install -e '.[docs]'")

METHODS = ("subspaces", "boundaries", "inverse_sets", "embeddings", "flip_points")
PAGES = sorted((DOCS / "methods").glob("*-*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages; a warning is an error."""
    return build(tmp_path_factory.mktemp("docs"), "-W", "--keep-going")


class Page(HTMLParser):
    """What a page refers to, and the places in it that others may refer to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif address := given.get("src") or (given.get("href") if tag == "link" else None):
            self.loaded.append(address)


def pages(site: Path) -> Iterator[tuple[Path, Page]]:
    for path in sorted(site.rglob("*.html")):
        if "_static" not in path.parts:
            yield path, Page(path)


def test_every_link_inside_the_site_leads_somewhere(site: Path):
    known = dict(pages(site))
    assert len(known) > 30
    astray = []
    for path, page in known.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists() or (place and target in known and place not in known[target].places):
                astray.append(f"{path.relative_to(site)}: {link}")
    assert astray == []


def test_pages_load_nothing_from_elsewhere(site: Path):
    for path, page in pages(site):
        for address in page.loaded:
            assert urlsplit(address).scheme in ("", "data"), f"{path.relative_to(site)} loads {address}"
            if not address.startswith("data:"):
                assert (path.parent / unquote(urlsplit(address).path)).exists(), address
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.parametrize("method", METHODS)
def test_every_public_name_of_a_method_is_described(site: Path, method: str):
    places = Page(site / "reference" / "generated" / f"workbench.{method}.html").places
    described = {place.rpartition(".")[2] for place in places}
    assert set(import_module(f"workbench.{method}").__all__) <= described


def test_every_statement_about_security_names_tests_that_exist():
    text = (DOCS / "guides" / "security.md").read_text(encoding="utf-8")
    introduction, *statements = [part for part in text.split("\n\n") if not part.startswith("#")]
    assert statements and "::" not in introduction
    for statement in statements:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", statement)
        assert named, statement
        for file, test in named:
            written = (ROOT / file).read_text(encoding="utf-8") if (ROOT / file).is_file() else ""
            assert f"\ndef {test}(" in written, f"{file} has no {test}"


def test_every_command_is_described(site: Path):
    from workbench.cli import app

    text = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert names and all(f"workbench-{name}" in text for name in names)


@pytest.mark.nightly
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_code_of_a_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(page.parent)
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    code = [re.sub(r"^:.*\n", "", cell, flags=re.M) for cell in cells if "extensions.kernel" not in cell]
    assert code
    exec(compile("\n".join(code), str(page), "exec"), {})


def test_claims_are_those_that_were_measured(site: Path):
    for folder, page in (
        ("flip-points-paper", "flip-points"),
        ("generative-boundaries", "generative-boundaries"),
        ("inverse-sets", "inverse-sets"),
        ("class-embeddings", "class-embeddings"),
    ):
        with (ROOT / "benchmarks" / "results" / folder / "claims.csv").open(encoding="utf-8", newline="") as file:
            holds = [row["holds"] for row in csv.DictReader(file)]
        text = (site / "methods" / f"{page}.html").read_text(encoding="utf-8")
        assert text.count('class="wb-holds"') == holds.count("True")
        assert text.count('class="wb-fails"') == holds.count("False")
