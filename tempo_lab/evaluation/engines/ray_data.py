"""The ray engine: Ray Data with a pool of actors, on this machine or on a cluster.

Each actor loads the models once and answers one job at a time; meanwhile it opens and decodes the
video of the next one. A job is a row of the dataset; an actor yields the rows of each question as a
block of its own, and the driver, the only one that writes, gets it at once. So a lost driver costs
the questions in progress. An actor that dies costs only the question in progress, too: Ray starts
another one, and the driver asks what is missing at the end, in at most `ATTEMPTS` passes. After
these the video costs its own rows. Only in the first pass does an actor hold a second video, so
that none is given up because it waited in an actor that another video killed each time.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import shutil
import socket
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from threading import Lock
from typing import Any

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.version import __version__
from tempo_lab.evaluation.engines.base import (
    Answer,
    J,
    Models,
    T,
    load_models,
    names_of,
    register_engine,
)
from tempo_lab.evaluation.store import Key, Row

ATTEMPTS = 3
"""How often a video is tried whose worker process dies."""
START_SECONDS = 300
"""How long to try to start Ray on this machine. Its own limits (15 s for a process) are fixed, and
too short for a machine that is very busy."""
OBJECT_STORE_BYTES = 128 * 2**20
"""Shared memory of a local Ray: only jobs and rows are in it, no frames."""
BUFFERED_BLOCKS = 64
"""Questions of a video whose rows may wait for the driver while the actor goes on."""
LONGEST_FOLDER = 40
"""Characters of a folder in which Ray can make its sockets, whose paths have at most 107."""
LOCAL_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on all systems: use the loopback address
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(START_SECONDS),
    "RAY_worker_register_timeout_seconds": str(START_SECONDS),
}


@register_engine("ray")
class RayEngine:
    """Answers jobs on Ray. If the process is connected to a Ray already, that one is used.

    Where the cluster has GPUs, each worker has one. Elsewhere each has a group of cores, as large
    as all workers can have on the machines of the cluster.

    Args:
        models: names, by role.
        workers: actors, each with its own models.
        address: of a cluster, as `ray start --head` prints it; None for a Ray on this machine,
            which listens on the loopback address only and ends with the engine.

    Raises:
        TempoLabError: Ray is not installed, a model is loaded already, or the cluster cannot be
            reached.
    """

    def __init__(self, models: Models, workers: int = 1, address: str | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise TempoLabError(
                "the ray engine needs Ray", asked='engine="ray"', found="Ray is not installed",
                fix="pip install 'tempo-lab[ray]'",
            )  # fmt: skip
        self.models: Models = {role: _absolute(name) for role, name in names_of(models).items()}
        self.workers, self.address = workers, address
        self._folder: str | None = None
        self._connected = False

    def __enter__(self) -> RayEngine:
        if self.address is not None:
            _check_address(self.address)
        else:
            for name, value in LOCAL_SETTINGS.items():
                os.environ.setdefault(name, value)
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # importing it sets its level
        if not ray.is_initialized():
            self._connect()
        return self

    def _connect(self) -> None:
        import ray
        from ray._private import ray_constants

        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            self._folder = _short_folder()
            quiet |= {
                "num_cpus": max(os.cpu_count() or 1, self.workers),
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_temp_dir": self._folder,
            }
        # a process that had imported Ray before has read LOCAL_SETTINGS without these changes
        loopback = self.address is None or self.address.startswith(("127.", "localhost"))
        ray_constants.ENABLE_RAY_CLUSTER = not loopback
        until = time.monotonic() + (0 if self.address else START_SECONDS)
        while not ray.is_initialized():
            try:
                ray.init(self.address or "local", **quiet)
            except Exception as error:  # of many kinds, and each says what it found
                ray.shutdown()
                if time.monotonic() < until:
                    continue
                self._remove_folder()
                raise TempoLabError(
                    "Ray cannot be reached" if self.address else "Ray cannot be started",
                    asked=self.address,
                    found=_last_line(error),
                    fix="give the address that `ray start --head` printed" if self.address
                    else 'use engine="local", or give the address of a Ray that runs',
                ) from error  # fmt: skip
        self._connected = True

    def __exit__(self, *error: object) -> None:
        if self._connected:
            import ray

            ray.shutdown()
            self._connected = False
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def call(self, function: Callable[[Models], T]) -> T:
        """Return what a function of a module returns for the names of the models, on a worker.

        Raises:
            TempoLabError: the function raised it, or the worker died.
        """
        import ray

        remote = ray.remote(max_retries=0, max_calls=1, **self._resources())(_call)
        with _errors_of_ray():
            result, message = ray.get(remote.remote(_Setup(), function, self.models))
        if message is not None:
            raise TempoLabError(message)
        return result

    def rows(
        self, jobs: Sequence[J], answer: Answer[J], done: Collection[Key]
    ) -> Generator[list[Row]]:
        """Yield the missing rows of jobs, each list as soon as its question is finished.

        Raises:
            TempoLabError: a worker met an error that is not about one video, or Ray stopped.
        """
        waiting = list(jobs)
        for attempt in range(ATTEMPTS):
            yield from self._one_pass(waiting, answer, done, look_ahead=attempt == 0)
            waiting = [job for job in waiting if not set(job.keys(self.models)).issubset(done)]
            if not waiting:
                return
            warnings.warn(
                f"worker processes died while they answered {len(waiting)} videos, the first is "
                f"{waiting[0].keys(self.models)[0][0]}",
                TempoLabWarning,
                stacklevel=2,
            )
        for job in waiting:
            yield _failed(job, self.models, done)

    def _one_pass(
        self, jobs: Sequence[J], answer: Answer[J], done: Collection[Key], *, look_ahead: bool
    ) -> Generator[list[Row]]:
        import ray.data

        entries = [
            {"job": pickle.dumps((job, [key for key in job.keys(self.models) if key in done]))}
            for job in jobs
        ]
        dataset = ray.data.from_items(entries, override_num_blocks=len(entries))
        context = dataset.context
        context.target_max_block_size = 1  # a block per question, which is sent at once
        context.target_min_block_size = 1
        # Else an actor waits after two blocks until the driver has taken them, up to a third of the
        # time. No public option sets this.
        context._max_num_blocks_in_streaming_gen_buffer = BUFFERED_BLOCKS
        context.max_errored_blocks = -1  # the videos of actors that died are asked again
        context.enable_progress_bars = context.print_on_execution_start = False
        tasks = 2 if look_ahead else 1
        pool = ray.data.ActorPoolStrategy(
            size=min(self.workers, len(entries)),
            max_tasks_in_flight_per_actor=tasks,
            enable_true_multi_threading=True,  # an actor has a lock of its own
        )
        with warnings.catch_warnings():  # Ray 2.64 takes these two away: see pyproject.toml
            warnings.simplefilter("ignore", DeprecationWarning)
            answered = dataset.map_batches(
                _Actor,
                fn_constructor_args=(_Setup(), answer, self.models),
                batch_size=1,
                compute=pool,
                max_concurrency=tasks,
                max_restarts=-1,
                max_task_retries=0,  # of a video only what is missing is asked again
                **self._resources(),
            )
        with _errors_of_ray(), closing(_messages(answered)) as messages:
            for rows, message in messages:
                if message is not None:
                    raise TempoLabError(message)
                yield rows

    def _resources(self) -> dict[str, float]:
        """Return what a worker reserves, as options of Ray."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(node.get("GPU", 0) for node in nodes):
            return {"num_cpus": 1, "num_gpus": 1}
        cores = core_group([int(node.get("CPU", 0)) for node in nodes], self.workers)
        return {"num_cpus": cores}


