"""The site in a real browser: light and dark, wide and narrow, without a network."""

import functools
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.browser.conftest import PICTURES
from tests.served import ROOT

pytestmark = pytest.mark.timeout(900)

PAGES = (
    "docs/index",
    "docs/course",
    "docs/guide/concepts",
    "docs/method",
    "docs/reports",
    "docs/reference/allocation",
    "docs/reference/analysis",
    "docs/reference/sessions",
    "notebooks/03_svlm_attention",
    "notebooks/06_semantic_front_loading",
)
STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = element => {
    for (let each = element; !each.matches(".bd-article"); each = each.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(each).overflowX)) return true;
    return false;
  };
  return [...document.querySelectorAll(".bd-article *")]
    .filter(each => each.getBoundingClientRect().right > width + 1 && !scrolls(each))
    .map(each => each.outerHTML.slice(0, 200));
}"""
"""What of the article lies beyond the right edge of the window, but is in no box that scrolls."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site():
    """The address of the site, which is built where `make docs` has not built it."""
    folder = ROOT / "docs" / "_build" / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-c", "docs", ".", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out_or_comes_from_elsewhere(site, visit, width, mode):
    PICTURES.mkdir(parents=True, exist_ok=True)
    page = visit(f"{site}/index.html", width=width, height=1400)
    page.emulate_media(color_scheme=mode)
    page.wait_for_url("**/docs/index.html")  # the root leads to the first page
    for name in PAGES:
        page.goto(f"{site}/{name}.html")
        assert page.evaluate("document.documentElement.dataset.theme") == mode
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate(STICKING_OUT) == [], name
        page.screenshot(path=PICTURES / f"site_{name.replace('/', '_')}_{width}_{mode}.png")
    assert page.strangers == []


def test_the_search_finds_a_name(site, visit):
    page = visit(f"{site}/docs/index.html")
    page.goto(f"{site}/search.html?q=allocate")
    page.wait_for_selector("#search-results li a")
    found = page.eval_on_selector_all("#search-results li a", "all => all.map(each => each.href)")
    assert any("reference/allocation.html" in address for address in found)
    assert page.strangers == []
