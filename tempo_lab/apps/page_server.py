"""The server of the page: Voila with limits on visitors and messages, and with pages for errors.

Every visitor has a kernel, which needs memory. A message of one visitor must not stop the server
for the others.
"""

from __future__ import annotations

import struct
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RedirectHandler, authenticated
from traitlets import Int, Set
from voila.app import Voila
from voila.static_file_handler import TemplateStaticFileHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from tempo_lab.apps.page_html import RELOAD, WAIT_PAGE, first_part

PROTOCOL = "v1.kernel.websocket.jupyter.org"
PARTS, HEADER_BYTES = 1024, 1 << 16
"""Limits of a kernel message: number of parts, and bytes of its header."""
SPARE_BYTES = 1 << 20
"""Size of a message beyond the upload in it."""
LEFT_SECONDS, RETRY_SECONDS = 20, 5
"""A visitor whose page is closed for so long has left; a waiting page tries again after so long."""


class NoVisitorSlotError(Exception):
    """The maximum number of visitors is reached."""


class VisitorKernelManager(AsyncMappingKernelManager):  # type: ignore[misc]
    """The kernels of all visitors, at most `max_visitors` of them."""

    max_visitors = Int(1, config=True)
    _starting = Set()

    @property
    def has_slot(self) -> bool:
        """Whether another kernel may be started."""
        return len(self._starting.union(self.list_kernel_ids())) < self.max_visitors

    async def start_kernel(self, **options: Any) -> str:  # type: ignore[override]
        """Start a new visitor's kernel.

        Raises:
            NoVisitorSlotError: the maximum number of kernels run or are being started.
        """
        if not self.has_slot:
            raise NoVisitorSlotError
        kernel_id = self.new_kernel_id()
        self._starting.add(kernel_id)
        try:
            return str(await super().start_kernel(kernel_id=kernel_id, **options))
        finally:
            self._starting.discard(kernel_id)

    async def stop_if_left(self, kernel_id: str) -> None:
        """Stop a kernel whose page is closed."""
        if kernel_id in self and not self.kernel_model(kernel_id)["connections"]:
            await self.shutdown_kernel(kernel_id)


class PageHandler(TornadoVoilaHandler):  # type: ignore[misc]
    """Serves the page, or a page to wait on while all visitor slots are taken."""

    @authenticated
    async def get(self, path: str | None = None) -> None:
        manager = self.kernel_manager
        if not manager.has_slot:
            self._wait(manager.max_visitors)
            return
        if not path:  # Voila begins to answer only when the kernel has started
            self.set_header("Content-Type", "text/html; charset=UTF-8")
            self.set_header("Cache-Control", "no-cache, no-store, must-revalidate")
            self.write(first_part(self.settings["upload_bytes"]))
            await self.flush()
        try:
            await super().get(path)
        except NoVisitorSlotError:
            self.write(RELOAD)

    def _wait(self, visitors: int) -> None:
        self.set_status(503)
        self.set_header("Retry-After", RETRY_SECONDS)
        self.write(WAIT_PAGE.format(n=visitors, more=visitors + 1, retry=RETRY_SECONDS))


class KernelSocketHandler(VoilaKernelWebsocketHandler):  # type: ignore[misc]
    """A page's connection with its kernel; an invalid message closes it before it is parsed.

    Jupyter trusts the number of parts that a message declares, in both of its protocols, so a few
    bytes could keep the server busy for everybody. Pages use the newer protocol.
    """

    async def get(self, kernel_id: str) -> None:
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if PROTOCOL not in map(str.strip, offered):
            raise HTTPError(400, f"the protocol must be {PROTOCOL}")
        await super().get(kernel_id)

    def on_message(self, message: str | bytes) -> None:
        if is_message(message):
            super().on_message(message)
        else:
            self.close(1003, "not a kernel message")

    def on_close(self) -> None:
        super().on_close()
        IOLoop.current().call_later(LEFT_SECONDS, self.kernel_manager.stop_if_left, self.kernel_id)


class TemplateFileHandler(TemplateStaticFileHandler):  # type: ignore[misc]
    """Files of Voila's templates; every other address is not found."""

    def parse_url_path(self, path: str) -> str:
        try:
            return str(super().parse_url_path(path))
        except (AssertionError, OSError, ValueError):
            raise HTTPError(404) from None


def is_message(message: str | bytes) -> bool:
    """Return whether this is a message of `PROTOCOL`, with ascending offsets within the message."""
    if isinstance(message, str) or len(message) < 8:
        return False
    count = int.from_bytes(message[:8], "little")
    if not 6 <= count <= min(PARTS, len(message) // 8 - 1):
        return False
    offsets = struct.unpack_from(f"<{count}Q", message, 8)
    ascending = list(offsets) == sorted(offsets) and offsets[-1] <= len(message)
    return ascending and offsets[2] - offsets[1] <= HEADER_BYTES


class PageServer(Voila):  # type: ignore[misc]
    """Voila with these handlers, and a buffer for a message that arrives in one frame."""

    def init_handlers(self) -> list[tuple[Any, ...]]:
        replaced = {
            TornadoVoilaHandler: PageHandler,
            VoilaKernelWebsocketHandler: KernelSocketHandler,
            TemplateStaticFileHandler: TemplateFileHandler,
        }
        handlers = [
            (route, replaced.get(handler, handler), *rest)
            for route, handler, *rest in super().init_handlers()
        ]
        if self.base_url == "/":
            return handlers
        # Voila leaves the login page at the root, where a proxy does not look for it
        moved = [
            (
                route if route.startswith(self.base_url) else url_path_join(self.base_url, route),
                *rest,
            )
            for route, *rest in handlers
        ]
        without_slash = (self.base_url.rstrip("/"), RedirectHandler, {"url": self.base_url})
        return [*moved, without_slash]

    def listen(self) -> None:
        largest = self.tornado_settings["websocket_max_message_size"]
        self.app.listen(
            self.port, self.ip, max_buffer_size=largest + SPARE_BYTES, max_body_size=SPARE_BYTES
        )
        self.ioloop = IOLoop.current()
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()
