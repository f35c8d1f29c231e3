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
    ForwardObserver,
    Keep,
    QuestionCache,
    ReadSegment,
    SegmentCache,
    check_keep,
    decide_keep,
    price_keeping,
)
from tempo_lab.session.micro_batches import MicroBatch, MicroBatcher
from tempo_lab.session.passes import Passes
from tempo_lab.video.video import Video

QUESTIONS_KEPT = 4
"""Questions whose memory tokens stay at hand, so that a changed budget reruns no SVLM; fewer where
they do not fit `keep_bytes`."""


class CompressorEngine:
    """Reads one video with one model.

    Args:
        checkpoint: the model.
        video: the video.
        keep, keep_bytes, batch_bytes: see `Tempo.open`.

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
        keep: Keep = "auto",
        keep_bytes: int | None = None,
        batch_bytes: int | None = None,
    ) -> None:
        check_keep(keep, keep_bytes=keep_bytes, batch_bytes=batch_bytes)
        self.checkpoint, self.video, self.keep = checkpoint, video, keep
        self.compressor, self.prompts = checkpoint.model.compressor, checkpoint.prompts
        device = self.compressor.compression_tokens.device
        self._limit = BatchLimit(
            self.compressor.svlm.config,
            self.compressor.compression_tokens.element_size(),
            batch_bytes or (16 << 20 if device.type == "cpu" else 1 << 30),
        )
        self.batches = MicroBatcher(video, checkpoint.model.config, checkpoint.prompts, self._limit)
        self.keep_bytes = free_bytes(device) // 2 if keep_bytes is None else keep_bytes
        self.look = OODMonitor(checkpoint.model.feature_statistics)
        self.computed = {"decoded": 0, "prefix": 0, "relevance": 0, "memory": 0}
        self._passes = Passes(self.compressor, self._limit, self.computed)
        # keys are digests of the model and of what it was shown, in the order of the segments
        self._model = checkpoint.digest
        self._kept: dict[tuple[str, str], SegmentCache] = {}
        self._readings: OrderedDict[tuple[str, str], QuestionCache] = OrderedDict()
        self._system: SystemPrefix | None = None

    def price(self, question: str = "") -> dict[str, int]:
        """Bytes that keeping costs for the whole video (see `price_keeping`).

        Args:
            question: whose price "question" is; by default a short one.
        """
        return price_keeping(
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
        return system + video + sum(reading.nbytes for reading in tuple(self._readings.values()))

    @torch.inference_mode()
    def score(
        self,
        question: str,
        step: Callable[[int], object] | None = None,
        watch: ForwardObserver | None = None,
    ) -> QuestionCache:
        """Relevance of every segment, and its memory tokens where they cannot come later.

        What an interrupted call has finished is used by the next one.

        Args:
            question: the question.
            step: called with the number of segments that were just read.
            watch: sees every call; what is known of the question is then computed anew, from the
                best thing kept of the video.
        """
        price = self.price(question)
        self.keep = decide_keep(self.keep, price, self.keep_bytes)
        key = (self._model, question)
        if watch is not None:
            self._readings.pop(key, None)
        reading = self._readings.setdefault(key, QuestionCache())
        self._readings.move_to_end(key)
        later = self._make_room(price)
        step = step or (lambda segments: None)
        done = len(reading.segments)
        step(done)
        if done == len(self.video):
            return reading
        tokens = self.prompts.question(question)
        with closing(self._stream(done)) as stream:
            for kept in stream:
                prefix = self._prefix(kept)
                start = max(0, len(reading.segments) - kept.segments[0])
                for states in self._passes.relevance(prefix, kept.segments, start, tokens, watch):
                    numbers = kept.segments[start : start + len(states)]
                    every = states if later else self._all(states, numbers, watch)
                    reading.segments += map(self._read, every)
                    start += len(states)
                    step(len(states))
        return reading

    def _make_room(self, price: dict[str, int]) -> bool:
        """Drop the oldest questions for the newest; whether its memory tokens can come later.

        What is kept stays within `keep_bytes`, the newest question at its largest.
        """
        needed = price.get(self.keep, 0)
        later = self.keep == "kv" and needed + price["question"] <= self.keep_bytes
        needed += price["question"] if later else 0
        most = 1 if self.keep == "nothing" else QUESTIONS_KEPT

        def too_much() -> bool:
            *older, _ = self._readings.values()
            held = needed + sum(reading.nbytes for reading in older)
            return bool(older) and (len(older) >= most or held > self.keep_bytes)

        while too_much():
            self._readings.popitem(last=False)
        return later

    def _all(
        self, states: Sequence[DecodeState], segments: Sequence[int], watch: ForwardObserver | None
    ) -> Iterator[DecodeState]:
        """The same segments with all their memory tokens, as they are written."""
        written = self._passes.memory(states, segments, self.compressor.slots, watch)
        return chain.from_iterable(written)

    def _read(self, state: DecodeState) -> ReadSegment:
        more = len(state.tokens) < self.compressor.slots
        return ReadSegment(float(state.logit), state.tokens, state if more else None)

    @torch.inference_mode()
    def memory_tokens(
        self,
        reading: QuestionCache,
        needed: np.ndarray,
        step: Callable[[int], object] | None = None,
        watch: ForwardObserver | None = None,
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
        for number, segment in enumerate(reading.segments):
            lacking = int(needed[number]) - len(segment.tokens)
            if segment.state is not None and lacking > 0:
                place = (*segment.state.batch_key, (lacking - 1).bit_length())
                alike.setdefault(place, {})[number] = segment.state
        step(len(reading.segments) - sum(map(len, alike.values())))
        for states in alike.values():
            waiting, slots = iter(states), int(needed[list(states)].max())
            for written in self._passes.memory(list(states.values()), list(states), slots, watch):
                for state in written:
                    reading.segments[next(waiting)] = self._read(state)
                step(len(written))
        return reading.memory

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
            keep="features" if self.price()["features"] <= self.keep_bytes else "nothing",
            keep_bytes=self.keep_bytes,
            batch_bytes=self._limit.limit,
        )
        if other.keep == "features":  # from the first segment on, without a gap
            seen = takewhile(lambda item: item[1].features is not None, self._kept.items())
            other._kept = {key: replace(kept, prefix=None) for key, kept in seen}
        other.batches.decoded = list(self.batches.decoded)
        other.look = self.look
        return other

    def fork(self) -> CompressorEngine:
        """A reader that shares what is kept of the video, and knows no question.

        What it reads of one is held beyond `keep_bytes`, until it is dropped.
        """
        apart = copy.copy(self)
        apart._readings = OrderedDict()
        return apart

    def forget(self) -> None:
        """Drop everything kept."""
        self._kept.clear()
        self._readings.clear()
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
                if self.keep != "nothing":
                    self._kept[self._model, batch.digest] = kept
                yield kept

    def _see(self, batch: MicroBatch) -> SegmentCache:
        self.computed["decoded"] += len(batch.segments)
        features = self.compressor.encode_vision(batch.patches, batch.grid)
        self.look.add(batch.segments[0], features.merged, batch.grid.pairs)
        return SegmentCache(batch.segments, batch.videos, batch.grid, features)

    def _prefix(self, kept: SegmentCache) -> PrefixCache:
        if kept.prefix is not None:
            return kept.prefix
        assert self._system is not None
        assert kept.features is not None
        prefix = self.compressor.prefix(self._system, kept.videos, kept.features)
        self.computed["prefix"] += len(kept.segments)
        if self.keep == "kv":
            kept.prefix, kept.features = prefix, None
        return prefix
