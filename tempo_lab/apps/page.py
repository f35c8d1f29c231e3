"""The notebook "Your own video" as a web page, for people without Jupyter: served by Voila.

Voila alone, not as a part of a Jupyter server: a page's visitor may look and press, and cannot run
code of their own. Every visitor has a kernel of their own; nothing of one reaches another.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import EMBEDDED, shipped
from tempo_lab.common.machine import free_memory
from tempo_lab.course.setup import MODEL

NOTEBOOK = "notebooks/11_your_own_video.ipynb"
HOST, PORT, TRIED = "127.0.0.1", 8866, 20
"""The port that is taken where none is asked for: the first free one of `TRIED` from `PORT` on."""
UPLOAD_BYTES = 256 << 20
VISITOR_BYTES = 600 << 20
"""Memory of a visitor's kernel without the weights of its model."""
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws://127.0.0.1:{port}; frame-ancestors 'self'"
)
"""The page asks nothing of any other machine, whatever its templates name."""
IDLE_SECONDS = 600
"""After which the kernel of a visitor who never opened the page ends."""


def free_port(asked: int | None) -> int:
    """A port of this machine that nothing listens on.

    Raises:
        TempoLabError: the one that was asked for is taken, or may not be used.
    """
    found: OSError | None = None
    for port in range(PORT, PORT + TRIED) if asked is None else [asked]:
        with socket.socket() as trial:
            if os.name != "nt":  # a port that was left a moment ago is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((HOST, port))
            except OSError as error:
                found = error
            else:
                return int(trial.getsockname()[1])
    raise TempoLabError(
        "the page cannot be served there",
        asked=f"port {asked or f'{PORT} to {PORT + TRIED - 1}'} of {HOST}",
        found=found and (found.strerror or found),
        fix="another --port, or end what listens there",
    )


def serve(
    *,
    port: int | None = None,
    model: str | None = None,
    visitors: int | None = None,
    browser: bool = True,
    say: Callable[[str], object] = print,
) -> None:
    """Serve the page on this machine alone until it is interrupted.

    Args:
        port: of the page; by default the first free one from 8866 on, and 0 for any.
        model: nano, a folder, or a hub name; by default TEMPO_LAB_MODEL of the environment.
        visitors: how many can use it at the same time; by default as many as fit into half of the
            memory that is free now.
        browser: open the page in a browser.
        say: is told the address, with the token without which nobody is let in.

    Raises:
        TempoLabError: the port is taken, or the environment's limit of uploads is no number.
        CheckpointError: there is no such model.
    """
    from tempo_lab.widgets.ask import UPLOAD_VARIABLE, upload_limit

    port = free_port(port)
    model = model or os.environ.get(MODEL) or "nano"
    if model not in EMBEDDED:
        from tempo_lab.apps.describe import describe_checkpoint

        describe_checkpoint(model)  # an error here, and not on the page
        local = Path(model).expanduser()  # the page's kernels run in another folder
        model = str(local.resolve()) if local.is_dir() else model
    os.environ[MODEL] = model
    os.environ.setdefault(UPLOAD_VARIABLE, str(UPLOAD_BYTES))
    most = visitors_that_fit(model) if visitors is None else visitors
    # Voila imports what it needs for half a second; --help does not wait for it.
    from tornado.ioloop import IOLoop

    from tempo_lab.apps.page_server import PageServer

    # Jupyter's own ping settings, in milliseconds, make tornado warn of each connection.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    token = secrets.token_urlsafe(24)
    url = f"http://{HOST}:{port}/?token={token}"
    with tempfile.TemporaryDirectory(prefix="tempo-lab-page-", ignore_cleanup_errors=True) as own:
        # What visitors upload lies here, and goes even where their kernel was killed.
        os.environ["TMPDIR"] = tempfile.tempdir = own
        page = PageServer(**_settings(port, token, most, upload_limit()))
        page.initialize([str(shipped(NOTEBOOK))])
        # once the server listens: an address that is told is an address that answers
        IOLoop.current().add_callback(say, f"Your own video: {url}")
        many = f"The number of visitors at the same time is limited to {most} (--visitors)."
        IOLoop.current().add_callback(say, many)
        if browser:
            IOLoop.current().add_callback(_open, url)
        page.start()


def visitors_that_fit(model: str) -> int:
    """How many visitors half of the free memory holds, at least 1; 1 for a model on the hub."""
    folder = EMBEDDED.get(model, Path(model))
    if not folder.is_dir():
        return 1
    weights = sum(each.stat().st_size for each in folder.glob("*.safetensors"))
    visitor = VISITOR_BYTES + 2 * weights  # bfloat16 becomes float32
    return int(max(1, free_memory() // 2 // visitor))


def _settings(port: int, token: str, visitors: int, upload: int) -> dict[str, Any]:
    from jupyter_server import DEFAULT_STATIC_FILES_PATH
    from traitlets.config import Config

    from tempo_lab.apps.page_server import SPARE_BYTES, Visitors

    config = Config()
    config.VoilaConfiguration.multi_kernel_manager_class = Visitors
    config.Visitors.most = visitors
    config.VoilaConfiguration.file_allowlist = ["$^"]  # no file of the notebook's folder
    config.MappingKernelManager.cull_idle_timeout = IDLE_SECONDS
    config.MappingKernelManager.cull_interval = 60
    return {
        "config": config,
        "config_file_paths": [],  # a voila.json that happens to lie around is not for this page
        "ip": HOST,
        "port": port,
        "port_retries": 0,
        "token": token,
        "open_browser": False,
        "log_level": "ERROR",
        "tornado_settings": {
            "upload_bytes": upload,
            "websocket_max_message_size": upload + SPARE_BYTES,
            "static_path": DEFAULT_STATIC_FILES_PATH,  # without it, Jupyter's own pages fail
            "static_url_prefix": "/voila/static/",
            "headers": {"Content-Security-Policy": POLICY.format(port=port)},
        },
    }


def _open(url: str) -> None:
    """Open the page once the server listens; where there is no browser, the address is enough."""
    import threading
    import webbrowser

    waiting = threading.Timer(1.0, webbrowser.open, [url])
    waiting.daemon = True
    waiting.start()
