"""The page of a report: one HTML file with its figures inside it and all text escaped. No torch."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tempo_lab.common.text import escape_control_chars

if TYPE_CHECKING:
    from tempo_lab.nano.claims.claims import ClaimVerdict

VERDICT_COLUMNS = ("claim", "threshold", "measured", "verdict")
DPI = 130
NOTE = (
    "Brackets hold 95 % intervals. They resample whole videos (bootstrap); where all answers are "
    "right, or all are wrong, they are exact binomial intervals over questions. Differences are "
    "paired, on the same questions."
)
"""What a page says about intervals."""


@dataclass(frozen=True)
class Picture:
    """A figure: the name of its file, its caption, its content as PNG."""

    name: str
    caption: str
    png: bytes

    @property
    def data_uri(self) -> str:
        """The content as an address that needs no file."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True)
class Section:
    """One claim or one question of the page.

    Attributes:
        title: its heading.
        paragraphs: its text.
        pictures: its figures.
        tables: by caption.
        folded: whether the tables are folded away.
    """

    title: str
    paragraphs: Sequence[str]
    pictures: Sequence[Picture] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    folded: bool = True


def render_picture(name: str, caption: str, drawn: tuple[Any, Any], dpi: int = DPI) -> Picture:
    """Return a figure as PNG, and close it.

    Args:
        name: name of its file, without a suffix.
        caption: text below it.
        drawn: (figure, axes), as plots return them.
        dpi: dots per inch.
    """
    from matplotlib import pyplot

    content = io.BytesIO()
    drawn[0].savefig(content, format="png", dpi=dpi)
    pyplot.close(drawn[0])
    return Picture(name, caption, content.getvalue())


def render_page(
    title: str,
    settings: Mapping[str, Any],
    sections: Sequence[Section],
    verdicts: Sequence[ClaimVerdict] | None = None,
    note: str = NOTE,
    notice: str = "",
) -> str:
    """Return the whole page as HTML.

    Args:
        title: heading of the page.
        settings: what was run, by name.
        sections: one per claim or question.
        verdicts: the table of claims, if the report has one.
        note: about intervals, below the settings.
        notice: a warning above everything else.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, finalize=_printable,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["to_html"] = _table
    return environment.get_template("page.html.jinja").render(
        title=title, settings=settings, sections=sections, verdicts=verdicts,
        verdict_columns=VERDICT_COLUMNS, note=note, notice=notice,
    )  # fmt: skip


def _printable(value: object) -> str:
    """Return the text that the template writes; Jinja escapes it afterward."""
    return value if isinstance(value, Markup) else escape_control_chars(str(value))


def _table(table: pd.DataFrame) -> Markup:
    text = table.map(lambda cell: escape_control_chars(cell) if isinstance(cell, str) else cell)
    return Markup(text.to_html(border=0, index=False, escape=True, float_format="%.3f", na_rep=""))
