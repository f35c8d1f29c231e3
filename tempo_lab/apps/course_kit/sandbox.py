"""A kernel for code that is not trusted: limits of time, memory and file size, no secrets.

The kernel gets a folder of its own as home and working folder, an environment of a few harmless
variables, and on Linux no network where the system allows that (`unshare --net`). It still runs as
the user who starts it: it can read what that user can read.
"""

from __future__ import annotations

import ast
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import PACKAGE
from tempo_lab.common.text import one_line

START_SECONDS = 300
"""A kernel that has not started after this time is broken."""
POLL_SECONDS = 0.1
"""Time between two looks at memory and clock."""
MAX_FILE_BYTES = 1 << 30
PASSED_ON = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "PYTHONHOME",
    "OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR",
    "OPENBLAS_CORETYPE",
)  # fmt: skip
"""Variables of the environment that the kernel sees; keys and passwords are in none of them."""
IMPORT = "from tempo_lab.apps.course_kit import in_kernel as _grader"
"""How code in the kernel gets at what the grader calls there."""
_WITHOUT_NETWORK = ("unshare", "--map-root-user", "--net")


class Stopped(Exception):
    """The kernel was stopped or ended; the message says why."""


@dataclass(frozen=True)
class Ran:
    """What a cell did.

    Attributes:
        error: None, or the exception in one line.
        value: value of the expression that was asked for, None without one.
    """

    error: str | None
    value: Any = None


@cache
def network_can_be_cut() -> bool:
    """Whether the kernel runs without a network: on Linux, if user namespaces are allowed."""
    if sys.platform != "linux" or shutil.which(_WITHOUT_NETWORK[0]) is None:
        return False
    done = subprocess.run([*_WITHOUT_NETWORK, "true"], capture_output=True, check=False)
    return done.returncode == 0


class Sandbox:
    """A context manager: a kernel in a temporary copy of a folder, ended with all its processes.

    Args:
        folder: what the code finds in its working folder; links are not copied.
        max_bytes: resident memory of the kernel and its processes.
        max_copied: bytes of the folder that are copied; if it holds more, nothing is.
    """

    def __init__(self, folder: Path, *, max_bytes: int, max_copied: int = 256 << 20) -> None:
        self._source, self._max_bytes, self._max_copied = folder, max_bytes, max_copied
        self._manager: Any = None
        self._client: Any = None

    def __enter__(self) -> Sandbox:
        # a short path: those of sockets may have about 100 characters
        self._root = Path(tempfile.mkdtemp(prefix="tl-"))
        try:
            self._work = self._root / "work"
            self._copy()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, code: str, seconds: float, expression: str | None = None) -> Ran:
        """Run a cell, and then an expression whose value is a string, a number or None.

        Raises:
            Stopped: the time or the memory was not enough, or the kernel ended.
        """
        wanted = {} if expression is None else {"value": expression}
        sent = self._client.execute(code, user_expressions=wanted, allow_stdin=False)
        deadline, error = time.monotonic() + seconds, None
        while True:
            message = self._next(self._client.get_iopub_msg, deadline, seconds)
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "error":
                error = f"{content['ename']}: {one_line(str(content['evalue']), 160)}"
            elif kind == "status" and content["execution_state"] == "idle":
                break
        while True:
            message = self._next(self._client.get_shell_msg, deadline, seconds)
            if message["parent_header"].get("msg_id") == sent:
                return Ran(error, _value(message["content"]) if wanted else None)

    def close(self) -> None:
        """End the kernel and its processes, and remove the folder."""
        if self._client is not None:
            self._client.stop_channels()
        if self._manager is not None:
            _kill(self._processes())
            with suppress(Exception):
                self._manager.shutdown_kernel(now=True)
            self._manager = self._client = None
        shutil.rmtree(self._root, ignore_errors=True)

    def _copy(self) -> None:
        sizes = [
            path.stat().st_size
            for path in self._source.rglob("*")
            if path.is_file() and not path.is_symlink()
        ]
        if sum(sizes) > self._max_copied:
            self._work.mkdir()
            return
        shutil.copytree(self._source, self._work, ignore=_links)

    def _start(self) -> None:
        from jupyter_client.manager import KernelManager

        home = self._root / "home"
        home.mkdir()
        # Unix sockets work without a network, and nobody else can reach them
        place: dict[str, Any] = {"connection_file": str(self._root / "kernel.json")}
        if os.name != "nt":
            place |= {"transport": "ipc", "ip": str(self._root / "s")}
        self._manager = KernelManager(kernel_name="python3", **place)
        spec = self._manager.kernel_spec
        start = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.argv = [*(_WITHOUT_NETWORK if network_can_be_cut() else ()), *start]
        spec.env = {}
        self._manager.start_kernel(cwd=str(self._work), env=_environment(home))
        self._client = self._manager.client()
        self._client.start_channels()
        try:
            self._client.wait_for_ready(timeout=START_SECONDS)
        except RuntimeError as error:
            raise TempoLabError(
                "the kernel that runs the notebooks could not be started",
                found=one_line(str(error), 200),
                fix="see whether `jupyter lab` can start a Python notebook here",
            ) from error
        # the student's folder comes last on the path: no file in it hides a module of the library
        self.run(
            "import sys; sys.path[:] = [p for p in sys.path if p] + ['']\n"
            "from tempo_lab import course\n"
            f"{IMPORT}\n_grader.limit_file_size({MAX_FILE_BYTES}); del course, sys",
            START_SECONDS,
        )

    def _next(self, receive: Any, deadline: float, seconds: float) -> dict[str, Any]:
        """Return the next message; look at the limits at least every `POLL_SECONDS`."""
        while True:
            if time.monotonic() > deadline:
                raise Stopped(f"it did not finish within {seconds:.0f} seconds")
            if self._used_bytes() > self._max_bytes:
                raise Stopped(f"it needed more than {self._max_bytes / 2**30:.1f} GiB of memory")
            try:
                return dict(receive(timeout=POLL_SECONDS))
            except queue.Empty:
                if not self._manager.is_alive():
                    raise Stopped("it ended the kernel") from None

    def _used_bytes(self) -> int:
        total = 0
        for process in self._processes():
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.Error, AttributeError):
            process = psutil.Process(self._manager.provisioner.pid)
            return [process, *process.children(recursive=True)]
        return []


def _environment(home: Path) -> dict[str, str]:
    """Return the variables of the kernel: no secrets of the grader's, nothing downloaded."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    path = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    folders = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(home))
    return {
        **kept,
        **folders,
        "PYTHONPATH": os.pathsep.join(path),
        "MPLBACKEND": "agg",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _links(folder: str, names: list[str]) -> list[str]:
    """Return what is not copied: links, and what is neither a file nor a folder."""
    paths = [Path(folder) / name for name in names]
    return [p.name for p in paths if p.is_symlink() or not (p.is_file() or p.is_dir())]


def _value(content: dict[str, Any]) -> Any:
    """Return the value of the expression of a reply, None if it failed."""
    value = content.get("user_expressions", {}).get("value", {})
    if value.get("status") != "ok":
        return None
    try:
        return ast.literal_eval(value["data"]["text/plain"])
    except (ValueError, SyntaxError, KeyError):
        return None


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
