"""CompressorEngine: scores a video for a question and writes memory tokens, in micro-batches.

    patches -> visual features -> [system + video] prefix -> relevance
              cached: "features"    cached: "kv"              \\-> memory tokens

A second question starts from what is cached. With prefixes cached, memory tokens are written after
the allocation is known, about as many as it needs; a later allocation that needs more continues
where they end. Without prefixes, all K are written together with the relevance, because writing
them later would mean reading the video twice. While a question is cached, none of its memory
tokens is computed twice.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from itertools import chain, takewhile

import numpy as np
import torch

from tempo_lab.model.batch_limit import BatchLimit
from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.compressor import DecodeState, PrefixCache, SystemPrefix
from tempo_lab.model.memory import free_bytes
from tempo_lab.model.out_of_distribution import OODMonitor
from tempo_lab.model.prompts import Prompts, segment_seconds
from tempo_lab.model.token_map import TokenMap
from tempo_lab.session.cache import (
    CacheMode,
    ForwardObserver,
    QuestionCache,
    ScoredSegment,
    SegmentCache,
    cache_cost,
    check_cache,
    choose_cache,
    no_observer,
)
from tempo_lab.session.micro_batches import MicroBatch, MicroBatcher
from tempo_lab.video.video import Video

CACHED_QUESTIONS = 4
"""Questions whose memory tokens stay cached, so that another budget runs no SVLM; fewer where they
do not fit `cache_bytes`."""


class CompressorEngine:
    """Reads one video with one model.

    Args:
        checkpoint: the model.
        video: the video.
        cache, cache_bytes, batch_bytes: see `Tempo.open`.

    Attributes:
        computed: how often each step did its work, in segments (memory: tokens).
        ood_monitor: measures whether the video is out of distribution for the model.

    Raises:
        BudgetError: no such `cache`, or a limit that is not a number of bytes.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        video: Video,
        *,
        cache: CacheMode = "auto",
        cache_bytes: int | None = None,
        batch_bytes: int | None = None,
    ) -> None:
        check_cache(cache, cache_bytes=cache_bytes, batch_bytes=batch_bytes)
        self.checkpoint, self.video, self.cache_mode = checkpoint, video, cache
        self.compressor, self.prompts = checkpoint.model.compressor, checkpoint.prompts
        device = self.compressor.compression_tokens.device
        self._limit = BatchLimit(
            self.compressor.svlm.config,
            self.compressor.compression_tokens.element_size(),
            batch_bytes or (16 << 20 if device.type == "cpu" else 1 << 30),
        )
        self.batches = MicroBatcher(video, checkpoint.model.config, checkpoint.prompts, self._limit)
        self.cache_bytes = free_bytes(device) // 2 if cache_bytes is None else cache_bytes
        self.ood_monitor = OODMonitor(checkpoint.model.feature_statistics)
        self.computed = {"decoded": 0, "prefix": 0, "relevance": 0, "memory": 0}
        # keys: the model's digest, then that of its input; segments are in order
        self._model = checkpoint.digest
        self._segments: dict[tuple[str, str], SegmentCache] = {}
        self._questions: OrderedDict[tuple[str, str], QuestionCache] = OrderedDict()
        self._system: SystemPrefix | None = None
        self._means: dict[int, np.ndarray] = {}

    def cost(self, question: str = "") -> dict[str, int]:
        """Bytes that each cache mode costs for the whole video (see `cache_cost`).

        Args:
            question: the question that "question" is for; by default a short one.
        """
        return cache_cost(
            self.compressor.svlm.config,
            self._limit.itemsize,
            slots=self.compressor.slots,
            system=len(self.prompts.system()),
            videos=[self.visual_prompt(segment) for segment in range(len(self.video))],
            question=len(self.prompts.question(question)),
        )

    @property
    def nbytes(self) -> int:
        """Bytes in the cache now."""
        system = 0 if self._system is None else self._system.nbytes
        segments = sum(cached.nbytes for cached in tuple(self._segments.values()))
        return system + segments + sum(q.nbytes for q in tuple(self._questions.values()))

    @property
    def mean_features(self) -> np.ndarray:
        """float32 [segment, hidden], the mean visual feature of each segment encoded so far."""
        return np.array([self._means[segment] for segment in sorted(self._means)], np.float32)

    def visual_prompt(self, segment: int) -> TokenMap:
        """Return the visual part of a segment's prompt, from the cache or made without decoding."""
        for cached in tuple(self._segments.values()):  # another thread's question may add to them
            if cached.segments[0] <= segment <= cached.segments[-1]:
                return cached.videos[segment - cached.segments[0]]
        return self.batches.prompt(segment)

    def svlm_prompt(self, question: str, segment: int = 0) -> TokenMap:
        """Return the SVLM's whole prompt for a segment, with its memory slots."""
        return self.prompts.segment(self.visual_prompt(segment), question, self.compressor.slots)

    @property
    def segment_seconds(self) -> np.ndarray:
        """float64 [segment], the seconds written before each segment's memory tokens.

        Where only a part of the video is sampled, they count from the start of the part.
        """
        return segment_seconds(len(self.video), self.video.plan.fps, self.video.window)

    @cached_property
    def _timestamps(self) -> list[list[int]] | None:
        if self.video.is_image:
            return None
        return [self.prompts.timestamp(seconds) for seconds in self.segment_seconds]

    def llm_prompt(
        self, tokens: np.ndarray, question: str, history: tuple[tuple[str, str], ...] = ()
    ) -> TokenMap:
        """Return the LLM's whole prompt.

        Args:
            tokens: int [segment], memory tokens of each segment.
            question: the question.
            history: earlier (question, answer) turns, oldest first.
        """
        return self.prompts.conversation(self._timestamps, tokens, question, history)

    @torch.inference_mode()
    def score(
        self,
        question: str,
        step: Callable[[int], object] | None = None,
        observer: ForwardObserver | None = None,
        *,
        memory: bool = True,
    ) -> QuestionCache:
        """Compute the relevance of every segment, and its memory tokens if they cannot come later.

        The next call continues where an interrupted one ended.

        Args:
            question: the question.
            step: called with the number of segments that have just been scored.
            observer: observes every forward pass. Nothing cached of the question is used then;
                it is computed again from what is cached of the video.
            memory: whether memory tokens will be needed. Without them, nothing is cached of the
                question where they cannot be written later.
        """
        cost = self.cost(question)
        self.cache_mode = choose_cache(self.cache_mode, cost, self.cache_bytes)
        key = (self._model, question)
        if observer is not None:
            self._questions.pop(key, None)
        on_demand = self._on_demand(cost)
        cached_question = memory or on_demand
        if cached_question:
            scored = self._questions.setdefault(key, QuestionCache())
            self._questions.move_to_end(key)
            self._evict(cost, on_demand)
        else:
            scored = QuestionCache(list(self._questions.get(key, QuestionCache()).segments))
        write_now = memory and not on_demand and self.compressor.slots > 0
        step = step or (lambda segments: None)
        done = len(scored.segments)
        step(done)
        if done == len(self.video):
            return scored
        tokens = self.prompts.question(question)
        with closing(self._stream(done)) as stream:
            for cached in stream:
                prefix = self._prefix(cached)
                start = max(0, len(scored.segments) - cached.segments[0])
                for states in self._read_question(prefix, cached.segments, start, tokens, observer):
                    segments = cached.segments[start : start + len(states)]
                    batches = iter([states])
                    if write_now:
                        batches = self._write(states, segments, self.compressor.slots, observer)
                    scored.segments += [
                        self._scored(state, keep=cached_question)
                        for state in chain.from_iterable(batches)
                    ]
                    start += len(segments)
                    step(len(segments))
        return scored

    @torch.inference_mode()
    def memory_tokens(
        self,
        scored: QuestionCache,
        needed: np.ndarray,
        step: Callable[[int], object] | None = None,
        observer: ForwardObserver | None = None,
    ) -> list[torch.Tensor]:
        """Write at least the first `needed` memory tokens of each segment, [k, hidden] each.

        Segments that lack about the same number (within a factor of two) are computed together,
        from where they end.

        Args:
            scored: what `score` returned.
            needed: int [segment].
            step: called with the number of segments that are done.
            observer: observes every forward pass.
        """
        step = step or (lambda segments: None)
        groups: dict[tuple[int, ...], dict[int, DecodeState]] = {}
        for number, segment in enumerate(scored.segments):
            lacking = int(needed[number]) - len(segment.memory_tokens)
            if segment.state is not None and lacking > 0:
                key = (*segment.state.batch_key, (lacking - 1).bit_length())
                groups.setdefault(key, {})[number] = segment.state
        step(len(scored.segments) - sum(map(len, groups.values())))
        for states in groups.values():
            waiting, slots = iter(states), int(needed[list(states)].max())
            for written in self._write(list(states.values()), list(states), slots, observer):
                for state in written:
                    scored.segments[next(waiting)] = self._scored(state)
                step(len(written))
        return scored.memory_tokens

    def with_instruction(self, sentence: str) -> CompressorEngine:
        """Another engine for the same video, whose prompt asks for Yes or No in other words.

        It starts from the visual features cached here, and caches no more than features, so that
        the next one can start from its own. Nothing that it computes is cached here.

        Args:
            sentence: see `Prompts`.
        """
        prompts = Prompts(self.prompts.svlm, self.prompts.llm, sentence)
        other = CompressorEngine(
            replace(self.checkpoint, prompts=prompts),
            self.video,
            cache="features" if self.cost()["features"] <= self.cache_bytes else "nothing",
            cache_bytes=self.cache_bytes,
            batch_bytes=self._limit.limit,
        )
        if other.cache_mode == "features":  # from the first segment on, without a gap
            cached = takewhile(lambda item: item[1].features is not None, self._segments.items())
            other._segments = {key: replace(segments, prefix=None) for key, segments in cached}
        other.batches.decoded = list(self.batches.decoded)
        other.ood_monitor, other._means = self.ood_monitor, self._means
        return other

    def fork(self) -> CompressorEngine:
        """Return an engine that shares the cache of the video, and has cached no question.

        What it caches of a question does not count towards `cache_bytes`.
        """
        fork = copy.copy(self)
        fork._questions = OrderedDict()
        return fork

    def forget(self) -> None:
        """Clear the cache."""
        self._segments.clear()
        self._questions.clear()
        self._means.clear()
        self._system = None

    def _on_demand(self, cost: dict[str, int]) -> bool:
        """Whether a question's memory tokens can be written after all segments are scored."""
        return self.cache_mode == "kv" and cost["kv"] + cost["question"] <= self.cache_bytes

    def _evict(self, cost: dict[str, int], on_demand: bool) -> None:
        """Drop the oldest questions until the newest one fits `cache_bytes` at its largest.

        Args:
            cost: see `cost`.
            on_demand: whether the newest question's memory tokens are written on demand.
        """
        needed = cost.get(self.cache_mode, 0) + (cost["question"] if on_demand else 0)
        max_questions = 1 if self.cache_mode == "nothing" else CACHED_QUESTIONS

        def too_much() -> bool:
            *older, _ = self._questions.values()
            held = needed + sum(question.nbytes for question in older)
            return bool(older) and (len(older) >= max_questions or held > self.cache_bytes)

        while too_much():
            self._questions.popitem(last=False)

    def _stream(self, start: int) -> Generator[SegmentCache]:
        """Yield micro-batches of segments from number `start` on: cached, then decoded ones."""
        if self._system is None:
            self._system = self.compressor.system(self.prompts.system())
        reached = start
        for cached in list(self._segments.values()):
            reached = max(reached, cached.segments[-1] + 1)
            if cached.segments[-1] >= start:
                yield cached
        if reached == len(self.video):
            return
        with closing(self.batches.stream(reached)) as stream:
            for batch in stream:
                encoded = self._encode(batch)
                if self.cache_mode != "nothing":
                    self._segments[self._model, batch.digest] = encoded
                yield encoded

    def _encode(self, batch: MicroBatch) -> SegmentCache:
        self.computed["decoded"] += len(batch.segments)
        features = self.compressor.encode_vision(batch.patches, batch.grid)
        self.ood_monitor.add(batch.segments[0], features.merged, batch.grid.pairs)
        means = features.merged.float().mean(dim=1).cpu().numpy()
        self._means.update(zip(batch.segments, means, strict=True))
        return SegmentCache(batch.segments, batch.videos, batch.grid, features)

    def _prefix(self, cached: SegmentCache) -> PrefixCache:
        if cached.prefix is not None:
            return cached.prefix
        assert self._system is not None
        assert cached.features is not None
        prefix = self.compressor.prefix(self._system, cached.videos, cached.features)
        self.computed["prefix"] += len(cached.segments)
        if self.cache_mode == "kv":
            cached.prefix, cached.features = prefix, None
        return prefix

    def _read_question(
        self,
        prefix: PrefixCache,
        segments: Sequence[int],
        start: int,
        question: TokenMap,
        observer: ForwardObserver | None,
    ) -> Iterator[list[DecodeState]]:
        """Read the question after the prefixes from row `start` on, as many as fit at once.

        Args:
            segments: numbers of all rows of `prefix`.
        """
        size = self._limit.prefill_segments(len(question), prefix.positions)
        for first in range(start, len(prefix), size):
            part = slice(first, first + size)
            with (observer or no_observer)(segments[part]):
                states = self.compressor.relevance(prefix.rows(part.start, part.stop), question)
            self.computed["relevance"] += len(states)
            yield states

    def _write(
        self,
        states: Sequence[DecodeState],
        segments: Sequence[int],
        slots: int,
        observer: ForwardObserver | None,
    ) -> Iterator[list[DecodeState]]:
        """Write the first `slots` memory tokens of states of one `batch_key`.

        Args:
            segments: number of each state.
        """
        written = len(states[0].tokens)
        size = self._limit.prefill_segments(slots - written, states[0].positions)
        for first in range(0, len(states), size):
            part = slice(first, first + size)
            with (observer or no_observer)(segments[part], range(written, slots)):
                longer = self.compressor.memory(states[part], slots)
            self.computed["memory"] += len(longer) * (slots - written)
            yield longer

    def _scored(self, state: DecodeState, *, keep: bool = True) -> ScoredSegment:
        """Return what stays of a state; the state itself only if `keep` and tokens are missing."""
        complete = not keep or len(state.tokens) == self.compressor.slots
        return ScoredSegment(float(state.logit), state.tokens, None if complete else state)
