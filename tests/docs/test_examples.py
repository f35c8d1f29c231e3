"""The examples of the site: every ```pycon block runs and prints what its page says."""

import doctest
import shutil
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tempo_lab.allocation import STRATEGIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = sorted(set((DOCS / "reference").glob("*.md")) - {DOCS / "reference" / "index.md"})
GUIDE = sorted((DOCS / "guide").glob("*.md"))


def examples(page: Path) -> str:
    """Return the code of all ```pycon blocks of a page, which share their names."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    blocks = (token for token in tokens if token.type == "fence" and token.info == "pycon")
    return "\n".join(block.content for block in blocks)


@pytest.mark.parametrize("page", REFERENCE, ids=lambda page: page.stem)
def test_every_page_of_the_reference_has_an_example(page):
    assert doctest.DocTestParser().get_examples(examples(page))


@pytest.mark.parametrize(
    "page", [page for page in [*REFERENCE, *GUIDE] if examples(page)], ids=lambda page: page.stem
)
def test_examples_print_what_their_page_says(page, tmp_path, monkeypatch):
    """In an empty folder with the clips, so that an example may write files."""
    shutil.copytree(ROOT / "data" / "clips", tmp_path / "data" / "clips")
    monkeypatch.chdir(tmp_path)
    registered = dict(STRATEGIES)
    said: list[str] = []
    try:
        test = doctest.DocTestParser().get_doctest(examples(page), {}, page.name, str(page), 0)
        doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(test, out=said.append)
    finally:  # an example may register a strategy
        STRATEGIES.clear()
        STRATEGIES.update(registered)
    assert "".join(said) == ""
