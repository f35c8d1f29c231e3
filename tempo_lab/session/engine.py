"""How a video is read for a question: in a stream of micro-batches, keeping what can be reused.

    patches -> visual features -> [system + video] prefix -> relevance
                kept: "features"   kept: "kv"             \\-> memory tokens

A second question starts from the best thing kept. With prefixes kept, memory tokens are computed
after the allocation is known, and about as many as it wants; a later allocation that wants more
continues where they end. Without, all K are computed on the way, because coming back for some
would mean reading the video twice. While a question is kept, none of its memory tokens is computed
twice.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, takewhile

import numpy as np
import torch

from tempo_lab.model.batch_limit import BatchLimit
from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.compressor import DecodeState, PrefixCache, SystemPrefix
from tempo_lab.model.memory import free_bytes
from tempo_lab.model.out_of_distribution import OODMonitor
from tempo_lab.model.prompts import Prompts
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
)
from tempo_lab.session.micro_batches import MicroBatch, MicroBatcher
from tempo_lab.session.passes import Passes
from tempo_lab.video.video import Video

QUESTIONS_KEPT = 4
"""Questions whose memory tokens stay at hand, so that a changed budget reruns no SVLM; fewer where
they do not fit `cache_bytes`."""


class CompressorEngine:
    """Reads one video with one model.

    Args:
        checkpoint: the model.
        video: the video.
        cache, cache_bytes, batch_bytes: see `Tempo.open`.

    Attributes:
        computed: how often each call did its work, in segments (memory: tokens).
        look: how strange the video is to the model.

    Raises:
        BudgetError: no such `keep`, or bytes that are no whole number.
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
        self.ood_monitor = OODMonitor(checkpoint.model.familiar)
        self.computed = {"decoded": 0, "prefix": 0, "relevance": 0, "memory": 0}
        self._passes = Passes(self.compressor, self._limit, self.computed)
        # keys are digests of the model and of what it was shown, in the order of the segments
        self._model = checkpoint.digest
        self._kept: dict[tuple[str, str], SegmentCache] = {}
        self._questions: OrderedDict[tuple[str, str], QuestionCache] = OrderedDict()
        self._system: SystemPrefix | None = None

    def cost(self, question: str = "") -> dict[str, int]:
        """Bytes that keeping costs for the whole video (see `cache_cost`).

        Args:
            question: whose price "question" is; by default a short one.
        """
        return cache_cost(
            self.compressor.svlm.config,
            self._limit.itemsize,
            slots=self.compressor.slots,
            system=len(self.prompts.system()),
            videos=[self.prompt(segment) for segment in range(len(self.video))],
            question=len(self.prompts.question(question)),
        )

    def prompt(self, segment: int) -> TokenMap:
        """The visual part of a segment's prompt: what is kept of it, or made without decoding."""
        for kept in tuple(self._kept.values()):  # another thread's question may add to them
            if kept.segments[0] <= segment <= kept.segments[-1]:
                return kept.videos[segment - kept.segments[0]]
        return self.batches.prompt(segment)

    @property
    def nbytes(self) -> int:
        """Bytes kept now."""
        system = 0 if self._system is None else self._system.nbytes
        video = sum(kept.nbytes for kept in tuple(self._kept.values()))
        return system + video + sum(cached.nbytes for cached in tuple(self._questions.values()))

    @torch.inference_mode()
    def score(
        self,
        question: str,
        step: Callable[[int], object] | None = None,
        observer: ForwardObserver | None = None,
    ) -> QuestionCache:
        """Relevance of every segment, and its memory tokens where they cannot come later.

        What an interrupted call has finished is used by the next one.

        Args:
            question: the question.
            step: called with the number of segments that were just read.
            watch: sees every call; what is known of the question is then computed anew, from the
                best thing kept of the video.
        """
        cost = self.cost(question)
        self.cache_mode = choose_cache(self.cache_mode, cost, self.cache_bytes)
        key = (self._model, question)
        if observer is not None:
            self._questions.pop(key, None)
        cached = self._questions.setdefault(key, QuestionCache())
        self._questions.move_to_end(key)
        later = self._make_room(cost)
        step = step or (lambda segments: None)
        done = len(cached.segments)
        step(done)
        if done == len(self.video):
            return cached
        tokens = self.prompts.question(question)
        with closing(self._stream(done)) as stream:
            for kept in stream:
                prefix = self._prefix(kept)
                start = max(0, len(cached.segments) - kept.segments[0])
                for states in self._passes.relevance(
                    prefix, kept.segments, start, tokens, observer
                ):
                    numbers = kept.segments[start : start + len(states)]
                    every = states if later else self._all(states, numbers, observer)
                    cached.segments += map(self._read, every)
                    start += len(states)
                    step(len(states))
        return cached

    def _make_room(self, cost: dict[str, int]) -> bool:
        """Drop the oldest questions for the newest; whether its memory tokens can come later.

        What is kept stays within `cache_bytes`, the newest question at its largest.
        """
        needed = cost.get(self.cache_mode, 0)
        later = self.cache_mode == "kv" and needed + cost["question"] <= self.cache_bytes
        needed += cost["question"] if later else 0
        most = 1 if self.cache_mode == "nothing" else QUESTIONS_KEPT

        def too_much() -> bool:
            *older, _ = self._questions.values()
            held = needed + sum(cached.nbytes for cached in older)
            return bool(older) and (len(older) >= most or held > self.cache_bytes)

        while too_much():
            self._questions.popitem(last=False)
        return later

    def _all(
        self,
        states: Sequence[DecodeState],
        segments: Sequence[int],
        observer: ForwardObserver | None,
    ) -> Iterator[DecodeState]:
        """The same segments with all their memory tokens, as they are written."""
        written = self._passes.memory(states, segments, self.compressor.slots, observer)
        return chain.from_iterable(written)

    def _read(self, state: DecodeState) -> ScoredSegment:
        more = len(state.tokens) < self.compressor.slots
        return ScoredSegment(float(state.logit), state.tokens, state if more else None)

    @torch.inference_mode()
    def memory_tokens(
        self,
        cached: QuestionCache,
        needed: np.ndarray,
        step: Callable[[int], object] | None = None,
        observer: ForwardObserver | None = None,
    ) -> list[torch.Tensor]:
        """At least the first `needed` memory tokens of each segment, [k, hidden] each.

        Segments that lack about the same number (within a factor of two) are computed together,
        from where they end.

        Args:
            reading: what `read` gave.
            needed: int [segment].
            step: called with the number of segments that were just done.
            watch: sees every call.
        """
        step = step or (lambda segments: None)
        alike: dict[tuple[int, ...], dict[int, DecodeState]] = {}
        for number, segment in enumerate(cached.segments):
            lacking = int(needed[number]) - len(segment.memory_tokens)
            if segment.state is not None and lacking > 0:
                place = (*segment.state.place, (lacking - 1).bit_length())
                alike.setdefault(place, {})[number] = segment.state
        step(len(cached.segments) - sum(map(len, alike.values())))
        for states in alike.values():
            waiting, slots = iter(states), int(needed[list(states)].max())
            for written in self._passes.memory(
                list(states.values()), list(states), slots, observer
            ):
                for state in written:
                    cached.segments[next(waiting)] = self._read(state)
                step(len(written))
        return cached.memory_tokens

    def with_instruction(self, sentence: str) -> CompressorEngine:
        """Another reader of the same video, whose prompt asks for Yes or No in other words.

        Nothing that it reads is kept here. It starts from the visual features that are kept here,
        and keeps no more than features, so that the next one can start from its own.

        Args:
            sentence: as of `Prompts`.
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
            seen = takewhile(lambda item: item[1].features is not None, self._kept.items())
            other._kept = {key: replace(kept, prefix=None) for key, kept in seen}
        other.batches.decoded = list(self.batches.decoded)
        other.ood_monitor = self.ood_monitor
        return other

    def fork(self) -> CompressorEngine:
        """A reader that shares what is kept of the video, and knows no question.

        What it reads of one is held beyond `cache_bytes`, until it is dropped.
        """
        apart = copy.copy(self)
        apart._questions = OrderedDict()
        return apart

    def forget(self) -> None:
        """Drop everything kept."""
        self._kept.clear()
        self._questions.clear()
        self._system = None

    def _stream(self, start: int) -> Generator[SegmentCache]:
        """Micro-batches that hold segments from number `start` on: kept ones, then decoded ones."""
        if self._system is None:
            self._system = self.compressor.system(self.prompts.system())
        reached = start
        for kept in list(self._kept.values()):
            reached = max(reached, kept.segments[-1] + 1)
            if kept.segments[-1] >= start:
                yield kept
        if reached == len(self.video):
            return
        with closing(self.batches.stream(reached)) as stream:
            for batch in stream:
                kept = self._see(batch)
                if self.cache_mode != "nothing":
                    self._kept[self._model, batch.digest] = kept
                yield kept

    def _see(self, batch: MicroBatch) -> SegmentCache:
        self.computed["decoded"] += len(batch.segments)
        features = self.compressor.see(batch.patches, batch.grid)
        self.ood_monitor.add(batch.segments[0], features.merged, batch.grid.pairs)
        return SegmentCache(batch.segments, batch.videos, batch.grid, features)

    def _prefix(self, kept: SegmentCache) -> PrefixCache:
        if kept.prefix is not None:
            return kept.prefix
        assert self._system is not None
        assert kept.features is not None
        prefix = self.compressor.prefix(self._system, kept.videos, kept.features)
        self.computed["prefix"] += len(kept.segments)
        if self.cache_mode == "kv":
            kept.prefix, kept.features = prefix, None
        return prefix
