"""The child process that decodes a source and returns only frames.

On bad files decoders hang, crash and allocate memory without limit. Here they do so in a process
that can be killed. The child runs `serve` of this module in a fresh interpreter: a fork would hang
decord, and `multiprocessing` would run the caller's script again. The child reads JSON lines from
its standard input and answers with JSON lines, each followed by the bytes of the frame that it
announces.
"""

from __future__ import annotations

import json
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from tempo_lab.common.errors import VideoError
from tempo_lab.video.decoders.base import TimedFrame, VideoInfo, check_size
from tempo_lab.video.resize import Resize

PREFETCH_BYTES = 32 * 2**20
"""Bytes of resized frames that the child decodes ahead while the caller computes."""

MEMORY_LIMIT = 3 * 2**30
"""Bytes of resident memory at which the child is killed. Measured for 8K video: 1.3 GiB."""

OPENING_TIMEOUTS = 5
"""Limit on opening as a whole, as a multiple of `timeout`, whatever progress it makes."""

_LINE_LIMIT = 1 << 20
_HEARTBEAT = 1.0
_POLL = 0.25
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:];"
    " from tempo_lab.video.decoder_process import serve; serve()"
)


class DecoderProcess:
    """One source, open in a child process. `frames` can be called once.

    Args:
        path: absolute path of the source.
        decoder: name of a registered decoder.
        timeout: seconds without a sign of progress after which the child is killed. Opening ends
            after `OPENING_TIMEOUTS` times as long, whatever progress it makes.
        on_wait: called before each wait for the child and several times per second during it. An
            exception that it raises ends the child and reaches the caller unchanged.
        stream: number of a video stream in the file; None for the one that players show.

    Raises:
        VideoError: from any method: the child refused the source, crashed or hung. The child
            process has then ended.
    """

    def __init__(
        self,
        path: str,
        decoder: str,
        timeout: float,
        on_wait: Callable[[], object] | None = None,
        stream: int | None = None,
    ) -> None:
        self._path, self._timeout, self._on_wait = path, timeout, on_wait
        self._requested: dict[str, Any] | None = None
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        root = str(Path(__file__).resolve().parents[2])
        search = [entry for entry in sys.path if entry] + [root]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, *search],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                start_new_session=True,  # a Ctrl-C in the terminal is the caller's to handle
            )
        except OSError as error:
            self._messages.close()
            raise self._failed(f"it cannot be started: {error}") from error
        # Pipes cannot be polled on every system, so a thread reads while the caller waits.
        self._reader = ThreadPoolExecutor(1)
        self._end = weakref.finalize(self, _end, self._process, self._messages)
        try:
            self._send({"path": path, "decoder": decoder, "stream": stream})
            until = time.monotonic() + OPENING_TIMEOUTS * timeout
            self.info = VideoInfo(**self._receive(until)[0]["info"])
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def between(self, start: float, end: float | None) -> tuple[int, int, float] | None:
        """Return what `frames_between` returns for the source; None if the reader has no times.

        It can be called before `frames`.

        Args:
            start, end: limits in seconds of the file; without an end, all frames from `start` on.
        """
        try:
            self._send({"start": start, "end": end})
            reply = self._receive()[0]["between"]
        except BaseException:
            self.close()
            raise
        return None if reply is None else (int(reply[0]), int(reply[1]), float(reply[2]))

    def request(self, indices: Sequence[int], resize: Resize | None) -> None:
        """Let the child decode ahead, by at most `PREFETCH_BYTES`, what `frames` will be asked for.

        A second call does nothing.
        """
        if self._requested is None:
            request = _frames_request(indices, resize)
            try:
                self._send(request)
            except BaseException:
                self.close()
                raise
            self._requested = request

    def can_decode(self, indices: Sequence[int], resize: Resize | None) -> bool:
        """Return whether the child has not been asked for other frames."""
        return self._requested in (None, _frames_request(indices, resize))

    def frames(
        self, indices: Sequence[int], resize: Resize | None
    ) -> Generator[TimedFrame, None, None]:
        """Yield the frame of each index with its presentation time.

        Args:
            indices: 0-based source frame numbers, ascending and distinct.
            resize: applied to each frame in the child; None keeps the frame's size.
        """
        try:
            yield from self._frames(indices, resize)
        finally:
            self.close()

    def _frames(self, indices: Sequence[int], resize: Resize | None) -> Iterator[TimedFrame]:
        self.request(indices, resize)
        for number, index in enumerate(indices):
            header, frame = self._receive()
            if frame is None:
                raise VideoError(
                    f"the decoder found fewer frames in {self._path} than it had announced",
                    asked=f"{len(indices)} of {self.info.frames} frames, next number {index}",
                    found=f"{number} frames",
                    fix="the file is probably cut short: download it again",
                )
            yield float(header["time"]), frame

    def close(self) -> None:
        """Kill the child. A second call does nothing."""
        self._end()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None

    def _receive(self, until: float = math.inf) -> tuple[dict[str, Any], np.ndarray | None]:
        """Return the next message that is not a heartbeat, and the frame that it announces."""
        while True:
            message, frame = self._next_message(until)
            if "error" in message:
                raise VideoError(**message["error"])
            if message:
                return message, frame

    def _next_message(self, until: float) -> tuple[dict[str, Any], np.ndarray | None]:
        """Return one message. `on_wait` runs in the caller's thread meanwhile."""
        silent = time.monotonic() + self._timeout
        message = self._reader.submit(self.read_message)
        while True:
            if self._on_wait is not None:
                self._on_wait()
            if self._memory() > MEMORY_LIMIT:
                raise self._failed(
                    f"it needs more than {MEMORY_LIMIT / 2**30:g} GiB of memory; it was killed",
                    fix='scale the frames down first, or try decoder="pyav"',
                )
            if wait([message], _POLL).done:
                return message.result()
            if time.monotonic() > silent:
                raise self._failed(
                    f"no sign of progress for {self._timeout:g} s; it was killed",
                    fix="use a larger timeout= if the disk is slow; otherwise the file is damaged",
                )
            if time.monotonic() > until:
                raise self._failed(
                    f"still opening after {OPENING_TIMEOUTS * self._timeout:g} s; it was killed",
                    fix="use a larger timeout=, or convert the file to MP4",
                )

    def _memory(self) -> int:
        """Return the bytes of memory that the child uses now."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:  # it has just ended
            return 0

    def read_message(self) -> tuple[dict[str, Any], np.ndarray | None]:
        """Wait for the next message, and return it with the frame that belongs to it."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline(_LINE_LIMIT)
        if not line.endswith(b"\n"):
            raise self._died()
        try:
            message = json.loads(line)
        except ValueError as error:
            raise self._failed("it sent something other than frames") from error
        if "shape" not in message:
            return message, None
        rows, columns = message["shape"]
        check_size(self._path, columns, rows)
        frame = np.empty((rows, columns, 3), dtype=np.uint8)
        # buffered pipes read on until the end
        if self._process.stdout.readinto(frame.reshape(-1).data) < frame.nbytes:  # type: ignore[attr-defined]
            raise self._died()
        return message, frame

    def _died(self) -> VideoError:
        code = self._process.wait(self._timeout)
        how = f"killed by signal {-code}" if code < 0 else f"it ended with code {code}"
        self._messages.seek(0, os.SEEK_END)
        self._messages.seek(max(0, self._messages.tell() - 500))
        last_line = self._messages.read().decode(errors="replace").strip().split("\n")[-1]
        return self._failed(f"{how}{f': {last_line}' if last_line else ''}")

    def _failed(self, found: str, fix: str | None = None) -> VideoError:
        return VideoError(
            "the decoder process failed",
            asked=self._path,
            found=found,
            fix=fix or 'iterate again to start a new one, or try decoder="pyav"',
        )


