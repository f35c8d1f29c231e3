"""Host, port and base URL of the page."""

import socket

import pytest

from tempo_lab.apps.page_address import HOST, Address, free_port, page_address
from tempo_lab.common.errors import TempoLabError


def test_by_default_only_this_machine_reaches_it():
    address = page_address(port=0)
    assert (address.host, address.base_url, address.loopback) == (HOST, "/", True)
    assert address.url("secret") == f"http://{HOST}:{address.port}/?token=secret"
    assert address.warning() is None
    assert page_address("localhost", 0).loopback


def test_every_interface_is_warned_about_and_opened_on_this_machine():
    address = page_address("0.0.0.0", 0)
    assert not address.loopback
    assert address.url("secret").startswith(f"http://{HOST}:{address.port}/")
    for words in ("0.0.0.0", str(address.port), "not encrypted", "HTTPS"):
        assert words in address.warning()


def test_an_ipv6_host_is_in_brackets():
    assert Address("::1", 80, "/", True).url("t") == "http://[::1]:80/?token=t"
    assert Address("::", 80, "/", False).origin == "[::1]:80"


@pytest.mark.parametrize("host", ["", "192.0.2.1"])
def test_a_host_of_another_machine_is_refused(host):
    with pytest.raises(TempoLabError, match="cannot be served on this host") as raised:
        page_address(host, 0)
    assert repr(host) in str(raised.value)
    assert HOST in raised.value.fix


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "/"), ("", "/"), ("/", "/"), ("lab", "/lab/"), ("/lab", "/lab/"),
        ("/user/a@b.org/proxy/absolute/8866/", "/user/a@b.org/proxy/absolute/8866/"),
        ("/a%20b/", "/a%20b/"),
    ],
)  # fmt: skip
def test_a_base_url_has_a_slash_at_both_ends(given, expected):
    assert page_address(port=0, base_url=given).base_url == expected


@pytest.mark.parametrize(
    "given",
    ["https://example.org/lab", "/a b", "/a//b", "/../a", "/a?b", "/a#b", "/(.*)", "/a\nb", "/ä"],
)
def test_what_is_no_path_is_refused(given):
    with pytest.raises(TempoLabError, match="base URL is not the path") as raised:
        page_address(port=0, base_url=given)
    assert "fix:" in str(raised.value)


def test_a_taken_port_is_refused_and_the_next_one_found():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TempoLabError, match=f"port {port} of {HOST}"):
            page_address(port=port)
    assert free_port(0) > 0
