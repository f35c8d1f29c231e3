"""Notebooks in JupyterLab, in a real browser."""


def opened(lab, visit, notebook, height=2400):
    """A notebook, all of whose cells are run in a kernel of its own."""
    page = visit(f"{lab.root}/tree/{notebook}?token={lab.token}", height=height)
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
