"""The forward pass for one question, started from changed pixels, features, memory or words.

It does not change the session: what the session caches is copied or computed again, with
gradients where a method needs them. Units (`units.py`) decide what goes in, and targets
(`targets.py`) read what comes out, a `MaskedOutput`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TraceError

if TYPE_CHECKING:
    import torch

    from tempo_lab.model.compressor import DecodeState, PrefixCache, SystemPrefix
    from tempo_lab.model.pixels import PatchGrid
    from tempo_lab.model.tempo import TempoForConditionalGeneration
    from tempo_lab.model.token_map import TokenMap
    from tempo_lab.session.engine import CompressorEngine
    from tempo_lab.session.scoring import TeacherForced
    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace


@dataclass(frozen=True, eq=False)
class SegmentInput:
    """One segment as the input of the vision tower.

    Attributes:
        patches: uint8 [patch, value].
        blurred: the patches of blurred frames, uint8 [patch, value].
        grid: the grid of the patches.
        video: the visual part of the segment's prompt.
        seconds: float [pair, 2], start and end on the sampled clock.
    """

    patches: torch.Tensor
    blurred: torch.Tensor
    grid: PatchGrid
    video: TokenMap
    seconds: np.ndarray


class MaskedForward:
    """The model's output for one question about one video, given changed input.

    Args:
        session: the opened video.
        trace: the trace of the question; its allocation is used for every changed input.
        segment: the segment whose frames can be changed and whose relevance is read.
        answer: the answer whose probability is read.
        against: the answer to compare with; None for the best other first token.
    """

    def __init__(
        self, session: Session, trace: Trace, segment: int, answer: str, against: str | None = None
    ) -> None:
        self.session, self.trace, self.segment = session, trace, segment
        self.answer, self.against = answer, against
        self.model, self.prompts = session.checkpoint.model, session.checkpoint.prompts
        self.compressor, self.allocation = self.model.compressor, trace.allocation()
        self._teacher_forced: dict[tuple[str, str], TeacherForced] = {}

    @cached_property
    def memory(self) -> list[torch.Tensor]:
        """Return what the LLM read at each place in time, [k, hidden], interventions included."""
        from tempo_lab.session.interventions.apply import kept_memory

        # copies: tensors made in inference mode cannot take part in a gradient
        memory = kept_memory(self.session.engine, self.trace, self.allocation)
        return [tokens.clone() for tokens in memory]

    @cached_property
    def segment_input(self) -> SegmentInput:
        """Decode the segment again: the session keeps no pixels."""
        import torch
        from PIL import Image, ImageFilter

        video, batches = self.session.video, self.session.engine.batches
        with closing(video.segments(batches.resize, self.segment)) as stream:
            decoded = next(stream)
        wide = ImageFilter.GaussianBlur(max(decoded.frames.shape[1:3]) / 8)
        soft = [np.asarray(Image.fromarray(frame).filter(wide)) for frame in decoded.frames]
        patches, grid = batches.patches(decoded)
        blurred, _ = batches.patches(replace(decoded, frames=np.stack(soft)))
        pairs = 2 * np.arange(grid.pairs)[:, None] + [0, 2]
        ends = np.minimum(decoded.positions[0] + pairs, len(video.plan))
        return SegmentInput(
            torch.from_numpy(patches),
            torch.from_numpy(blurred),
            grid,
            self.prompts.video(grid, batches.seconds(decoded)),
            ends / video.plan.fps + video.plan.offset,
        )

    @cached_property
    def _system(self) -> SystemPrefix:
        return self.compressor.system(self.prompts.system())

    def encode_vision(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the visual features of changed patches of the segment.

        Args:
            patches: uint8 [mask, patch, value].

        Returns:
            [mask, visual token, level, hidden]: the tower's output, then its deepstack levels.
        """
        import torch

        features = self.compressor.encode_vision(patches, self.segment_input.grid)
        return torch.stack([features.merged, *features.deepstack], dim=2)

    def _prefix(self, features: torch.Tensor) -> PrefixCache:
        from tempo_lab.model.qwen import VisualFeatures

        merged, *deepstack = features.unbind(dim=2)
        videos = [self.segment_input.video] * len(features)
        return self.compressor.prefix(self._system, videos, VisualFeatures(merged, deepstack))

    def prefill(self, features: torch.Tensor) -> list[DecodeState]:
        """Prefill the SVLM with the question after features [mask, token, level, hidden]."""
        question = self.prompts.question(self.trace.question)
        return self.compressor.relevance(self._prefix(features), question)

    def prefill_question(self, question: str) -> DecodeState:
        """Prefill the SVLM with other words after the unchanged segment."""
        (state,) = self.compressor.relevance(self._unchanged, self.prompts.question(question))
        return state

    @cached_property
    def _unchanged(self) -> PrefixCache:
        return self._prefix(self.encode_vision(self.segment_input.patches[None]))

    def memory_tokens(self, states: Sequence[DecodeState]) -> list[list[torch.Tensor]]:
        """Return the memory tokens of all segments, [mask][segment]; only this segment's change.

        Raises:
            TraceError: the allocation keeps none of this segment.
        """
        from tempo_lab.allocation.ata import keep_tokens

        needed = int(self.allocation.needed[self.segment])
        if not needed:
            raise TraceError(
                "this segment has no memory tokens that the answer could depend on",
                asked=f"segment {self.segment}",
                found="0 memory tokens",
                fix="use a larger budget, or choose another segment",
            )
        before, after = self.memory[: self.segment], self.memory[self.segment + 1 :]
        return [
            [*before, keep_tokens(state.tokens, self.allocation, self.segment), *after]
            for state in self.compressor.memory(states, needed)
        ]

    @cached_property
    def _engine(self) -> CompressorEngine:
        """An engine for changed questions, with a cache of its own."""
        from tempo_lab.session.engine import CompressorEngine

        engine = self.session.engine
        return CompressorEngine(engine.checkpoint, engine.video, cache_bytes=engine.cache_bytes)

    def reworded_memory(self, question: str) -> list[torch.Tensor]:
        """Return the memory tokens [segment] for another question, as many as before."""
        from tempo_lab.allocation.ata import keep_tokens

        tokens = self._engine.memory_tokens(self._engine.score(question), self.allocation.needed)
        return [
            keep_tokens(part.clone(), self.allocation, segment)
            for segment, part in enumerate(tokens)
        ]

    def teacher_forced(self, question: str, text: str) -> TeacherForced:
        """Return the LLM's prompt for a question, and the tokens of an answer to it.

        Raises:
            QueryError: the answer is not text, or has words that the model does not know.
        """
        from tempo_lab.session.scoring import TeacherForced

        if (question, text) not in self._teacher_forced:
            self._teacher_forced[question, text] = TeacherForced(self.session, question, text)
        return self._teacher_forced[question, text]

    def answer_logprobs(
        self, memory: Sequence[Sequence[torch.Tensor]], questions: Sequence[str], text: str
    ) -> torch.Tensor:
        """Return the LLM's log-probabilities of a teacher-forced answer, given changed memory.

        Args:
            memory: [k, hidden] by [mask][segment]; a segment without tokens loses its timestamp.
            questions: [mask].
            text: the answer.

        Returns:
            float32 [mask, answer token, vocabulary], the distribution that predicts each token;
            the last token is the end of the answer.
        """
        import torch

        ids = self.teacher_forced(self.trace.question, text).ids
        written = self.model.get_input_embeddings()(ids[:-1])
        rows = []
        for segments, question in zip(memory, questions, strict=True):
            counts = np.array([len(tokens) for tokens in segments])
            prompt = self.teacher_forced(question, text).prompt(counts)
            projected = self.model.project(torch.cat(list(segments)))
            rows.append(torch.cat([self.model.embed(prompt, [projected])[0], written]))
        # shorter prompts are padded in front, where causal attention masks the padding
        longest = max(map(len, rows))
        padded = [torch.cat([row.new_zeros(longest - len(row), row.shape[1]), row]) for row in rows]
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        mask = mask.to(self.model.device)
        logits = self.model(
            inputs_embeds=torch.stack(padded),
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp_min(0),
            logits_to_keep=len(ids),
            use_cache=False,
        ).logits
        return logits.float().log_softmax(dim=-1)


