"""The model's passes for one question, from any point on: pictures, features, memory, words.

They run beside the session: what it keeps is copied or computed again, never changed, and with
gradients where a method wants them. Units (`units.py`) decide what goes in;
targets (`targets.py`) read what comes out, an `MaskedOutput`.
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
    """One segment as the vision tower takes it.

    Attributes:
        patches: uint8 [patch, value].
        blurred: the same of blurred frames.
        grid: of the patches.
        video: the visual part of its prompt.
        seconds: float [pair, 2], start and end on the sampled clock.
    """

    patches: torch.Tensor
    blurred: torch.Tensor
    grid: PatchGrid
    video: TokenMap
    seconds: np.ndarray


class Passes:
    """What the model makes of one question about one video, given changed input.

    Args:
        session: the opened video.
        trace: of the question; its allocation holds for every changed input.
        segment: whose pictures can be changed, and whose relevance is read.
        answer: whose probability is read.
        against: the answer to compare with; None for the best other first token.
    """

    def __init__(
        self, session: Session, trace: Trace, segment: int, answer: str, against: str | None = None
    ) -> None:
        from tempo_lab.session.scoring import allocation_of

        self.session, self.trace, self.segment = session, trace, segment
        self.answer, self.against = answer, against
        self.model, self.prompts = session.checkpoint.model, session.checkpoint.prompts
        self.compressor, self.allocation = self.model.compressor, allocation_of(trace)
        self._kept: PrefixCache | None = None
        self._asked: dict[tuple[str, str], TeacherForced] = {}

    @cached_property
    def memory(self) -> list[torch.Tensor]:
        """[k, hidden] at each place in time: what the LLM read, with the run's interventions."""
        from tempo_lab.session.interventions.apply import remembered

        # copies: what is read in inference mode can enter no gradient
        kept = remembered(self.session, self.trace, self.allocation)
        return [tokens.clone() for tokens in kept]

    @cached_property
    def picture(self) -> SegmentInput:
        """The segment, decoded anew: the session keeps no pixels."""
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
            ends / video.plan.fps,
        )

    @cached_property
    def _system(self) -> SystemPrefix:
        return self.compressor.system(self.prompts.system())

    def see(self, patches: torch.Tensor) -> torch.Tensor:
        """Visual features of changed pictures of the segment.

        Args:
            patches: uint8 [mask, patch, value].

        Returns:
            [mask, visual token, level, hidden]: the tower's output, then its deepstack levels.
        """
        import torch

        features = self.compressor.encode_vision(patches, self.picture.grid)
        return torch.stack([features.merged, *features.deepstack], dim=2)

    def _prefix(self, features: torch.Tensor) -> PrefixCache:
        from tempo_lab.model.qwen import VisualFeatures

        merged, *deepstack = features.unbind(dim=2)
        videos = [self.picture.video] * len(features)
        return self.compressor.prefix(self._system, videos, VisualFeatures(merged, deepstack))

    def read(self, features: torch.Tensor) -> list[DecodeState]:
        """The SVLM reads the question after changed features [mask, token, level, hidden]."""
        question = self.prompts.question(self.trace.question)
        return self.compressor.relevance(self._prefix(features), question)

    def ask_segment(self, question: str) -> DecodeState:
        """The SVLM reads other words after the segment as it is."""
        if self._kept is None:
            self._kept = self._prefix(self.see(self.picture.patches[None]))
        (state,) = self.compressor.relevance(self._kept, self.prompts.question(question))
        return state

    def write(self, states: Sequence[DecodeState]) -> list[list[torch.Tensor]]:
        """Memory tokens of all segments [mask][segment], where this segment's are new.

        Raises:
            TraceError: the allocation keeps none of this segment.
        """
        from tempo_lab.allocation.ata import keep_tokens

        needed = int(self.allocation.needed[self.segment])
        if not needed:
            raise TraceError(
                "nothing of this segment reaches the answer",
                asked=f"segment {self.segment}",
                found="0 memory tokens",
                fix="a larger budget, or another segment",
            )
        before, after = self.memory[: self.segment], self.memory[self.segment + 1 :]
        return [
            [*before, keep_tokens(state.tokens, self.allocation, self.segment), *after]
            for state in self.compressor.memory(states, needed)
        ]

    @cached_property
    def _other_words(self) -> CompressorEngine:
        """Reads the video for changed questions, with what it keeps its own."""
        from tempo_lab.session.engine import CompressorEngine

        theirs = self.session.engine
        return CompressorEngine(theirs.checkpoint, theirs.video, cache_bytes=theirs.cache_bytes)

    def rewrite(self, question: str) -> list[torch.Tensor]:
        """Memory tokens [segment] that the SVLM writes for other words, as many as before."""
        from tempo_lab.allocation.ata import keep_tokens

        engine = self._other_words
        tokens = engine.memory_tokens(engine.score(question), self.allocation.needed)
        return [
            keep_tokens(part.clone(), self.allocation, segment)
            for segment, part in enumerate(tokens)
        ]

    def asked(self, question: str, text: str) -> TeacherForced:
        """The LLM's prompt for a question, and the tokens of an answer to it.

        Raises:
            QueryError: the answer is no text, or has words that the model does not know.
        """
        from tempo_lab.session.scoring import TeacherForced

        if (question, text) not in self._asked:
            self._asked[question, text] = TeacherForced(self.session, question, text)
        return self._asked[question, text]

    def answer_logprobs(
        self, memory: Sequence[Sequence[torch.Tensor]], questions: Sequence[str], text: str
    ) -> torch.Tensor:
        """The LLM reads changed memory, and an answer as if it had written it (teacher-forced).

        Args:
            memory: [k, hidden] by [mask][segment]; none of a segment: its timestamp goes too.
            questions: [mask].
            text: the answer.

        Returns:
            float32 [mask, answer token, vocabulary], log-probabilities before each token; the last
            one is the end's.
        """
        import torch

        ids = self.asked(self.trace.question, text).ids
        written = self.model.get_input_embeddings()(ids[:-1])
        rows = []
        for segments, question in zip(memory, questions, strict=True):
            kept = np.array([len(tokens) for tokens in segments])
            prompt = self.asked(question, text).prompt(kept)
            projected = self.model.project(torch.cat(list(segments)))
            rows.append(torch.cat([self.model.embed(prompt, [projected])[0], written]))
        # shorter prompts are padded in front, where causal attention masks the padding
        longest = max(map(len, rows))
        padded = [torch.cat([row.new_zeros(longest - len(row), row.shape[1]), row]) for row in rows]
        there = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        there = there.to(self.model.device)
        logits = self.model(
            inputs_embeds=torch.stack(padded),
            attention_mask=there,
            position_ids=(there.cumsum(1) - 1).clamp_min(0),
            logits_to_keep=len(ids),
            use_cache=False,
        ).logits
        return logits.float().log_softmax(dim=-1)


