"""Whether a free-form answer is right: the default score of a `Case`. No torch.

An answer is right if it equals the right one, apart from case, articles and punctuation at its
ends, or if it is one plain statement that ends in it: "The star is red." Nothing else counts: an
answer that denies, hedges or lists several answers is wrong even if it contains the right word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from tempo_lab.common.errors import QueryError

_ENDS = " \t\n.,;:!\"'“”‘’`()[]*"
_LEAD = re.compile(r"(?:(?:the|an?) (?=\S)|(?:final )?(?:answer|option|choice)\b[:\s]*(?=\S))+")
_VERB = r"(?:\b(?:is|are|was|were)\b|(?<=\w)['’]s\b)"
_STATES = re.compile(rf"{_VERB}:?|[:=]")
_NOT_ONE = re.compile(
    rf"{_VERB}|[?;]|\b(?:no|not|never|none|neither|nor|nothing|nobody|cannot|without|or|either|if"
    r"|unless|maybe|perhaps|and|but|while|whereas|than|wrong|false|incorrect)\b|n['’]t\b"
)
"""What the statement must not be combined with: a second one, a denial, an alternative, a doubt."""


def same_answer(answer: str) -> Callable[[str], float]:
    """Return a score: 1 for an answer that says the same, else 0.

    >>> score = same_answer("red")
    >>> [score(said) for said in ("Red.", "The star is red.", "not red", "red or blue")]
    [1.0, 1.0, 0.0, 0.0]
    >>> [same_answer("B")(said) for said in ("(B)", "B) red", "A or B", "The answer is not B.")]
    [1.0, 1.0, 0.0, 0.0]

    Raises:
        QueryError: the right answer is not text.
    """
    if not isinstance(answer, str):
        raise QueryError(
            "the right answer must be text", asked=repr(answer), found=type(answer).__name__
        )
    wanted = _plain(answer)
    return lambda said: float(_says(unicodedata.normalize("NFKC", said), wanted))


def _plain(text: str) -> str:
    """Return the text in lower case, without articles and punctuation at its ends."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _LEAD.sub("", folded.strip(_ENDS), count=1).strip(_ENDS)


def _says(said: str, wanted: str) -> bool:
    if _plain(said) == wanted:
        return True
    folded = said.casefold()
    if wanted in ("yes", "no"):
        other = "no" if wanted == "yes" else "yes"
        return bool(re.match(rf"\W*{wanted}\s*[,.;:!–—-](?!.*\b{other}\b)", folded, re.DOTALL))
    if option := re.fullmatch(r"\s*\(?([a-z])[).:](\s.*)", folded, re.DOTALL):
        return option[1] == wanted and not _NOT_ONE.search(option[2])
    states = [*_STATES.finditer(folded)]
    return bool(
        states
        and _plain(folded[states[-1].end() :]) == wanted
        and not _NOT_ONE.search(folded[: states[-1].start()])
    )
