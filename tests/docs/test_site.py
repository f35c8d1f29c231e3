"""The site builds without a warning and without a network, and all of its links lead somewhere."""

import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "_build" / "html"
HOSTS = {"github.com", "huggingface.co", "semver.org"}
"""Machines that pages link to, so that a mistyped address is noticed without a network."""
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""Attributes whose address a browser loads by itself."""


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if address := values.get(LOADED.get(tag, ""), ""):
            self.loaded.append(address)


@cache
def read(path: Path) -> Page:
    return Page(path)


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the file of a relative link exists, and has the anchor."""
    address, anchor = map(unquote, urldefrag(link))
    target = (page.parent / address).resolve() if address else page
    if anchor and target.suffix == ".html" and target.is_file():
        return anchor in read(target).anchors
    return target.is_file()


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    """All pages of the site, as `make docs` builds it with a proxy that does not answer."""
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        ["make", "docs", f"BIN={Path(sys.executable).parent}", "READY="],
        cwd=ROOT,
        env={**os.environ, "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {
        path: read(path) for path in sorted(SITE.rglob("*.html")) if path.parent.name != "_static"
    }


def test_every_page_and_notebook_is_there(pages):
    docs = [path for path in (ROOT / "docs").rglob("*.md") if SITE not in path.parents]
    sources = [*docs, *(ROOT / "notebooks").glob("*.ipynb")]
    expected = {SITE / path.relative_to(ROOT).with_suffix(".html") for path in sources}
    assert expected - pages.keys() == set()
    assert SITE / "notebooks" / "glossary.html" in pages
    assert SITE / "index.html" in pages


def test_notebooks_show_their_stored_outputs_and_drawings(pages):
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        pictures = sum("image/png" in output.get("data", {}) for output in outputs)
        drawings = sum(cell.source.count("![") for cell in cells if cell.cell_type == "markdown")
        page = pages[SITE / "notebooks" / f"{path.stem}.html"]
        images = sum("_images/" in address for address in page.loaded)
        assert images == pictures + drawings > drawings, path.name


def test_figures_of_notebooks_have_an_alternative_text(pages):
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        texts = [cell.metadata.get("mystnb") for cell in nbformat.read(path, as_version=4).cells]
        page = (SITE / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert page.count(' alt="1. ') == len(list(filter(None, texts))), path.name


def test_formulas_are_drawn_without_a_script(pages):
    drawn = 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        texts = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        page = (SITE / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert page.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') == (
            texts.count("$$") // 2
        ), path.name
        drawn += texts.count("$$") // 2
    assert drawn >= 5


def test_pages_load_nothing_from_other_machines(pages):
    for path, page in pages.items():
        far = [each for each in page.loaded if urlsplit(each).scheme not in ("", "data")]
        assert not [*far, *(each for each in page.loaded if each.startswith("//"))], path
    for path in SITE.rglob("*.css"):
        style = path.read_text(encoding="utf-8")
        assert not re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", style), path


def test_links_inside_the_site_lead_somewhere(pages):
    broken = [
        (path.name, link)
        for path, page in pages.items()
        for link in page.links
        if not urlsplit(link).scheme and not leads_somewhere(path, link)
    ]
    assert broken == []


def test_links_to_other_machines_are_well_formed(pages):
    links = {link for page in pages.values() for link in page.links if urlsplit(link).scheme}
    assert links
    for link in links:
        assert urlsplit(link).scheme == "https", link
        assert urlsplit(link).hostname in HOSTS, link
        assert not re.search(r"[\s<>\"]", link), link
