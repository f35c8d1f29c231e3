"""tempo-lab app: access, what is served, limits, and shutdown."""

import asyncio
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from http.cookiejar import CookieJar
from pathlib import Path

import psutil
import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import websocket_connect
from typer.testing import CliRunner

from tempo_lab.apps.cli import app
from tempo_lab.apps.page import NOTEBOOK, UPLOAD_BYTES, VISITOR_BYTES, visitors_that_fit
from tempo_lab.apps.page_address import HOST, PORT, free_port
from tempo_lab.apps.page_html import LOADING, first_part
from tempo_lab.apps.page_server import PROTOCOL, SPARE_BYTES, is_message
from tempo_lab.apps.terminal import REFUSED
from tempo_lab.common.files import shipped
from tests.served import APP, served

ROOT = Path(__file__).parents[2]


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
    assert text.startswith(first_part(UPLOAD_BYTES))
    assert text.count(LOADING) == 1
    assert "AskPanel(tempo)" not in text
    for place in ("voila/files/00_quickstart.ipynb", "voila/files/11_your_own_video.ipynb"):
        assert status(page.root + place, opener)[0] in (403, 404)
    for place in ("api/contents", "api/kernels", "api/sessions", "api/terminals"):
        assert status(page.root + place, opener)[0] in (403, 404)


NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("logout", 200),
        ("nothing", 403),
        (f"api/kernels/{NOBODY}", 404),
        (f"api/kernels/{NOBODY}/channels", 400),
        ("voila/static/nothing", 403),
        ("voila/templates/nothing", 404),
        ("voila/templates/nothing/static/nothing", 404),
        ("voila/templates/lab/static/nothing", 404),
        ("voila/api/themes/nothing", 404),
        ("voila/labextensions/nothing", 404),
    ],
)
def test_every_address_is_answered(page, place, expected):
    opener = urllib.request.build_opener()
    opener.addheaders = [("Authorization", f"token {page.token}")]
    assert status(page.root + place, opener)[0] == expected
    assert "Traceback" not in page.output()


# What a visitor's connection may send


def message(kind, *buffers, count=None):
    """A message of the protocol that pages speak, with room for a wrong number of parts."""
    header = {
        "msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "1",
        "version": "5.3",
    }  # fmt: skip
    parts = [b"shell", json.dumps(header).encode(), b"{}", b"{}", b"{}", *buffers]
    ends = [8 * (len(parts) + 2)]
    for part in parts:
        ends.append(ends[-1] + len(part))
    count = len(ends) if count is None else count
    return struct.pack(f"<{len(ends) + 1}Q", count, *ends) + b"".join(parts)


@pytest.fixture(scope="module")
def kernel(page):
    """A visitor's kernel, and the address of its socket."""
    code, _, text = status(page.url)
    assert code == 200
    number = re.search(r'"kernelId": *"([0-9a-f-]{36})"', text)[1]
    address = f"{page.root}api/kernels/{number}/channels?token={page.token}"
    return address.replace("http:", "ws:")


def sent(address, content, subprotocols=(PROTOCOL,)):
    """The type of the first answer, or the code with which the socket was closed."""

    async def talk():
        connection = await websocket_connect(
            address, subprotocols=list(subprotocols), max_message_size=1 << 30
        )
        await connection.write_message(content, binary=True)
        while True:
            answer = await asyncio.wait_for(connection.read_message(), 120)
            if answer is None:
                return connection.close_code
            if b"comm_info_reply" in answer:
                return "comm_info_reply"

    return asyncio.run(talk())


def test_a_socket_of_the_older_protocol_is_refused(page, kernel):
    with pytest.raises(HTTPClientError, match="400"):
        sent(kernel, b"\x7f\xff\xff\xff", subprotocols=())
    with pytest.raises(HTTPClientError, match="400"):
        sent(kernel, b"\x7f\xff\xff\xff", subprotocols=[f"x{PROTOCOL}"])
    assert sent(kernel, message("comm_info_request")) == "comm_info_reply"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        b"\xff" * 16,
        message("comm_info_request", count=2**63),
        message("comm_info_request", count=5),
        message("comm_info_request")[:-1],
        struct.pack("<8Q", 7, 64, 90, 80, 90, 90, 90, 90) + bytes(100),
    ],
)
def test_what_is_no_message_closes_its_socket_alone(kernel, content):
    assert is_message(message("comm_info_request"))
    assert not is_message(content)
    assert sent(kernel, content) == 1003
    assert sent(kernel, message("comm_info_request")) == "comm_info_reply"


def test_a_header_is_short_and_text_is_no_message():
    assert not is_message("{}")
    assert not is_message(message("x" * (1 << 16)))
    assert is_message(message("x", bytes(1 << 20)))


def test_an_upload_in_one_piece_is_let_through(kernel):
    """Firefox sends one frame, whatever its size; tornado by itself takes 100 MiB."""
    assert sent(kernel, message("comm_info_request", bytes(101 << 20))) == "comm_info_reply"


# How many visitors there can be


