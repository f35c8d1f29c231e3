"""Traces and descriptions as tables for a terminal, and as JSON. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from tempo_lab.common.text import one_line

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

BAR_WIDTH = 12  # characters of a relevance bar


def ledger(trace: Trace, rows: int | None = 16, marked: Collection[int] = ()) -> Table:
    """Return the ledger as a table, one row per segment, with `Trace.caution` as its caption.

    Without the columns of tokens where the question was only scored. With subtitles in the prompt,
    a column has the number of them that each segment shows.

    Args:
        trace: the trace.
        rows: show this many of the most relevant segments, in order of time; None for all.
        marked: segments that are shown bold and with a star.
    """
    segments = trace.to_pandas()
    shown = segments if rows is None or len(segments) <= rows else trace.top(rows).sort_index()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("segment", justify="right")
    table.add_column("time (s)", justify="right")
    table.add_column("relevance")
    if trace.has_subtitles:
        table.add_column("subtitles", justify="right")
    if not trace.scores_only:
        table.add_column("wanted", justify="right")
        table.add_column("tokens", justify="right")
        table.add_column("kept slots", overflow="ellipsis", no_wrap=True, max_width=24)
    for segment, row in shown.iterrows():
        tokens: list[str | Text] = []
        if not trace.scores_only:
            tokens = [str(row["wanted"]), str(row["tokens"]), Text(row["slots"])]
        table.add_row(
            f"* {segment}" if segment in marked else str(segment),
            f"{row['start']:.1f} - {row['end']:.1f}",
            f"{row['relevance']:.3f} {_bar(row['relevance'])}",
            *([str(row["subtitle_lines"])] if trace.has_subtitles else []),
            *tokens,
            style="bold" if segment in marked else None,
        )
    selection = f"the {len(shown)} most relevant of {len(segments)} segments"
    captions = [selection if len(shown) < len(segments) else None, trace.caution]
    table.caption = "\n".join(filter(None, captions)) or None
    return table


def totals(trace: Trace) -> str:
    """Return the ledger's totals in one sentence.

    Raises:
        TraceError: the question was only scored.
    """
    t = trace.totals
    subtitles = f" ({t['subtitles']} of it subtitles)" if trace.has_subtitles else ""
    return (
        f"{t['used']} of {t['budget']} tokens used; a prompt of {t['prompt']} = {t['used']} memory"
        f" + {t['timestamps']} timestamps + {t['text']} text{subtitles}; {t['context_left']} of"
        f" {t['context']} tokens of context left"
    )


def facts(values: Mapping[str, Any]) -> Table:
    """Return names and values as a table, one row each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        value = " ".join(value) if isinstance(value, tuple) else value
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        label = Text(one_line(name.replace("_", " "), 200))
        table.add_row(label, Text(one_line(shown, 2000)))
    return table


def as_json(trace: Trace) -> dict[str, Any]:
    """Return a trace as plain JSON values: question, answer, totals, segments, prompts, provenance.

    NaN and infinities become None, because JSON has neither. Where the question was only scored,
    so are the answer, the totals, the strategy and the mode.
    """
    table = trace.to_pandas()
    segments = [
        {"segment": index, **{str(name): value for name, value in row.items()}}
        for index, row in enumerate(table.to_dict("records"))
    ]
    answered = not trace.scores_only
    record = {
        "question": trace.question,
        "answer": trace.answer if answered else None,
        "totals": trace.totals if answered else None,
        "strategy": trace.data.attrs.get("strategy"),
        "mode": trace.data.attrs.get("mode"),
        "segments": segments,
        "prompts": trace.prompts,
        "provenance": trace.provenance,
    }
    return {name: plain(value) for name, value in record.items()}


def plain(value: Any) -> Any:
    """Return the value as plain JSON: numpy scalars become numbers, NaN and infinities None."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _bar(relevance: float) -> str:
    return "█" * round(BAR_WIDTH * relevance) if np.isfinite(relevance) else ""
