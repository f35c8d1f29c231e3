"""Question forms: how the questions are phrased that a model with a small vocabulary knows.

A checkpoint can list them in `question_forms.json`. They recognize the kind of a question, and the
known questions that are most similar to an unknown one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

FIELD = re.compile(r"\{(a )?(\w+)\}")
NOUN, NUMBER = "noun", "number"
"""Fields that are no list of words: a shape with or without its color, and a whole number."""
PART = re.compile(r"\bQ\d+:")


@dataclass(frozen=True)
class QuestionForms:
    """The phrases of all kinds of questions that a model was trained on.

    Attributes:
        words: lists of words by name: color, shape, size, motion, position, place, digit, word.
        kinds: phrases by kind, the plain one first. A field in braces is a list of `words`, "noun"
            (a shape with or without its color), "a noun" (with its article), or "number".
        parts: kinds that can be asked together, as in "Q1: What color is the star? Q2: Where is
            it?", which has the kind "multi".
        markup: regular expression of what a question can contain without being changed by it.
    """

    words: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, tuple[str, ...]]
    parts: tuple[str, ...] = ()
    markup: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the forms as plain JSON values."""
        values = asdict(self)
        return {
            name: {key: list(texts) for key, texts in value.items()}
            if isinstance(value, dict)
            else list(value)
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QuestionForms:
        """Return the forms of JSON values.

        Raises:
            ValueError: a list is missing or is not one of texts, or a phrase has an unknown field.
        """
        try:
            words = {str(name): _texts(texts) for name, texts in values["words"].items()}
            kinds = {str(name): _texts(texts) for name, texts in values["kinds"].items()}
            parts, markup = _texts(values["parts"]), _texts(values["markup"])
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"a list is missing or has another type ({error})") from None
        known = {*words, NOUN, NUMBER}
        phrases = [phrase for group in kinds.values() for phrase in group]
        fields = {match[2] for phrase in phrases for match in FIELD.finditer(phrase)}
        if not fields <= known or not {"shape", "color"} <= set(words) or not all(kinds.values()):
            raise ValueError(f"phrases have the fields {sorted(fields)}, of {sorted(known)}")
        if not set(parts) <= set(kinds):
            raise ValueError(f"the parts {sorted(parts)} are not among the kinds {sorted(kinds)}")
        return cls(words, kinds, parts, markup)

    # Recognize

    def kind(self, question: str) -> str | None:
        """Return the kind of a question, a key of `kinds` or "multi"; None for another question."""
        text = " ".join(self._markup.sub(" ", question).split())
        parts = [trimmed(part) for part in PART.split(text)]
        if len(parts) == 1:
            return next((kind for kind in self.kinds if self._fits(kind, parts[0])), None)
        before, first, *others = parts
        several = (
            bool(others)
            and not before
            and any(self._fits(kind, first) for kind in self.parts)
            and all(any(self._fits(kind, each, it=True) for kind in self.parts) for each in others)
        )
        return "multi" if several else None

    def nearest(self, question: str, count: int = 2) -> list[str]:
        """Return known questions that are phrased most similarly, each of another kind.

        Their fields have the words of the question as far as it has any.
        """
        asked = self._general(question)
        likeness = {
            kind: max(
                SequenceMatcher(None, asked, self._general(FIELD.sub(r"{\2}", phrase))).ratio()
                for phrase in phrases
            )
            for kind, phrases in self.kinds.items()
        }
        best = sorted(likeness, key=lambda kind: -likeness[kind])[:count]
        return [self._example(self.kinds[kind][0], question) for kind in best]

    # The phrases as patterns

    @cached_property
    def _markup(self) -> re.Pattern[str]:
        literal = "|".join(map(re.escape, self.markup))
        return re.compile(rf"{literal}|^\s*please tell me,\s*", re.IGNORECASE)

    @cached_property
    def _any_shape(self) -> str:
        return _any_of(self.words["shape"])

    @cached_property
    def noun(self) -> str:
        """Pattern of an object: a shape with or without its color."""
        return f"(?:{_any_of(self.words['color'])} )?{self._any_shape}"

    @cached_property
    def _patterns(self) -> dict[tuple[str, bool], re.Pattern[str]]:
        return {
            (kind, it): re.compile(
                "|".join(f"(?:{self._pattern(phrase, it)})" for phrase in phrases), re.IGNORECASE
            )
            for kind, phrases in self.kinds.items()
            for it in (False, True)
        }

    def _fits(self, kind: str, text: str, *, it: bool = False) -> bool:
        return self._patterns[kind, it].fullmatch(text) is not None

    def _pattern(self, phrase: str, it: bool) -> str:
        """Return the pattern of a phrase; with `it`, the object is called "it"."""
        if it:
            phrase = re.sub(r"the \{\w+\}", "it", phrase)
        return "".join(
            self._field(*piece) if isinstance(piece, tuple) else _literal(piece)
            for piece in _pieces(trimmed(phrase))
        )

    def _field(self, article: bool, name: str) -> str:
        if name == NUMBER:
            return r"\d+"
        words = self.noun if name == NOUN else _any_of(self.words[name])
        return f"an? {words}" if article else words

    def _general(self, text: str) -> list[str]:
        """Return the words of a text, with one sign for objects and one for numbers."""
        text = re.sub(rf"\b{self.noun}(?:e?s)?\b|\{{(?:noun|shape)\}}", "*", trimmed(text).lower())
        text = re.sub(r"\b\d+\b|\{(?:digit|number)\}", "#", text)
        return re.findall(r"\w+|[*#]", text)

    def _example(self, phrase: str, question: str) -> str:
        """Return a phrase whose fields have the words of a question, or else the first ones."""

        def fill(match: re.Match[str]) -> str:
            name = "shape" if match[2] == NOUN else match[2]
            if name == NUMBER:
                return next(numbers, "10")
            own = [word for word in self.words[name] if re.search(rf"\b{word}", question, re.I)]
            word = next(
                word for word in (*own, *self.words[name]) if word not in used or name != "shape"
            )
            used.append(word)
            return with_article(word) if match[1] else word

        used: list[str] = []
        numbers = iter(re.findall(r"\d+", question))
        return FIELD.sub(fill, phrase)


def trimmed(text: str) -> str:
    """Return a question or an answer without the marks around it, spelled as in the forms."""
    return text.strip(" ?.!").replace("colour", "color")


def with_article(noun: str) -> str:
    """Return a noun with its article."""
    return f"{'an' if noun[0].lower() in 'aeiou' or noun.startswith('hour') else 'a'} {noun}"


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(text, str) for text in values):
        raise TypeError("a list of texts is needed")
    return tuple(values)


def _any_of(words: tuple[str, ...]) -> str:
    return f"(?:{'|'.join(map(re.escape, words))})"


def _literal(text: str) -> str:
    """Return the pattern of fixed words; people leave "the" out."""
    return re.escape(text).replace(r"the\ ", r"(?:the\ )?")


def _pieces(phrase: str) -> Iterator[str | tuple[bool, str]]:
    """Yield the fixed words of a phrase, and (with an article, name) for its fields."""
    end = 0
    for match in FIELD.finditer(phrase):
        yield phrase[end : match.start()]
        yield match[1] is not None, match[2]
        end = match.end()
    yield phrase[end:]
