"""What the interventions of one run change, checked against its video and model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from tempo_lab.allocation.ata import STRATEGIES, Allocation, keep_tokens
from tempo_lab.allocation.strategies import Ints, find_strategy
from tempo_lab.common.errors import BudgetError, CaptureError
from tempo_lab.session.cache import ForwardObserver
from tempo_lab.session.capture.hidden_states import HiddenPatcher
from tempo_lab.session.capture.selection import check_segments, check_slots
from tempo_lab.session.interventions.patches import check_apart, check_needed, make_patch
from tempo_lab.session.interventions.spec import Intervention, check_interventions
from tempo_lab.session.validation import check_texts
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session


class ActiveInterventions:
    """The interventions of one run; with none, everything passes through as it is.

    Args:
        interventions: one or several.
        session: the session that asks.
        question: what it asks.
        strategy: of the allocation.

    Attributes:
        question: what the SVLM reads.
        engine: that reads the video. Where states are patched, one that knows no question, so
            that nothing kept is used, and nothing patched is kept.
        source: int [segment], whose memory stands at each place in time.

    Raises:
        CaptureError: something that this video or model does not have, or two interventions that
            contradict each other.
        BudgetError: more tokens than a segment has slots.
        QueryError: a question to compress for that no file can hold.
    """

    def __init__(
        self,
        interventions: Intervention | Sequence[Intervention],
        session: Session,
        question: str,
        strategy: str,
    ) -> None:
        self.every = check_interventions(interventions)
        self.segments = len(session)
        self.slots = session.checkpoint.model.compressor.slots
        for kind in ("keep", "slots", "question"):
            if len(twice := self._of(kind)) > 1:
                raise _contradiction(twice[0], twice[1])
        self.question = question
        for one in self._of("question"):
            self.question = one.arguments["other"]
            check_texts(self.question, ())
        self.source = np.arange(self.segments)
        for one in self._of("swap"):
            pair = [one.arguments["a"], one.arguments["b"]]
            check_segments(pair, self.segments)
            self.source[pair] = self.source[pair[::-1]]
        self._tokens = self._forced()
        self._which = self._chosen(strategy)
        patches = [make_patch(one, session, self.question) for one in self._of("patch")]
        check_apart(patches)
        text_model = session.checkpoint.model.compressor.svlm.language_model
        self._patcher = HiddenPatcher(text_model, patches, "SVLM") if patches else None
        self.engine = session.engine.fork() if patches else session.engine

    def _of(self, kind: str) -> list[Intervention]:
        return [one for one in self.every if one.kind == kind]

    def _forced(self) -> dict[int, int]:
        """Tokens by segment that the scores do not decide."""
        tokens: dict[int, int] = {}
        said: dict[int, Intervention] = {}
        for one in (*self._of("drop"), *self._of("keep"), *self._of("allocate")):
            named = one.arguments["tokens" if one.kind == "allocate" else "segments"]
            check_segments(named, self.segments)
            asked = named if one.kind == "allocate" else dict.fromkeys(named, 0)
            if one.kind == "keep":
                if drops := self._of("drop"):
                    raise _contradiction(drops[0], one)
                asked = {i: 0 for i in range(self.segments) if i not in named}
            for segment, count in asked.items():
                if count > self.slots:
                    raise BudgetError(
                        "a segment has fewer memory slots than it is to keep",
                        asked=f"{count} tokens for segment {segment}",
                        found=f"{self.slots} slots",
                        fix=f"Intervention.allocate({{{segment}: {self.slots}}})",
                    )
                if tokens.get(segment, count) != count:
                    raise _contradiction(said[segment], one, f" about segment {segment}")
                tokens[segment], said[segment] = count, one
        return tokens

    def _chosen(self, strategy: str) -> str | list[int] | None:
        """Slots to keep instead of those of the strategy."""
        for one in self._of("slots"):
            which: str | list[int] = one.arguments["which"]
            if find_strategy(strategy).merges:
                raise CaptureError(
                    "a strategy that merges keeps no slots",
                    asked=f"{one} with strategy={strategy!r}",
                    found=f"{strategy!r} keeps mixtures of all slots",
                    fix='strategy="head"',
                )
            if isinstance(which, list):
                check_slots(which, self.slots)
                for other in self._of("allocate"):
                    if not {*other.arguments["tokens"].values()} <= {0, len(which)}:
                        raise _contradiction(other, one)
            return which
        return None

    def placed(self, given: Allocation) -> Allocation:
        """What stands at each place in time of what the budget gave.

        Raises:
            BudgetError: more than the budget.
        """
        if not self._tokens and self._which is None and not self._of("swap"):
            return given
        tokens = given.tokens.copy()
        tokens[list(self._tokens)] = list(self._tokens.values())
        if isinstance(self._which, list):
            tokens[tokens > 0] = len(self._which)
        if given.used < (used := int(tokens.sum())) > given.budget:
            by = [one for one in self.every if one.kind in ("allocate", "slots")]
            raise BudgetError(
                "the interventions spend more than the budget",
                asked=f"{used} tokens, by {' and '.join(map(str, by))}",
                found=f"a budget of {given.budget}",
                fix=f"a budget of {used} or more, or Intervention.drop of other segments",
            )
        changed = replace(given, tokens=tokens)
        if changed.merged:
            return replace(changed, tokens=tokens[self.source])
        every = [self._slots(changed, segment) for segment in range(self.segments)]
        chosen = tuple(every[segment] for segment in self.source)
        return replace(changed, tokens=tokens[self.source], chosen=chosen)

    def _slots(self, given: Allocation, segment: int) -> Ints:
        """Slots that a segment keeps."""
        k = int(given.tokens[segment])
        if isinstance(self._which, list):
            return np.array(self._which[:k], dtype=np.int64)
        rule = given.rule if self._which is None else STRATEGIES[self._which]
        slots = rule.slots(k, given.max_tokens, (given.seed, segment))
        assert slots is not None
        return slots

    def needed(self, placed: Allocation) -> Ints:
        """int [segment]: memory tokens of each segment that must be computed, wherever they stand.

        Raises:
            CaptureError: a patch of memory that is not needed.
        """
        needed = np.empty_like(placed.needed)
        needed[self.source] = placed.needed
        if self._patcher is not None:
            check_needed(self._patcher.patches, needed.tolist())
        return needed

    @torch.inference_mode()
    def kept(self, memory: Sequence[torch.Tensor], placed: Allocation) -> list[torch.Tensor]:
        """What the LLM reads at each place in time, [kept, hidden] each, before the projector.

        Args:
            memory: [k, hidden] of each segment, as needed.
            placed: from `placed`.
        """
        return [
            keep_tokens(memory[segment], placed, place)
            for place, segment in enumerate(self.source.tolist())
        ]

    def installed(self) -> AbstractContextManager[object]:
        """Within it the model is patched, in calls that are watched."""
        return nullcontext() if self._patcher is None else self._patcher.installed()

    def watch(self, other: ForwardObserver | None = None) -> ForwardObserver | None:
        """What the reader opens around every call; `other` sees the patched model.

        None where there is nothing to open.
        """
        patcher = self._patcher
        if patcher is None or other is None:
            return other if patcher is None else patcher.watch

        @contextmanager
        def both(segments: Sequence[int], slots: range | None = None) -> Iterator[None]:
            with patcher.watch(segments, slots), other(segments, slots):
                yield

        return both

    def told(self, trace: Trace) -> Trace:
        """The trace, which says what was done."""
        if not self.every:
            return trace
        data = trace.data
        if self._of("swap"):
            meaning = {"long_name": "segment whose memory stands here: its tokens and kept slots"}
            data = data.assign(memory_from=("segment", self.source, meaning))
        described = [one.describe() for one in self.every]
        return replace(
            trace, data=data, provenance={**trace.provenance, "interventions": described}
        )


def remembered(session: Session, trace: Trace, placed: Allocation) -> list[torch.Tensor]:
    """The memory tokens that the LLM read for a trace, [kept, hidden] at each place in time.

    What the session still has of them is used.

    Args:
        session: the one that made the trace.
        trace: of any question.
        placed: the allocation that the trace records.
    """
    changes = ActiveInterventions(Intervention.of(trace), session, trace.question, placed.strategy)
    with changes.installed():
        reading = changes.engine.score(changes.question, observer=changes.watch())
        needed = changes.needed(placed)
        memory = changes.engine.memory_tokens(reading, needed, observer=changes.watch())
    return changes.kept(memory, placed)


def _contradiction(first: Intervention, second: Intervention, about: str = "") -> CaptureError:
    return CaptureError(
        f"two interventions contradict each other{about}",
        asked=f"{first} and {second}",
        fix="give one of them, or ask twice",
    )
