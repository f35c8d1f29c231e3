"""The compressor: an SVLM reads a segment and the question, and writes memory tokens.

Causal attention makes three separate calls exact (docs/method.md sections 2 to 4):

    prefix     prefills the video, which does not depend on the question
    relevance  prefills the question; its last token gives the Yes/No logit
    memory     computes the first k memory tokens; more can be computed later

`in_one_pass` computes the same in one forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache, Qwen3VLConfig, Qwen3VLModel

from tempo_lab.model import qwen
from tempo_lab.model.finite import check_finite
from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.token_map import VISION, TokenMap, concatenate, rope_positions


@dataclass(frozen=True)
class SystemPrefix:
    """KV cache of the system turn, the same for every segment."""

    cache: DynamicCache
    next_position: int

    @property
    def nbytes(self) -> int:
        """Bytes of the KV cache."""
        return qwen.cache_bytes(self.cache)


@dataclass(frozen=True)
class PrefixCache:
    """KV cache of the system turn and the video, for segments of one shape.

    Attributes:
        cache: keys and values of [system + video], one row per segment.
        next_position: rotary position of the next token.
    """

    cache: DynamicCache
    next_position: int

    def __len__(self) -> int:
        return len(self.cache.layers[0].keys)

    @property
    def positions(self) -> int:
        """Number of positions per segment."""
        return self.cache.get_seq_length()

    @property
    def nbytes(self) -> int:
        """Bytes of the KV cache."""
        return qwen.cache_bytes(self.cache)

    def rows(self, first: int, stop: int) -> PrefixCache:
        """Return some of the segments; the tensors are shared."""
        return replace(self, cache=qwen.rows(self.cache, first, stop))


@dataclass(frozen=True)
class DecodeState:
    """State of one segment after the question, and the memory tokens computed so far.

    Attributes:
        hidden: [hidden], final-norm state of the decision token.
        logit: float32 [], h . (W[Yes] - W[No]); its sigmoid is the relevance.
        prefix: KV cache of the segment before the question.
        suffix: KV caches of what follows, in order: the question, then the memory tokens.
        next_position: rotary position of the next memory token.
        tokens: [k, hidden], the memory tokens so far.
    """

    hidden: torch.Tensor
    logit: torch.Tensor
    prefix: PrefixCache
    suffix: tuple[DynamicCache, ...]
    next_position: int
    tokens: torch.Tensor

    @property
    def positions(self) -> int:
        """Number of positions so far."""
        return self.prefix.positions + sum(part.get_seq_length() for part in self.suffix)

    @property
    def batch_key(self) -> tuple[int, int, int]:
        """States with the same key can be continued in one batch."""
        return self.positions, self.next_position, len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Bytes for this question, without those of the prefix."""
        tensors = self.hidden.nbytes + self.logit.nbytes + self.tokens.nbytes
        return tensors + sum(qwen.cache_bytes(part) for part in self.suffix)


class _Tower(nn.Module):
    """Holds the SVLM under the released key `vlm.model`."""

    def __init__(self, config: Qwen3VLConfig) -> None:
        super().__init__()
        self.model = Qwen3VLModel(config)


