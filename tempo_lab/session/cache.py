"""What a session caches of a video and of questions about it, so that nothing is computed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from transformers import Qwen3VLConfig

from tempo_lab.common.errors import BudgetError, did_you_mean
from tempo_lab.common.validation import check_whole
from tempo_lab.model.batch_limit import kv_cache_size
from tempo_lab.model.compressor import DecodeState, PrefixCache
from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.qwen import VisualFeatures
from tempo_lab.model.token_map import VISION, TokenMap

CacheMode = Literal["auto", "kv", "features", "nothing"]


class ForwardObserver(Protocol):
    """A context that is opened around every call of the compressor for a question."""

    def __call__(
        self, segments: Sequence[int], slots: range | None = None
    ) -> AbstractContextManager[None]:
        """Open it for these segments and memory slots; slots are None for the question itself."""


def no_observer(
    segments: Sequence[int], slots: range | None = None
) -> AbstractContextManager[None]:
    """Return the observer that does nothing."""
    return nullcontext()


def check_cache(cache: str, **limits: int | None) -> None:
    """Refuse an unknown `CacheMode`, and limits that are not a number of bytes.

    Raises:
        BudgetError: says which, with the nearest mode.
    """
    for name, limit in limits.items():
        if limit is not None:
            check_whole(name, limit, 0, error=BudgetError, fix=f"{name}=2 << 30 for 2 GiB")
    if cache not in get_args(CacheMode):
        raise BudgetError(
            "there is no such cache mode",
            asked=f"cache={cache!r}",
            found=", ".join(get_args(CacheMode)),
            fix=did_you_mean(cache, get_args(CacheMode), "use one of these"),
        )


def cache_cost(
    config: Qwen3VLConfig,
    itemsize: int,
    *,
    slots: int,
    system: int,
    videos: Sequence[TokenMap],
    question: int,
) -> dict[str, int]:
    """Bytes that each cache mode costs for a whole video.

    Args:
        config: the SVLM's configuration.
        itemsize: bytes per number.
        slots: memory tokens per segment.
        system: positions of the system turn.
        videos: the visual part of each segment's prompt.
        question: positions of the question.

    Returns:
        "features" and "kv", each with all memory tokens of one question; and "question", what "kv"
        caches in addition for a question whose memory tokens are computed on demand.
    """
    width, position = config.text_config.hidden_size, kv_cache_size(config)
    levels = 1 + len(config.vision_config.deepstack_visual_indexes)
    segments, positions = len(videos), sum(map(len, videos))
    visual = sum(int((video.role == VISION).sum()) for video in videos)
    always = system * position + segments * slots * width
    numbers = {
        "features": visual * levels * width + always,
        "kv": (positions + segments * system) * position + always,
        # the state of the decision token, and its logit as float32
        "question": segments * ((question + slots) * position + width),
    }
    cost = {name: number * itemsize for name, number in numbers.items()}
    return {**cost, "question": cost["question"] + segments * torch.float32.itemsize}


def choose_cache(cache: CacheMode, cost: Mapping[str, int], cache_bytes: int) -> CacheMode:
    """Return the requested mode; for "auto", the best one that fits.

    Args:
        cache: the requested mode.
        cost: bytes of "kv" and "features".
        cache_bytes: bytes that may be cached.

    Raises:
        BudgetError: the requested mode does not fit.
    """
    if cache == "auto":
        if cost["kv"] <= cache_bytes:
            return "kv"
        return "features" if cost["features"] <= cache_bytes else "nothing"
    if cost.get(cache, 0) > cache_bytes:
        raise BudgetError(
            "the cache for follow-up questions does not fit its byte limit",
            asked=f"cache={cache!r}: {cost[cache] / 2**20:.1f} MiB",
            found=f"cache_bytes = {cache_bytes / 2**20:.1f} MiB",
            fix='a higher cache_bytes, or cache="auto"',
        )
    return cache


@dataclass
class SegmentCache:
    """What is cached of some segments of one shape, for the next question.

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
    prefix: PrefixCache | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(part.nbytes for part in (self.features, self.prefix) if part is not None)


@dataclass(frozen=True)
class ScoredSegment:
    """One segment after the SVLM has read one question.

    Attributes:
        logit: Yes - No.
        memory_tokens: [k, hidden], the first k memory tokens.
        state: the state to write more of them from; None if all are written.
    """

    logit: float
    memory_tokens: torch.Tensor
    state: DecodeState | None

    @property
    def nbytes(self) -> int:
        """Bytes held for this question."""
        return self.memory_tokens.nbytes if self.state is None else self.state.nbytes


@dataclass
class QuestionCache:
    """What has been computed for one question so far: the first segments, in order."""

    segments: list[ScoredSegment] = field(default_factory=list)

    @property
    def logit(self) -> np.ndarray:
        """float32 [segment], Yes - No."""
        return np.array([segment.logit for segment in self.segments], dtype=np.float32)

    @property
    def memory_tokens(self) -> list[torch.Tensor]:
        """[k, hidden] of each segment, the first k memory tokens computed so far."""
        return [segment.memory_tokens for segment in self.segments]

    @property
    def nbytes(self) -> int:
        """Bytes held for this question."""
        return sum(segment.nbytes for segment in self.segments)
