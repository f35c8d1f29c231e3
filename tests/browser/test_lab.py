"""Notebooks in JupyterLab, in a real browser: run them, and use the panel of the eleventh."""

from tests.browser.test_page import SCRIPT, ask, upload


def opened(lab, visit, notebook, height=2400):
    """A notebook, all of whose cells are run in a kernel of its own.

    In a workspace of its own too: else the last test's notebook is opened again beside it, and
    the kernel that is waited for, or the cells that are run, may be that one's.
    """
    address = f"{lab.root}/workspaces/{notebook.split('.')[0]}/tree/{notebook}"
    page = visit(f"{address}?token={lab.token}", height=height)
    panel = page.locator(".jp-NotebookPanel")
    panel.locator(".jp-CodeCell").first.wait_for()
    page.get_by_text("| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    return page, panel


def test_notebook_00_answers(lab, visit, pictures):
    page, panel = opened(lab, visit, "00_quickstart.ipynb")
    page.get_by_text("| Busy").wait_for()  # what was stored is not what is looked at
    page.get_by_text("| Idle").wait_for()
    panel.get_by_text("'red'").first.wait_for()
    assert panel.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert panel.locator(".jp-RenderedImage img").count() >= 1
    pictures(page, "lab-00-1280")


def test_the_panel_of_notebook_11_answers_and_refuses(lab, visit, pictures):
    page, panel = opened(lab, visit, "11_your_own_video.ipynb")
    panel.get_by_label("Question 1").wait_for()
    ask(page, f"What color is the moon? {SCRIPT}")
    assert page.evaluate("window.wrong") is None
    upload(page, "bad.mp4", b"no video at all")
    page.get_by_role("alert").filter(has_text="this is not a video that can be read").wait_for()
    panel.get_by_role("button", name="0:24 – 0:28").first.click()
    page.wait_for_function("document.querySelector('video').currentTime > 24")
    pictures(page, "lab-11-1280")
    page.set_viewport_size({"width": 800, "height": 2400})
    pictures(page, "lab-11-800")
