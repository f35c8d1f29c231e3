"""The compressor: an SVLM reads a segment with the question and writes memory tokens.

Three calls, exact by causality (METHOD sections 2 to 4):

    prefix     the video, which does not depend on the question
    relevance  the question; the Yes/No decision exists before any memory token
    memory     the first k memory tokens, and no more than are wanted

`in_one_pass` is the plain form that says what the three mean together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache, Qwen3VLConfig, Qwen3VLModel

from tempo_lab.model import qwen
from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.token_map import VISION, TokenMap, concatenate, rope_positions


@dataclass(frozen=True)
class SystemPrefix:
    """Keys and values of the system turn, the same for every segment."""

    cache: DynamicCache
    next_position: int


@dataclass(frozen=True)
class Prefix:
    """What is known of some segments of one shape before any question.

    Attributes:
        cache: keys and values of [system + video], one row a segment.
        next_position: rotary position of the token that follows.
    """

    cache: DynamicCache
    next_position: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return qwen.cache_bytes(self.cache)


@dataclass(frozen=True)
class QuestionState:
    """Some segments after the question was read, ready to write memory tokens.

    Attributes:
        hidden: [segment, hidden], final-norm state of the decision token.
        logit: float32 [segment], h . (W[Yes] - W[No]); its sigmoid is the relevance.
        prefix: what was known of these segments before the question.
        question: keys and values of the question alone.
        next_position: rotary position of memory token 1.
    """

    hidden: torch.Tensor
    logit: torch.Tensor
    prefix: Prefix
    question: DynamicCache
    next_position: int

    @property
    def nbytes(self) -> int:
        """Bytes held for this question, beyond those of the prefix."""
        return qwen.cache_bytes(self.question)


class _Tower(nn.Module):
    """Holds the SVLM under the released key `vlm.model`."""

    def __init__(self, config: Qwen3VLConfig) -> None:
        super().__init__()
        self.model = Qwen3VLModel(config)


class Compressor(nn.Module):
    """SVLM and learnable memory tokens.

    Args:
        config: the SVLM's configuration.
        slots: K, memory tokens a segment.
    """

    yes_no_rows: torch.Tensor

    def __init__(self, config: Qwen3VLConfig, slots: int) -> None:
        super().__init__()
        hidden = config.text_config.hidden_size
        spread = config.text_config.initializer_range
        self.compression_tokens = nn.Parameter(torch.randn(1, slots, hidden) * spread)
        # output-embedding rows of Yes and No of the BASE model, not of the tuned tower
        self.register_buffer("yes_no_rows", torch.zeros(2, hidden))
        self.vlm = _Tower(config)
        qwen.prepare(self.svlm)

    @property
    def svlm(self) -> Qwen3VLModel:
        """transformers' Qwen3VLModel."""
        return self.vlm.model

    @property
    def slots(self) -> int:
        """K, memory tokens a segment."""
        return self.compression_tokens.shape[1]

    def _embed(self, ids: np.ndarray) -> torch.Tensor:
        table = self.svlm.language_model.embed_tokens
        return table(torch.as_tensor(np.maximum(ids, 0), device=table.weight.device))

    def _positions(self, positions: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(positions, device=self.compression_tokens.device)

    def system(self, tokens: TokenMap) -> SystemPrefix:
        """Read the system turn once (METHOD section 8 c)."""
        cache = DynamicCache()
        positions, following = rope_positions(tokens)
        qwen.read(self.svlm, self._embed(tokens.ids)[None], self._positions(positions), cache)
        return SystemPrefix(cache, following)

    def see(self, patches: torch.Tensor, grid: PatchGrid) -> qwen.VisualFeatures:
        """Visual features of segments of one shape; uint8 [segment, patch, value] in."""
        return qwen.see(self.svlm, patches, grid)

    def prefix(
        self, system: SystemPrefix, videos: Sequence[TokenMap], features: qwen.VisualFeatures
    ) -> Prefix:
        """Read the visual part of some segments.

        Args:
            system: the shared system turn.
            videos: one map a segment, all of the same roles (`Prompts.video`).
            features: what `see` made of these segments.
        """
        embeddings = self._embed(np.stack([video.ids for video in videos]))
        visual = torch.as_tensor(videos[0].role == VISION, device=embeddings.device)
        embeddings[:, visual] = features.merged.to(embeddings.dtype)
        positions, following = rope_positions(videos[0], system.next_position)
        cache = qwen.fork(system.cache, repeat=len(videos))
        qwen.read(self.svlm, embeddings, self._positions(positions), cache, features, visual)
        return Prefix(cache, following)

    def relevance(self, prefix: Prefix, question: TokenMap) -> QuestionState:
        """Read the question after the video; the last token decides (METHOD section 3).

        `prefix` stays usable for other questions.
        """
        segments = prefix.cache.layers[0].keys.shape[0]
        embeddings = self._embed(question.ids)[None].expand(segments, -1, -1)
        positions, following = rope_positions(question, prefix.next_position)
        cache = qwen.fork(prefix.cache)
        states = qwen.read(self.svlm, embeddings, self._positions(positions), cache)
        hidden = states[:, -1]
        return QuestionState(
            hidden, self.logit(hidden), prefix, qwen.tail(cache, len(question)), following
        )

    def logit(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32 h . (W[Yes] - W[No]) of decision states [..., hidden]."""
        yes, no = self.yes_no_rows.float()
        return hidden.float() @ (yes - no)

    def memory(
        self, state: QuestionState, slots: int, *, rows: Sequence[int] | None = None
    ) -> torch.Tensor:
        """The first `slots` memory tokens (METHOD section 4).

        Args:
            state: segments that have read the question.
            slots: k, from 1 to K.
            rows: only these of the segments.

        Returns:
            [segment, k, hidden].
        """
        index = None if rows is None else torch.as_tensor(rows, device=state.logit.device)
        cache = qwen.join(state.prefix.cache, state.question, rows=index)
        segments = cache.layers[0].keys.shape[0]
        positions = state.next_position + torch.arange(slots, device=state.logit.device)
        embeddings = self.compression_tokens[:, :slots].expand(segments, -1, -1)
        return qwen.read(self.svlm, embeddings, positions.expand(3, -1), cache)

    def in_one_pass(
        self,
        patches: torch.Tensor,
        grid: PatchGrid,
        system: TokenMap,
        video: TokenMap,
        question: TokenMap,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the three calls compute, in one forward pass over one segment.

        Returns:
            relevance logit float32 [], and all memory tokens [K, hidden].
        """
        prompt = concatenate([system, video, question])
        positions, following = rope_positions(prompt)
        memory = following + np.arange(self.slots)
        positions = np.concatenate([positions, np.stack([memory] * 3)], axis=1)
        features = self.see(patches[None], grid)
        embeddings = torch.cat([self._embed(prompt.ids)[None], self.compression_tokens], dim=1)
        is_visual = np.concatenate([prompt.role == VISION, np.zeros(self.slots, dtype=bool)])
        visual = torch.as_tensor(is_visual, device=embeddings.device)
        embeddings[:, visual] = features.merged.to(embeddings.dtype)
        states = qwen.read(
            self.svlm, embeddings, self._positions(positions), None, features, visual
        )
        return self.logit(states[0, len(prompt) - 1]), states[0, len(prompt) :]
