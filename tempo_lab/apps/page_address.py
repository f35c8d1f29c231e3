"""The address of the page: host, port and base URL, checked before anything is served."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from dataclasses import dataclass

from tempo_lab.common.errors import TempoLabError

HOST, PORT, PORTS_TRIED = "127.0.0.1", 8866, 20
"""The default port is the first free one of `PORTS_TRIED`, from `PORT` on."""
PATH = re.compile(r"/([\w.~@%-]+/)*", re.ASCII)


@dataclass(frozen=True)
class Address:
    """Where the page is served.

    Attributes:
        host: name or IP address of a network interface; 0.0.0.0 for every one.
        port: port of the page.
        base_url: path of the page, with a slash at both ends.
        loopback: whether only this machine can reach it.
    """

    host: str
    port: int
    base_url: str
    loopback: bool

    @property
    def origin(self) -> str:
        """Host and port as in a URL; of every interface, that of this machine itself."""
        host = {"0.0.0.0": HOST, "::": "::1"}.get(self.host, self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def url(self, token: str) -> str:
        """Return the URL that opens the page."""
        return f"http://{self.origin}{self.base_url}?token={token}"

    def warning(self) -> str | None:
        """Return what it means that other machines can reach the page; None if they cannot."""
        if self.loopback:
            return None
        return (
            f"other machines can reach the page ({self.host}, port {self.port}). Everybody who has "
            "its address with the token can upload videos and use the memory and the processor of "
            "this machine. The connection is not encrypted: in an open network, the token and the "
            "videos can be read. Put a proxy with HTTPS before it, or leave out --host and use an "
            "SSH tunnel."
        )


def page_address(host: str = HOST, port: int | None = None, base_url: str | None = None) -> Address:
    """Return the address to serve the page at.

    Args:
        host: name or IP address of a network interface of this machine.
        port: port of the page; by default the first free one from 8866 on, and 0 for any.
        base_url: path of the page; by default "/". A proxy must pass it on unchanged.

    Raises:
        TempoLabError: this machine has no such interface, the port is taken or may not be used, or
            the base URL is not a path.
    """
    path = _check_base_url(base_url or "/")
    try:
        if not host:
            raise OSError("an empty name")
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _no_host(host, error) from None
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    loopback = all(address.is_loopback for address in addresses)
    return Address(host, free_port(port, host, found[0][0]), path, loopback)


def free_port(
    port: int | None, host: str = HOST, family: socket.AddressFamily = socket.AF_INET
) -> int:
    """Return a port of this host that nothing listens on.

    Raises:
        TempoLabError: this port, or every default port, is taken or may not be used; or the host
            is not one of this machine.
    """
    last_error: OSError | None = None
    for candidate in range(PORT, PORT + PORTS_TRIED) if port is None else [port]:
        with socket.socket(family) as trial:
            if os.name != "nt":  # a port that was closed a moment ago is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, candidate))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise _no_host(host, error) from None
                last_error = error
            else:
                return int(trial.getsockname()[1])
    raise TempoLabError(
        "the page cannot be served on this port",
        asked=f"port {port or f'{PORT} to {PORT + PORTS_TRIED - 1}'} of {host}",
        found=last_error and (last_error.strerror or last_error),
        fix="use another --port, or stop the program that listens there",
    )


def _no_host(host: str, error: Exception) -> TempoLabError:
    return TempoLabError(
        "the page cannot be served on this host",
        asked=f"host {host!r}",
        found=getattr(error, "strerror", None) or error,
        fix=f"use {HOST} for this machine only, 0.0.0.0 for every network interface, or the name "
        "or IP address of one interface",
    )


def _check_base_url(base_url: str) -> str:
    """Return a base URL with a slash at both ends.

    Raises:
        TempoLabError: it is not a path.
    """
    path = f"/{base_url.strip('/')}/" if base_url.strip("/") else "/"
    if not PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise TempoLabError(
            "the base URL is not the path of a page",
            asked=f"base URL {base_url!r}",
            found="something else than letters, digits and . _ ~ @ % - between slashes",
            fix="use the path only, such as /user/ada/proxy/absolute/8866/",
        )
    return path
