"""A headless Chromium of the system, driven by playwright. Without one, these tests are skipped; in
continuous integration (CI=true) they fail."""

import json
import os
import shutil

import nbformat
import pytest
from playwright.sync_api import sync_playwright

from tests.served import ROOT, lab_command, served

BINARIES = ("chromium", "chromium-browser", "google-chrome")
WAIT = 240_000
"""Milliseconds until something must have appeared: a kernel starts slowly on a busy machine."""
PICTURES = ROOT / "results" / "browser"
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # keep cells far below in the page
    "apputils-extension/notification": {"fetchNews": "false"},
}
"""Settings of JupyterLab, so that tests need not scroll or answer questions."""


def find_browser() -> str:
    """Return the path of the browser; skip, or fail in continuous integration, if there is none."""
    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("no Chromium on the path (apt-get install chromium)")
    return binary


@pytest.fixture(scope="session")
def chromium():
    """The browser, started once."""
    binary = find_browser()
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=binary, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visit(chromium):
    """Return a function that opens an address as a new visitor, without the cookies of others.

    Addresses of responses from other machines are collected in `page.strangers`.
    """
    contexts = []

    def visitor(url, width=1280, height=2300, **options):
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.strangers = []

        def heard(response):
            if not response.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
                page.strangers.append(response.url)

        page.on("response", heard)
        page.goto(url, **options)
        return page

    yield visitor
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def pictures():
    """Return a function that saves screenshots to results/browser, in two widths."""
    PICTURES.mkdir(parents=True, exist_ok=True)

    def picture(page, name, top=None):
        before = page.viewport_size
        for width in (1280, 800):
            page.set_viewport_size({**before, "width": width})
            if top is not None:
                top.evaluate("place => place.scrollIntoView()")
            page.screenshot(path=PICTURES / f"{name}-{width}.png")
        page.set_viewport_size(before)

    return picture


@pytest.fixture(scope="session")
def app(chromium, tmp_path_factory):
    with served(tmp_path_factory.mktemp("app"), TEMPO_LAB_UPLOAD_BYTES=str(1 << 20)) as page:
        yield page


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """`make lab` on a copy of the notebooks without outputs: every output shown is new."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    shutil.copytree(ROOT / "data" / "clips", folder / "data" / "clips")
    for path in (folder / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, path)
    for name, settings in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))
    home = {f"JUPYTER{name}_DIR": str(folder / name.strip("_").lower().removeprefix("lab_"))
            for name in ("_CONFIG", "LAB_SETTINGS", "LAB_WORKSPACES")}  # fmt: skip
    with served(folder, lab_command(), **home) as page:
        yield page
