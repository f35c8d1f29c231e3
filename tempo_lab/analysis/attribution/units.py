"""Units of explanation: parts of a model's input that can be removed, and their baselines.

A baseline replaces a unit that is removed. Segments and slots are memory tokens in the LLM's
prompt; frame pairs and patches are parts of one segment's frames (`image_units.py`); words are
those of the question. Each unit class turns masks into the model's output for what remains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import numpy as np

from tempo_lab.analysis.attribution.masked_forward import MaskedForward, MaskedOutput
from tempo_lab.common.errors import QueryError, TraceError

if TYPE_CHECKING:
    import torch


class UnitCoordinate(NamedTuple):
    """A coordinate along the units."""

    values: Sequence[float] | np.ndarray
    units: str
    meaning: str


class Units(Protocol):
    """Parts of an input.

    Attributes:
        baselines: meanings by name of what can replace a unit that is removed; the first is the
            default.
        reads: the parts of the model's output that depend on the units, and that targets can read.
        path_baselines: baselines in the same space as the input, so that there is a straight path
            from the baseline to the input, and gradients along it.
        labels: a name for each unit.
        coordinates: seconds, rows or columns of each unit.
    """

    baselines: ClassVar[Mapping[str, str]]
    reads: ClassVar[tuple[str, ...]]
    path_baselines: ClassVar[tuple[str, ...]]
    labels: list[str]
    coordinates: dict[str, UnitCoordinate]

    def __init__(self, forward: MaskedForward, baseline: str, reads: str) -> None: ...

    @property
    def count(self) -> int:
        """The number of units."""
        return len(self.labels)

    def output(self, masks: torch.Tensor) -> MaskedOutput:
        """Return the output for masked inputs, bool [mask, unit]: True keeps a unit."""


class EmbeddedUnits(Units, Protocol):
    """Units that are groups of embeddings, so that gradients are defined.

    Attributes:
        groups: int [token], the unit of each embedding; -1 for embeddings of no unit.
    """

    groups: torch.Tensor

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the unchanged embeddings, and all at the baseline: [1, token, ...] each."""

    def output_of(self, embeddings: torch.Tensor) -> MaskedOutput:
        """Return the output for embeddings [step, token, ...]."""


def mask_tokens(masks: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return bool [mask, token] of bool [mask, unit]: tokens of no unit are always kept."""
    return masks[:, groups.clamp_min(0)] | (groups < 0)


class MemoryUnits(EmbeddedUnits):
    """Memory tokens that the allocation keeps, in the order of the LLM's prompt."""

    baselines: ClassVar = {
        "absent": "no memory tokens, and no timestamp where none is left",
        "mean": "each memory token becomes the mean of all that the video keeps",
        "zero": "each memory token becomes zero",
    }
    reads = ("answer",)
    path_baselines = ("mean", "zero")

    def __init__(self, forward: MaskedForward, baseline: str, reads: str) -> None:
        import torch

        self.forward, self.baseline = forward, baseline
        self.counts = [len(tokens) for tokens in forward.memory]
        self.tokens = torch.cat(forward.memory)
        segments = torch.arange(len(self.counts), device=self.tokens.device)
        self.segment = segments.repeat_interleave(torch.tensor(self.counts).to(segments))

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.tokens.mean(dim=0, keepdim=True)
        other = mean.expand_as(self.tokens) if self.baseline == "mean" else 0 * self.tokens
        none = other.where((self.groups >= 0)[:, None], self.tokens)
        return self.tokens[None], none[None]

    def output(self, masks: torch.Tensor) -> MaskedOutput:
        alive = mask_tokens(masks.to(self.tokens.device), self.groups)
        if self.baseline == "absent":
            memory = [
                [
                    tokens[on]
                    for tokens, on in zip(self.forward.memory, self._split(row), strict=True)
                ]
                for row in alive
            ]
            return self._outcome(memory)
        whole, none = self.ends()
        return self.output_of(whole.where(alive[..., None], none))

    def output_of(self, embeddings: torch.Tensor) -> MaskedOutput:
        return self._outcome([self._split(row) for row in embeddings])

    def _split(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        return list(tokens.split(self.counts))

    def _outcome(self, memory: list[list[torch.Tensor]]) -> MaskedOutput:
        return MaskedOutput(self.forward, None, memory, [self.forward.trace.question] * len(memory))


class SegmentUnits(MemoryUnits):
    """Segments of the video, as the LLM reads them."""

    def __init__(self, forward: MaskedForward, baseline: str, reads: str) -> None:
        super().__init__(forward, baseline, reads)
        self.groups = self.segment
        self.labels = [f"segment {number}" for number in range(len(self.counts))]
        data = forward.trace.data
        self.coordinates = {
            name: UnitCoordinate(data[name].to_numpy(), "s", "on the sampled clock")
            for name in ("start", "end")
        }


class SlotUnits(MemoryUnits):
    """Memory slots of one segment that the allocation keeps."""

    def __init__(self, forward: MaskedForward, baseline: str, reads: str) -> None:
        import torch

        super().__init__(forward, baseline, reads)
        count, allocation = self.counts[forward.segment], forward.allocation
        if not count:
            raise TraceError(
                "this segment keeps no memory slot",
                asked=f"slots of segment {forward.segment}",
                found="0 memory tokens",
                fix="use a larger budget, or choose another segment",
            )
        self.groups = torch.full_like(self.segment, -1)
        self.groups[self.segment == forward.segment] = torch.arange(count).to(self.groups)
        slots = allocation.slots(forward.segment)
        number = np.arange(count) if slots is None else slots
        self.labels = [f"{'slot' if slots is not None else 'merged'} {each}" for each in number]
        self.coordinates = {"slot": UnitCoordinate(number, "1", "number of the memory slot")}


class WordUnits(Units):
    """Words of the question, for both models; the allocation is that of the whole question."""

    baselines: ClassVar = {
        "removed": "the word is not there",
        "blank": "an underscore stands for the word",
    }
    reads = ("relevance", "answer")
    path_baselines = ()

    def __init__(self, forward: MaskedForward, baseline: str, reads: str) -> None:
        self.forward, self.baseline, self.target_reads = forward, baseline, reads
        self.question = forward.trace.question
        self.spans = [match.span() for match in re.finditer(r"\w+(?:['’-]\w+)*", self.question)]
        if not self.spans:
            raise QueryError(
                "the question has no words to remove", asked=repr(self.question), found="0 words"
            )
        self.labels = [self.question[first:stop] for first, stop in self.spans]
        self.coordinates = {
            "word": UnitCoordinate(np.arange(len(self.spans)), "1", "number of the word")
        }

    def text(self, mask: Sequence[bool]) -> str:
        """Return the question with the words that are kept, bool [word]."""
        text, end = "", 0
        for (first, stop), kept in zip(self.spans, mask, strict=True):
            text += self.question[end:first]
            text += self.question[first:stop] if kept else "_" * (self.baseline == "blank")
            end = stop
        text += self.question[end:]
        return text if all(mask) else " ".join(text.split())

    def output(self, masks: torch.Tensor) -> MaskedOutput:
        import torch

        texts = [self.text(mask) for mask in masks.tolist()]
        if self.target_reads == "relevance":
            logits = [self.forward.prefill_question(text).logit for text in texts]
            return MaskedOutput(self.forward, torch.stack(logits))
        return MaskedOutput(
            self.forward, None, [self.forward.reworded_memory(text) for text in texts], texts
        )
