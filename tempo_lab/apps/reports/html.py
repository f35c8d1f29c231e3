"""One page that stands alone: every figure inside it, every text escaped. No torch."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from tempo_lab.common.text import escape_control_chars
from tempo_lab.nano.claims.claims import Verdict

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
img { max-width: 100%; height: auto; } figcaption, .note { color: #555; font-size: .92rem; }
figure { margin: 1rem 0; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #ddd;
         vertical-align: top; }
.yes { color: #00664d; font-weight: 600; } .no { color: #a33d00; font-weight: 600; }
"""

CLASSES = {"reached": "yes", "not reached": "no"}
"""Of the last column, where it is coloured."""
COLORS = {"reached": "green", "not reached": "red"}
"""The same on a terminal."""


@dataclass(frozen=True)
class Picture:
    """A figure: the name of its file, its caption, its content as PNG."""

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Section:
    """One claim on the page.

    Attributes:
        title: its heading.
        text: paragraphs.
        pictures: its figures.
        tables: by caption.
        folded: whether the tables are folded away.
    """

    title: str
    text: Sequence[str]
    pictures: Sequence[Picture] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    folded: bool = True


DPI = 130


def picture(name: str, caption: str, drawn: tuple[Any, Any], dpi: int = DPI) -> Picture:
    """A figure as PNG; it is closed.

    Args:
        name: of its file.
        caption: below it.
        drawn: (figure, axes), what plots return.
        dpi: dots an inch.
    """
    from matplotlib import pyplot

    content = io.BytesIO()
    drawn[0].savefig(content, format="png", dpi=dpi)
    pyplot.close(drawn[0])
    return Picture(name, caption, content.getvalue())


def on_terminal(verdicts: Sequence[Verdict]) -> Table:
    """The table of claims for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("claim", "asked", "measured", "by its interval"):
        table.add_column(name)
    for v in verdicts:
        style = COLORS.get(v.reached, "dim")
        table.add_row(v.claim, v.asked, v.measured, Text(v.reached, style=style))
    return table


def page(
    title: str,
    settings: Mapping[str, Any],
    sections: Sequence[Section],
    verdicts: Sequence[Verdict] | None = None,
) -> str:
    """The whole page as HTML.

    Args:
        title: of the page.
        settings: what was run, by name.
        sections: one a claim, or a question.
        verdicts: the table of claims, if something was asked for.
    """
    told = "".join(
        f"<tr><th>{_safe(name)}</th><td>{_safe(value)}</td></tr>"
        for name, value in settings.items()
    )
    body = [
        f"<h1>{_safe(title)}</h1>",
        f"<table>{told}</table>",
        "<p class=note>In brackets: 95 % intervals. They resample whole videos (bootstrap); where"
        " all answers are right, or all wrong, they are the exact binomial ones over questions."
        " Differences are paired, on the same questions.</p>",
        *([] if verdicts is None else ["<h2>Asked, measured, reached</h2>", _verdicts(verdicts)]),
        *(_section(section) for section in sections),
    ]
    head = f"<meta charset=utf-8><title>{_safe(title)}</title><style>{STYLE}</style>"
    size = '<meta name=viewport content="width=device-width">'
    joined = "\n".join(body)
    start = f"<!doctype html>\n<html lang=en><head>{head}{size}</head>"
    return f"{start}\n<body>\n{joined}\n</body></html>\n"


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = [
        f"<tr><td>{_safe(v.claim)}</td><td>{_safe(v.asked)}</td><td>{_safe(v.measured)}</td>"
        f'<td class="{CLASSES.get(v.reached, "")}">{v.reached}</td></tr>'
        for v in verdicts
    ]
    head = "<tr><th>claim</th><th>asked</th><th>measured</th><th>by its interval</th></tr>"
    return f"<div class=wide><table>{head}{''.join(rows)}</table></div>"


def _section(section: Section) -> str:
    parts = [f"<h2>{_safe(section.title)}</h2>"]
    parts += [f"<p>{_safe(text)}</p>" for text in section.text]
    for picture in section.pictures:
        image = base64.b64encode(picture.png).decode("ascii")
        caption = _safe(picture.caption)
        parts.append(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{image}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    for caption, table in section.tables.items():
        shown = table.map(
            lambda value: escape_control_chars(value) if isinstance(value, str) else value
        )
        cells = shown.to_html(border=0, index=False, escape=True, float_format="%.3f", na_rep="")
        wide = f"<div class=wide>{cells}</div>"
        folded = f"<details><summary>{_safe(caption)} ({len(table)} rows)</summary>{wide}</details>"
        parts.append(folded if section.folded else f"<p class=note>{_safe(caption)}</p>{wide}")
    return "\n".join(parts)


def _safe(value: object) -> str:
    return escape(escape_control_chars(str(value)))
