"""A headless Chromium: the system's, driven by playwright. Where there is none, these tests are
skipped and say so; in continuous integration (CI=true) that is a failure."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.served import LAB, ROOT, served

BINARIES = ("chromium", "chromium-browser", "google-chrome")
WAIT = 120_000
"""Milliseconds that something may take to appear: a kernel that starts on a busy machine."""


def found() -> str:
    """Where the browser is."""
    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("no Chromium on the path (apt-get install chromium)")
    return binary


@pytest.fixture(scope="session")
def chromium():
    """The browser, started once."""
    binary = found()
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=binary, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visit(chromium):
    """A new visitor, without the cookies of others: called with an address, gives the page.

    Answers of other machines are gathered in `page.strangers`.
    """
    contexts = []

    def visitor(url, width=1280, height=1500):
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.strangers = []

        def heard(response):
            if not response.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
                page.strangers.append(response.url)

        page.on("response", heard)
        page.goto(url)
        return page

    yield visitor
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def pictures():
    """Where screenshots go: TEMPO_LAB_SCREENSHOTS, or nowhere."""
    folder = os.environ.get("TEMPO_LAB_SCREENSHOTS")

    def picture(page, name):
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png")

    return picture


@pytest.fixture(scope="session")
def app(chromium, tmp_path_factory):
    # less than a test uploads, more than a server lets through that was not told to
    limit = str(12 << 20)
    with served(tmp_path_factory.mktemp("app"), TEMPO_LAB_UPLOAD_BYTES=limit) as page:
        yield page


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """JupyterLab on a copy of the notebooks, which the browser may save."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    shutil.copytree(ROOT / "data" / "clips", folder / "data" / "clips")
    home = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR",
                                                  "JUPYTERLAB_WORKSPACES_DIR")}  # fmt: skip
    with served(folder, [*LAB, str(folder / "notebooks")], **home) as page:
        yield page
