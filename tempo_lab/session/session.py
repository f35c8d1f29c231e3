"""Session: one video opened with one Tempo. Open once, ask many questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import torch

from tempo_lab.allocation import Allocation, Mode, Strategy, allocate, find_strategy
from tempo_lab.common.deprecation import warn_renamed
from tempo_lab.common.progress import Progress, stage
from tempo_lab.model.generate import Answer, answer
from tempo_lab.model.token_map import TIMESTAMP, TokenMap
from tempo_lab.session.capture.cost import estimate_cost
from tempo_lab.session.capture.recorder import Recorder
from tempo_lab.session.capture.spec import Capture, Price
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.session.interventions.apply import ActiveInterventions
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.session.notices import notices
from tempo_lab.session.provenance import provenance
from tempo_lab.session.subtitles import (
    ListedSubtitles,
    Subtitles,
    list_subtitles,
    subtitle_length,
)
from tempo_lab.session.validation import (
    check_answer_budget,
    check_context,
    check_memory,
    check_question,
    check_scores,
    check_subtitle_words,
    check_texts,
    check_words,
    read_as_known,
)
from tempo_lab.trace.trace import Trace
from tempo_lab.video.subtitles import SAMPLED_FRAMES

DEFAULT_BUDGET = 8192


@dataclass(frozen=True, eq=False)
class _Settings:
    """A validated question and its settings.

    Attributes:
        question: what the models read: the subtitles, if any, and the question as read.
        asked: the question as asked, without subtitles, and
        read: as the models read it, without subtitles.
        subtitles: those that the prompt lists, and
        subtitle_tokens: the tokens by which they make the LLM's prompt longer.
        history: earlier (question, answer) turns, oldest first.
        answer_budget: tokens that the answer may have.
        scores: forced scores, float32 [segment]; None for the model's relevance.
        budget, strategy, mode, min_tokens, max_tokens, seed: see `allocate`.
    """

    question: str
    asked: str
    read: str
    subtitles: ListedSubtitles | None
    subtitle_tokens: int
    history: tuple[tuple[str, str], ...]
    answer_budget: int
    scores: np.ndarray | None
    budget: int
    strategy: Strategy
    mode: Mode
    min_tokens: int
    max_tokens: int
    seed: int

    def allocate(self, relevance: np.ndarray) -> Allocation:
        """Share the budget by the forced scores, or by relevance if there are none."""
        return allocate(
            relevance if self.scores is None else self.scores,
            self.budget,
            strategy=self.strategy,
            mode=self.mode,
            min_tokens=self.min_tokens,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )


class Session:
    """One video opened with one Tempo; it caches what follow-up questions can reuse.

    `Tempo.open` makes it; use it in a `with` statement, or call `close`.

    Args:
        engine: reads the video with the model; the video is closed with the session.
        progress: show a progress bar for steps that take longer than a second; or a function that
            is called instead (see `tempo_lab.common.progress`).
    """

    def __init__(self, engine: CompressorEngine, *, progress: Progress = True) -> None:
        self.engine = engine
        self.video, self.checkpoint = engine.video, engine.checkpoint
        self.progress = progress

    def __repr__(self) -> str:
        cached = f"{self.engine.nbytes / 2**20:.1f} MiB cached (cache={self.engine.cache_mode!r})"
        if (needed := self.price()["kv"]) > self.engine.cache_bytes:
            cached += f"; keys and values would need {needed / 2**20:.1f} MiB"
        return f"Session({self.checkpoint.name!r}, {self.video!r}, {cached})"

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.video)

    @property
    def reader(self) -> CompressorEngine:
        """Deprecated name of `engine`."""
        warn_renamed("Session.reader", "Session.engine")
        return self.engine

    def close(self) -> None:
        """Stop the decoder and clear the caches."""
        self.video.close()
        self.engine.forget()

    def price(self, question: str = "") -> dict[str, int]:
        """Bytes that the cache takes for this video, at most.

        Args:
            question: the question that "question" is for; by default a short one.

        Returns:
            "features" and "kv": what `cache` of that name costs, with the memory tokens of one
            question. "question": what "kv" caches in addition for each question, so that its
            memory tokens can be computed on demand; where it does not fit `cache_bytes`, all of
            them are computed at once.
        """
        return self.engine.cost(question)

    def capture_cost(
        self, capture: Capture, question: str = "", *, max_new_tokens: int | None = None
    ) -> Price:
        """Return the MiB that a capture takes at most; see `Capture.price`."""
        return estimate_cost(capture, self.engine, question, max_new_tokens)

    def ask(
        self,
        question: str,
        *,
        budget: int | None = None,
        strategy: str | Strategy | None = None,
        mode: Mode = "strict",
        min_tokens: int | None = None,
        seed: int = 0,
        history: Sequence[Trace | tuple[str, str]] = (),
        max_new_tokens: int | None = None,
        stream: Callable[[str], object] | None = None,
        scores: Iterable[float] | None = None,
        capture: Capture | None = None,
        interventions: Intervention | Sequence[Intervention] = (),
        subtitles: Subtitles | None = None,
        subtitle_frames: int = SAMPLED_FRAMES,
    ) -> Trace:
        """Ask a question about the video.

        An interrupted call (Ctrl-C) leaves the session usable; what it has finished is reused.
        Several threads may ask at once: a model answers one question after another.

        Args:
            question: plain text; control tokens in it are read as the characters they are made of.
                A model with a small vocabulary reads it in the forms that it knows, as "What is"
                for "What's" and "33 seconds" for "0:33"; see `Trace.read_as`. A blank question is
                refused, except in mode "faithful", which repeats the released code: the SVLM then
                reads "Describe this content.".
            budget: memory tokens for the whole video; 8192 by default.
            strategy: the allocation strategy, a name in `tempo_lab.allocation.STRATEGIES` or a
                `Strategy`; by default "head", or "none" for a single image or where the checkpoint
                turns ATA off.
            mode: "strict" or "faithful" allocation (see `tempo_lab.allocation.ata`).
            min_tokens: memory tokens per segment at least; the checkpoint's by default.
            seed: of strategies that draw random slots.
            history: earlier turns of the conversation, as traces or (question, answer). The video
                is compressed for the new question; the LLM reads the earlier turns as text.
            max_new_tokens: tokens of the answer at most.
            stream: called with each piece of the answer as it is generated.
            scores: relevance scores [segment] to allocate by instead of the model's.
            capture: what to record of the model while it runs (see `Capture`). A question that was
                asked before is read again for it, from what is cached of the video.
            interventions: one or several changes of this run (see `Intervention`): the tokens or
                slots of segments, their positions, the question that they are compressed for, a
                hidden state. `trace.interventions` lists them.
            subtitles: a file (.srt, .vtt, LongVideoBench's .json), or lines of (start, end, text)
                in seconds of the video's file. Both models read those that are shown at uniformly
                sampled frames of the opened part, before the question, in the form of Video-MME's
                prompt. With an empty list, the prompt says that there are none.
            subtitle_frames: number of these frames; 32 as in the released evaluation.

        Returns:
            the trace of everything that happened.

        Raises:
            QueryError: the question or an earlier turn is not text; or the question is blank, or
                has words that a model with a small vocabulary does not know.
            BudgetError: the budget or the context cannot hold what was asked; or there is no such
                strategy or mode. Nothing is cut to make it fit.
            SubtitleError: the subtitles cannot be read.
            VideoError: the video cannot be decoded.
            CaptureError: something cannot be recorded or changed.
            CheckpointError: the model has no memory tokens (a plain Qwen3-VL).
        """
        # validate
        check_memory(self.checkpoint)
        config, prompts = self.checkpoint.model.config, self.checkpoint.prompts
        turns = check_texts(question, history)
        if strategy is None:
            compressed = config.dynamic_compress and not self.video.is_image
            strategy = "head" if compressed else "none"
        strategy = find_strategy(strategy)
        asked, read = question, read_as_known(self.checkpoint, question)
        check_question(read, mode, prompts.llm, config.example_questions, asked)
        question, listed = self._with_subtitles(read, subtitles, subtitle_frames)
        subtitle_tokens = subtitle_length(prompts, listed, read, turns)
        text_tokens = len(prompts.opening()) + len(prompts.closing(question, turns))
        active = ActiveInterventions(interventions, self.engine, question, strategy)
        check_words(active.question, prompts.llm, config.example_questions)
        if budget is None:
            all_tokens = len(self.video) * config.num_compression_tokens
            budget = all_tokens if strategy.name == "none" else DEFAULT_BUDGET
        settings = _Settings(
            question=question,
            asked=asked,
            read=read,
            subtitles=listed,
            subtitle_tokens=subtitle_tokens,
            history=turns,
            answer_budget=check_answer_budget(
                max_new_tokens, text_tokens, self.checkpoint.model, subtitle_tokens
            ),
            scores=None if scores is None else check_scores(scores, len(self.video)),
            budget=budget,
            strategy=strategy,
            mode=mode,
            min_tokens=config.min_tokens if min_tokens is None else min_tokens,
            max_tokens=config.num_compression_tokens,
            seed=seed,
        )
        max_needed = self._check_allocation(settings, active)
        engine, recorder = active.engine, None
        if capture is not None:
            recorder = Recorder(
                capture, engine, active.question, settings.answer_budget, text_tokens
            )
            recorder.check_slots(max_needed)
        observer = active.observer(None if recorder is None else recorder.observer)

        with self.checkpoint.lock, active.installed(), recorder or nullcontext():
            # score
            with stage(self.progress, "reading segments", len(self)) as bar:
                scored = engine.score(active.question, bar.update, observer)
            engine.ood_monitor.warn(self.checkpoint.name, self.video.info.path)
            relevance = _probability(scored.logit)

            # allocate
            allocation = active.apply_to_allocation(settings.allocate(relevance))
            needed = active.needed(allocation)
            prompt = self._llm_prompt(settings, allocation)
            if recorder is not None:
                recorder.check_slots(needed)

            # write memory
            with stage(self.progress, "writing memory tokens", len(self)) as bar:
                memory = engine.memory_tokens(scored, needed, bar.update, observer)

            # answer
            kept = active.kept(memory, allocation)
            if recorder is None:
                generated = self._answer(kept, prompt, settings.answer_budget, stream)
            else:
                with recorder.recording_answer(prompt):
                    stream = recorder.unrecorded(stream)
                    generated = self._answer(kept, prompt, settings.answer_budget, stream)

        # record
        trace = self._trace(
            settings, active, scored.logit, relevance, allocation, prompt, generated
        )
        return trace if recorder is None else recorder.add_to(trace, needed, memory)

    def score(
        self,
        question: str,
        *,
        subtitles: Subtitles | None = None,
        subtitle_frames: int = SAMPLED_FRAMES,
    ) -> Trace:
        """Score the segments for a question, and stop: no memory token is kept, no answer written.

        The scores are those that `ask` allocates by. A plain Qwen3-VL can be asked, too.

        Args:
            question: plain text, as in `ask`; a blank one is refused.
            subtitles, subtitle_frames: see `ask`.

        Returns:
            a trace with relevance and times only (`Trace.scores_only`).

        Raises:
            QueryError: the question is not text, is blank, or has words that a model with a small
                vocabulary does not know.
            BudgetError: the session's `cache` does not fit its byte limit.
            VideoError: the video cannot be decoded.
            SubtitleError: the subtitles cannot be read.
        """
        engine, prompts = self.engine, self.checkpoint.prompts
        check_texts(question, ())
        asked, read = question, read_as_known(self.checkpoint, question)
        examples = self.checkpoint.model.config.example_questions
        check_question(read, None, prompts.llm, examples, asked)
        question, listed = self._with_subtitles(read, subtitles, subtitle_frames)
        tokens = len(prompts.question(question)) - len(prompts.question(read))
        with self.checkpoint.lock:
            with stage(self.progress, "reading segments", len(self)) as bar:
                scored = engine.score(question, bar.update, memory=False)
            engine.ood_monitor.warn(self.checkpoint.name, self.video.info.path)
            return Trace.from_scores(
                question=question,
                relevance=_probability(scored.logit),
                logit=scored.logit,
                clock=engine.segment_seconds,
                times=self.video.segment_times,
                true_times=self._true_times(),
                prompts={
                    "svlm": prompts.segment(engine.visual_prompt(0), question).text(prompts.svlm)
                },
                provenance={**provenance(engine), **_provenance(listed), **_asked(asked, read)},
                subtitle_lines=self._subtitle_lines(listed),
                subtitle_tokens=tokens,
            )

    def _with_subtitles(
        self, question: str, subtitles: Subtitles | None, frames: int
    ) -> tuple[str, ListedSubtitles | None]:
        """Return the question as the models read it, and the subtitles that it lists.

        Raises:
            SubtitleError: the subtitles cannot be read.
            QueryError: they have words that a model with a small vocabulary does not know.
        """
        listed = list_subtitles(subtitles, self.video, frames)
        if listed is None:
            return question, None
        check_texts(listed.text, ())
        examples = self.checkpoint.model.config.example_questions
        check_subtitle_words(listed.text, self.checkpoint.prompts.llm, examples)
        return listed.text + question, listed

    def _subtitle_lines(self, listed: ListedSubtitles | None) -> np.ndarray | None:
        return None if listed is None else listed.per_segment(self.video.segment_times)

    def _true_times(self) -> list[list[float]]:
        """Presentation time of each segment's first and last frame, in seconds."""
        return [[times[0], times[-1]] for _, times in self.engine.batches.decoded]

    def _check_allocation(self, settings: _Settings, active: ActiveInterventions) -> np.ndarray:
        """Refuse an impossible budget or context before anything is computed.

        Returns:
            int [segment], memory tokens that each segment needs at most.
        """
        trial = settings.allocate(np.linspace(0, 1, len(self.video)))
        known = settings.scores is not None or not trial.rule.uses_scores
        if not known:  # the fewest tokens that any scores can give
            trial = replace(trial, tokens=np.full(len(trial), trial.min_tokens))
        changed = active.apply_to_allocation(trial)
        self._llm_prompt(settings, changed)
        if known:
            return active.needed(changed)
        # the relevance is not known yet, but no segment gets more than there is
        first_slots = trial.rule.prefix_only and changed.chosen is None and trial.mode == "strict"
        limit = settings.budget if first_slots else trial.max_tokens
        return np.full(len(trial), min(trial.max_tokens, limit))

    def _llm_prompt(self, settings: _Settings, allocation: Allocation) -> TokenMap:
        """Return the LLM's prompt for an allocation.

        Raises:
            BudgetError: the context cannot hold it.
        """
        prompt = self.engine.llm_prompt(allocation.tokens, settings.question, settings.history)
        context = self.checkpoint.model.config.context_length
        check_context(
            prompt,
            settings.answer_budget,
            context,
            settings.strategy.name,
            settings.subtitle_tokens,
        )
        return prompt

    @torch.inference_mode()
    def _answer(
        self,
        kept: list[torch.Tensor],
        prompt: TokenMap,
        answer_budget: int,
        stream: Callable[[str], object] | None,
    ) -> Answer:
        model = self.checkpoint.model
        return answer(
            model,
            self.checkpoint.prompts.llm,
            model.embed(prompt, [model.project(tokens) for tokens in kept]),
            max_new_tokens=answer_budget,
            stream=stream,
        )

    def _trace(
        self,
        settings: _Settings,
        active: ActiveInterventions,
        logit: np.ndarray,
        relevance: np.ndarray,
        allocation: Allocation,
        prompt: TokenMap,
        generated: Answer,
    ) -> Trace:
        timestamp_segments = prompt.segment[prompt.role == TIMESTAMP]
        settings_record = {
            "max_new_tokens": settings.answer_budget,
            "forced_scores": settings.scores is not None,
            "strategy_parameters": settings.strategy.parameters,
            "history": [list(turn) for turn in settings.history],
            "stopped": generated.stopped,
            "answer_tokens": len(generated.ids),
        }
        recorded = provenance(active.engine)
        recorded["warnings"] += notices(self.checkpoint, settings.read, generated)
        trace = Trace.from_run(
            question=settings.question,
            answer=generated.text,
            relevance=relevance,
            logit=logit,
            allocation=allocation,
            clock=self.engine.segment_seconds,
            times=self.video.segment_times,
            true_times=self._true_times(),
            timestamp_tokens=np.bincount(timestamp_segments, minlength=len(self.video)),
            text_tokens=len(prompt) - allocation.used - len(timestamp_segments),
            context=self.checkpoint.model.config.context_length,
            answer_logprob=generated.logprobs,
            prompts={
                "svlm": self.prompt(active.question).text(self.checkpoint.prompts.svlm),
                "llm": prompt.text(self.checkpoint.prompts.llm),
            },
            provenance={
                **recorded,
                **settings_record,
                **_provenance(settings.subtitles),
                **_asked(settings.asked, settings.read),
            },
            subtitle_lines=self._subtitle_lines(settings.subtitles),
            subtitle_tokens=settings.subtitle_tokens,
        )
        return active.annotate(trace)

    def prompt(self, question: str, segment: int = 0) -> TokenMap:
        """Return the SVLM's prompt for a segment, position by position, with its memory slots."""
        return self.engine.svlm_prompt(question, segment)


def _provenance(listed: ListedSubtitles | None) -> dict[str, object]:
    return {} if listed is None else {"subtitles": listed.provenance}


def _asked(asked: str, read: str) -> dict[str, str]:
    """What a trace records of a question that was not read as it was asked."""
    return {} if asked == read else {"asked": asked}


def _probability(logit: np.ndarray) -> np.ndarray:
    """Return the sigmoid of logits, float32 [segment]."""
    return torch.sigmoid(torch.from_numpy(logit)).numpy()
