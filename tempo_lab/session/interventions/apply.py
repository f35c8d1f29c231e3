"""Apply the interventions of one run, after checking them against its video and model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch

from tempo_lab.allocation import STRATEGIES, Allocation, Ints, Strategy, find_strategy, keep_tokens
from tempo_lab.common.errors import BudgetError, CaptureError
from tempo_lab.session.cache import ForwardObserver
from tempo_lab.session.capture.selection import resolve
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.session.interventions.patches import (
    HiddenPatcher,
    check_disjoint,
    check_needed,
    make_patch,
)
from tempo_lab.session.interventions.spec import Intervention, check_interventions
from tempo_lab.session.validation import check_texts
from tempo_lab.trace.trace import Trace


class ActiveInterventions:
    """The interventions of one run; without any, every method returns its input unchanged.

    Args:
        interventions: one or several interventions.
        engine: reads the video.
        question: what the LLM is asked.
        strategy: name of the allocation strategy.

    Attributes:
        question: what the SVLM reads.
        engine: reads the video. If states are patched, it is a fork that knows no question, so that
            no cached question is used and nothing patched is cached.
        source: int [segment], the segment whose memory is placed at each position in time.

    Raises:
        CaptureError: the video or model does not have something, or two interventions contradict
            each other.
        BudgetError: a segment gets more tokens than it has slots.
        QueryError: the question to compress for cannot be encoded.
    """

    def __init__(
        self,
        interventions: Intervention | Sequence[Intervention],
        engine: CompressorEngine,
        question: str,
        strategy: str | Strategy,
    ) -> None:
        self.interventions = check_interventions(interventions)
        self.segments = len(engine.video)
        self.slots = engine.compressor.slots
        for kind in ("keep", "slots", "question"):
            if len(several := self._of(kind)) > 1:
                raise _contradiction(several[0], several[1])
        self.question = question
        for one in self._of("question"):
            self.question = one.arguments["other"]
            check_texts(self.question, ())
        self.source = np.arange(self.segments)
        for one in self._of("swap"):
            pair = [one.arguments["a"], one.arguments["b"]]
            resolve(pair, self.segments, "segment")
            self.source[pair] = self.source[pair[::-1]]
        self._tokens = self._forced_tokens()
        self._slot_choice = self._forced_slots(strategy)
        patches = [make_patch(one, engine, self.question) for one in self._of("patch")]
        check_disjoint(patches)
        svlm = engine.compressor.svlm.language_model
        self._patcher = HiddenPatcher(svlm, patches, "SVLM") if patches else None
        self.engine = engine.fork() if patches else engine

    def _of(self, kind: str) -> list[Intervention]:
        return [one for one in self.interventions if one.kind == kind]

    def _forced_tokens(self) -> dict[int, int]:
        """Return the tokens of those segments that the scores do not decide."""
        forced: dict[int, int] = {}
        origin: dict[int, Intervention] = {}
        for one in (*self._of("drop"), *self._of("keep"), *self._of("allocate")):
            argument = one.arguments["tokens" if one.kind == "allocate" else "segments"]
            resolve(list(argument), self.segments, "segment")
            if one.kind == "keep":
                if drops := self._of("drop"):
                    raise _contradiction(drops[0], one)
                tokens = {i: 0 for i in range(self.segments) if i not in argument}
            else:
                tokens = argument if one.kind == "allocate" else dict.fromkeys(argument, 0)
            for segment, count in tokens.items():
                if count > self.slots:
                    raise BudgetError(
                        "a segment cannot keep more tokens than it has memory slots",
                        asked=f"{count} tokens for segment {segment}",
                        found=f"{self.slots} slots",
                        fix=f"Intervention.allocate({{{segment}: {self.slots}}})",
                    )
                if forced.get(segment, count) != count:
                    raise _contradiction(origin[segment], one, f" about segment {segment}")
                forced[segment], origin[segment] = count, one
        return forced

    def _forced_slots(self, strategy: str | Strategy) -> str | list[int] | None:
        """Return the slots that are kept instead of the strategy's, or None."""
        for one in self._of("slots"):
            which: str | list[int] = one.arguments["which"]
            if (rule := find_strategy(strategy)).merges:
                raise CaptureError(
                    "slots cannot be selected for a strategy that merges all slots",
                    asked=f"{one} with strategy={rule.name!r}",
                    found=f"{rule.name!r} keeps mixtures of all slots",
                    fix='strategy="head"',
                )
            if isinstance(which, list):
                resolve(which, self.slots, "slot")
                for other in self._of("allocate"):
                    if not {*other.arguments["tokens"].values()} <= {0, len(which)}:
                        raise _contradiction(other, one)
            return which
        return None

    def apply_to_allocation(self, allocation: Allocation) -> Allocation:
        """Return the allocation at each position in time, with tokens, slots and places changed.

        Args:
            allocation: the budget's allocation to the segments.

        Raises:
            BudgetError: the changed allocation exceeds the budget.
        """
        if not self._tokens and self._slot_choice is None and not self._of("swap"):
            return allocation
        tokens = allocation.tokens.copy()
        tokens[list(self._tokens)] = list(self._tokens.values())
        if isinstance(self._slot_choice, list):
            tokens[tokens > 0] = len(self._slot_choice)
        if allocation.used < (used := int(tokens.sum())) > allocation.budget:
            causes = [*self._of("allocate"), *self._of("slots")]
            raise BudgetError(
                "the interventions spend more than the budget",
                asked=f"{used} tokens, by {' and '.join(map(str, causes))}",
                found=f"a budget of {allocation.budget}",
                fix=f"a budget of {used} or more, or Intervention.drop of other segments",
            )
        changed = replace(allocation, tokens=tokens)
        if changed.merged:
            return replace(changed, tokens=tokens[self.source])
        slots = [self._kept_slots(changed, segment) for segment in range(self.segments)]
        chosen = tuple(slots[segment] for segment in self.source)
        return replace(changed, tokens=tokens[self.source], chosen=chosen)

    def _kept_slots(self, allocation: Allocation, segment: int) -> Ints:
        k = int(allocation.tokens[segment])
        choice = self._slot_choice
        if isinstance(choice, list):
            return np.array(choice[:k], dtype=np.int64)
        rule = allocation.rule if choice is None else STRATEGIES[choice]
        slots = rule.slots(k, allocation.max_tokens, (allocation.seed, segment))
        assert slots is not None
        return slots

    def needed(self, allocation: Allocation) -> Ints:
        """Return int [segment], the memory tokens of each segment that must be computed.

        Args:
            allocation: from `apply_to_allocation`.

        Raises:
            CaptureError: a patched memory slot is not needed.
        """
        needed = np.empty_like(allocation.needed)
        needed[self.source] = allocation.needed
        if self._patcher is not None:
            check_needed(self._patcher.patches, needed.tolist())
        return needed

    @torch.inference_mode()
    def kept(self, memory: Sequence[torch.Tensor], allocation: Allocation) -> list[torch.Tensor]:
        """Return what the LLM reads at each position in time, [kept, hidden], before the projector.

        Args:
            memory: [k, hidden] of each segment, at least the needed ones.
            allocation: from `apply_to_allocation`.
        """
        return [
            keep_tokens(memory[segment], allocation, position)
            for position, segment in enumerate(self.source.tolist())
        ]

    def installed(self) -> AbstractContextManager[object]:
        """Patch the model within this context, in observed calls."""
        return nullcontext() if self._patcher is None else self._patcher.installed()

    def observer(self, other: ForwardObserver | None = None) -> ForwardObserver | None:
        """Return the observer that patches every call, or None if there is nothing to observe.

        Args:
            other: another observer; it observes the patched model.
        """
        patcher = self._patcher
        if patcher is None or other is None:
            return other if patcher is None else patcher.observe

        @contextmanager
        def both(segments: Sequence[int], slots: range | None = None) -> Iterator[None]:
            with patcher.observe(segments, slots), other(segments, slots):
                yield

        return both

    def annotate(self, trace: Trace) -> Trace:
        """Return the trace with the interventions in its provenance."""
        if not self.interventions:
            return trace
        data = trace.data
        if self._of("swap"):
            attrs = {"long_name": "segment whose memory stands here: its tokens and kept slots"}
            data = data.assign(memory_from=("segment", self.source, attrs))
        described = [one.describe() for one in self.interventions]
        return replace(
            trace, data=data, provenance={**trace.provenance, "interventions": described}
        )


def kept_memory(
    engine: CompressorEngine, trace: Trace, allocation: Allocation
) -> list[torch.Tensor]:
    """Return the memory tokens that the LLM read, [kept, hidden] at each position in time.

    The interventions of the trace's run are repeated. Memory tokens that the engine has cached are
    not computed again.

    Args:
        engine: the engine of the session that made the trace.
        trace: of any question.
        allocation: the allocation that the trace records.
    """
    active = ActiveInterventions(
        Intervention.of(trace), engine, trace.question, allocation.strategy
    )
    with active.installed():
        reading = active.engine.score(active.question, observer=active.observer())
        needed = active.needed(allocation)
        memory = active.engine.memory_tokens(reading, needed, observer=active.observer())
    return active.kept(memory, allocation)


def _contradiction(first: Intervention, second: Intervention, about: str = "") -> CaptureError:
    return CaptureError(
        f"two interventions contradict each other{about}",
        asked=f"{first} and {second}",
        fix="give one of them, or ask twice",
    )