class Compressor(nn.Module):
    """SVLM and learnable memory tokens.

    Args:
        config: the SVLM's configuration.
        slots: K, memory tokens per segment.
    """

    yes_no_rows: torch.Tensor

    def __init__(self, config: Qwen3VLConfig, slots: int) -> None:
        super().__init__()
        hidden = config.text_config.hidden_size
        spread = config.text_config.initializer_range
        self.compression_tokens = nn.Parameter(torch.randn(1, slots, hidden) * spread)
        # output-embedding rows of Yes and No in the BASE model, not in the tuned tower
        self.register_buffer("yes_no_rows", torch.zeros(2, hidden))
        self.vlm = _Tower(config)
        qwen.prepare(self.svlm)

    @property
    def svlm(self) -> Qwen3VLModel:
        """transformers' Qwen3VLModel."""
        return self.vlm.model

    @property
    def slots(self) -> int:
        """K, memory tokens per segment."""
        return self.compression_tokens.shape[1]

    def _embed(self, ids: np.ndarray) -> torch.Tensor:
        table = self.svlm.language_model.embed_tokens
        return table(torch.as_tensor(np.maximum(ids, 0), device=table.weight.device))

    def _positions(self, positions: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(positions, device=self.compression_tokens.device)

    def system(self, tokens: TokenMap) -> SystemPrefix:
        """Prefill the system turn, once for all segments (docs/method.md section 8 c)."""
        cache = DynamicCache()
        positions, following = rope_positions(tokens)
        qwen.prefill(self.svlm, self._embed(tokens.ids)[None], self._positions(positions), cache)
        return SystemPrefix(cache, following)

    def encode_vision(self, patches: torch.Tensor, grid: PatchGrid) -> qwen.VisualFeatures:
        """Return the visual features of segments of one shape.

        Args:
            patches: uint8 [segment, patch, rgb * temporal * patch * patch].
            grid: patches of each segment.
        """
        return qwen.encode_vision(self.svlm, patches, grid)

    def prefix(
        self, system: SystemPrefix, videos: Sequence[TokenMap], features: qwen.VisualFeatures
    ) -> PrefixCache:
        """Prefill the visual part of some segments.

        Args:
            system: the shared system turn.
            videos: one token map per segment, all with the same roles (`Prompts.video`).
            features: the visual features of these segments (`encode_vision`).
        """
        embeddings = self._embed(np.stack([video.ids for video in videos]))
        visual = torch.as_tensor(videos[0].role == VISION, device=embeddings.device)
        embeddings[:, visual] = features.merged.to(embeddings.dtype)
        positions, following = rope_positions(videos[0], system.next_position)
        cache = qwen.copy_cache(system.cache, repeat=len(videos))
        qwen.prefill(self.svlm, embeddings, self._positions(positions), cache, features, visual)
        return PrefixCache(cache, following)

    def relevance(self, prefix: PrefixCache, question: TokenMap) -> list[DecodeState]:
        """Prefill the question after the video; its last token decides (docs/method.md section 3).

        `prefix` does not change and can be used for other questions.

        Raises:
            CheckpointError: a logit is NaN or infinite.
        """
        embeddings = self._embed(question.ids)[None].expand(len(prefix), -1, -1)
        positions, following = rope_positions(question, prefix.next_position)
        cache = qwen.copy_cache(prefix.cache)
        states = qwen.prefill(self.svlm, embeddings, self._positions(positions), cache)
        hidden = states[:, -1].clone()
        logit = self.logit(hidden)
        check_finite(logit, "the relevance logits", self)
        return [
            DecodeState(
                hidden[row],
                logit[row],
                prefix.rows(row, row + 1),
                (qwen.tail(cache, row, len(question)),),
                following,
                hidden.new_empty(0, hidden.shape[1]),
            )
            for row in range(len(prefix))
        ]

    def logit(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return float32 h . (W[Yes] - W[No]) for decision states [..., hidden]."""
        yes, no = self.yes_no_rows.float()
        return hidden.float() @ (yes - no)

    def memory(self, states: Sequence[DecodeState], slots: int) -> list[DecodeState]:
        """Compute memory tokens up to the first `slots` (docs/method.md section 4).

        Token k depends only on the prompt and on tokens < k, so existing tokens are not computed
        again.

        Args:
            states: segments after the same question, all with the same `batch_key`.
            slots: k, more than the states have, at most K.

        Returns:
            new states with k tokens each; the old states do not change.

        Raises:
            CheckpointError: a memory token has NaN or infinite numbers.
        """
        first = states[0]
        existing = len(first.tokens)
        new = slots - existing
        cache = qwen.concat_caches([(state.prefix.cache, *state.suffix) for state in states])
        positions = first.next_position + torch.arange(new, device=first.logit.device)
        embeddings = self.compression_tokens[:, existing:slots].expand(len(states), -1, -1)
        written = qwen.prefill(self.svlm, embeddings, positions.expand(3, -1), cache)
        check_finite(written, "the memory tokens", self)
        return [
            replace(
                state,
                suffix=(*state.suffix, qwen.tail(cache, row, new)),
                next_position=state.next_position + new,
                tokens=torch.cat([state.tokens, written[row]]),
            )
            for row, state in enumerate(states)
        ]

    def in_one_pass(
        self,
        patches: torch.Tensor,
        grid: PatchGrid,
        system: TokenMap,
        video: TokenMap,
        question: TokenMap,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute what the three calls compute, in one forward pass over one segment.

        Returns:
            the relevance logit float32 [], and all memory tokens [K, hidden].
        """
        prompt = concatenate([system, video, question])
        positions, following = rope_positions(prompt)
        memory = following + np.arange(self.slots)
        positions = np.concatenate([positions, np.stack([memory] * 3)], axis=1)
        features = self.encode_vision(patches[None], grid)
        embeddings = torch.cat([self._embed(prompt.ids)[None], self.compression_tokens], dim=1)
        is_visual = np.concatenate([prompt.role == VISION, np.zeros(self.slots, dtype=bool)])
        visual = torch.as_tensor(is_visual, device=embeddings.device)
        embeddings[:, visual] = features.merged.to(embeddings.dtype)
        states = qwen.prefill(
            self.svlm, embeddings, self._positions(positions), None, features, visual
        )
        return self.logit(states[0, len(prompt) - 1]), states[0, len(prompt) :]
