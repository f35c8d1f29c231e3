"""Units of explanation: parts of a model's input that can be taken away, and what stands there
instead (the baseline).

Segments and slots are memory tokens in the LLM's prompt; frame pairs and patches are pictures of
one segment (`image_units.py`); words are the question's. Each turns masks into what
the model makes of the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import numpy as np

from tempo_lab.analysis.attribution.masked_forward import MaskedOutput, Passes
from tempo_lab.common.errors import QueryError, TraceError

if TYPE_CHECKING:
    import torch


class Place(NamedTuple):
    """A coordinate along the units."""

    values: Sequence[float] | np.ndarray
    units: str
    meaning: str


class Units(Protocol):
    """Parts of an input. Made of (passes, baseline, reads).

    Attributes:
        baselines: names of what can stand for a part that is taken away, with meanings; the first
            is the usual one.
        reads: what of the model's output the units reach, and targets can read.
        smooth: baselines that stand in the same space as the input, so that there is a straight
            path from one to the other, and gradients along it.
        labels: a name for each unit.
        places: coordinates by unit: seconds, rows, columns.
    """

    baselines: ClassVar[Mapping[str, str]]
    reads: ClassVar[tuple[str, ...]]
    smooth: ClassVar[tuple[str, ...]]
    labels: list[str]
    places: dict[str, Place]

    def __init__(self, passes: Passes, baseline: str, reads: str) -> None: ...

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.labels)

    def outcome(self, masks: torch.Tensor) -> MaskedOutput:
        """What the model makes of masked inputs, bool [mask, unit]: True stays."""


class Embedded(Units, Protocol):
    """Units that are groups of embeddings, so that gradients have a meaning.

    Attributes:
        groups: int [token], the unit of each embedding; -1 for those of none.
    """

    groups: torch.Tensor

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The embeddings as they are, and all at the baseline: [1, token, ...] each."""

    def outcome_of(self, embeddings: torch.Tensor) -> MaskedOutput:
        """What the model makes of embeddings [step, token, ...]."""


def stays(masks: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """bool [mask, token] of bool [mask, unit]: tokens of no unit always stay."""
    return masks[:, groups.clamp_min(0)] | (groups < 0)


class Memory(Embedded):
    """Memory tokens that the allocation keeps, in the order of the LLM's prompt."""

    baselines: ClassVar = {
        "absent": "no memory tokens, and no timestamp where none is left",
        "mean": "each memory token becomes the mean of all that the video keeps",
        "zero": "each memory token becomes zero",
    }
    reads = ("answer",)
    smooth = ("mean", "zero")

    def __init__(self, passes: Passes, baseline: str, reads: str) -> None:
        import torch

        self.passes, self.baseline = passes, baseline
        self.counts = [len(tokens) for tokens in passes.memory]
        self.tokens = torch.cat(passes.memory)
        numbers = torch.arange(len(self.counts), device=self.tokens.device)
        self.segment = numbers.repeat_interleave(torch.tensor(self.counts).to(numbers))

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.tokens.mean(dim=0, keepdim=True)
        other = mean.expand_as(self.tokens) if self.baseline == "mean" else 0 * self.tokens
        none = other.where((self.groups >= 0)[:, None], self.tokens)
        return self.tokens[None], none[None]

    def outcome(self, masks: torch.Tensor) -> MaskedOutput:
        alive = stays(masks.to(self.tokens.device), self.groups)
        if self.baseline == "absent":
            memory = [
                [
                    tokens[on]
                    for tokens, on in zip(self.passes.memory, self._split(row), strict=True)
                ]
                for row in alive
            ]
            return self._outcome(memory)
        whole, none = self.ends()
        return self.outcome_of(whole.where(alive[..., None], none))

    def outcome_of(self, embeddings: torch.Tensor) -> MaskedOutput:
        return self._outcome([self._split(row) for row in embeddings])

    def _split(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        return list(tokens.split(self.counts))

    def _outcome(self, memory: list[list[torch.Tensor]]) -> MaskedOutput:
        return MaskedOutput(self.passes, None, memory, [self.passes.trace.question] * len(memory))


class Segments(Memory):
    """Segments of the video, as the LLM reads them."""

    def __init__(self, passes: Passes, baseline: str, reads: str) -> None:
        super().__init__(passes, baseline, reads)
        self.groups = self.segment
        self.labels = [f"segment {number}" for number in range(len(self.counts))]
        data = passes.trace.data
        self.places = {
            name: Place(data[name].to_numpy(), "s", "on the sampled clock")
            for name in ("start", "end")
        }


class Slots(Memory):
    """Memory slots of one segment, as far as the allocation keeps them."""

    def __init__(self, passes: Passes, baseline: str, reads: str) -> None:
        import torch

        super().__init__(passes, baseline, reads)
        count, allocation = self.counts[passes.segment], passes.allocation
        if not count:
            raise TraceError(
                "this segment keeps no memory slot",
                asked=f"slots of segment {passes.segment}",
                found="0 memory tokens",
                fix="a larger budget, or another segment",
            )
        self.groups = torch.full_like(self.segment, -1)
        self.groups[self.segment == passes.segment] = torch.arange(count).to(self.groups)
        slots = allocation.slots(passes.segment)
        number = np.arange(count) if slots is None else slots
        self.labels = [f"{'slot' if slots is not None else 'merged'} {each}" for each in number]
        self.places = {"slot": Place(number, "1", "number of the memory slot")}


class Words(Units):
    """Words of the question, as both models read it; memory tokens are shared as for all words."""

    baselines: ClassVar = {
        "removed": "the word is not there",
        "blank": "an underscore stands for the word",
    }
    reads = ("relevance", "answer")
    smooth = ()

    def __init__(self, passes: Passes, baseline: str, reads: str) -> None:
        self.passes, self.baseline, self.target_reads = passes, baseline, reads
        self.question = passes.trace.question
        self.spans = [found.span() for found in re.finditer(r"\w+(?:['’-]\w+)*", self.question)]
        if not self.spans:
            raise QueryError(
                "the question has no words to take away", asked=repr(self.question), found="0 words"
            )
        self.labels = [self.question[first:stop] for first, stop in self.spans]
        self.places = {"word": Place(np.arange(len(self.spans)), "1", "number of the word")}

    def text(self, mask: Sequence[bool]) -> str:
        """The question with the words that stay, bool [word]."""
        text, end = "", 0
        for (first, stop), on in zip(self.spans, mask, strict=True):
            text += self.question[end:first]
            text += self.question[first:stop] if on else "_" * (self.baseline == "blank")
            end = stop
        text += self.question[end:]
        return text if all(mask) else " ".join(text.split())

    def outcome(self, masks: torch.Tensor) -> MaskedOutput:
        import torch

        texts = [self.text(mask) for mask in masks.tolist()]
        if self.target_reads == "relevance":
            logits = [self.passes.ask_segment(text).logit for text in texts]
            return MaskedOutput(self.passes, torch.stack(logits))
        return MaskedOutput(self.passes, None, [self.passes.rewrite(text) for text in texts], texts)