def core_group(cores: Sequence[int], workers: int) -> int:
    """Return the largest number of cores that each worker can have to itself, at least 1.

    Args:
        cores: of each machine. The cores of a worker are on one machine.
        workers: number of workers.
    """
    for group in range(max(cores, default=1), 1, -1):
        if sum(count // group for count in cores) >= workers:
            return group
    return 1


class _Setup:
    """What a worker process needs to be as the driver is: version and working folder."""

    def __init__(self) -> None:
        self.version, self.folder = __version__, os.getcwd()

    def apply(self) -> None:
        """Prepare this process.

        Raises:
            TempoLabError: another version of Tempo Lab is installed here.
        """
        import ray

        if self.version != __version__:
            raise TempoLabError(
                "the machines of the cluster have different versions of Tempo Lab",
                asked=self.version,
                found=f"{__version__} on {ray.util.get_node_ip_address()}",
                fix="install the same version everywhere",
            )
        with suppress(OSError):  # relative paths of videos
            os.chdir(self.folder)


class _Actor:
    """Answers jobs in a process of Ray. Errors are sent, because Ray would retry or wrap them.

    A job that is called while another one is answered waits for its turn, and its video is opened
    and decoded ahead.
    """

    def __init__(self, setup: _Setup, answer: Answer[Any], models: Mapping[str, str]) -> None:
        from tempo_lab.evaluation.engines.look_ahead import LookAhead

        self._answer, self._error, self._turn = answer, "", Lock()
        try:
            setup.apply()
            self._ahead = LookAhead(load_models(models))
        except Exception as error:
            self._error = _text(error)

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        """Yield pairs of the rows of a question and None, or of no rows and an error's text."""
        if self._error:
            yield _packed([], self._error)
            return
        try:
            job, done = pickle.loads(batch["job"][0])
            self._ahead.prepare(job)
            with self._turn:
                for rows in self._ahead.answer(job, self._answer, frozenset(done)):
                    yield _packed(rows, None)
        except Exception as error:
            yield _packed([], _text(error))


def _call(
    setup: _Setup, function: Callable[[Models], T], models: Models
) -> tuple[T | None, str | None]:
    try:
        setup.apply()
        return function(models), None
    except Exception as error:
        return None, _text(error)


def _packed(rows: list[Row], message: str | None) -> dict[str, list[bytes]]:
    return {"message": [pickle.dumps((rows, message))]}


def _messages(dataset: Any) -> Generator[tuple[list[Row], str | None]]:
    """Yield what the actors send, as it arrives."""
    for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0):
        for packed in batch["message"]:
            yield pickle.loads(packed)


