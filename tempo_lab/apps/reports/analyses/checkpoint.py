"""Results on disk: computed once, and anew where what they depend on has changed. No torch."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tempo_lab.analysis.result import Result
from tempo_lab.common.errors import TempoLabError, TempoLabWarning, TraceError
from tempo_lab.common.netcdf import plain_json

R = TypeVar("R", bound=Result)

RESULTS = "results"
"""Folder of the saved results, inside that of the report."""
KEY = "report"
"""Where a saved result's provenance says what it depends on."""


class Kept:
    """Gives results by name, from their files where those are there.

    Args:
        folder: of the report; it is made if need be.
        settings: what every result depends on: the model's digest, seed, size.

    Raises:
        TempoLabError: the folder cannot be made.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder / RESULTS
        self.settings = plain_json(settings)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TempoLabError(
                "the folder of the report cannot be made",
                asked=folder,
                found=error.strerror or error,
                fix="name another with --out",
            ) from error

    def __call__(self, name: str, kind: type[R], make: Callable[[], R]) -> R:
        """The result of this name: of its file, or made and saved.

        A file of other settings is replaced. One that is damaged, or of another kind, is set aside
        with a warning.

        Args:
            name: of the result, and of its file.
            kind: of result.
            make: computes it.
        """
        path = self.folder / f"{name}.nc"
        try:
            found = kind.load(path)
        except TraceError as error:
            if path.exists():
                aside = path.replace(path.with_suffix(".damaged"))
                why = str(error).splitlines()[0]
                warnings.warn(
                    f"{path}: {why}. It was set aside as {aside.name}, and is computed again.",
                    TempoLabWarning,
                    stacklevel=2,
                )
        else:
            if found.provenance.get(KEY) == self.settings:
                return found
        made = make()
        told = plain_json({**made.provenance, KEY: self.settings})
        made = dataclasses.replace(made, provenance=told)
        made.save(path)
        return made