@dataclass(frozen=True, eq=False)
class MaskedOutput:
    """What came out for some masks; targets read it.

    Attributes:
        passes: the model, the question, the answer.
        logit: float32 [mask], Yes - No of the segment, where a target reads "relevance".
        memory: [k, hidden] by [mask][segment], where it reads "answer".
        questions: what the LLM is asked, [mask].
    """

    passes: Passes
    logit: torch.Tensor | None = None
    memory: list[list[torch.Tensor]] | None = None
    questions: Sequence[str] = ()

    @property
    def answer(self) -> str:
        """The answer that is asked about."""
        return self.passes.answer

    @property
    def against(self) -> str | None:
        """The answer to compare with, if one was given."""
        return self.passes.against

    def ids(self, text: str) -> list[int]:
        """Tokens of an answer, and the end."""
        ids: list[int] = self.passes.asked(self.passes.trace.question, text).ids.tolist()
        return ids

    def logprobs(self, text: str) -> torch.Tensor:
        """Log-probabilities while an answer is read, float32 [mask, answer token, vocabulary]."""
        assert self.memory is not None
        return self.passes.answer_logprobs(self.memory, self.questions, text)

    def logprob(self, text: str) -> torch.Tensor:
        """Log-probability of a whole answer and its end, float32 [mask]."""
        import torch

        logprobs = self.logprobs(text)
        chosen = torch.tensor(self.ids(text), device=logprobs.device)[None, :, None]
        return logprobs.gather(2, chosen.expand(len(logprobs), -1, -1)).sum(dim=(1, 2))


@contextmanager
def frozen(model: TempoForConditionalGeneration) -> Iterator[None]:
    """No parameter takes part in a gradient while this is open; afterwards all are as before."""
    import torch

    wanted = [part for part in model.parameters() if part.requires_grad]
    try:
        for part in wanted:
            part.requires_grad_(False)
        with torch.inference_mode(False):
            yield
    finally:
        for part in wanted:
            part.requires_grad_(True)
