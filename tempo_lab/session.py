"""Session: one video opened with one Tempo. Open once, ask many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from tempo_lab._version import __version__
from tempo_lab.allocation import Allocation, allocate, keep_tokens
from tempo_lab.arguments import check_context, check_room, check_scores, check_texts
from tempo_lab.model.answer import Answer, answer
from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.prompts import segment_clock
from tempo_lab.model.token_map import TokenMap
from tempo_lab.reading import Keep, Reader
from tempo_lab.trace import Trace
from tempo_lab.video import Video

if TYPE_CHECKING:
    from tempo_lab.strategies import Mode

DEFAULT_BUDGET = 8192


class Session:
    """One video opened with one Tempo; remembers what a second question can reuse.

    Made by `Tempo.open`; use it in a `with`, or call `close`.

    Args:
        checkpoint: the loaded model.
        video: the video; closed with the session.
        keep: what a second question may reuse: "kv" (prefix keys and values), "features" (visual
            features), "nothing", or "auto": the best that `keep_bytes` affords (see `price`).
        keep_bytes: bytes that may be kept; by default 2 GiB, or half of what is free on a
            CUDA device.
        batch_bytes: bytes that one micro-batch may take while it is computed, about; by default
            64 MiB, or 1 GiB on an accelerator.
        progress: show progress bars for what takes longer than a second.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        video: Video,
        *,
        keep: Keep = "auto",
        keep_bytes: int | None = None,
        batch_bytes: int | None = None,
        progress: bool = True,
    ) -> None:
        self.video = video
        self.checkpoint = checkpoint
        self.progress = progress
        self.reader = Reader(
            checkpoint, video, keep=keep, keep_bytes=keep_bytes, batch_bytes=batch_bytes
        )

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

    def close(self) -> None:
        """Stop the decoder and free what was kept."""
        self.video.close()
        self.reader.forget()

    def price(self) -> dict[str, int]:
        """Bytes that `keep="features"` and `keep="kv"` cost for this video."""
        return self.reader.price()

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
    ) -> Trace:
        """Ask a question about the video.

        Interrupted calls (Ctrl-C) leave the session usable; what they had finished is reused.

        Args:
            question: plain text; control tokens in it are read as the characters they are made of.
            budget: memory tokens for the whole video; 8192 by default.
            strategy: which tokens stay, a name in `tempo_lab.allocation.STRATEGIES`; "head" by
                default, "none" for a single image or where the checkpoint turns ATA off.
            mode: "strict" or "faithful" allocation (see `tempo_lab.allocation`).
            min_tokens: tokens that each segment gets at least; the checkpoint's by default.
            seed: of strategies that draw.
            history: earlier turns of the conversation, as traces or (question, answer). The video
                is compressed for the new question; the LLM reads the earlier turns as text.
            max_new_tokens: length of the answer in tokens at most.
            stream: called with each piece of the answer as it is written.
            scores: relevance scores [segment] to allocate by instead of the model's.

        Returns:
            the trace of all that happened.

        Raises:
            QueryError: the question, or an earlier turn, is not text.
            BudgetError: the budget, or the context, cannot hold what was asked; nothing was cut.
            VideoError: the video cannot be decoded.
        """
        config = self.checkpoint.model.config
        turns = check_texts(question, history)
        prompts = self.checkpoint.prompts
        text = len(prompts.opening()) + len(prompts.closing(question, turns))
        room = check_room(max_new_tokens, text, self._context)
        whole = self.video.is_image or not config.dynamic_compress
        strategy = strategy or ("none" if whole else "head")
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
        self._refuse_early(forced, budget, share, question, turns, room)

        with self._bar("reading segments") as bar:
            reading = self.reader.read(question, bar.update)
        logit = reading.logit
        relevance = torch.sigmoid(torch.from_numpy(logit)).numpy()
        allocation = allocate(relevance if forced is None else forced, budget, **share)
        prompt, clocks = self._conversation(allocation.tokens, question, turns)
        check_context(prompt, room, self._context, strategy)

        with self._bar("writing memory tokens") as bar:
            memory = self.reader.memory(reading, allocation.needed, bar.update)
        wrote = self._answer(memory, allocation, prompt, room, stream)
        arguments = {
            "max_new_tokens": room,
            "forced_scores": forced is not None,
            "history": [list(turn) for turn in turns],
            "stopped": wrote.stopped,
            "answer_tokens": len(wrote.ids),
        }
        return self._trace(question, wrote, logit, relevance, allocation, prompt, clocks, arguments)

    @torch.inference_mode()
    def _answer(
        self,
        memory: list[torch.Tensor],
        allocation: Allocation,
        prompt: TokenMap,
        room: int,
        stream: Callable[[str], object] | None,
    ) -> Answer:
        model = self.checkpoint.model
        kept = [
            model.project(keep_tokens(tokens, allocation, segment))
            for segment, tokens in enumerate(memory)
        ]
        return answer(
            model,
            self.checkpoint.prompts.llm,
            model.embed(prompt, kept),
            max_new_tokens=room,
            stream=stream,
        )

    def _refuse_early(
        self,
        forced: np.ndarray | None,
        budget: int,
        share: dict[str, Any],
        question: str,
        turns: tuple[tuple[str, str], ...],
        room: int,
    ) -> None:
        """Refuse an impossible budget or context before any computing."""
        anything = np.linspace(0, 1, len(self.video)) if forced is None else forced
        trial = allocate(anything, budget, **share)
        least = trial.tokens
        if forced is None and trial.rule.graded:
            least = np.full(len(trial), trial.min_tokens)
        prompt, _ = self._conversation(least, question, turns)
        check_context(prompt, room, self._context, trial.strategy)

    def _bar(self, stage: str) -> tqdm[Any]:
        total = len(self.video)
        return tqdm(
            total=total, desc=stage, unit="segment", delay=1, leave=False, disable=not self.progress
        )

    def _clock(self, segment: int) -> float:
        return segment_clock(segment, self.video.plan.fps, self.video.window)

    def _conversation(
        self, tokens: np.ndarray, question: str, turns: tuple[tuple[str, str], ...]
    ) -> tuple[TokenMap, list[list[int]] | None]:
        prompts = self.checkpoint.prompts
        clocks = None
        if not self.video.is_image:
            clocks = [prompts.clock(self._clock(segment)) for segment in range(len(self.video))]
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
        arguments: dict[str, Any],
    ) -> Trace:
        segments = range(len(self.video))
        times = [times for _, times in self.reader.batches.decoded]
        stamps = [len(clocks[i]) if clocks and allocation.tokens[i] else 0 for i in segments]
        svlm, llm = self.checkpoint.prompts.svlm, self.checkpoint.prompts.llm
        return Trace.from_run(
            question=question,
            answer=wrote.text,
            relevance=relevance,
            logit=logit,
            allocation=allocation,
            clock=np.array([self._clock(i) for i in segments]),
            times=self.video.segment_times,
            true_times=np.array([[times[i][0], times[i][-1]] for i in segments]),
            timestamp_tokens=np.array(stamps),
            text_tokens=len(prompt) - allocation.used - sum(stamps),
            context=self._context,
            answer_logprob=wrote.logprobs,
            prompts={
                "svlm": self.prompt(question).text(svlm),
                "llm": prompt.text(llm),
            },
            provenance={**self._provenance(), **arguments},
        )

    def prompt(self, question: str, segment: int = 0) -> TokenMap:
        """What the SVLM reads of one segment, position by position, with its memory slots."""
        slots = self.checkpoint.model.config.num_compression_tokens
        video = self.reader.batches.prompt(segment)
        return self.checkpoint.prompts.segment(video, question, slots)

    def _provenance(self) -> dict[str, Any]:
        import transformers

        info, model = self.video.info, self.checkpoint.model
        return {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "tempo_lab": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
            "model": self.checkpoint.name,
            "model_digest": self.checkpoint.digest,
            "rope": self.checkpoint.rope,
            "device": str(model.device),
            "dtype": str(model.dtype).removeprefix("torch."),
            "video": str(info.path),
            "video_digest": self.reader.batches.digest,
            "decoder": info.decoder,
            "frames": len(self.video.plan.indices),
            "fps": float(self.video.plan.fps),
            "source_fps": float(info.fps),
            "duration": float(info.duration),
            "window": self.video.window,
            "keep": self.reader.keep,
        }
