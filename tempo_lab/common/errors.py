"""Errors and warnings of Tempo Lab. A message says what was asked, what was found, and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from tempo_lab.common.text import escape_control_chars


class TempoLabError(Exception):
    """Base class of the errors that Tempo Lab raises.

    Args:
        message: what went wrong, in one sentence.
        asked: what the caller asked for.
        found: what Tempo Lab found instead.
        fix: what the caller can do.
    """

    def __init__(
        self,
        message: str,
        *,
        asked: object = None,
        found: object = None,
        fix: str | None = None,
    ) -> None:
        self.message, self.asked, self.found, self.fix = message, asked, found, fix
        lines = [message]
        if asked is not None:
            lines.append(f"  asked: {asked}")
        if found is not None:
            lines.append(f"  found: {found}")
        if fix is not None:
            lines.append(f"  fix:   {fix}")
        super().__init__(escape_control_chars("\n".join(lines)))


class VideoError(TempoLabError):
    """A video cannot be opened, decoded or sampled."""


class CheckpointError(TempoLabError):
    """A checkpoint is missing, incomplete, damaged, of another shape, or too large to load."""


class BudgetError(TempoLabError):
    """A token budget or the context is too small for the request."""


class StrategyError(BudgetError):
    """An allocation strategy returned what it must not: its own code has a fault."""


class QueryError(TempoLabError):
    """This model cannot read the question."""


class SubtitleError(TempoLabError):
    """Subtitles cannot be read, or are not in the form (start, end, text)."""


class CaptureError(TempoLabError):
    """A capture or an intervention is not possible, or had no effect."""


class TraceError(TempoLabError):
    """A trace cannot be created, saved or loaded."""


class TempoLabWarning(UserWarning):
    """Base class of the warnings of Tempo Lab."""


class UnfamiliarVideoWarning(TempoLabWarning):
    """A video is out of distribution: unlike the videos that the model was trained on."""


def did_you_mean(asked: object, names: Iterable[str], otherwise: str) -> str:
    """Return the fix for an unknown name: the most similar known name, or else `otherwise`."""
    near = get_close_matches(str(asked).lower(), list(names), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
