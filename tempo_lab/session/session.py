"""Session: one video opened with one Tempo. Open once, ask many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tempo_lab.allocation.ata import STRATEGIES, Allocation, allocate
from tempo_lab.common.deprecation import warn_renamed
from tempo_lab.common.progress import Progress, stage
from tempo_lab.model.generate import Answer, answer
from tempo_lab.model.prompts import segment_seconds
from tempo_lab.model.token_map import TokenMap
from tempo_lab.session.capture.recorder import Recording
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.session.interventions.apply import ActiveInterventions
from tempo_lab.session.provenance import provenance
from tempo_lab.session.validation import (
    check_asked,
    check_context,
    check_room,
    check_scores,
    check_texts,
    check_words,
)
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.allocation.strategies import Mode
    from tempo_lab.session.capture.spec import Capture
    from tempo_lab.session.interventions.spec import Intervention

DEFAULT_BUDGET = 8192


class Session:
    """One video opened with one Tempo; remembers what a second question can reuse.

    Made by `Tempo.open`; use it in a `with`, or call `close`.

    Args:
        engine: reads the video with the model; the video is closed with the session.
        progress: show progress bars for what takes longer than a second; or a function that tells
            it otherwise (see `tempo_lab.common.progress`).
    """

    def __init__(self, engine: CompressorEngine, *, progress: Progress = True) -> None:
        self.engine = engine
        self.video, self.checkpoint = engine.video, engine.checkpoint
        self.progress = progress

    def __repr__(self) -> str:
        kept = f"{self.engine.nbytes / 2**20:.1f} MiB cached (cache={self.engine.cache_mode!r})"
        if (needed := self.price()["kv"]) > self.engine.cache_bytes:
            kept += f"; keys and values would need {needed / 2**20:.1f} MiB"
        return f"Session({self.checkpoint.name!r}, {self.video!r}, {kept})"

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

    def ask(
        self,
        question: str,
        *,
        budget: int | None = None,
        strategy: str | None = None,
        mode: Mode = "strict",
        min_tokens: int | None = None,
        seed: int = 0,
        history: Sequence[Trace | tuple[str, str]] = (),
        max_new_tokens: int | None = None,
        stream: Callable[[str], object] | None = None,
        scores: Iterable[float] | None = None,
        capture: Capture | None = None,
        interventions: Intervention | Sequence[Intervention] = (),
    ) -> Trace:
        """Ask a question about the video.

        Interrupted calls (Ctrl-C) leave the session usable; what they had finished is reused.
        Threads may ask at once: a model answers one question after another.

        Args:
            question: plain text; control tokens in it are read as the characters they are made of.
                A blank one is refused, except in mode "faithful", which repeats the released code:
                the SVLM then reads "Describe this content.".
            budget: memory tokens for the whole video; 8192 by default.
            strategy: which tokens stay, a name in `tempo_lab.allocation.ata.STRATEGIES`; "head" by
                default, "none" for a single image or where the checkpoint turns ATA off.
            mode: "strict" or "faithful" allocation (see `tempo_lab.allocation.ata`).
            min_tokens: tokens that each segment gets at least; the checkpoint's by default.
            seed: of strategies that draw.
            history: earlier turns of the conversation, as traces or (question, answer). The video
                is compressed for the new question; the LLM reads the earlier turns as text.
            max_new_tokens: length of the answer in tokens at most.
            stream: called with each piece of the answer as it is written.
            scores: relevance scores [segment] to allocate by instead of the model's.
            capture: what to record of the model while it runs (see `Capture`). A question that
                was asked before is read again for it, from the best thing kept of the video.
            interventions: what is to be different in this run, one or several (see
                `Intervention`): tokens or slots of segments, their places, the question that they
                are compressed for, a hidden state. `trace.interventions` says what was done.

        Returns:
            the trace of all that happened.

        Raises:
            QueryError: the question, or an earlier turn, is not text; or the question is blank, or
                has words that a model of small vocabulary does not know.
            BudgetError: the budget, or the context, cannot hold what was asked, and nothing was
                cut; or there is no such strategy or mode.
            VideoError: the video cannot be decoded.
            CaptureError: something cannot be recorded or changed, or was not.
        """
        config = self.checkpoint.model.config
        turns = check_texts(question, history)
        prompts = self.checkpoint.prompts
        whole = self.video.is_image or not config.dynamic_compress
        if strategy is None:
            strategy = "none" if whole else "head"
        changes = ActiveInterventions(interventions, self, question, strategy)
        check_asked(question, mode, prompts.llm, config.example_questions)
        check_words(changes.question, prompts.llm, config.example_questions)
        text = len(prompts.opening()) + len(prompts.closing(question, turns))
        room = check_room(max_new_tokens, text, self._context)
        if budget is None:
            everything = len(self.video) * config.num_compression_tokens
            budget = everything if strategy == "none" else DEFAULT_BUDGET
        share: dict[str, Any] = {
            "strategy": strategy,
            "mode": mode,
            "min_tokens": config.min_tokens if min_tokens is None else min_tokens,
            "max_tokens": config.num_compression_tokens,
            "seed": seed,
        }
        forced = None if scores is None else check_scores(scores, len(self.video))
        most = self._refuse_early(forced, budget, share, changes, question, turns, room)

        engine = changes.engine
        record = None
        if capture is not None:
            record = Recording(capture, self, changes.question, room, text)
            record.check_slots(most)
        watch = changes.watch(None if record is None else record.watch)
        with self.checkpoint.lock, changes.installed(), record or nullcontext():
            with stage(self.progress, "reading segments", len(self)) as bar:
                reading = engine.score(changes.question, bar.update, watch)
            self.engine.ood_monitor.warn(self.checkpoint.name, self.video.info.path)
            logit = reading.logit
            relevance = torch.sigmoid(torch.from_numpy(logit)).numpy()
            given = allocate(relevance if forced is None else forced, budget, **share)
            allocation = changes.placed(given)
            needed = changes.needed(allocation)
            prompt, clocks = self._conversation(allocation.tokens, question, turns)
            check_context(prompt, room, self._context, strategy)
            if record is not None:
                record.check_slots(needed)

            with stage(self.progress, "writing memory tokens", len(self)) as bar:
                memory = engine.memory_tokens(reading, needed, bar.update, watch)
            if record is not None:
                stream = record.apart(stream)
            with nullcontext() if record is None else record.answering(prompt):
                wrote = self._answer(changes.kept(memory, allocation), prompt, room, stream)
        arguments = {
            "max_new_tokens": room,
            "forced_scores": forced is not None,
            "strategy_parameters": STRATEGIES[strategy].parameters,
            "history": [list(turn) for turn in turns],
            "stopped": wrote.stopped,
            "answer_tokens": len(wrote.ids),
        }
        trace = self._trace(
            question, wrote, logit, relevance, allocation, prompt, clocks, changes, arguments
        )
        return trace if record is None else record.finish(trace, needed, memory)

    @torch.inference_mode()
    def _answer(
        self,
        kept: list[torch.Tensor],
        prompt: TokenMap,
        room: int,
        stream: Callable[[str], object] | None,
    ) -> Answer:
        model = self.checkpoint.model
        return answer(
            model,
            self.checkpoint.prompts.llm,
            model.embed(prompt, [model.project(tokens) for tokens in kept]),
            max_new_tokens=room,
            stream=stream,
        )

    def _refuse_early(
        self,
        forced: np.ndarray | None,
        budget: int,
        share: dict[str, Any],
        changes: ActiveInterventions,
        question: str,
        turns: tuple[tuple[str, str], ...],
        room: int,
    ) -> np.ndarray:
        """Refuse an impossible budget or context before any computing.

        Returns:
            int [segment], memory tokens that will be needed at most.
        """
        anything = np.linspace(0, 1, len(self.video)) if forced is None else forced
        trial = allocate(anything, budget, **share)
        least = trial.tokens
        if forced is None and trial.rule.uses_scores:
            least = np.full(len(trial), trial.min_tokens)
        placed = changes.placed(replace(trial, tokens=least))
        prompt, _ = self._conversation(placed.tokens, question, turns)
        check_context(prompt, room, self._context, trial.strategy)
        if forced is not None or not trial.rule.uses_scores:
            return changes.needed(placed)
        # what relevance gives is not known yet; no segment is given more than there is
        head = trial.rule.prefix_only and placed.chosen is None
        known = head and trial.mode == "strict"
        return np.full(len(trial), min(trial.max_tokens, budget if known else trial.max_tokens))

    @property
    def _segment_seconds(self) -> np.ndarray:
        return segment_seconds(len(self.video), self.video.plan.fps, self.video.window)

    def _conversation(
        self, tokens: np.ndarray, question: str, turns: tuple[tuple[str, str], ...]
    ) -> tuple[TokenMap, list[list[int]] | None]:
        prompts = self.checkpoint.prompts
        clocks = None
        if not self.video.is_image:
            clocks = [prompts.timestamp(each) for each in self._segment_seconds]
        return prompts.conversation(clocks, tokens, question, turns), clocks

    @property
    def _context(self) -> int:
        config = self.checkpoint.model.config
        return int(config.tokenizer_model_max_length or config.max_position_embeddings)

    def _trace(
        self,
        question: str,
        wrote: Answer,
        logit: np.ndarray,
        relevance: np.ndarray,
        allocation: Allocation,
        prompt: TokenMap,
        clocks: list[list[int]] | None,
        changes: ActiveInterventions,
        arguments: dict[str, Any],
    ) -> Trace:
        segments = range(len(self.video))
        times = [times for _, times in self.engine.batches.decoded]
        stamps = [len(clocks[i]) if clocks and allocation.tokens[i] else 0 for i in segments]
        svlm, llm = self.checkpoint.prompts.svlm, self.checkpoint.prompts.llm
        trace = Trace.from_run(
            question=question,
            answer=wrote.text,
            relevance=relevance,
            logit=logit,
            allocation=allocation,
            clock=self._segment_seconds,
            times=self.video.segment_times,
            true_times=np.array([[times[i][0], times[i][-1]] for i in segments]),
            timestamp_tokens=np.array(stamps),
            text_tokens=len(prompt) - allocation.used - sum(stamps),
            context=self._context,
            answer_logprob=wrote.logprobs,
            prompts={
                "svlm": self.prompt(changes.question).text(svlm),
                "llm": prompt.text(llm),
            },
            provenance={**provenance(changes.engine), **arguments},
        )
        return changes.told(trace)

    def prompt(self, question: str, segment: int = 0) -> TokenMap:
        """What the SVLM reads of one segment, position by position, with its memory slots."""
        return self.engine.svlm_prompt(question, segment)
