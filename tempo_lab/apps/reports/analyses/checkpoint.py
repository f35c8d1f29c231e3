"""Results saved in the report's folder, so that a stopped run goes on. No torch."""

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
"""Folder of the saved results, inside the report's folder."""
KEY = "report"
"""Where a saved result's provenance says what it depends on."""


class ResultCheckpoints:
    """Loads results by name from their files, and computes and saves those that are missing.

    Args:
        folder: the report's folder; it is created if needed.
        settings: what every result depends on: the model's digest, seed, size.

    Raises:
        TempoLabError: the folder cannot be created.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder / RESULTS
        self.settings = plain_json(settings)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TempoLabError(
                "the report's folder cannot be created",
                asked=folder,
                found=error.strerror or error,
                fix="name another folder with --out",
            ) from error

    def load_or_compute(self, name: str, kind: type[R], compute: Callable[[], R]) -> R:
        """Return the result of this name: loaded from its file, or computed and saved.

        A file of other settings is replaced. A file that is damaged, or holds another kind of
        result, is set aside with a warning.

        Args:
            name: name of the result, and of its file.
            kind: class of the result.
            compute: computes it.
        """
        path = self.folder / f"{name}.nc"
        try:
            saved = kind.load(path)
        except TraceError as error:
            if path.exists():
                aside = path.replace(path.with_suffix(".damaged"))
                reason = str(error).splitlines()[0]
                warnings.warn(
                    f"{path}: {reason}. It was set aside as {aside.name}, and is computed again.",
                    TempoLabWarning,
                    stacklevel=2,
                )
        else:
            if saved.provenance.get(KEY) == self.settings:
                return saved
        result = compute()
        provenance = plain_json({**result.provenance, KEY: self.settings})
        result = dataclasses.replace(result, provenance=provenance)
        result.save(path)
        return result
