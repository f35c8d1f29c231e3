"""What an engine is: it loads the models once per worker, and answers jobs. The registry."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tempo_lab.common.errors import TempoLabError, did_you_mean
from tempo_lab.common.validation import check_whole
from tempo_lab.evaluation.store import Key, Row

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo


class Job(Protocol):
    """Everything that is asked about one video.

    A job may have two more methods:

    * `opens() -> (role, source, options)`: what it is going to open with the model of that role,
      and those options of `Tempo.open` that are options of `Video`, too. A worker opens the video
      in advance.
    * `failed(reason, done) -> rows`: the rows that are not in `done`, without results and with the
      reason. An engine needs it for a video whose worker process died each time.
    """

    def keys(self, models: Collection[str], /) -> list[Key]:
        """Return the keys of all rows of the job with these models (by role), in order."""


J = TypeVar("J", bound=Job)
T = TypeVar("T")
Models = Mapping[str, "str | Tempo"]
Answer = Callable[[J, Mapping[str, "Tempo"], Collection[Key]], Iterator[list[Row]]]
"""Answers a job: (job, models by role, keys of finished rows) -> the missing rows, a list for each
question as soon as it is finished. Worker processes get it by its name: a function of a module."""


class Engine(Protocol):
    """Runs jobs; use it in a `with` statement.

    Attributes:
        models: loaded models or names for `tempo_lab.load`, by role.
    """

    models: Models

    def __enter__(self) -> Engine: ...

    def __exit__(self, *error: object) -> None: ...

    def call(self, function: Callable[[Models], T]) -> T:
        """Return what a function of a module returns for the models, on a machine of a worker.

        The models are loaded only where this process answers, elsewhere they are names.

        Raises:
            TempoLabError: the models cannot be loaded, or the function raised it.
        """

    def rows(
        self, jobs: Sequence[J], answer: Answer[J], done: Collection[Key]
    ) -> Generator[list[Row]]:
        """Yield the missing rows of jobs, each list as soon as its question is finished.

        Args:
            jobs: videos with their questions.
            answer: answers one of them.
            done: keys of finished rows. The caller adds those of the rows that it has written.

        Raises:
            TempoLabError: an error that is not about one video. What was yielded before counts.
        """


class EngineClass(Protocol):
    """Makes an engine.

    Args:
        models: loaded models or names, by role.
        workers: number of workers, each with its own models.
        address: of a cluster; None for this machine.
    """

    def __call__(
        self, models: Models, workers: int = 1, address: str | None = None
    ) -> AbstractContextManager[Any]: ...


E = TypeVar("E", bound=EngineClass)
ENGINES: dict[str, EngineClass] = {}
"""Engines by name."""


def register_engine(name: str) -> Callable[[E], E]:
    """Make an engine available to `open_engine` under `name`; decorates its class."""

    def register(engine: E) -> E:
        ENGINES[name] = engine
        return engine

    return register


def open_engine(name: str, models: Models, workers: int = 1, address: str | None = None) -> Any:
    """Return an engine, for a `with` statement.

    Args:
        name: in the registry: "local" or "ray".
        models: loaded models or names for `tempo_lab.load`, by role.
        workers: number of workers, each with its own models. More than one on the local engine,
            and any number on others, load their models by name.
        address: of a cluster; None for this machine.

    Raises:
        TempoLabError: there is no such engine, it is not installed, or it cannot work with these
            models, workers or address.
    """
    if name not in ENGINES:
        known = sorted(ENGINES)
        raise TempoLabError(
            "no engine has this name", asked=repr(name), found=", ".join(known),
            fix=did_you_mean(name, known, 'use engine="local"'),
        )  # fmt: skip
    workers = check_whole("workers", workers, 1, error=TempoLabError)
    return ENGINES[name](models, workers, address)


def names_of(models: Models) -> dict[str, str]:
    """Return models for worker processes, which load them by name.

    Raises:
        TempoLabError: a model is loaded already.
    """
    names = {role: name for role, name in models.items() if isinstance(name, str)}
    if len(names) < len(models):
        raise TempoLabError(
            "worker processes load their models by name",
            found="a loaded model",
            fix='give the name, as in model="nano", or use workers=1 on the local engine',
        )
    return names


def load_models(models: Models) -> dict[str, Tempo]:
    """Return the models, loaded.

    Raises:
        CheckpointError: one cannot be loaded.
    """
    if not any(isinstance(model, str) for model in models.values()):
        return dict(models)  # type: ignore[arg-type]
    from tempo_lab.session.tempo import load

    return {role: load(x) if isinstance(x, str) else x for role, x in models.items()}
