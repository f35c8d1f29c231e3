"""The server of the page: Voila, with a bound on visitors, on messages, and with pages for errors.

Every visitor has a kernel, which costs memory; and what one visitor sends must not stop the server
for all others.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.ioloop import IOLoop
from tornado.web import HTTPError
from traitlets import Int, Set
from voila.app import Voila
from voila.static_file_handler import TemplateStaticFileHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

PROTOCOL = "v1.kernel.websocket.jupyter.org"
PARTS, HEADER_BYTES = 1024, 1 << 16
"""What a message of a kernel may have at most: parts, and bytes of its header."""
SPARE_BYTES = 1 << 20
"""What a message may have beyond the upload in it."""
LEFT_SECONDS, AGAIN_SECONDS = 20, 5
"""After which a visitor whose page is gone has left, and a waiting page asks again."""
FULL = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="{again}">
<title>Your own video: please wait</title></head>
<body style="font-family: sans-serif; max-width: 36em; margin: 4em auto; line-height: 1.5">
<h1>Please wait</h1>
<p role="status">The page is in use. The number of visitors at the same time is limited to {most},
because each visitor needs memory of this machine. Keep this page open: it tries again every {again}
seconds and lets you in as soon as somebody leaves.</p>
<p>Whoever started the page can allow more: <code>tempo-lab app --visitors {more}</code>.</p>
</body></html>
"""


SCRIPT = """<script>
(() => {{
  const read = FileReader.prototype.readAsArrayBuffer;
  FileReader.prototype.readAsArrayBuffer = function (file) {{
    if (file.size > {most}) throw `${{file.name}}, ${{(file.size / 2 ** 20).toPrecision(3)}} MiB`;
    return read.call(this, file);
  }};
}})();
</script>"""
"""Refuses an upload before it is read: a message that is too large would end the connection. The
panel is told of it as of any file that cannot be read."""


class Full(Exception):
    """As many visitors are there as there may be."""


class Visitors(AsyncMappingKernelManager):  # type: ignore[misc]
    """The kernels of all visitors, no more than `most` of them."""

    most = Int(1, config=True)
    _coming = Set()

    async def start_kernel(self, **options: Any) -> str:  # type: ignore[override]
        """A new visitor's kernel.

        Raises:
            Full: there are as many as there may be, or on their way.
        """
        if len(self._coming.union(self.list_kernel_ids())) >= self.most:
            raise Full
        kernel_id = self.new_kernel_id()
        self._coming.add(kernel_id)
        try:
            return str(await super().start_kernel(kernel_id=kernel_id, **options))
        finally:
            self._coming.discard(kernel_id)

    async def end_if_left(self, kernel_id: str) -> None:
        """End a kernel whose page is gone."""
        if kernel_id in self and not self.kernel_model(kernel_id)["connections"]:
            await self.shutdown_kernel(kernel_id)


class Visit(TornadoVoilaHandler):  # type: ignore[misc]
    """The page, or one that says that there is no room yet."""

    async def get_generator(self, path: str | None = None) -> AsyncIterator[str]:
        script = SCRIPT.format(most=self.settings["upload_bytes"])
        async for html in super().get_generator(path):
            yield html.replace("</head>", f"{script}</head>")

    async def get(self, path: str | None = None) -> None:
        try:
            await super().get(path)
        except Full:
            most = self.kernel_manager.most
            self.set_status(503)
            self.set_header("Retry-After", AGAIN_SECONDS)
            self.write(FULL.format(most=most, more=most + 1, again=AGAIN_SECONDS))


class Socket(VoilaKernelWebsocketHandler):  # type: ignore[misc]
    """A page's connection with its kernel. What is no message closes it before anything reads it.

    Jupyter takes the number of parts that a message declares on trust, in both of its protocols, so
    that a few bytes keep the server busy for everybody. Pages speak the newer one.
    """

    async def get(self, kernel_id: str) -> None:
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if PROTOCOL not in map(str.strip, offered):
            raise HTTPError(400, f"a page speaks {PROTOCOL}")
        await super().get(kernel_id)

    def on_message(self, message: str | bytes) -> None:
        if is_message(message):
            super().on_message(message)
        else:
            self.close(1003, "this is not a message for a kernel")

    def on_close(self) -> None:
        super().on_close()
        IOLoop.current().call_later(LEFT_SECONDS, self.kernel_manager.end_if_left, self.kernel_id)


class Templates(TemplateStaticFileHandler):  # type: ignore[misc]
    """Files of Voila's templates; there is nothing under any other address."""

    def parse_url_path(self, path: str) -> str:
        try:
            return str(super().parse_url_path(path))
        except (AssertionError, OSError, ValueError):
            raise HTTPError(404) from None


def is_message(message: str | bytes) -> bool:
    """Whether this is a message of `PROTOCOL`: offsets of its parts, in order, within it."""
    if isinstance(message, str) or len(message) < 8:
        return False
    count = int.from_bytes(message[:8], "little")
    if not 6 <= count <= min(PARTS, len(message) // 8 - 1):
        return False
    offsets = struct.unpack_from(f"<{count}Q", message, 8)
    rising = list(offsets) == sorted(offsets) and offsets[-1] <= len(message)
    return rising and offsets[2] - offsets[1] <= HEADER_BYTES


class PageServer(Voila):  # type: ignore[misc]
    """Voila with these handlers, and room for a message that comes in one piece."""

    def init_handlers(self) -> list[tuple[Any, ...]]:
        own = {
            TornadoVoilaHandler: Visit,
            VoilaKernelWebsocketHandler: Socket,
            TemplateStaticFileHandler: Templates,
        }
        every = super().init_handlers()
        return [(route, own.get(handler, handler), *rest) for route, handler, *rest in every]

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