@dataclass(frozen=True, eq=False)
class MaskedOutput:
    """The output for some masks; targets read it.

    Attributes:
        forward: the model, the question and the answer.
        logit: float32 [mask], Yes - No of the segment, where a target reads "relevance".
        memory: [k, hidden] by [mask][segment], where a target reads "answer".
        questions: the LLM's questions, [mask].
    """

    forward: MaskedForward
    logit: torch.Tensor | None = None
    memory: list[list[torch.Tensor]] | None = None
    questions: Sequence[str] = ()

    @property
    def answer(self) -> str:
        """The answer whose probability is read."""
        return self.forward.answer

    @property
    def against(self) -> str | None:
        """The answer to compare with, if there is one."""
        return self.forward.against

    def ids(self, text: str) -> list[int]:
        """Return the tokens of an answer and of its end."""
        ids: list[int] = self.forward.teacher_forced(self.forward.trace.question, text).ids.tolist()
        return ids

    def logprobs(self, text: str) -> torch.Tensor:
        """Return log-probabilities of an answer, float32 [mask, answer token, vocabulary]."""
        assert self.memory is not None
        return self.forward.answer_logprobs(self.memory, self.questions, text)

    def logprob(self, text: str) -> torch.Tensor:
        """Return the log-probability of a whole answer and its end, float32 [mask]."""
        import torch

        logprobs = self.logprobs(text)
        ids = torch.tensor(self.ids(text), device=logprobs.device)[None, :, None]
        return logprobs.gather(2, ids.expand(len(logprobs), -1, -1)).sum(dim=(1, 2))


@contextmanager
def frozen(model: TempoForConditionalGeneration) -> Iterator[None]:
    """Keep all parameters out of gradients inside the `with` block, and restore them after it."""
    import torch

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        with torch.inference_mode(False):
            yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
