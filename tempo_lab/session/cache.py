"""What is kept of a video and of questions about it, so that nothing is computed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from transformers import Qwen3VLConfig

from tempo_lab.common.errors import BudgetError, did_you_mean
from tempo_lab.model.batch_limit import keys_values
from tempo_lab.model.compressor import DecodeState, PrefixCache
from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.qwen import VisualFeatures
from tempo_lab.model.token_map import VISION, TokenMap

Keep = Literal["auto", "kv", "features", "nothing"]


class ForwardObserver(Protocol):
    """Opened around every call of the compressor for a question."""

    def __call__(
        self, segments: Sequence[int], slots: range | None = None
    ) -> AbstractContextManager[None]:
        """Numbers of the segments; the memory slots written, or None: the question is read."""


def unwatched(segments: Sequence[int], slots: range | None = None) -> AbstractContextManager[None]:
    """The watch that sees nothing."""
    return nullcontext()


def check_keep(keep: str, **limits: int | None) -> None:
    """Refuse what is no `Keep`, with the nearest one, and limits that are no bytes.

    Raises:
        BudgetError: says which.
    """
    for name, limit in limits.items():
        if limit is not None and (not isinstance(limit, int | np.integer) or limit < 0):
            raise BudgetError(
                f"{name} is a whole number of bytes, 0 or more",
                asked=f"{name}={limit!r}",
                fix=f"{name}=2 << 30 for 2 GiB",
            )
    if keep not in get_args(Keep):
        raise BudgetError(
            "this cannot be kept for a second question",
            asked=f"keep={keep!r}",
            found=", ".join(get_args(Keep)),
            fix=did_you_mean(keep, get_args(Keep), "use one of these"),
        )


def price_keeping(
    config: Qwen3VLConfig,
    itemsize: int,
    *,
    slots: int,
    system: int,
    videos: Sequence[TokenMap],
    question: int,
) -> dict[str, int]:
    """Bytes that keeping costs for a whole video.

    Args:
        config: of the SVLM.
        itemsize: bytes of one number.
        slots: memory tokens of a segment.
        system: positions of the system turn.
        videos: the visual part of each segment's prompt.
        question: positions of the question.

    Returns:
        "features" and "kv", each with all memory tokens of one question; and "question", what "kv"
        keeps beyond them of a question whose memory tokens are computed when they are wanted.
    """
    width, position = config.text_config.hidden_size, keys_values(config)
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
    price = {name: number * itemsize for name, number in numbers.items()}
    return {**price, "question": price["question"] + segments * torch.float32.itemsize}


def decide_keep(keep: Keep, price: Mapping[str, int], keep_bytes: int) -> Keep:
    """What is kept: what was asked for, or the best that fits.

    Args:
        keep: as asked.
        price: bytes that "kv" and "features" cost.
        keep_bytes: bytes that may be kept.

    Raises:
        BudgetError: what was asked for does not fit.
    """
    if keep == "auto":
        if price["kv"] <= keep_bytes:
            return "kv"
        return "features" if price["features"] <= keep_bytes else "nothing"
    if price.get(keep, 0) > keep_bytes:
        raise BudgetError(
            "what is to be kept for a second question does not fit its byte limit",
            asked=f"keep={keep!r}: {price[keep] / 2**20:.1f} MiB",
            found=f"keep_bytes = {keep_bytes / 2**20:.1f} MiB",
            fix='a higher keep_bytes, or keep="auto"',
        )
    return keep


@dataclass
class SegmentCache:
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
    prefix: PrefixCache | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(part.nbytes for part in (self.features, self.prefix) if part is not None)


@dataclass(frozen=True)
class ReadSegment:
    """One segment, read with one question.

    Attributes:
        logit: Yes - No.
        tokens: [k, hidden], the first k memory tokens.
        state: ready to write more of them; None where all are there.
    """

    logit: float
    tokens: torch.Tensor
    state: DecodeState | None

    @property
    def nbytes(self) -> int:
        """Bytes held for this question."""
        return self.tokens.nbytes if self.state is None else self.state.nbytes


@dataclass
class QuestionCache:
    """What reading a video for one question has given so far: its first segments, in order."""

    segments: list[ReadSegment] = field(default_factory=list)

    @property
    def logit(self) -> np.ndarray:
        """float32 [segment], Yes - No."""
        return np.array([segment.logit for segment in self.segments], dtype=np.float32)

    @property
    def memory(self) -> list[torch.Tensor]:
        """[k, hidden] of each segment, the first k memory tokens computed so far."""
        return [segment.tokens for segment in self.segments]

    @property
    def nbytes(self) -> int:
        """Bytes held for this question."""
        return sum(segment.nbytes for segment in self.segments)
