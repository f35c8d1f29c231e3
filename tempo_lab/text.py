"""Text from users, files and models, made safe to show. It never reaches a terminal or page raw."""

from __future__ import annotations


def visible(text: str, longest: int | None = None) -> str:
    r"""The text with control characters and lone surrogates written out, as in \x1b.

    Line ends and tabs stay. With `longest`, what is beyond that many characters becomes " ...".

    >>> visible("red\x1b[31m", longest=6)
    'red\\x1b[3 ...'
    """
    cut = text if longest is None or len(text) <= longest else text[:longest] + " ..."
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in cut
    )


def one_line(text: str, longest: int | None = None) -> str:
    """The same on one line: any run of blanks is one blank."""
    return " ".join(visible(" ".join(text.split()), longest).split())
