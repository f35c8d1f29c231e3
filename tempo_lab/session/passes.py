"""The compressor's calls for a question, of as many segments at once as a limit allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tempo_lab.model.batch_limit import BatchLimit
from tempo_lab.model.compressor import Compressor, DecodeState, PrefixCache
from tempo_lab.model.token_map import TokenMap
from tempo_lab.session.cache import ForwardObserver, no_observer


class Passes:
    """Calls one compressor, watched.

    Args:
        compressor: the compressor.
        limit: of what is computed at once.
        computed: counts segments under "relevance", tokens under "memory".
    """

    def __init__(self, compressor: Compressor, limit: BatchLimit, computed: dict[str, int]) -> None:
        self.compressor, self.limit, self.computed = compressor, limit, computed

    def relevance(
        self,
        prefix: PrefixCache,
        segments: Sequence[int],
        start: int,
        question: TokenMap,
        watch: ForwardObserver | None,
    ) -> Iterator[list[DecodeState]]:
        """Read the question after the prefixes from row `start` on.

        Args:
            segments: numbers of all rows of `prefix`.
        """
        at_once = self.limit.segments_read(len(question), prefix.positions)
        for first in range(start, len(prefix), at_once):
            some = slice(first, first + at_once)
            with (watch or no_observer)(segments[some]):
                states = self.compressor.relevance(prefix.rows(some.start, some.stop), question)
            self.computed["relevance"] += len(states)
            yield states

    def memory(
        self,
        states: Sequence[DecodeState],
        segments: Sequence[int],
        slots: int,
        watch: ForwardObserver | None,
    ) -> Iterator[list[DecodeState]]:
        """Write memory tokens up to the first `slots` of states of one `place`.

        Args:
            segments: number of each state.
        """
        there = len(states[0].tokens)
        at_once = self.limit.segments_read(slots - there, states[0].positions)
        for first in range(0, len(states), at_once):
            some = slice(first, first + at_once)
            with (watch or no_observer)(segments[some], range(there, slots)):
                written = self.compressor.memory(states[some], slots)
            self.computed["memory"] += len(written) * (slots - there)
            yield written
