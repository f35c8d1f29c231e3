"""The few ways in which Tempo Lab refuses; each says what was asked, what was found, the fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from tempo_lab.common.text import escape_control_chars


class TempoLabError(Exception):
    """Base of every error that Tempo Lab raises on purpose.

    Args:
        message: what went wrong, in one sentence.
        asked: what the caller asked for.
        found: what was there instead.
        fix: what to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        asked: object = None,
        found: object = None,
        fix: str | None = None,
    ) -> None:
        self.asked, self.found, self.fix = asked, found, fix
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
    """A token budget, or the context, cannot hold what was asked."""


class QueryError(TempoLabError):
    """A question cannot be put to this model."""


class CaptureError(TempoLabError):
    """Something that was to be recorded or changed cannot be, or was not."""


class TraceError(TempoLabError):
    """A trace cannot be made, saved, or read."""


class TempoLabWarning(UserWarning):
    """Base of every warning that Tempo Lab gives."""


class UnfamiliarVideoWarning(TempoLabWarning):
    """A video is unlike those that the model was trained on."""


def did_you_mean(asked: object, names: Iterable[str], otherwise: str) -> str:
    """The fix for a name that is none: the nearest one, or else what `otherwise` says."""
    near = get_close_matches(str(asked).lower(), list(names), n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
