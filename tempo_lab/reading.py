"""How a video is read for a question: in a stream of micro-batches, keeping what can be reused.

    patches -> visual features -> [system + video] prefix -> relevance
                kept: "features"   kept: "kv"             \\-> memory tokens

A second question starts from the best thing kept. With prefixes kept, memory tokens are computed
after the allocation is known, and no more than it wants; without, all K are computed on the way,
because coming back for some would mean reading the video twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from tempo_lab.batches import Batches, MicroBatch
from tempo_lab.errors import BudgetError
from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.compressor import Prefix, QuestionState, SystemPrefix
from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.qwen import VisualFeatures
from tempo_lab.model.token_map import TokenMap
from tempo_lab.video import Video

Keep = Literal["auto", "kv", "features", "nothing"]
QUESTIONS_KEPT = 4
"""Questions whose memory tokens stay at hand, so that a changed budget reruns no SVLM; fewer where
they do not fit `keep_bytes`."""


@dataclass
class Kept:
    """What is kept of some segments of one shape, for the next question.

    Attributes:
        segments: their numbers.
        videos: the visual part of each one's prompt.
        grid: patches of each one.
        features: visual features, or None.
        prefix: keys and values of [system + video], or None.
    """

    segments: list[int]
    videos: list[TokenMap]
    grid: PatchGrid
    features: VisualFeatures | None = None
    prefix: Prefix | None = None


@dataclass
class ReadPart:
    """Some segments, read with one question.

    Attributes:
        segments: their numbers.
        logit: Yes - No of each.
        memory: [k, hidden] of each, the first k memory tokens computed so far.
        state: ready to write more of them; None if not kept.
    """

    segments: list[int]
    logit: list[float]
    memory: list[torch.Tensor]
    state: QuestionState | None

    @property
    def nbytes(self) -> int:
        """Bytes held for this question."""
        state = 0 if self.state is None else self.state.nbytes
        return state + sum(tokens.nbytes for tokens in self.memory)


@dataclass
class Reading:
    """What reading a video for one question has given so far."""

    parts: list[ReadPart] = field(default_factory=list)

    @property
    def logit(self) -> np.ndarray:
        """float32 [segment], Yes - No."""
        return np.array([x for part in self.parts for x in part.logit], dtype=np.float32)

    @property
    def memory(self) -> list[torch.Tensor]:
        """[k, hidden] of each segment, the first k memory tokens computed so far."""
        return [tokens for part in self.parts for tokens in part.memory]


class Reader:
    """Reads one video with one model.

    Args:
        checkpoint: the model.
        video: the video.
        keep: what a second question may reuse: "kv", "features", "nothing", or "auto" for the
            first of these whose price is at most `keep_bytes`.
        keep_bytes: bytes that may be kept; by default 2 GiB, or half of what is free on a
            CUDA device.
        batch_bytes: bytes that one micro-batch may take while it is computed, about; by default
            64 MiB (larger ones are slower on a CPU), or 1 GiB on an accelerator.

    Attributes:
        computed: how often each call did its work, in segments (memory: tokens).
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
        if keep not in ("auto", "kv", "features", "nothing"):
            raise BudgetError("unknown keep", asked=repr(keep), found="auto, kv, features, nothing")
        self.compressor, self.prompts = checkpoint.model.compressor, checkpoint.prompts
        self.video, self.keep = video, keep
        device = self.compressor.compression_tokens.device
        limit = batch_bytes or (64 << 20 if device.type == "cpu" else 1 << 30)
        self.batches = Batches(video, checkpoint.model.config, checkpoint.prompts, limit)
        self.keep_bytes = _default_keep_bytes(device) if keep_bytes is None else keep_bytes
        self.computed = {"decoded": 0, "prefix": 0, "relevance": 0, "memory": 0}
        # keys are digests of the model and of what it was shown, in the order of the segments
        self._model = checkpoint.digest
        self._kept: dict[tuple[str, str], Kept] = {}
        self._readings: OrderedDict[tuple[str, str], Reading] = OrderedDict()
        self._system: SystemPrefix | None = None

    def price(self) -> dict[str, int]:
        """Bytes that keeping "features" and "kv" costs for the whole video, about."""
        config = self.compressor.svlm.config
        text, vision = config.text_config, config.vision_config
        width, height = self.batches.frame_size
        edge = vision.patch_size * vision.spatial_merge_size
        pairs = -(-len(self.video.plan) // vision.temporal_patch_size)
        visual = pairs * (width // edge) * (height // edge)
        # a pair brings two vision marks and about seven tokens of timestamp
        positions = visual + 9 * pairs + len(self.video) * len(self.prompts.system())
        keys_values = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim
        levels = 1 + len(vision.deepstack_visual_indexes)
        itemsize = self.compressor.compression_tokens.element_size()
        return {
            "features": visual * levels * text.hidden_size * itemsize,
            "kv": positions * keys_values * itemsize,
        }

    def _decide_keep(self) -> Keep:
        price = self.price()
        if self.keep == "auto":
            if price["kv"] <= self.keep_bytes:
                return "kv"
            return "features" if price["features"] <= self.keep_bytes else "nothing"
        if price.get(self.keep, 0) > self.keep_bytes:
            raise BudgetError(
                "what is to be kept for a second question does not fit its byte limit",
                asked=f"keep={self.keep!r}: {price[self.keep] / 2**20:.1f} MiB",
                found=f"keep_bytes = {self.keep_bytes / 2**20:.1f} MiB",
                fix='a higher keep_bytes, or keep="auto"',
            )
        return self.keep

    @torch.inference_mode()
    def read(self, question: str, step: Callable[[int], object] | None = None) -> Reading:
        """Relevance of every segment, and its memory tokens where they cannot come later.

        What an interrupted call has finished is used by the next one.

        Args:
            question: the question.
            step: called with the number of segments that were just read.
        """
        self.keep = self._decide_keep()
        key = (self._model, question)
        reading = self._readings.setdefault(key, Reading())
        self._readings.move_to_end(key)
        self._drop_old_readings()
        step = step or (lambda segments: None)
        done = len(reading.logit)
        step(done)
        if done == len(self.video):
            return reading
        tokens = self.prompts.question(question)
        with closing(self._stream(done)) as stream:
            for kept in stream:
                reading.parts.append(self._read_part(kept, tokens))
                step(len(kept.segments))
        return reading

    def _drop_old_readings(self) -> None:
        def held() -> int:
            parts = [part for reading in self._readings.values() for part in reading.parts]
            return sum(part.nbytes for part in parts)

        most = 1 if self.keep == "nothing" else QUESTIONS_KEPT
        while len(self._readings) > most or (len(self._readings) > 1 and held() > self.keep_bytes):
            self._readings.popitem(last=False)

    def _read_part(self, kept: Kept, question: TokenMap) -> ReadPart:
        assert kept.prefix is not None
        segments, slots = kept.segments, self.compressor.slots
        state = self.compressor.relevance(kept.prefix, question)
        self.computed["relevance"] += len(segments)
        if self.keep == "kv":
            none = state.hidden.new_empty(0, state.hidden.shape[1])
            return ReadPart(segments, state.logit.tolist(), [none] * len(segments), state)
        memory = list(self.compressor.memory(state, slots))
        self.computed["memory"] += len(segments) * slots
        kept.prefix = None
        return ReadPart(segments, state.logit.tolist(), memory, None)

    @torch.inference_mode()
    def memory(
        self,
        reading: Reading,
        needed: np.ndarray,
        step: Callable[[int], object] | None = None,
    ) -> list[torch.Tensor]:
        """At least the first `needed` memory tokens of each segment, [k, hidden] each.

        Segments of a part that want about the same number (within a factor of two) are computed
        together. A segment that has some tokens and wants more computes them from the first.

        Args:
            reading: what `read` gave.
            needed: int [segment].
            step: called with the number of segments that were just done.
        """
        step = step or (lambda segments: None)
        for part in reading.parts:
            if part.state is None:
                step(len(part.segments))
                continue
            groups: dict[int, list[int]] = {}
            for row, segment in enumerate(part.segments):
                if needed[segment] > len(part.memory[row]):
                    groups.setdefault(int(needed[segment] - 1).bit_length(), []).append(row)
            for rows in groups.values():
                slots = int(max(needed[part.segments[row]] for row in rows))
                tokens = self.compressor.memory(part.state, slots, rows=rows)
                self.computed["memory"] += len(rows) * slots
                for row, written in zip(rows, tokens, strict=True):
                    part.memory[row] = written
            step(len(part.segments))
        return reading.memory

    def forget(self) -> None:
        """Drop everything kept."""
        self._kept.clear()
        self._readings.clear()
        self._system = None

    def _stream(self, start: int) -> Generator[Kept]:
        """Segments with their prefixes, from number `start` on: kept ones, then decoded ones."""
        if self._system is None:
            self._system = self.compressor.system(self.prompts.system())
        reached = start
        for kept in list(self._kept.values()):
            if kept.segments[0] >= start:
                yield self._with_prefix(kept)
            reached = max(reached, kept.segments[-1] + 1)
        if reached == len(self.video):
            return
        with closing(self.batches.stream(reached)) as stream:
            for batch in stream:
                kept = self._with_prefix(self._see(batch))
                if self.keep == "kv":
                    kept.features = None
                if self.keep != "nothing":
                    self._kept[self._model, batch.digest] = kept
                yield kept

    def _see(self, batch: MicroBatch) -> Kept:
        self.computed["decoded"] += len(batch.segments)
        features = self.compressor.see(batch.patches, batch.grid)
        return Kept(batch.segments, batch.videos, batch.grid, features)

    def _with_prefix(self, kept: Kept) -> Kept:
        if kept.prefix is None:
            assert self._system is not None
            assert kept.features is not None
            kept.prefix = self.compressor.prefix(self._system, kept.videos, kept.features)
            self.computed["prefix"] += len(kept.segments)
        return kept


def _default_keep_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] // 2)
    return 2 << 30
