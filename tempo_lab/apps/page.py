"""The notebook "Your own video" as a web page for people without Jupyter, served by Voila.

Voila runs alone, not as part of a Jupyter server: visitors can use the widgets, but cannot run
their own code. Every visitor has their own kernel; visitors cannot reach each other's data.
"""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tempo_lab.apps.page_address import HOST, Address, page_address
from tempo_lab.common.errors import TempoLabWarning
from tempo_lab.common.files import EMBEDDED, shipped
from tempo_lab.common.machine import free_memory
from tempo_lab.course.setup import MODEL

NOTEBOOK = "notebooks/11_your_own_video.ipynb"
UPLOAD_BYTES = 256 << 20
VISITOR_BYTES = 600 << 20
"""Memory of one visitor's kernel, without the model's weights."""
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws://{origin}; frame-ancestors 'self'"
)
"""The page loads nothing from other machines, whatever its templates name. 'self' is the proxy, if
there is one, and its WebSocket connections; older browsers need the latter by name."""
IDLE_SECONDS = 600
"""The kernel of a visitor who never opened the page is stopped after this time."""


def serve(
    *,
    host: str = HOST,
    port: int | None = None,
    base_url: str | None = None,
    model: str | None = None,
    visitors: int | None = None,
    browser: bool = True,
    report: Callable[[str], object] = print,
) -> None:
    """Serve the page until it is interrupted, by default on this machine only.

    A host that other machines can reach is warned about; a token is needed in any case.

    Args:
        host, port, base_url: see `page_address`.
        model: nano, a folder, or a Hugging Face name; by default TEMPO_LAB_MODEL of the
            environment.
        visitors: maximum number of visitors at the same time; by default as many as fit in half
            of the memory that is free now.
        browser: open the page in a browser.
        report: called with the address, which includes the token that the page requires.

    Raises:
        TempoLabError: `page_address` rejects host, port or base URL; or the environment's upload
            limit is not a number.
        CheckpointError: the model does not exist.
    """
    from tempo_lab.widgets.uploads import UPLOAD_VARIABLE, upload_limit

    address = page_address(host, port, base_url)
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
    url = address.url(token)
    if text := address.warning():
        warnings.warn(text, TempoLabWarning, stacklevel=2)
    with tempfile.TemporaryDirectory(
        prefix="tempo-lab-page-", ignore_cleanup_errors=True
    ) as folder:
        # uploads are stored here, and are removed even if their kernel was killed
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        page = PageServer(**_settings(address, token, max_visitors, upload_limit()))
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


def _settings(address: Address, token: str, max_visitors: int, upload_bytes: int) -> dict[str, Any]:
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
        "ip": address.host,
        "port": address.port,
        "base_url": address.base_url,
        "port_retries": 0,
        "token": token,
        "open_browser": False,
        "log_level": "ERROR",
        "tornado_settings": {
            "upload_bytes": upload_bytes,
            "websocket_max_message_size": upload_bytes + SPARE_BYTES,
            "static_path": DEFAULT_STATIC_FILES_PATH,  # without it, Jupyter's own pages fail
            "static_url_prefix": f"{address.base_url}voila/static/",
            "headers": {"Content-Security-Policy": POLICY.format(origin=address.origin)},
        },
    }


def _open(url: str) -> None:
    """Open the page once the server listens; without a browser, the printed address is enough."""
    import threading
    import webbrowser

    timer = threading.Timer(1.0, webbrowser.open, [url])
    timer.daemon = True
    timer.start()
