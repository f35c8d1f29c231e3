"""The notebook "Your own video" as a web page for people without Jupyter, served by Voila.

Voila runs alone, not as part of a Jupyter server: visitors can use the widgets, but cannot run
their own code. Every visitor has their own kernel; visitors cannot reach each other's data.
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
HOST, PORT, PORTS_TRIED = "127.0.0.1", 8866, 20
"""The default port is the first free one of `PORTS_TRIED`, from `PORT` on."""
UPLOAD_BYTES = 256 << 20
VISITOR_BYTES = 600 << 20
"""Memory of one visitor's kernel, without the model's weights."""
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws://127.0.0.1:{port}; frame-ancestors 'self'"
)
"""The page loads nothing from other machines, whatever its templates name."""
IDLE_SECONDS = 600
"""The kernel of a visitor who never opened the page is stopped after this time."""


def free_port(port: int | None) -> int:
    """Return a port of this machine that nothing listens on.

    Raises:
        TempoLabError: this port, or every default port, is taken or may not be used.
    """
    last_error: OSError | None = None
    for candidate in range(PORT, PORT + PORTS_TRIED) if port is None else [port]:
        with socket.socket() as trial:
            if os.name != "nt":  # a port that was closed a moment ago is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((HOST, candidate))
            except OSError as error:
                last_error = error
            else:
                return int(trial.getsockname()[1])
    raise TempoLabError(
        "the page cannot be served on this port",
        asked=f"port {port or f'{PORT} to {PORT + PORTS_TRIED - 1}'} of {HOST}",
        found=last_error and (last_error.strerror or last_error),
        fix="use another --port, or stop the program that listens there",
    )


def serve(
    *,
    port: int | None = None,
    model: str | None = None,
    visitors: int | None = None,
    browser: bool = True,
    report: Callable[[str], object] = print,
) -> None:
    """Serve the page on this machine only, until it is interrupted.

    Args:
        port: port of the page; by default the first free one from 8866 on, and 0 for any.
        model: nano, a folder, or a Hugging Face name; by default TEMPO_LAB_MODEL of the
            environment.
        visitors: maximum number of visitors at the same time; by default as many as fit in half
            of the memory that is free now.
        browser: open the page in a browser.
        report: called with the address, which includes the token that the page requires.

    Raises:
        TempoLabError: the port is taken, or the environment's upload limit is not a number.
        CheckpointError: the model does not exist.
    """
    from tempo_lab.widgets.ask import UPLOAD_VARIABLE, upload_limit

    port = free_port(port)
    model = model or os.environ.get(MODEL) or "nano"
    if model not in EMBEDDED:
        from tempo_lab.apps.describe import describe_checkpoint

        describe_checkpoint(model)  # raises here, not on the page
        local = Path(model).expanduser()  # the page's kernels run in another folder
        model = str(local.resolve()) if local.is_dir() else model
    os.environ[MODEL] = model
    os.environ.setdefault(UPLOAD_VARIABLE, str(UPLOAD_BYTES))
    max_visitors = visitors_that_fit(model) if visitors is None else visitors
    # importing Voila takes half a second; --help does not wait for it
    from tornado.ioloop import IOLoop

    from tempo_lab.apps.page_server import PageServer

    # Jupyter's own ping settings, in milliseconds, make tornado warn about each connection
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    token = secrets.token_urlsafe(24)
    url = f"http://{HOST}:{port}/?token={token}"
    with tempfile.TemporaryDirectory(
        prefix="tempo-lab-page-", ignore_cleanup_errors=True
    ) as folder:
        # uploads are stored here, and are removed even if their kernel was killed
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        page = PageServer(**_settings(port, token, max_visitors, upload_limit()))
        page.initialize([str(shipped(NOTEBOOK))])
        # printed only once the server listens
        IOLoop.current().add_callback(report, f"Your own video: {url}")
        limit = (
            f"The number of visitors at the same time is limited to {max_visitors} (--visitors)."
        )
        IOLoop.current().add_callback(report, limit)
        if browser:
            IOLoop.current().add_callback(_open, url)
        page.start()


def visitors_that_fit(model: str) -> int:
    """Return how many visitors fit in half of the free memory, at least 1; 1 for a hub model."""
    folder = EMBEDDED.get(model, Path(model))
    if not folder.is_dir():
        return 1
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    visitor_bytes = VISITOR_BYTES + 2 * weights  # bfloat16 becomes float32
    return int(max(1, free_memory() // 2 // visitor_bytes))


def _settings(port: int, token: str, max_visitors: int, upload_bytes: int) -> dict[str, Any]:
    from jupyter_server import DEFAULT_STATIC_FILES_PATH
    from traitlets.config import Config

    from tempo_lab.apps.page_server import SPARE_BYTES, VisitorKernelManager

    config = Config()
    config.VoilaConfiguration.multi_kernel_manager_class = VisitorKernelManager
    config.VisitorKernelManager.max_visitors = max_visitors
    config.VoilaConfiguration.file_allowlist = ["$^"]  # no file of the notebook's folder
    config.MappingKernelManager.cull_idle_timeout = IDLE_SECONDS
    config.MappingKernelManager.cull_interval = 60
    return {
        "config": config,
        "config_file_paths": [],  # ignore any voila.json
        "ip": HOST,
        "port": port,
        "port_retries": 0,
        "token": token,
        "open_browser": False,
        "log_level": "ERROR",
        "tornado_settings": {
            "upload_bytes": upload_bytes,
            "websocket_max_message_size": upload_bytes + SPARE_BYTES,
            "static_path": DEFAULT_STATIC_FILES_PATH,  # without it, Jupyter's own pages fail
            "static_url_prefix": "/voila/static/",
            "headers": {"Content-Security-Policy": POLICY.format(port=port)},
        },
    }


def _open(url: str) -> None:
    """Open the page once the server listens; without a browser, the printed address is enough."""
    import threading
    import webbrowser

    timer = threading.Timer(1.0, webbrowser.open, [url])
    timer.daemon = True
    timer.start()
