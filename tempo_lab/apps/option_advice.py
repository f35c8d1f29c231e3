"""Advice of the library for the command line: Python arguments become options.

The library says `fix: omit device=, or use device="cpu"`. A user of the command line needs
`--device`, and no advice about arguments that the command does not have.
"""

from __future__ import annotations

import re
from collections.abc import Collection

GIVEN = re.compile(r"(?<![\w.-])([a-z][a-z_]*)=(?:\"([^\"]*)\"|'([^']*)'|(<[^>]*>|[\w./:-]+)?)")
"""An argument as in Python: device="cpu", base=<folder>, fps=2, device=."""
NAMED = re.compile(r"(?<![\w.=\"'-])([a-z]+(?:_[a-z]+)+|fps)(?![\w(.=])")
"""The name of an argument: max_frames."""
PYTHON_ONLY = {"max_new_tokens", "subtitle_frames", "min_tokens"}
"""Names of arguments that not every command has as options."""
SEPARATOR = re.compile(r"(; |, or )")


def as_options(text: str, options: Collection[str]) -> str:
    """Return advice in which each Python argument is the option of that name.

    Parts about arguments that are no options are left out, unless nothing else is left.

    >>> as_options('omit device=, or use device="cpu"', ["--device"])
    'omit --device, or use --device cpu'
    >>> as_options('ask something; mode="faithful" reads a blank question', ["--device"])
    'ask something'

    Args:
        text: the fix of an error.
        options: of the command, with their dashes.
    """
    pieces = SEPARATOR.split(text)
    kept = ""
    for number, part in enumerate(pieces[::2]):
        given = {match[1] for match in GIVEN.finditer(part)}
        named = {match[1] for match in NAMED.finditer(part)} & PYTHON_ONLY
        if any(_option(name) not in options for name in given | named):
            continue
        kept += (pieces[2 * number - 1] if kept else "") + _replaced(part, options)
    return kept or text


def _replaced(part: str, options: Collection[str]) -> str:
    def given(match: re.Match[str]) -> str:
        value = next((text for text in match.groups()[1:] if text is not None), "")
        return f"{_option(match[1])} {value}".rstrip()

    def named(match: re.Match[str]) -> str:
        return option if (option := _option(match[1])) in options else match[1]

    return NAMED.sub(named, GIVEN.sub(given, part))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
