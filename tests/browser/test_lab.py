"""Notebooks in JupyterLab in a real browser: they run, and their explorers are used."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.browser.conftest import WAIT
from tests.browser.test_page import HOSTILE, SCRIPT, ask, refused, upload

pytestmark = pytest.mark.timeout(900)


def opened(lab, visit, name, last):
    """Open a notebook and run it from its first cell to the one that contains `last`.

    It has its own kernel and its own workspace: otherwise the notebook of the previous test is
    opened as well, and the test may wait for its kernel or run its cells.
    """
    address = f"{lab.origin}/lab/workspaces/{name}/tree/notebooks/{name}.ipynb"
    page = visit(f"{address}?token={lab.token}", height=2600)
    panel = page.locator(".jp-NotebookPanel")
    cell = panel.locator(".jp-CodeCell", has_text=last)
    cell.locator(".cm-content").click()
    page.get_by_text("| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Above Selected Cell", exact=True).click()
    cell.locator(".cm-content").press("Control+Enter")
    done = re.compile(r"^\[\d+\]:$")
    cell.locator(".jp-InputPrompt", has_text=done).wait_for(timeout=2 * WAIT)
    assert panel.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    return page, panel


def slider(panel, name):
    """Return a slider's handle, and the number next to it."""
    whole = panel.locator(".widget-slider", has=panel.page.get_by_text(name, exact=True))
    return whole.get_by_role("slider"), whole.locator(".widget-readout")


def pixels(picture):
    """Return the pixels of a picture on the page [row, column, 3]."""
    content = b64decode(picture.get_attribute("src").partition(",")[2])
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"), dtype=int)


def test_it_opens_with_the_notebooks_and_with_the_files_that_they_name(lab, visit, pictures):
    page = visit(lab.url)
    page.locator(".jp-NotebookPanel").get_by_role("heading", name="Quickstart").first.wait_for()
    files = page.get_by_role("region", name="File Browser Section")
    files.get_by_text("11_your_own_video.ipynb", exact=True).wait_for()
    pictures(page, "lab-files")
    files = f"{lab.origin}/api/contents/data/clips"
    stranger = page.context.browser.new_context()
    for name, token, status in (
        ("voyage.mp4", "", 403),  # first: the token is kept in a cookie
        ("voyage.mp4", f"&token={lab.token}", 200),
        ("none.mp4", f"&token={lab.token}", 404),
    ):
        assert stranger.request.get(f"{files}/{name}?content=0{token}").status == status
    stranger.close()


def test_notebook_00_answers_and_its_segments_are_looked_into(lab, visit, pictures):
    page, panel = opened(lab, visit, "00_quickstart", "SegmentExplorer(")
    panel.get_by_text("'red'", exact=True).first.wait_for()
    running = psutil.Process(lab.process.pid).children(recursive=True)
    kernels = [each for each in running if "ipykernel" in " ".join(each.cmdline())]
    assert {each.cwd() for each in kernels} == {str(lab.log.parent / "notebooks")}
    explorer = panel.locator(".jp-OutputArea-output .widget-vbox").first
    first = pixels(explorer.get_by_alt_text("Segment 8, 32.0 to 36.0 s"))
    explorer.get_by_role("button", name="5", exact=True).click()
    clicked = pixels(explorer.get_by_alt_text("Segment 5, 20.0 to 24.0 s"))
    frames = slice(len(first) * 55 // 100, len(first) * 70 // 100)  # its rows of the picture
    assert (abs(clicked - first)[frames] > 30).mean() > 0.2
    handle, number = slider(explorer, "segment")
    assert number.inner_text() == "5"
    handle.press("ArrowRight")
    explorer.get_by_alt_text("Segment 6, 24.0 to 28.0 s").wait_for()
    explorer.get_by_role("button", name="2", exact=True).press("Space")
    explorer.get_by_alt_text("Segment 2, 8.0 to 12.0 s").wait_for()
    pictures(page, "lab-00", explorer)


def test_the_budget_slider_of_notebook_05_moves_figure_and_ledger(lab, visit, pictures):
    page, panel = opened(lab, visit, "05_ata_routing", "RoutingExplorer(")
    explorer = panel.locator(".jp-OutputArea-output .widget-vbox").first
    handle, number = slider(explorer, "budget")

    def shown(budget):
        """Return tokens used and the figure, once figure and ledger show that budget."""
        picture = explorer.get_by_alt_text(f"of {budget} tokens given", exact=False)
        picture.wait_for()
        ledger = explorer.locator("table", has_text=f"of {budget} tokens, ")
        used = int(re.search(r"Ledger: (\d+) of", ledger.inner_text())[1])
        rows = ledger.locator("tr").filter(has=page.locator("td"))
        assert used == sum(int(row.locator("td").nth(5).inner_text()) for row in rows.all())
        return used, pixels(picture)

    before, figure = shown(96)
    handle.press("ArrowLeft")
    _, moved = shown(95)
    assert (moved != figure).any()

    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 40, y, steps=8)
    page.mouse.up()
    dragged = int(number.inner_text())
    assert dragged < 90
    after, moved = shown(dragged)
    assert after < before
    assert (moved != figure).mean() > 0.01

    explorer.get_by_role("button", name="Answer with this allocation").click()
    answers = explorer.locator("table", has_text="this allocation")
    answers.wait_for()
    assert answers.locator("td").nth(6).inner_text() == str(after)
    pictures(page, "lab-05", explorer)


def test_the_panel_of_notebook_11_answers_and_refuses(lab, visit, pictures):
    page, panel = opened(lab, visit, "11_your_own_video", "AskPanel(tempo)")
    panel.get_by_label("Question 1").wait_for()
    assert HOSTILE in refused(page, f"What is {HOSTILE}?")
    ask(page, f"What color is the hourglass? {SCRIPT}")
    assert page.evaluate("window.wrong") is None
    upload(page, "bad.mp4", b"no video at all")
    page.get_by_role("alert").filter(has_text="this is not a video that can be read").wait_for()
    panel.get_by_role("button", name="0:16 – 0:20").first.click()
    page.wait_for_function("document.querySelector('video').currentTime > 16")
    pictures(page, "lab-11")
