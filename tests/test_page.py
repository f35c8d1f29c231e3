"""tempo-lab app: who is let in, what is served, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tempo_lab.cli import app
from tempo_lab.files import shipped
from tempo_lab.page import HOST, NOTEBOOK, PORT, free_port
from tests.served import served

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with served(tmp_path_factory.mktemp("page")) as page:
        yield page


def status(url, opener=None):
    """The status of a page, after redirections, and where they led."""
    opener = opener or urllib.request.build_opener()
    try:
        with opener.open(url, timeout=240) as answer:
            return answer.status, answer.geturl(), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, url, error.read().decode()


def test_nobody_is_let_in_without_the_token(page):
    code, where, text = status(page.root)
    assert (code, "/login" in where) == (200, True)
    assert "Your own video" not in text
    code, where, _ = status(f"{page.root}?token=wrong")
    assert "/login" in where or code == 403


def test_the_page_shows_no_code_and_serves_no_file(page):
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    code, _, text = status(page.url, opener)
    assert code == 200
    assert "Your own video" in text
    assert "AskPanel(tempo)" not in text
    for place in ("voila/files/00_quickstart.ipynb", "voila/files/11_your_own_video.ipynb"):
        assert status(page.root + place, opener)[0] in (403, 404)
    for place in ("api/contents", "api/kernels", "api/sessions", "api/terminals"):
        assert status(page.root + place, opener)[0] in (403, 404)


def test_it_listens_on_this_machine_alone(page):
    port = int(re.search(r":(\d+)/", page.root)[1])
    assert page.root.startswith(f"http://{HOST}:")
    elsewhere = _own_address()
    if elsewhere is None:
        pytest.skip("this machine has no other address than loopback")
    with pytest.raises(OSError), socket.create_connection((elsewhere, port), timeout=5):
        pass


def _own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(("192.0.2.1", 9))  # sends nothing; says which address would
        except OSError:
            return None
        address = trial.getsockname()[0]
    return None if address.startswith("127.") else address


def test_a_port_that_is_taken_is_a_clear_error(page):
    port = re.search(r":(\d+)/", page.root)[1]
    done = CliRunner().invoke(app, ["app", "--no-browser", "--port", port])
    assert done.exit_code == 2
    assert f"port {port} of {HOST}" in done.stderr
    assert "in use" in done.stderr
    assert "--port" in done.stderr


def test_without_a_port_the_next_free_one_is_taken():
    with socket.socket() as taken:
        try:
            taken.bind((HOST, PORT))
            taken.listen()
        except OSError:
            pass  # something else has it: as good
        assert free_port(None) != PORT


def test_a_model_that_is_none_is_told_at_once():
    done = CliRunner().invoke(app, ["app", "--no-browser", "--port", "0", "--model", "./nowhere"])
    assert done.exit_code == 2
    assert "nowhere" in done.stderr


def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path):
    with served(tmp_path) as page:
        status(page.url, urllib.request.build_opener(urllib.request.HTTPCookieProcessor()))
        assert list(tmp_path.glob("tempo-lab-page-*"))
        page.process.send_signal(signal.SIGINT)
        page.process.wait(timeout=240)
    assert not list(tmp_path.glob("tempo-lab-*"))
    assert "Traceback" not in page.told()


def test_what_the_page_needs_is_shipped():
    assert shipped(NOTEBOOK) == ROOT / NOTEBOOK
    with pytest.raises(FileNotFoundError):
        shipped("notebooks/none.ipynb")


def test_an_installed_wheel_brings_the_page(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = (
        "from tempo_lab.files import shipped; from tempo_lab.page import NOTEBOOK\n"
        "from tempo_lab.widgets.ask import CLIPS\n"
        "for name in (NOTEBOOK, *CLIPS): print(shipped(name))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, text=True, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    found = [Path(line) for line in done.stdout.split()]
    assert len(found) == 3
    for path in found:
        inside = path.relative_to(tmp_path / "installed" / "tempo_lab" / "shipped")
        assert path.read_bytes() == (ROOT / inside).read_bytes()
