"""Session: one video opened with one Tempo. Open once, ask many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import groupby
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm.auto import tqdm

from tempo_lab._version import __version__
from tempo_lab.allocation import Allocation, allocate, keep
from tempo_lab.errors import BudgetError, QueryError
from tempo_lab.model.answer import answer
from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.prompts import segment_clock
from tempo_lab.model.token_map import TokenMap
from tempo_lab.reading import Keep, Reader
from tempo_lab.trace import Trace
from tempo_lab.video import Video

if TYPE_CHECKING:
    from tempo_lab.strategies import Mode

DEFAULT_BUDGET = 8192
MAX_NEW_TOKENS = 1024


class Session:
    """One video opened with one Tempo; remembers what a second question can reuse.

    Made by `Tempo.open`; use it in a `with`, or call `close`.

    Args:
        checkpoint: the loaded model.
        video: the video; closed with the session.
        keep: what a second question may reuse: "kv" (prefix keys and values), "features" (visual
            features), "nothing", or "auto": the best that `keep_bytes` affords (see `price`).
        keep_bytes: bytes that may be kept; by default 2 GiB, or half of an accelerator's free
            memory.
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
        history: Iterable[Trace | tuple[str, str]] = (),
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
            QueryError: the question is not text.
            BudgetError: the budget, or the context, cannot hold what was asked; nothing was cut.
            VideoError: the video cannot be decoded.
        """
        if not isinstance(question, str):
            raise QueryError(
                "a question is text", asked=repr(question), found=type(question).__name__
            )
        model, config = self.checkpoint.model, self.checkpoint.model.config
        turns = tuple((t.question, t.answer) if isinstance(t, Trace) else t for t in history)
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
        forced = None if scores is None else self._forced(scores)
        # an impossible budget is refused before any computing
        allocate(np.linspace(0, 1, len(self.video)) if forced is None else forced, budget, **share)
        room = self._room(question, turns, max_new_tokens)

        with self._bar("reading segments", len(self.video)) as bar:
            reading = self.reader.read(question, bar.update)
        logit = reading.logit
        relevance = torch.sigmoid(torch.from_numpy(logit)).numpy()
        allocation = allocate(relevance if forced is None else forced, budget, **share)
        prompt, clocks = self._conversation(allocation, question, turns)
        self._fits(prompt, allocation, room)

        memory = self.reader.memory(reading, allocation.needed)
        with torch.inference_mode():
            kept = [
                model.project(keep(tokens, allocation, segment))
                for segment, tokens in enumerate(memory)
            ]
            wrote = answer(
                model,
                self.checkpoint.prompts.llm,
                model.embed(prompt, kept),
                max_new_tokens=room,
                stream=stream,
            )
        return self._trace(question, turns, wrote, logit, relevance, allocation, prompt, clocks)

    def _bar(self, stage: str, total: int) -> tqdm[Any]:
        return tqdm(
            total=total, desc=stage, unit="segment", delay=1, leave=False, disable=not self.progress
        )

    def _forced(self, scores: Iterable[float]) -> np.ndarray:
        forced = np.asarray(list(scores), dtype=np.float32)
        if forced.shape != (len(self.video),):
            raise BudgetError(
                "scores must have one value a segment",
                asked=f"{forced.shape}",
                found=f"{len(self.video)} segments",
            )
        return forced

    def _clock(self, segment: int) -> float:
        return segment_clock(segment, self.video.plan.fps, self.video.window)

    def _conversation(
        self, allocation: Allocation, question: str, turns: tuple[tuple[str, str], ...]
    ) -> tuple[TokenMap, list[list[int]] | None]:
        prompts = self.checkpoint.prompts
        clocks = None
        if not self.video.is_image:
            clocks = [prompts.clock(self._clock(segment)) for segment in range(len(self.video))]
        return prompts.conversation(clocks, allocation.tokens, question, turns), clocks

    @property
    def _context(self) -> int:
        config = self.checkpoint.model.config
        return int(config.tokenizer_model_max_length or config.max_position_embeddings)

    def _room(
        self, question: str, turns: tuple[tuple[str, str], ...], max_new_tokens: int | None
    ) -> int:
        """Tokens that the answer may have; a text that fills the context alone is refused."""
        room = max_new_tokens or min(MAX_NEW_TOKENS, self._context // 4)
        prompts = self.checkpoint.prompts
        text = len(prompts.opening()) + len(prompts.closing(question, turns))
        if text + room > self._context:
            raise BudgetError(
                "the question does not fit the model's context",
                asked=f"{text} tokens of text + {room} for the answer",
                found=f"a context of {self._context} tokens",
                fix="a shorter question, fewer earlier turns, or a smaller max_new_tokens",
            )
        return room

    def _fits(self, prompt: TokenMap, allocation: Allocation, room: int) -> None:
        if len(prompt) + room <= self._context:
            return
        other = len(prompt) - allocation.used
        fits = self._context - room - other
        fix = f"a budget of at most {fits}"
        if fits < len(self.video):
            fix = "fewer segments (a lower fps or max_frames)"
        raise BudgetError(
            "the context cannot hold this video at this budget",
            asked=f"{allocation.used} memory tokens + {other} of timestamps and text "
            f"+ {room} for the answer = {len(prompt) + room}",
            found=f"a context of {self._context} tokens",
            fix=f"{fix}, or a smaller max_new_tokens",
        )

    def _trace(
        self,
        question: str,
        turns: tuple[tuple[str, str], ...],
        wrote: Any,
        logit: np.ndarray,
        relevance: np.ndarray,
        allocation: Allocation,
        prompt: TokenMap,
        clocks: list[list[int]] | None,
    ) -> Trace:
        segments = range(len(self.video))
        times = self.reader.batches.times
        stamps = [len(clocks[i]) if clocks and allocation.tokens[i] else 0 for i in segments]
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
            prompts=self._prompt_texts(question, prompt),
            provenance=self._provenance(turns, len(wrote.ids)),
        )

    def _prompt_texts(self, question: str, prompt: TokenMap) -> dict[str, str]:
        """The prompts as text; memory tokens of the LLM's are shown as `[4 memory tokens]`."""
        prompts = self.checkpoint.prompts
        system, asked = prompts.system(), prompts.question(question)
        pieces = []
        for is_text, run in groupby(prompt.ids.tolist(), key=lambda token: token >= 0):
            tokens = list(run)
            text = prompts.llm.decode(tokens, skip_special_tokens=False) if is_text else ""
            pieces.append(text or f"[{len(tokens)} memory tokens]")
        return {
            "svlm_system": prompts.svlm.decode(system.ids, skip_special_tokens=False),
            "svlm_question": prompts.svlm.decode(asked.ids, skip_special_tokens=False),
            "llm": "".join(pieces),
        }

    def _provenance(self, turns: tuple[tuple[str, str], ...], answer_tokens: int) -> dict[str, Any]:
        import transformers

        info, model = self.video.info, self.checkpoint.model
        return {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "tempo_lab": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "model": self.checkpoint.name,
            "model_digest": self.checkpoint.digest,
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
            "kept": self.reader.keep,
            "history": [list(turn) for turn in turns],
            "answer_tokens": answer_tokens,
        }