def _frames_request(indices: Sequence[int], resize: Resize | None) -> dict[str, Any]:
    options = None if resize is None else resize.to_dict()
    return {"indices": [int(index) for index in indices], "resize": options}


def _end(process: subprocess.Popen[bytes], messages: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, messages):
        with suppress(OSError):  # what was still buffered for a dead process
            if pipe is not None:
                pipe.close()


class _Outbox:
    """Writes messages from its own thread, so that decoding runs ahead by a bounded amount."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._waiting: deque[tuple[bytes, np.ndarray | None]] = deque()
        self._bytes = 0
        self._change = threading.Condition()
        self._last = time.monotonic()
        threading.Thread(target=self._write, daemon=True).start()

    def put(self, message: dict[str, Any], frame: np.ndarray | None = None) -> None:
        size = 0 if frame is None else frame.nbytes
        with self._change:
            while self._bytes and self._bytes + size > PREFETCH_BYTES:
                self._change.wait()
            self._waiting.append((json.dumps(message).encode() + b"\n", frame))
            self._bytes += size
            self._change.notify_all()
        self._last = time.monotonic()

    def heartbeat(self) -> None:
        """Send an empty message about once per second: long work without a frame is no hang."""
        if time.monotonic() - self._last > _HEARTBEAT:
            self.put({})

    def flush(self) -> None:
        with self._change:
            while self._waiting:
                self._change.wait()

    def _write(self) -> None:
        while True:
            with self._change:
                while not self._waiting:
                    self._change.wait()
                line, frame = self._waiting[0]
            try:
                self._pipe.write(line)
                if frame is not None:
                    self._pipe.write(frame.reshape(-1).data)
                self._pipe.flush()
            except OSError:
                os._exit(0)  # the caller has gone
            with self._change:
                self._waiting.popleft()
                self._bytes -= 0 if frame is None else frame.nbytes
                self._change.notify_all()


def serve() -> None:
    """Run the child: open one source, then decode one list of frames."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the frames
    outbox = _Outbox(pipe)
    try:
        _answer(outbox)
    except VideoError as error:
        found = None if error.found is None else str(error.found)
        asked = None if error.asked is None else str(error.asked)
        sentence = str(error).splitlines()[0]
        outbox.put(
            {"error": {"message": sentence, "asked": asked, "found": found, "fix": error.fix}}
        )
    except BaseException:
        traceback.print_exc()  # the caller quotes the last line
        os._exit(1)
    outbox.flush()
    os._exit(0)  # a decoder that cannot be torn down must not keep the process


def _answer(outbox: _Outbox) -> None:
    from tempo_lab.video.decoders.registry import open_source
    from tempo_lab.video.part import frames_between
    from tempo_lab.video.resize import from_dict

    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    request = requests.get()
    reader = open_source(request["path"], request["decoder"], outbox.heartbeat, request["stream"])
    outbox.put({"info": asdict(reader.info)})
    request = requests.get()
    while "start" in request:
        times = getattr(reader, "times", None)
        between = None if times is None else frames_between(times, request["start"], request["end"])
        outbox.put({"between": between})
        request = requests.get()
    resize = from_dict(request["resize"]) if request["resize"] else None
    for seconds, frame in reader.read(request["indices"]):
        small = np.ascontiguousarray(frame if resize is None else resize(frame))
        outbox.put({"time": seconds, "shape": small.shape[:2]}, small)
    outbox.put({"end": True})


def _listen(requests: queue.Queue[dict[str, Any]]) -> None:
    """Receive requests. End the process when the caller ends, even if a decoder hangs."""
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    os._exit(0)