def test_a_visitor_waits_until_there_is_room(tmp_path):
    environment = {"TEMPO_LAB_UPLOAD_BYTES": str(1 << 20)}
    with served(tmp_path, [*APP, "--visitors", "1"], **environment) as page:
        code, _, text = status(page.url)
        assert code == 200
        number = re.search(r'"kernelId": *"([0-9a-f-]{36})"', text)[1]
        code, _, text = status(page.url)
        assert code == 503
        assert "The number of visitors at the same time is limited to 1," in text
        assert 'http-equiv="refresh"' in text
        assert "--visitors 2" in text
        address = f"{page.root}api/kernels/{number}/channels?token={page.token}"
        address = address.replace("http:", "ws:")
        # more than an upload can have ends the connection, and nothing else
        large = message("comm_info_request", bytes((1 << 20) + SPARE_BYTES))
        assert sent(address, large) in (1009, None)
        end = time.monotonic() + 200
        while status(page.url)[0] == 503:  # the first one's page is gone
            assert time.monotonic() < end
            time.sleep(1)
        assert "Traceback" not in page.output()


def test_visitors_are_as_many_as_half_of_the_free_memory_holds(monkeypatch, tmp_path):
    class Free:
        available = 10 * VISITOR_BYTES

    monkeypatch.setattr(psutil, "virtual_memory", Free)
    assert visitors_that_fit("nano") == 4  # its weights count, too
    with open(tmp_path / "model.safetensors", "wb") as weights:
        weights.truncate(VISITOR_BYTES)
    assert visitors_that_fit(str(tmp_path)) == 1
    assert visitors_that_fit("somebody/model") == 1
    Free.available = 0
    assert visitors_that_fit("nano") == 1


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
    assert done.exit_code == REFUSED
    assert f"port {port} of {HOST}" in done.stderr
    assert "in use" in done.stderr
    assert "--port" in done.stderr


# Behind a proxy


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """A page as behind a proxy that passes its path on."""
    command = [*APP, "--base-url", "/user/ada/lab.1"]
    with served(tmp_path_factory.mktemp("proxied"), command) as page:
        assert page.root.endswith("/user/ada/lab.1/")
        yield page


def test_a_base_url_is_the_path_of_everything(proxied):
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    code, _, text = status(proxied.url, opener)
    assert code == 200
    number = re.search(r'"kernelId": *"([0-9a-f-]{36})"', text)[1]
    own = re.findall(r"""(?:src|href)=["'](/[^"']*)""", text)
    assert own
    assert all(each.startswith("/user/ada/lab.1/") for each in own)
    script = next(each for each in own if each.endswith(".js"))
    host = proxied.root.removesuffix("/user/ada/lab.1/")
    assert status(host + script, opener)[0] == 200
    address = f"{proxied.root}api/kernels/{number}/channels?token={proxied.token}"
    assert sent(address.replace("http:", "ws:"), message("comm_info_request")) == "comm_info_reply"
    assert status(host + "/", opener)[0] == 404
    assert status(f"{proxied.root.rstrip('/')}?token={proxied.token}")[0] == 200


def test_a_base_url_needs_the_token_too(proxied):
    code, where, text = status(proxied.root)
    assert (code, "/user/ada/lab.1/login" in where) == (200, True)
    assert "Your own video" not in text


def test_another_host_is_warned_about_and_needs_the_token(tmp_path):
    with served(tmp_path, [*APP, "--host", "0.0.0.0"]) as page:
        assert "warning: other machines can reach the page (0.0.0.0, port" in page.output()
        assert "not encrypted" in page.output()
        assert "/login" in status(page.root)[1]
        if elsewhere := _own_address():
            port = re.search(r":(\d+)/", page.root)[1]
            assert "/login" in status(f"http://{elsewhere}:{port}/")[1]


def test_by_default_nothing_is_warned_about(page):
    assert "warning" not in page.output()


def test_without_a_port_the_next_free_one_is_taken():
    with socket.socket() as taken:
        try:
            taken.bind((HOST, PORT))
            taken.listen()
        except OSError:
            pass  # something else has it: as good
        assert free_port(None) != PORT


def test_an_unknown_model_is_an_error_at_once():
    done = CliRunner().invoke(app, ["app", "--no-browser", "--port", "0", "--model", "./nowhere"])
    assert done.exit_code == REFUSED
    assert "nowhere" in done.stderr


def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path):
    with served(tmp_path) as page:
        status(page.url, urllib.request.build_opener(urllib.request.HTTPCookieProcessor()))
        assert list(tmp_path.glob("tempo-lab-page-*"))
        page.process.send_signal(signal.SIGINT)
        page.process.wait(timeout=240)
    assert not list(tmp_path.glob("tempo-lab-*"))
    assert "Traceback" not in page.output()


def test_what_the_page_needs_is_shipped():
    assert shipped(NOTEBOOK) == ROOT / NOTEBOOK
    with pytest.raises(FileNotFoundError):
        shipped("notebooks/none.ipynb")


def test_an_installed_wheel_brings_the_page(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = (
        "from tempo_lab.common.files import shipped; from tempo_lab.apps.page import NOTEBOOK\n"
        "from tempo_lab.widgets.ask import CLIPS\n"
        "for name in (NOTEBOOK, *CLIPS): print(shipped(name))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, text=True, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    paths = [Path(line) for line in done.stdout.split()]
    assert len(paths) == 3
    for path in paths:
        inside = path.relative_to(tmp_path / "installed" / "tempo_lab" / "shipped")
        assert path.read_bytes() == (ROOT / inside).read_bytes()