def _text(error: Exception) -> str:
    if isinstance(error, TempoLabError):
        return str(error)
    return str(
        TempoLabError(
            "a worker of the evaluation failed", found="".join(traceback.format_exception(error))
        )
    )


def _failed(job: J, models: Models, done: Collection[Key]) -> list[Row]:
    """Return the missing rows of a video whose worker process died each time.

    Raises:
        TempoLabError: this kind of job has no such rows.
    """
    reason = TempoLabError(
        "the worker process died each time that it answered this video",
        asked=f"{ATTEMPTS} attempts",
        found="most often too little memory",
        fix="give each worker more memory with fewer workers, or set max_frames lower",
    )
    failed = getattr(job, "failed", None)
    if failed is None:
        raise reason
    return list(failed(str(reason), done))


@contextmanager
def _errors_of_ray() -> Iterator[None]:
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        raise TempoLabError(
            "Ray stopped the evaluation; finished answers are kept",
            found=_last_line(error),
            fix="run the same command again: it continues; with less memory, use fewer workers",
        ) from error


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself takes minutes to say so.

    Raises:
        TempoLabError: it is no address, or nothing listens there.
    """
    if address == "auto" or "://" in address:  # Ray looks these up
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise TempoLabError(
            "no Ray cluster can be reached", asked=f"ray_address={address!r}", found=error,
            fix="give the address that `ray start --head` printed, as 10.0.0.1:6379",
        ) from error  # fmt: skip


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def _absolute(name: str) -> str:
    """Return a name that means the same in another working folder."""
    return os.path.abspath(name) if os.path.isdir(name) else name


def _short_folder() -> str:
    """Return a new folder whose path is short enough for Ray's sockets."""
    usual = tempfile.gettempdir()
    short = len(usual) <= LONGEST_FOLDER or sys.platform == "win32"
    return tempfile.mkdtemp(prefix="tempo-", dir=usual if short else "/tmp")
