"""Small HTML tables with escaped content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.trace.trace import slots_text
from tempo_lab.widgets.base import escaped

if TYPE_CHECKING:
    from tempo_lab.allocation.ata import Allocation
    from tempo_lab.trace.trace import Trace

CELL = "padding: 0 0.7em; text-align: right; vertical-align: top"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Return an HTML table of a header row and the rows below it."""

    def line(cells: Sequence[object], kind: str) -> str:
        each = (f'<{kind} style="{CELL}">{escaped(str(cell))}</{kind}>' for cell in cells)
        return f"<tr>{''.join(each)}</tr>"

    above = f'<caption style="text-align: left">{escaped(caption)}</caption>' if caption else ""
    body = "".join(line(row, "td") for row in rows)
    return f'<table style="line-height: 1.4">{above}{line(head, "th")}{body}</table>'


def ledger(trace: Trace, allocation: Allocation) -> str:
    """Return an allocation as a table with one row per segment, compared with the trace's own."""
    data = trace.data
    change = allocation.tokens - data["tokens"].to_numpy()
    times = np.stack([data["start"], data["end"]], axis=1)
    kept = allocation.kept
    rows = [
        [
            segment, f"{start:.1f}", f"{end:.1f}", f"{allocation.scores[segment]:.3f}",
            allocation.wanted[segment], allocation.tokens[segment],
            f"{change[segment]:+d}" if change[segment] else "",
            slots_text(kept[segment]) or ("merged" if allocation.tokens[segment] else "none"),
        ]
        for segment, (start, end) in enumerate(times)
    ]  # fmt: skip
    total = (
        f"Ledger: {allocation.used} of {allocation.budget} tokens, "
        f"{int((allocation.tokens > 0).sum())} of {len(allocation)} segments; "
        f"as asked {data.attrs['used']} of {data.attrs['budget']}"
    )
    head = ["segment", "start (s)", "end (s)", "score", "wanted", "tokens", "change", "slots"]
    return table(head, rows, total)
