"""The page of an installed wheel, outside the repository."""

import os
import subprocess
import sys

import pytest

from tests.browser.test_page import ask
from tests.served import served

MARKS = [
    ("widgets/ask.py", "Compare two questions", "Another one"),
    ("shipped/notebooks/11_your_own_video.ipynb", "# 11 · Your own video", "# Installed"),
]

pytestmark = pytest.mark.timeout(900)


@pytest.mark.slow
def test_an_installed_wheel_serves_the_page_and_answers(wheel, visit, tmp_path):
    target = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
         "--target", target, wheel],
        check=True,
    )  # fmt: skip
    imported = subprocess.run(
        [sys.executable, "-c", "import tempo_lab; print(tempo_lab.__file__)"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert imported.startswith(str(target))
    # a mark in the installed package and one in its notebook: both are to be seen
    for name, was, mark in MARKS:
        path = target / "tempo_lab" / name
        text = path.read_text(encoding="utf-8")
        assert was in text
        path.write_text(text.replace(was, mark), encoding="utf-8")
    with served(tmp_path, PYTHONPATH=str(target)) as app:
        page = visit(app.url)
        page.get_by_label("Another one").wait_for()
        page.get_by_role("heading", name="Installed").wait_for()
        ask(page, "What color is the hourglass?")
        assert page.get_by_role("status").filter(has_text="red").is_visible()
